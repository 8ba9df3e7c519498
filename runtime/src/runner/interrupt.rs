//! SIGINT while `run` is active on the main thread (rules T15 to T20).
//!
//! ```text
//!  SIGINT ─▶ handler: a byte into the pipe ─▶ the watcher's thread: counts, and wakes the loop
//!                                              1st: `run` cancels main        (T16)
//!                                              2nd: no further step, `run` returns (T19)
//! ```
//!
//! A handler may do next to nothing, so a thread of its own reads the pipe. It is started by the first `run`
//! on the main thread, and sleeps in between; there is one, as there is one main thread.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::SIGINT;
use signal_hook::low_level::{pipe, unregister};

use crate::executor::{HALT, RemoteLoop};
use crate::signal::{SignalHold, is_streamed};
use crate::util::atomic::lock;

static WATCHER: OnceLock<Arc<Watcher>> = OnceLock::new();
/// SIGINTs of the present `run`, as far as the pipe was read. `Relaxed` throughout: no data travels by it.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Reads the pipe.
struct Watcher {
    pipe: UnixStream,
    /// The loop of the `run` that is active. The pipe is read under this lock alone, so that no SIGINT falls
    /// between two runs, or between the watcher and a run that ends.
    active: Mutex<Option<RemoteLoop>>,
}

/// Watches for SIGINT until it is dropped.
pub(super) struct InterruptWatch {
    watcher: &'static Watcher,
    hold: Option<SignalHold>,
}

impl InterruptWatch {
    /// `None` off the main thread, or if SIGINT does not have its default disposition (rule T15). It wakes the
    /// loop of `remote`.
    ///
    /// # Errors
    /// What the system says if handler, pipe or thread cannot be made.
    pub(super) fn begin(remote: impl FnOnce() -> RemoteLoop) -> io::Result<Option<Self>> {
        let is_main_thread = rustix::thread::gettid() == rustix::process::getpid();
        if !is_main_thread {
            return Ok(None);
        }
        let Some(hold) = SignalHold::if_default(SIGINT)? else { return Ok(None) };
        let watcher = watcher()?;
        let mut active = lock(&watcher.active);
        // Rule T20: what came before does not count.
        watcher.drain(&mut active);
        COUNT.store(0, Ordering::Relaxed);
        HALT.store(false, Ordering::Relaxed);
        *active = Some(remote());
        Ok(Some(Self { watcher, hold: Some(hold) }))
    }

    /// SIGINTs seen so far.
    pub(super) fn count(&self) -> usize {
        COUNT.load(Ordering::Relaxed)
    }

    /// Ends the watch and gives the number of all SIGINTs since it began.
    pub(super) fn end(mut self) -> usize {
        self.stop()
    }

    /// From the first line on SIGINT has its default effect again, so every one before is in the pipe.
    fn stop(&mut self) -> usize {
        if self.hold.take().is_none() {
            return self.count();
        }
        let mut active = lock(&self.watcher.active);
        let late = self.watcher.drain(&mut active);
        *active = None;
        HALT.store(false, Ordering::Relaxed);
        COUNT.fetch_add(late, Ordering::Relaxed) + late
    }
}

impl Drop for InterruptWatch {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Watcher {
    fn serve(&self) {
        loop {
            let mut readable = [PollFd::new(&self.pipe, PollFlags::IN)];
            // It fails only when a handler has run on this thread; then there may be something to read.
            let _ = poll(&mut readable, None);
            self.count_new();
        }
    }

    fn count_new(&self) {
        let mut active = lock(&self.active);
        let new = self.drain(&mut active);
        let Some(remote) = active.as_ref().filter(|_| new > 0) else { return };
        if is_streamed() {
            return;
        }
        if COUNT.fetch_add(new, Ordering::Relaxed) + new > 1 {
            HALT.store(true, Ordering::Relaxed);
        }
        // An empty letter ends the loop's sleep, and it looks at the count. A closed loop needs none.
        let _ = remote.submit(|| ());
    }

    /// Reads what is in the pipe, one byte for each SIGINT. The guard says that nobody else reads.
    fn drain(&self, _active: &mut MutexGuard<'_, Option<RemoteLoop>>) -> usize {
        let mut bytes = [0; 64];
        let mut count = 0;
        loop {
            match (&self.pipe).read(&mut bytes) {
                Ok(read) if read > 0 => count += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Empty. It never ends, as the handler keeps the other end.
                _ => return count,
            }
        }
    }
}

/// The watcher, made by the first who asks. Only the main thread does.
fn watcher() -> io::Result<&'static Watcher> {
    made_once(&WATCHER, |watcher, handlers| {
        let builder = thread::Builder::new().name("signals".to_owned());
        let registered = pipe::register(SIGINT, handlers)?;
        #[expect(clippy::disallowed_methods, reason = "SIGINT must be seen while the loop is busy")]
        let started = builder.spawn(move || watcher.serve());
        if let Err(error) = started {
            unregister(registered);
            return Err(error);
        }
        Ok(())
    })
}

/// What `place` has, or else a watcher that `start` has made somebody read, given the end for handlers. One that nobody
/// reads is not kept: the next `run` would hold SIGINT for it.
fn made_once(
    place: &'static OnceLock<Arc<Watcher>>,
    start: impl FnOnce(Arc<Watcher>, UnixStream) -> io::Result<()>,
) -> io::Result<&'static Watcher> {
    if let Some(watcher) = place.get() {
        return Ok(watcher);
    }
    let (ours, handlers) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let watcher = Arc::new(Watcher { pipe: ours, active: Mutex::new(None) });
    start(Arc::clone(&watcher), handlers)?;
    Ok(place.get_or_init(|| watcher))
}

#[cfg(test)]
mod tests;
