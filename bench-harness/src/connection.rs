//! One connection: what waits to be written, what is on its way, what has come back.
//!
//! The window bounds how many requests are on their way at once. Replies come in the order of the
//! requests, so the times of a request wait in a queue until its reply is at the front. A connection
//! may end after so many requests; the next one then opens another in its place.

use std::collections::{VecDeque, vec_deque};
use std::io::{self, Read, Write};

use crate::hops::Stamps;
use crate::protocol::{Note, Protocol};

/// The times of a request that is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flight {
    /// When it should have begun.
    pub(crate) intended_ns: u64,
    /// When the generator saw that it was due.
    pub(crate) noticed_ns: u64,
    /// When it could first have been sent: as `noticed_ns`, unless every window was full then.
    pub(crate) free_ns: u64,
    /// When the system call that sent it was entered; zero until then.
    pub(crate) sent_ns: u64,
    /// What the protocol wants to be told again with the reply.
    pub(crate) note: Note,
}

/// A request whose reply has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Landed {
    /// Its times.
    pub(crate) flight: Flight,
    /// When its last byte was read.
    pub(crate) done_ns: u64,
    /// False for an error reply.
    pub(crate) ok: bool,
    /// When the server had it, if it says so.
    pub(crate) stamps: Option<Stamps>,
    /// Whether another shard has answered than the one that read the request, if that is known.
    pub(crate) remote: Option<bool>,
}

/// A connection over any byte stream that does not block.
pub(crate) struct Connection<S> {
    /// None before the first request of a connection that is opened for it.
    stream: Option<S>,
    depth: usize,
    /// The shard that reads its requests, if it is known and matters.
    shard: Option<u16>,
    /// Requests that one stream carries, and that the one of now still may.
    requests_each: u64,
    left: u64,
    flights: VecDeque<Flight>,
    unstamped: usize,
    requests: u64,
    replies: u64,
    out: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    filled: usize,
    space_since_ns: u64,
}

/// Room for replies at the start; it doubles when one reply does not fit.
const INPUT_BYTES: usize = 16 * 1_024;

impl<S: Read + Write> Connection<S> {
    /// A connection with at most `depth` requests on their way. After `requests_each` it [is used
    /// up](Self::is_used_up), if there is such a number.
    pub(crate) fn new(stream: Option<S>, depth: usize, requests_each: Option<u64>) -> Self {
        let requests_each = requests_each.unwrap_or(u64::MAX);
        Connection {
            stream,
            depth,
            shard: None,
            requests_each,
            left: requests_each,
            flights: VecDeque::with_capacity(depth),
            unstamped: 0,
            requests: 0,
            replies: 0,
            out: Vec::with_capacity(INPUT_BYTES),
            written: 0,
            input: vec![0; INPUT_BYTES],
            filled: 0,
            space_since_ns: 0,
        }
    }

    /// The same, read by `shard`.
    pub(crate) fn read_by(self, shard: Option<u16>) -> Self {
        Connection { shard, ..self }
    }

    /// Whether the window has a free place.
    pub(crate) fn has_space(&self) -> bool {
        self.flights.len() < self.depth && self.left > 0
    }

    /// Whether there is a stream.
    pub(crate) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether all requests that its stream carries are answered.
    pub(crate) fn is_used_up(&self) -> bool {
        self.left == 0 && self.flights.is_empty()
    }

    /// Takes a stream for what is to be written.
    pub(crate) fn open(&mut self, stream: S) {
        debug_assert!(self.stream.is_none(), "a connection was opened twice");
        self.stream = Some(stream);
    }

    /// Ends the stream. Nothing may be on its way any more; with another one it goes on.
    pub(crate) fn close(&mut self) {
        debug_assert!(self.flights.is_empty(), "a connection was closed under its requests");
        self.stream = None;
        self.left = self.requests_each;
        self.replies = self.requests;
        self.out.clear();
        (self.written, self.filled) = (0, 0);
    }

