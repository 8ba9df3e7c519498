//! One event loop on one thread.

#![deny(unsafe_code)]

#[allow(dead_code, unreachable_pub, unused_imports, reason = "the rooms above are being built")]
mod driver;
#[allow(dead_code, unreachable_pub, reason = "the rooms that use all of it are being built")]
mod util;

pub use util::instant::Instant;
