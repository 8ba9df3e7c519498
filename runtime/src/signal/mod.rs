//! Signals of the process: as a stream on a loop, and who answers them meanwhile.
//!
//! ```text
//!  handler ── a byte into the pipe of each stream ──▶ its loop's driver ──▶ recv() returns
//! ```
//!
//! A handler may do next to nothing, so all it does is to write a byte. Each stream has a pipe of its own: any
//! number of loops, on any threads, see each signal.

mod hold;
mod stream;

pub use self::hold::SignalHold;
pub(crate) use self::stream::is_streamed;
pub use self::stream::{Signal, signal};
