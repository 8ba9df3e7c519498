//! Datagrams: received and sent many at a time.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::driver::DATAGRAM_BATCH_COUNT;
use crate::driver::mio::calls::{self, DatagramRoom, retry};
use crate::driver::mio::slots::Source;
use crate::driver::op::{Datagram, Outcome, Outgoing};

impl Source {
    /// Receives what is there, up to a bounded number.
    pub(super) fn receive_datagrams(&mut self, room: &mut DatagramRoom) -> Result<Outcome, Errno> {
        let mut received = Vec::new();
        while received.len() < DATAGRAM_BATCH_COUNT {
            let wanted = DATAGRAM_BATCH_COUNT - received.len();
            let take = |bytes: &[u8], from| received.push(datagram(bytes, from));
            match calls::receive_datagrams(self.descriptor.as_fd(), room, wanted, take) {
                // An error that has come since then, and ended the call, gives an event as well.
                Ok(count) if count < wanted => {
                    self.readable = false;
                    break;
                }
                Ok(_) => {}
                // Nothing is left, which the bit then says.
                Err(Errno::AGAIN) if received.is_empty() => return Err(Errno::AGAIN),
                Err(Errno::AGAIN) => {
                    self.readable = false;
                    break;
                }
                Err(error) => received.push(Err(error.into())),
            }
        }
        Ok(Outcome::Datagrams(received))
    }

    /// Sends a datagram; false if there is no room for it now.
    pub(super) fn try_send_to(
        &mut self,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> Result<bool, Errno> {
        if !self.writable {
            return Ok(false);
        }
        let socket = self.descriptor.as_fd();
        let sent = retry(|| match &to {
            Some(to) => rustix::net::sendto(socket, bytes, SendFlags::NOSIGNAL, to),
            None => rustix::net::send(socket, bytes, SendFlags::NOSIGNAL),
        });
        Ok(self.had_room(sent)?.is_some())
    }

    /// Sends many by one call, and says how many went.
    pub(super) fn try_send_batch(&mut self, datagrams: &[Outgoing<'_>]) -> Result<usize, Errno> {
        if !self.writable || datagrams.is_empty() {
            return Ok(0);
        }
        let datagrams = &datagrams[..datagrams.len().min(DATAGRAM_BATCH_COUNT)];
        let sent = calls::send_datagrams(self.descriptor.as_fd(), datagrams);
        Ok(self.had_room(sent)?.unwrap_or(0))
    }

    /// `None` if there was no room, which is remembered.
    fn had_room<T>(&mut self, sent: Result<T, Errno>) -> Result<Option<T>, Errno> {
        match sent {
            Err(Errno::AGAIN) => {
                self.writable = false;
                Ok(None)
            }
            sent => sent.map(Some),
        }
    }
}

fn datagram(bytes: &[u8], from: Option<SocketAddr>) -> io::Result<Datagram> {
    let nameless = || io::Error::new(io::ErrorKind::Unsupported, "a datagram from no address");
    let from = from.ok_or_else(nameless)?;
    Ok(Datagram { bytes: Bytes::copy_from_slice(bytes), from })
}
