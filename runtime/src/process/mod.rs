//! Child processes: started by the standard library, awaited by the loop, with pipes that are streams.
//!
//! ```text
//!  create_subprocess_exec ─▶ ProcessBuilder ── spawn ─▶ Process { stdin, stdout, stderr }
//!                                                          │ pid, code, signals
//!  the system: a descriptor for the process ── ended ─▶ Child: reaps it, once, and tells who waits
//! ```
//!
//! The child belongs to its loop, not to its handle: it is reaped also when the [`Process`] was dropped. What is
//! still running when the loop ends is reaped by whichever loop of the program comes to it next.

mod before_exec;
mod builder;
mod child;
mod communicate;
mod exit;
mod handle;
mod quote;
#[cfg(test)]
mod tests;

pub use self::builder::{ProcessBuilder, Stdio, create_subprocess_exec, create_subprocess_shell};
pub use self::handle::Process;
pub use self::quote::shell_quote;
