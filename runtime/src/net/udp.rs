//! UDP sockets.

mod batch;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;

use super::resolve::{ToSocketAddrs, resolve};
use super::socket::Patience;
use crate::driver::{
    Addressed, Datagram, Op, OpId, Outcome, SocketOption, SourceId, SourceKind, SourceSpec, Started,
};
use crate::executor::{IoHandle, OpOwner, current_io};
use crate::io::one_op::run_op;
use crate::sync::Lock;
use crate::util::cancel;
use crate::util::wait_kind::WaitKind;

/// A UDP socket: datagrams to and from anybody, or one peer.
///
/// What is there is received in one go, up to 32 datagrams, and kept until it is asked for, so a busy socket
/// wakes its reader once for many; [`recv_batch`](Self::recv_batch) and [`send_batch_to`](Self::send_batch_to) ask
/// for many and send many at a time. Several tasks may receive and send at the same time; they take turns in
/// the order in which they asked. A task that never has to wait lets others run now and then. Dropping the socket
/// closes it.
///
/// ```
/// # corelane::run(async || {
/// let server = corelane::UdpSocket::bind("127.0.0.1:0").await?;
/// let client = corelane::UdpSocket::bind("127.0.0.1:0").await?;
/// client.connect(server.local_addr()?).await?;
/// client.send(b"ping").await?;
/// let (question, from) = server.recv_datagram().await?;
/// server.send_to(&question, from).await?;
/// let mut answer = [0; 16];
/// assert_eq!(client.recv(&mut answer).await?, 4);
/// # Ok(())
/// # }).unwrap();
/// ```
pub struct UdpSocket {
    receiver: Rc<Receiver>,
    receiving: Lock<()>,
    sending: Lock<()>,
    /// Of who sends and never has to wait.
    patience: Patience,
}

impl UdpSocket {
    /// Binds a socket. Port 0 lets the system choose: see [`local_addr`](Self::local_addr). Of several
    /// addresses that a name stands for it takes the first that works.
    ///
    /// # Errors
    /// What the resolver or the system says, with the address.
    ///
    /// # Cancel safety
    /// Safe: nothing is bound if it is given up.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_to(addr, false).await
    }

    /// The same, at an address that others of this kind may bind too: the system spreads peers over them
    /// (`SO_REUSEPORT`), so that each shard can have its own.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    ///
    /// # Cancel safety
    /// Safe: nothing is bound if it is given up.
    pub async fn bind_shared(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_to(addr, true).await
    }

    async fn bind_to(addr: impl ToSocketAddrs, reuse_port: bool) -> io::Result<Self> {
        let io = current_io()?;
        let open = |addr| io.open(SourceSpec::Datagrams { addr, reuse_port });
        let source = resolve(addr).await?.first(open)?;
        Ok(Self::new(io, source))
    }

    /// Takes over a socket that was made elsewhere. It becomes non-blocking.
    ///
    /// # Errors
    /// What the system says; Runtime, off a loop.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        let io = current_io()?;
        let kind = SourceKind::Datagrams;
        let source = io.open(SourceSpec::Adopt { descriptor: socket.into(), kind })?;
        Ok(Self::new(io, source))
    }

    fn new(io: IoHandle, source: SourceId) -> Self {
        let receiver = Rc::new(Receiver {
            io,
            source,
            read_op: Cell::new(None),
            is_reading: Cell::new(false),
            received: RefCell::default(),
            patience: Patience::default(),
            waker: RefCell::default(),
        });
        let read_op = receiver.io.register(Rc::clone(&receiver) as Rc<dyn OpOwner>, 0);
        receiver.read_op.set(Some(read_op));
        let (receiving, sending) = (Lock::new(()), Lock::new(()));
        Self { receiver, receiving, sending, patience: Patience::default() }
    }

    /// Connects the socket: [`send`](Self::send) goes to this peer, and nothing is received from others, but
    /// for what came before.
    ///
    /// # Errors
    /// What the resolver or the system says, with the address.
    ///
    /// # Cancel safety
    /// Safe: the socket is as it was if it is given up.
    pub async fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        let Receiver { io, source, .. } = &*self.receiver;
        resolve(addr).await?.first(|addr| io.set_peer(*source, addr))
    }

    /// Sends one datagram to `to`.
    ///
    /// # Errors
    /// What the system says, for instance that the datagram is too long; also what an earlier one has met.
    ///
    /// # Cancel safety
    /// A datagram that had to wait may have been sent or not.
    pub async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        self.send_one(bytes, Some(to)).await
    }

    /// Sends one datagram to the peer that the socket is connected to.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to), and if it is not connected.
    ///
    /// # Cancel safety
    /// A datagram that had to wait may have been sent or not.
    pub async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_one(bytes, None).await
    }

    /// Sends one datagram to `to` if that needs no waiting.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to); `WouldBlock` if it would wait.
    pub fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        match self.send_at_once(bytes, Some(to))? {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// False if it has to wait.
    fn send_at_once(&self, bytes: &[u8], to: Option<SocketAddr>) -> io::Result<bool> {
        let Receiver { io, source, .. } = &*self.receiver;
        Ok(!self.sending.locked() && io.try_send_to(*source, bytes, to)?)
    }

    async fn send_one(&self, bytes: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
        poll_fn(|context| self.patience.poll(context)).await;
        if self.send_at_once(bytes, to)? {
            return Ok(());
        }
        self.patience.renew();
        let _turn = self.sending.acquire().await;
        let Receiver { io, source, .. } = &*self.receiver;
        let datagram = Box::new(Addressed { bytes: bytes.to_vec(), to });
        match run_op(io, Op::SendTo { source: *source, datagram }, WaitKind::Datagram).await {
            Outcome::Sent => Ok(()),
            Outcome::Failed(error, _) => Err(error),
            _ => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Receives one datagram, and says from whom it is.
    ///
    /// # Errors
    /// What the system says, for instance `ConnectionRefused` after a datagram that was sent to a connected
    /// peer that is not there; `ConnectionAborted` when the loop has ended.
    ///
    /// # Cancel safety
    /// Safe: no datagram is lost.
    pub async fn recv_datagram(&self) -> io::Result<(Bytes, SocketAddr)> {
        let _turn = self.receiving.acquire().await;
        let datagram = poll_fn(|context| self.receiver.poll_next(context)).await?;
        Ok((datagram.bytes, datagram.from))
    }

    /// Receives one datagram into `into`, and says how long it is and from whom. What does not fit is thrown
    /// away.
    ///
    /// # Errors
    /// As [`recv_datagram`](Self::recv_datagram).
    ///
    /// # Cancel safety
    /// Safe: no datagram is lost.
    pub async fn recv_from(&self, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (bytes, from) = self.recv_datagram().await?;
        Ok((copy_into(&bytes, into), from))
    }

    /// Receives one datagram into `into`, and says how long it is. What does not fit is thrown away.
    ///
    /// # Errors
    /// As [`recv_datagram`](Self::recv_datagram).
    ///
    /// # Cancel safety
    /// Safe: no datagram is lost.
    pub async fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        Ok(self.recv_from(into).await?.0)
    }

    /// Receives one datagram if one is there and nobody waits for it.
    ///
    /// # Errors
    /// As [`recv_datagram`](Self::recv_datagram); `WouldBlock` if none is there.
    pub fn try_recv_datagram(&self) -> io::Result<(Bytes, SocketAddr)> {
        let next = if self.receiving.locked() { None } else { self.receiver.next() };
        let datagram = next.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))?;
        Ok((datagram.bytes, datagram.from))
    }

    /// The address that the socket is bound to.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.receiver.io.local_addr(self.receiver.source)
    }

    /// The address that the socket is connected to.
    ///
    /// # Errors
    /// What the system says; `NotConnected` if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.receiver.io.peer_addr(self.receiver.source)
    }

    /// Whether datagrams may be sent to everybody in the network.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.receiver.io.set_option(self.receiver.source, SocketOption::Broadcast(on))
    }

    /// How many routers a datagram may pass.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_time_to_live(&self, router_count: u8) -> io::Result<()> {
        self.receiver.io.set_option(self.receiver.source, SocketOption::TimeToLive(router_count))
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.receiver.close();
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket")
            .field("local_addr", &self.local_addr().ok())
            .finish_non_exhaustive()
    }
}

