//! Waiting for the clock.

mod sleep;
mod timeout;

pub use self::sleep::{Sleep, sleep, sleep_until};
pub use self::timeout::{Timeout, timeout, timeout_at, wait_for};
