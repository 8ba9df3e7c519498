//! Waiting for the clock.

mod sleep;
mod timeout;
mod wait_for;

pub use self::sleep::{Sleep, sleep, sleep_secs, sleep_until, sleep_with};
pub use self::timeout::{Timeout, TimeoutBody, timeout, timeout_at};
pub use self::wait_for::wait_for;
