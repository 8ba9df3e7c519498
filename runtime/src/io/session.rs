//! One TLS connection without its socket: raw bytes in, plaintext out, and back.
//!
//! ```text
//!             raw bytes ──receive──▶ ┌─────────┐ ──▶ plaintext, to a sink
//!                                    │ Session │
//!   raw bytes to send ◀──take_output── └─────────┘ ◀──seal── plaintext
//! ```
//!
//! It does no I/O, keeps no clock and wakes nobody. What it has to say of its own accord (handshake, key
//! updates, alerts) waits in it until it is taken.

use std::io::{self, BufRead, IoSlice, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use crate::driver::WriteData;

#[cfg(test)]
mod tests;

/// The state of one TLS connection.
pub(crate) struct Session {
    connection: Connection,
    /// The peer has said that it will send no more.
    peer_said_end: bool,
    /// We have said so.
    said_end: bool,
    /// Code that the configuration brought along has panicked.
    is_broken: bool,
}

impl Session {
    /// The side that connects. Its first message is there to be taken.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        server_name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self::new(ClientConnection::new(config, server_name)?.into()))
    }

    /// The side that was connected to.
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self::new(ServerConnection::new(config)?.into()))
    }

    fn new(mut connection: Connection) -> Self {
        // What goes in is bounded by who seals; a limit here would only cut it in two.
        connection.set_buffer_limit(None);
        Self { connection, peer_said_end: false, said_end: false, is_broken: false }
    }

    /// Takes bytes from the network, and gives the plaintext in them to `sink`, in pieces. What comes after
    /// the peer's end is thrown away.
    ///
    /// # Errors
    /// What is wrong with the peer or with what it sent. Nothing more can be received then; an alert for
    /// the peer may be there to be taken.
    pub(crate) fn receive(
        &mut self,
        raw: &[u8],
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(), rustls::Error> {
        if self.is_broken {
            return Err(broken());
        }
        // A configuration brings code along, such as one that chooses certificates. If that panics, the
        // connection has failed and not the loop. The session is not used again, so its state is no matter.
        let received = catch_unwind(AssertUnwindSafe(|| self.receive_all(raw, &mut sink)));
        received.unwrap_or_else(|_| {
            self.is_broken = true;
            Err(broken())
        })
    }

    fn receive_all(
        &mut self,
        mut raw: &[u8],
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<(), rustls::Error> {
        while !raw.is_empty() && !self.peer_said_end {
            let taken = self.connection.read_tls(&mut raw).map_err(as_tls)?;
            let state = self.connection.process_new_packets()?;
            self.peer_said_end = state.peer_has_closed();
            let mut left_bytes = state.plaintext_bytes_to_read();
            let mut reader = self.connection.reader();
            while left_bytes > 0 {
                let piece = reader.fill_buf().map_err(as_tls)?;
                let piece_bytes = piece.len();
                sink(piece);
                reader.consume(piece_bytes);
                left_bytes -= piece_bytes;
            }
            if taken == 0 && !self.peer_said_end {
                return Err(rustls::Error::General("the session takes no more bytes".to_owned()));
            }
        }
        Ok(())
    }

    /// Encrypts plaintext. Before the end of the handshake, and after our own end, nothing may be sealed.
    pub(crate) fn seal(&mut self, plaintext: &WriteData) {
        debug_assert!(self.is_open() && !self.said_end, "sealed outside the life of the session");
        // A session that has failed takes nothing: its connection is about to be lost.
        let _ = match plaintext {
            WriteData::Buf(buf) => self.connection.writer().write_all(buf),
            WriteData::Chunks(chunks) => self.seal_chunks(chunks),
        };
    }

    /// Small slices share a record.
    fn seal_chunks(&mut self, chunks: &[Bytes]) -> io::Result<()> {
        let slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
        // Without a limit it takes everything.
        self.connection.writer().write_vectored(&slices).map(drop)
    }

    /// Says that we send no more (`close_notify`). Twice is once.
    pub(crate) fn say_end(&mut self) {
        if !self.said_end {
            self.said_end = true;
            self.connection.send_close_notify();
        }
    }

    /// Appends the bytes that are to be sent to `output`.
    pub(crate) fn take_output(&mut self, output: &mut BytesMut) {
        while self.has_output() {
            if self.connection.write_tls(&mut Append(output)).is_err() {
                unreachable!("appending to memory does not fail");
            }
        }
    }

    /// Whether there are bytes to be sent.
    pub(crate) fn has_output(&self) -> bool {
        !self.is_broken && self.connection.wants_write()
    }

    /// Whether the handshake is done, so that plaintext can be sealed.
    pub(crate) fn is_open(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// Whether the peer has said that it will send no more (`close_notify`).
    pub(crate) fn peer_said_end(&self) -> bool {
        self.peer_said_end
    }

    /// Whether we have said that we will send no more.
    pub(crate) fn said_end(&self) -> bool {
        self.said_end
    }

    /// What was agreed upon, and with whom.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}

fn broken() -> rustls::Error {
    rustls::Error::General("code of the TLS configuration has panicked".to_owned())
}

/// The session's buffers are memory: what goes wrong in them is a matter of TLS, such as a message that is
/// too long.
fn as_tls(error: io::Error) -> rustls::Error {
    rustls::Error::General(error.to_string())
}

/// Where the session puts its records.
struct Append<'b>(&'b mut BytesMut);

impl Write for Append<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let total_bytes = slices.iter().map(|slice| slice.len()).sum();
        self.0.reserve(total_bytes);
        for slice in slices {
            self.0.extend_from_slice(slice);
        }
        Ok(total_bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