    /// Requests without a reply.
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Encodes a request; it leaves with the next [`flush`](Self::flush).
    pub(crate) fn push(&mut self, protocol: &mut dyn Protocol, intended_ns: u64, noticed_ns: u64) {
        debug_assert!(self.has_space(), "a request was pushed into a full window");
        if let Some(shard) = self.shard {
            protocol.aim(shard);
        }
        let note = protocol.encode(self.requests, &mut self.out);
        self.requests += 1;
        self.left -= 1;
        self.unstamped += 1;
        let free_ns = noticed_ns.max(self.space_since_ns);
        self.flights.push_back(Flight { intended_ns, noticed_ns, free_ns, sent_ns: 0, note });
    }

    /// Whether bytes wait to be written.
    pub(crate) fn wants_to_write(&self) -> bool {
        self.written < self.out.len()
    }

    /// Writes what is encoded, in one system call, and stamps the requests in it with `now_ns`.
    /// Returns the requests that were stamped. What the kernel does not take waits.
    ///
    /// # Errors
    /// As the stream's write; the connection is lost then.
    pub(crate) fn flush(&mut self, now_ns: u64) -> io::Result<vec_deque::Iter<'_, Flight>> {
        let first = self.flights.len() - self.unstamped;
        self.unstamped = 0;
        for flight in self.flights.range_mut(first..) {
            flight.sent_ns = now_ns;
        }
        self.write_out()?;
        Ok(self.flights.range(first..))
    }

    /// Writes what an earlier flush left over.
    ///
    /// # Errors
    /// As the stream's write; the connection is lost then.
    pub(crate) fn write_out(&mut self) -> io::Result<()> {
        while self.wants_to_write() {
            let Some(stream) = &mut self.stream else { return Ok(()) };
            match stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads until the stream has no more, and hands each reply to `landed`. The clock is read once
    /// for each system call that brought bytes.
    ///
    /// # Errors
    /// If the peer has closed or sent nonsense, or the read failed; the connection is lost then.
    pub(crate) fn read(
        &mut self,
        protocol: &dyn Protocol,
        now_ns: &mut dyn FnMut() -> u64,
        mut landed: impl FnMut(Landed),
    ) -> io::Result<()> {
        loop {
            if self.filled == self.input.len() {
                self.input.resize(self.input.len() * 2, 0);
            }
            let room = self.input.len() - self.filled;
            let Some(stream) = &mut self.stream else { return Ok(()) };
            let count = match stream.read(&mut self.input[self.filled..]) {
                Ok(0) => {
                    let text = "the server closed the connection";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let done_ns = now_ns();
            self.filled += count;
            self.take_replies(protocol, done_ns, &mut landed)?;
            if count < room {
                // A short read means that the socket is empty; the next bytes raise a new event.
                return Ok(());
            }
        }
    }

    /// Takes the times of all requests that never got a reply, oldest first.
    pub(crate) fn take_flights(&mut self) -> VecDeque<Flight> {
        self.unstamped = 0;
        std::mem::take(&mut self.flights)
    }

    fn take_replies(
        &mut self,
        protocol: &dyn Protocol,
        done_ns: u64,
        landed: &mut impl FnMut(Landed),
    ) -> io::Result<()> {
        let (mut taken, is_sampling) = (0, protocol.is_sampling());
        while taken < self.filled {
            let oldest = self.flights.front().filter(|_| self.flights.len() > self.unstamped);
            let note = oldest.map_or(Note::ANY, |flight| flight.note);
            let reply = protocol
                .parse(self.replies, note, &self.input[taken..self.filled])
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let Some(reply) = reply else { break };
            if self.flights.len() == self.unstamped {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a reply nobody asked for"));
            }
            let flight = self.flights.pop_front().expect("a flight that was sent is in the queue");
            let (stamps, remote) = if is_sampling {
                let bytes = &self.input[taken..taken + reply.bytes];
                (protocol.stamps(flight.note, bytes), protocol.is_remote(flight.note))
            } else {
                (None, None)
            };
            taken += reply.bytes;
            self.replies += 1;
            self.space_since_ns = done_ns;
            landed(Landed { flight, done_ns, ok: reply.ok, stamps, remote });
        }
        self.input.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
