//! One event loop on one thread.

#[allow(dead_code, reason = "the rooms that use all of it are being built")]
mod util;
