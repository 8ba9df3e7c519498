//! Many datagrams by one call of the system.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;

use super::{Receiver, UdpSocket};
use crate::driver::{DATAGRAM_BATCH_COUNT, Op, Outcome, Outgoing};
use crate::io::one_op::run_op;
use crate::util::wait_kind::WaitKind;

impl UdpSocket {
    /// The most datagrams that go or come by one call of [`send_batch`](Self::send_batch),
    /// [`send_batch_to`](Self::send_batch_to) or [`recv_batch`](Self::recv_batch).
    pub const BATCH_COUNT: usize = DATAGRAM_BATCH_COUNT;

    /// Sends datagrams in their order, each to its address, and says how many went: as many as there is room for
    /// now, but at least one, and no more than [`BATCH_COUNT`](Self::BATCH_COUNT). It waits for room for the first.
    /// The system is asked once for all of them (`sendmmsg`). Of no datagrams none is sent, at once.
    ///
    /// ```
    /// # corelane::run(async || {
    /// # let socket = corelane::UdpSocket::bind("127.0.0.1:0").await?;
    /// # let to = socket.local_addr()?;
    /// let datagrams = vec![(b"all of them", to); 100];
    /// let mut rest = &datagrams[..];
    /// while !rest.is_empty() {
    ///     let count = socket.send_batch_to(rest).await?;
    ///     rest = &rest[count..];
    /// }
    /// # Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to), if none was sent. A later one that is refused ends the batch before it, and
    /// fails the next call, which begins with it; but what the system has to say only once, as that nobody was
    /// where an earlier one went, is not heard there.
    ///
    /// # Cancel safety
    /// Safe: if it is given up, nothing was sent.
    pub async fn send_batch_to(
        &self,
        datagrams: &[(impl AsRef<[u8]>, SocketAddr)],
    ) -> io::Result<usize> {
        self.send_many(&addressed(datagrams)).await
    }

    /// Sends datagrams to the peer that the socket is connected to, as [`send_batch_to`](Self::send_batch_to) does.
    ///
    /// # Errors
    /// As [`send_batch_to`](Self::send_batch_to), and if it is not connected.
    ///
    /// # Cancel safety
    /// Safe: if it is given up, nothing was sent.
    pub async fn send_batch(&self, datagrams: &[impl AsRef<[u8]>]) -> io::Result<usize> {
        let datagrams = datagrams.iter().take(Self::BATCH_COUNT);
        let outgoing = datagrams.map(|bytes| Outgoing { bytes: bytes.as_ref(), to: None });
        self.send_many(&outgoing.collect::<Vec<_>>()).await
    }

    /// Sends as many datagrams as need no waiting, and says how many went, as
    /// [`send_batch_to`](Self::send_batch_to) does.
    ///
    /// # Errors
    /// As [`send_batch_to`](Self::send_batch_to); `WouldBlock` if it would wait.
    pub fn try_send_batch_to(
        &self,
        datagrams: &[(impl AsRef<[u8]>, SocketAddr)],
    ) -> io::Result<usize> {
        match self.send_many_at_once(&addressed(datagrams))? {
            0 if !datagrams.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    /// 0 if it has to wait.
    fn send_many_at_once(&self, datagrams: &[Outgoing<'_>]) -> io::Result<usize> {
        let Receiver { io, source, .. } = &*self.receiver;
        if self.sending.locked() { Ok(0) } else { io.try_send_batch(*source, datagrams) }
    }

    async fn send_many(&self, datagrams: &[Outgoing<'_>]) -> io::Result<usize> {
        poll_fn(|context| self.patience.poll(context)).await;
        let count = self.send_many_at_once(datagrams)?;
        if count > 0 || datagrams.is_empty() {
            self.patience.spend(count);
            return Ok(count);
        }
        self.patience.renew();
        let _turn = self.sending.acquire().await;
        let Receiver { io, source, .. } = &*self.receiver;
        loop {
            match run_op(io, Op::Writable { source: *source }, WaitKind::Datagram).await {
                Outcome::Ready => {}
                Outcome::Failed(error, _) => return Err(error),
                _ => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
            let count = io.try_send_batch(*source, datagrams)?;
            if count > 0 {
                return Ok(count);
            }
        }
    }

    /// Receives the datagrams that are there, appends each to `into` with its sender, and says how many those are:
    /// at least one, for which it waits, and no more than [`BATCH_COUNT`](Self::BATCH_COUNT). The system is asked
    /// once for all of them (`recvmmsg`).
    ///
    /// ```
    /// # corelane::run(async || {
    /// # let client = corelane::UdpSocket::bind("127.0.0.1:0").await?;
    /// # let socket = corelane::UdpSocket::bind("127.0.0.1:0").await?;
    /// # client.send_batch_to(&[(b"one", socket.local_addr()?), (b"two", socket.local_addr()?)]).await?;
    /// // An echo of whatever came.
    /// let mut batch = Vec::new();
    /// socket.recv_batch(&mut batch).await?;
    /// socket.send_batch_to(&batch).await?;
    /// # assert_eq!(batch.len(), 2);
    /// # Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`recv_datagram`](Self::recv_datagram), if there is none before the error; what came before it is received
    /// first.
    ///
    /// # Cancel safety
    /// Safe: if it is given up, nothing was taken.
    pub async fn recv_batch(&self, into: &mut Vec<(Bytes, SocketAddr)>) -> io::Result<usize> {
        let _turn = self.receiving.acquire().await;
        let first = poll_fn(|context| self.receiver.poll_next(context)).await?;
        into.push((first.bytes, first.from));
        let more_count = self.receiver.take_more(into);
        self.receiver.patience.spend(more_count);
        Ok(1 + more_count)
    }

    /// Receives the datagrams that are there if any is and nobody waits for one, as
    /// [`recv_batch`](Self::recv_batch) does.
    ///
    /// # Errors
    /// As [`recv_batch`](Self::recv_batch); `WouldBlock` if none is there.
    pub fn try_recv_batch(&self, into: &mut Vec<(Bytes, SocketAddr)>) -> io::Result<usize> {
        into.push(self.try_recv_datagram()?);
        Ok(1 + self.receiver.take_more(into))
    }
}

impl Receiver {
    /// Takes what came with a datagram that was taken, up to an error.
    fn take_more(&self, into: &mut Vec<(Bytes, SocketAddr)>) -> usize {
        let mut received = self.received.borrow_mut();
        let count = received.iter().take_while(|next| next.is_ok()).count();
        let more = received.drain(..count).flatten();
        into.extend(more.map(|datagram| (datagram.bytes, datagram.from)));
        count
    }
}

/// As many as one call sends.
fn addressed(datagrams: &[(impl AsRef<[u8]>, SocketAddr)]) -> Vec<Outgoing<'_>> {
    let datagrams = datagrams.iter().take(DATAGRAM_BATCH_COUNT);
    datagrams.map(|(bytes, to)| Outgoing { bytes: bytes.as_ref(), to: Some(*to) }).collect()
}
