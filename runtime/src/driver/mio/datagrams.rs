//! Datagrams: received as many as are there, sent one by one.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::driver::mio::calls::retry;
use crate::driver::mio::slots::Source;
use crate::driver::op::{Datagram, Outcome};

/// The most datagrams that one op brings.
pub(super) const BATCH_COUNT: usize = 32;

/// No datagram is larger: its length is a number of 16 bits.
const DATAGRAM_BYTES: usize = 65_536;

impl Source {
    /// Receives what is there, up to a bounded number.
    pub(super) fn receive_datagrams(&mut self) -> Result<Outcome, Errno> {
        let mut room = Vec::with_capacity(DATAGRAM_BYTES);
        let mut received = Vec::new();
        while received.len() < BATCH_COUNT {
            room.clear();
            match self.receive_datagram(&mut room) {
                // Nothing is left, which the bit then says.
                Err(Errno::AGAIN) if received.is_empty() => return Err(Errno::AGAIN),
                Err(Errno::AGAIN) => {
                    self.readable = false;
                    break;
                }
                Err(error) => received.push(Err(error.into())),
                Ok(datagram) => received.push(datagram),
            }
        }
        Ok(Outcome::Datagrams(received))
    }

    fn receive_datagram(&self, room: &mut Vec<u8>) -> Result<io::Result<Datagram>, Errno> {
        let flags = RecvFlags::empty();
        let (_, _, from) =
            retry(|| rustix::net::recvfrom(&self.descriptor, spare_capacity(room), flags))?;
        let from = from.and_then(|from| SocketAddr::try_from(from).ok());
        let nameless = || io::Error::new(io::ErrorKind::Unsupported, "a datagram from no address");
        Ok(from
            .ok_or_else(nameless)
            .map(|from| Datagram { bytes: Bytes::copy_from_slice(room), from }))
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
        match sent {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN) => {
                self.writable = false;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
