//! The one room that starts threads, pins them and makes them wait.
#![allow(
    clippy::disallowed_methods,
    reason = "load generators and test servers are threads of their own, outside any event loop"
)]

use std::io;
use std::num::NonZeroU64;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Starts a named thread, pinned to `cpu` if one is given.
///
/// A pin that fails is reported on the standard error and does not stop the thread: the verdict of
/// a run depends on what was measured, not on what was asked for.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    cpu: Option<usize>,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Some(cpu) = cpu
            && !pin(cpu)
        {
            eprintln!("warning: this thread could not be pinned to cpu {cpu}");
        }
        body()
    })
}

/// Pins the calling thread to one CPU; false if the system refused.
pub(crate) fn pin(cpu: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: cpu })
}

/// Whether a thread of this process can be pinned to a CPU.
///
/// # Errors
/// If no thread can be started.
pub(crate) fn can_pin(cpu: usize) -> io::Result<bool> {
    let tried = spawn("pin", None, move || pin(cpu))?.join();
    tried.map_err(|_| io::Error::other("the thread that was to be pinned panicked"))
}

/// Asks the kernel to end this thread's timed waits within a nanosecond of their time instead of
/// the usual 50 µs. Refused in some sandboxes, where waits are merely less exact.
pub(crate) fn sharpen_timers() {
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

/// Blocks the calling thread.
pub(crate) fn sleep(duration: Duration) {
    thread::sleep(duration);
}
