//! Sockets for who wants them themselves: no read-ahead, no bytes that are kept to be sent.
//!
//! ```text
//!   TcpStream, UnixStream ── into_split ──▶ SocketReader, SocketWriter
//!        │                                        │
//!        └──────────▶ Connection ◀────────────────┘   closed with the last of them
//!              reading │ writing                      a try first; what would wait, waits for readiness
//! ```
//!
//! Bytes go between the system and the caller's buffers, so there is nothing that a future which is dropped could
//! lose: they are taken when a call returns, and not before.

pub(super) use self::connection::Patience;
pub use self::halves::{SocketReader, SocketWriter};
pub use self::listeners::{TcpListener, UnixListener};
pub use self::reclaim::StreamsInUse;
pub use self::streams::{TcpStream, UnixStream};

mod connection;
mod halves;
mod listeners;
mod reclaim;
mod streams;
