//! The echo server without any runtime, one epoll loop on each CPU: the limit of what a runtime can
//! reach on this kernel.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use super::control::Tally;
use super::hosted::{Host, listen, on_each_cpu};
use crate::poller::Poller;

/// Serves until the process ends.
///
/// # Errors
/// If a thread cannot be started or cannot listen.
pub(super) fn run(host: Host) -> io::Result<()> {
    on_each_cpu(host, |addr, frame_bytes, tally| serve(&listen(addr)?, frame_bytes, tally))
}

/// Bytes taken from a connection at once.
const READ_BYTES: usize = 16 * 1_024;

/// The listener's number in the poller; no client ever has it.
const LISTENER: usize = usize::MAX;

fn serve(listener: &TcpListener, frame_bytes: usize, tally: &Tally) -> io::Result<()> {
    let poller = Poller::new()?;
    poller.add(listener, LISTENER)?;
    let mut clients: Vec<Option<Client>> = Vec::new();
    let mut free = Vec::new();
    let mut ready = Vec::new();
    // One for all: whatever cannot be sent at once is kept by its connection.
    let mut buf = vec![0; READ_BYTES];
    loop {
        poller.wait(None, &mut ready);
        for number in ready.drain(..) {
            if number == LISTENER {
                accept(listener, &poller, &mut clients, &mut free)?;
            } else if let Some(client) = &mut clients[number]
                && client.serve(&mut buf, frame_bytes, tally).is_err()
            {
                clients[number] = None;
                free.push(number);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poller: &Poller,
    clients: &mut Vec<Option<Client>>,
    free: &mut Vec<usize>,
) -> io::Result<()> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // A client that gave up concerns nobody else; want of descriptors ends the server.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let number = free.pop().unwrap_or_else(|| {
            clients.push(None);
            clients.len() - 1
        });
        poller.add(&stream, number)?;
        clients[number] = Some(Client { stream, unsent: Vec::new(), rest_bytes: 0 });
    }
}

struct Client {
    stream: TcpStream,
    unsent: Vec<u8>,
    rest_bytes: usize,
}

impl Client {
    /// Sends back what has come. Fails once the client is gone.
    fn serve(&mut self, buf: &mut [u8], frame_bytes: usize, tally: &Tally) -> io::Result<()> {
        // Whoever does not read gets nothing read from him.
        while self.send_rest()? {
            let count = match self.stream.read(buf) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let sent = match self.stream.write(&buf[..count]) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) => return Err(error),
            };
            self.unsent.extend_from_slice(&buf[sent..count]);
            self.rest_bytes += count;
            tally.add((self.rest_bytes / frame_bytes) as u64, 0);
            self.rest_bytes %= frame_bytes;
            // A short read has emptied the socket, and what comes next is reported anew.
            if count < buf.len() && self.unsent.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends what an earlier write has left over; false if some of it is still left.
    fn send_rest(&mut self) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
