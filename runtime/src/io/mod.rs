//! Streams: bytes in and out of a connection, with the buffers in the stream and not in the caller.
//!
//! ```text
//!   StreamReader ── ReadBuffer           StreamWriter (clones)
//!        │ takes chunks                      │ appends
//!        └──────────────▶ Stream ◀───────────┘       shared, alive until the connection is lost
//!                 Incoming │ Outgoing
//!          one read op ────┴──── one write op, at the end of the turn
//! ```
//!
//! Futures only wait: bytes and ops belong to the stream, so a future that is dropped loses nothing.

pub mod codec;
pub(crate) mod duplex;
pub(crate) mod error;
pub(crate) mod feed;
pub(crate) mod incoming;
pub(crate) mod lines;
pub(crate) mod one_op;
pub(crate) mod origin;
pub(crate) mod outgoing;
pub(crate) mod read_buffer;
pub(crate) mod reader;
#[cfg(feature = "tls")]
pub(crate) mod session;
pub(crate) mod stream;
pub(crate) mod writer;

pub use self::duplex::Duplex;
pub use self::error::ReadError;
pub use self::feed::StreamFeed;
pub use self::reader::StreamReader;
pub use self::stream::InUse;
pub use self::writer::StreamWriter;