fn copy_into(bytes: &[u8], into: &mut [u8]) -> usize {
    let count = bytes.len().min(into.len());
    into[..count].copy_from_slice(&bytes[..count]);
    count
}

/// The receiving half: what came and was not asked for yet.
struct Receiver {
    io: IoHandle,
    source: SourceId,
    /// `None` once closed.
    read_op: Cell<Option<OpId>>,
    is_reading: Cell<bool>,
    received: RefCell<VecDeque<io::Result<Datagram>>>,
    patience: Patience,
    /// Of the one task whose turn it is.
    waker: RefCell<Option<Waker>>,
}

impl Receiver {
    /// The next datagram, if it needs no waiting; otherwise one is on its way.
    fn next(&self) -> Option<io::Result<Datagram>> {
        if let Some(next) = self.received.borrow_mut().pop_front() {
            return Some(next);
        }
        let Some(read_op) = self.read_op.get().filter(|_| !self.io.is_shut()) else {
            return Some(Err(io::ErrorKind::ConnectionAborted.into()));
        };
        if self.is_reading.get() {
            return None;
        }
        match self.io.start(read_op, Op::ReceiveFrom { source: self.source }) {
            Started::Parked => self.is_reading.set(true),
            Started::Done(outcome) => self.take_in(outcome),
        }
        self.received.borrow_mut().pop_front()
    }

    fn poll_next(&self, context: &mut Context<'_>) -> Poll<io::Result<Datagram>> {
        ready!(self.patience.poll(context));
        if let Some(next) = self.next() {
            return Poll::Ready(next);
        }
        self.patience.renew();
        let replaced = self.waker.replace(Some(context.waker().clone()));
        drop(replaced);
        cancel::note_wait(WaitKind::Datagram);
        Poll::Pending
    }

    fn take_in(&self, outcome: Outcome) {
        let mut received = self.received.borrow_mut();
        match outcome {
            Outcome::Datagrams(datagrams) => received.extend(datagrams),
            Outcome::Failed(error, _) => received.push_back(Err(error)),
            // The socket was closed.
            _ => {}
        }
    }

    fn close(&self) {
        if let Some(read_op) = self.read_op.take() {
            self.io.release(read_op);
            self.io.close(self.source);
        }
    }

    fn wake(&self) {
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl OpOwner for Receiver {
    fn complete(self: Rc<Self>, _tag: u32, outcome: Outcome) {
        self.is_reading.set(false);
        self.take_in(outcome);
        self.wake();
    }

    fn abandoned(self: Rc<Self>) {
        self.wake();
    }
}
