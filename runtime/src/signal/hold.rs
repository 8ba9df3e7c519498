//! Who answers a signal: whoever holds it, or else the system, with what it does by default.
//!
//! A handler of the signal crate stays for the life of the process once it is there, and a signal that is
//! handled by nobody in particular would then be ignored. So the first action that is ever registered here
//! does what the system would have done, while nobody holds the signal:
//!
//! ```text
//!  signal ──▶ held? ──no──▶ the default effect, if it had it before: mostly that the process ends
//!                │yes
//!                └────────▶ the actions of those who hold it
//! ```
//!
//! One place for the whole process: a run of shards and a run of one loop must agree on who is there.

use std::fs;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::FORBIDDEN;
use signal_hook::{flag, low_level};

use crate::util::atomic::lock;

#[cfg(test)]
mod tests;

/// The highest signal of Linux.
const LAST: usize = 64;

/// By signal.
static LINES: [Line; LAST + 1] = [const { Line::new() }; LAST + 1];

struct Line {
    /// Nobody holds it. Read by the handler, so outside of the lock.
    is_free: AtomicBool,
    holders: Mutex<Holders>,
}

struct Holders {
    count: usize,
    installed: bool,
}

/// Keeps a signal from what it does by default, for as long as it lives. When the last hold on a signal goes,
/// the signal does again what it did before the first.
///
/// Get the hold first and register what is to be done with the signal crate afterwards.
#[derive(Debug)]
pub struct SignalHold(&'static Line);

impl SignalHold {
    /// A hold on a signal, by its number.
    ///
    /// # Errors
    /// `InvalidInput` for a number that is no signal's, and for those that cannot be held: SIGKILL, SIGSTOP,
    /// and the faults SIGILL, SIGFPE and SIGSEGV. What the system says if no handler can be installed.
    pub fn new(signal: i32) -> io::Result<Self> {
        let line = line(signal)?;
        let mut holders = lock(&line.holders);
        line.install(signal, &mut holders)?;
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
        line.install(signal, &mut holders)?;
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
    const fn new() -> Self {
        let holders = Mutex::new(Holders { count: 0, installed: false });
        Self { is_free: AtomicBool::new(true), holders }
    }

    /// Sees to what happens while nobody holds the signal: what the process would do without us. One that was
    /// ignored, or handled by somebody else, stays so; of a realtime signal the default is not known.
    fn install(&'static self, signal: i32, holders: &mut Holders) -> io::Result<()> {
        let is_known = low_level::signal_name(signal).is_some();
        if !holders.installed && is_known && has_default_disposition(signal) {
            flag::register_conditional_default(signal, &self.is_free)?;
        }
        holders.installed = true;
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
        f.debug_struct("Line").field("is_free", &self.is_free).finish_non_exhaustive()
    }
}

/// Whether a signal can be held.
///
/// # Errors
/// `InvalidInput` if it cannot.
pub(super) fn check(signal: i32) -> io::Result<()> {
    line(signal).map(drop)
}

fn line(signal: i32) -> io::Result<&'static Line> {
    let refused = |why: &str| {
        let text = format!("signal {signal} {why}");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    if FORBIDDEN.contains(&signal) {
        return Err(refused("cannot be held"));
    }
    let found = usize::try_from(signal).ok().filter(|&signal| signal > 0);
    found.and_then(|signal| LINES.get(signal)).ok_or_else(|| refused("does not exist"))
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
