//! Who answers SIGINT and SIGTERM: whoever holds them, or else the system, which ends the process.
//!
//! A handler of the signal crate stays for the life of the process once it is there, and a signal that is
//! handled by nobody in particular would then be ignored. So the first action that is ever registered here
//! does what the system would have done, while nobody holds the signal:
//!
//! ```text
//!  signal ──▶ held? ──no──▶ the default effect: the process ends by it
//!                │yes
//!                └────────▶ the actions of those who hold it
//! ```
//!
//! One place for the whole process: a run of shards and a run of one loop must agree on who is there.

use std::fs;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::util::atomic::lock;

#[cfg(test)]
mod tests;

static LINES: [Line; 2] = [Line::new(SIGINT), Line::new(SIGTERM)];

struct Line {
    signal: i32,
    /// Nobody holds it. Read by the handler, so outside of the lock.
    is_free: AtomicBool,
    holders: Mutex<Holders>,
}

struct Holders {
    count: usize,
    installed: bool,
}

/// Keeps a signal from what it does by default, for as long as it lives. When the last hold on a signal goes,
/// the signal ends the process again.
///
/// Get the hold first and register what is to be done with the signal crate afterwards.
#[derive(Debug)]
pub struct SignalHold(&'static Line);

impl SignalHold {
    /// A hold on SIGINT or SIGTERM.
    ///
    /// # Errors
    /// `InvalidInput` for another signal; what the system says if no handler can be installed.
    pub fn new(signal: i32) -> io::Result<Self> {
        let line = line(signal)?;
        let mut holders = lock(&line.holders);
        line.install(&mut holders)?;
        Ok(line.take(&mut holders))
    }

    /// The same, if the signal does what it does by default: nobody holds it, and before the first hold of the
    /// process nobody else had installed a handler, or ignored it.
    pub(crate) fn if_default(signal: i32) -> io::Result<Option<Self>> {
        let line = line(signal)?;
        let mut holders = lock(&line.holders);
        let is_default = match holders.installed {
            true => holders.count == 0,
            false => has_default_disposition(signal),
        };
        if !is_default {
            return Ok(None);
        }
        line.install(&mut holders)?;
        Ok(Some(line.take(&mut holders)))
    }
}

impl Drop for SignalHold {
    fn drop(&mut self) {
        let mut holders = lock(&self.0.holders);
        holders.count -= 1;
        self.0.is_free.store(holders.count == 0, Ordering::SeqCst);
    }
}

impl Line {
    const fn new(signal: i32) -> Self {
        let holders = Mutex::new(Holders { count: 0, installed: false });
        Self { signal, is_free: AtomicBool::new(true), holders }
    }

    fn install(&'static self, holders: &mut Holders) -> io::Result<()> {
        if !holders.installed {
            flag::register_conditional_default(self.signal, &self.is_free)?;
            holders.installed = true;
        }
        Ok(())
    }

    fn take(&'static self, holders: &mut Holders) -> SignalHold {
        holders.count += 1;
        self.is_free.store(false, Ordering::SeqCst);
        SignalHold(self)
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Line").field(&self.signal).finish()
    }
}

fn line(signal: i32) -> io::Result<&'static Line> {
    let found = LINES.iter().find(|line| line.signal == signal);
    let refused =
        || io::Error::new(io::ErrorKind::InvalidInput, "only SIGINT and SIGTERM are held");
    found.ok_or_else(refused)
}

/// Whether a signal is neither handled nor ignored. Where the system does not say, it is left alone.
fn has_default_disposition(signal: i32) -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| is_default_in(&status, signal))
}

/// Reads the masks of ignored and of handled signals; bit 0 is signal 1.
fn is_default_in(status: &str, signal: i32) -> bool {
    ["SigIgn:", "SigCgt:"].iter().all(|field| {
        let mask = status.lines().find_map(|line| line.strip_prefix(field));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 0)
    })
}
