//! SIGINT and SIGTERM: the first asks for an orderly end, the second ends the process at once.
//!
//! Handlers, once there, stay for the life of the process. So they are installed once, with
//! switches: `idle` while no run is under way (the signal then does what it does by default), and
//! `armed` after a first signal.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use crossbeam_channel::Sender;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::{Handle, Signals};

use crate::shards::Event;

static SWITCHES: OnceLock<Switches> = OnceLock::new();
static INSTALLING: Mutex<()> = Mutex::new(());

struct Switches {
    idle: Arc<AtomicBool>,
    armed: Arc<AtomicBool>,
    run_count: Mutex<usize>,
}

/// Watches the signals for one run, until it is dropped.
pub(crate) struct SignalWatch {
    switches: &'static Switches,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl SignalWatch {
    /// Sends [`Event::StopRequested`] at the first signal.
    pub(crate) fn start(events: Sender<Event>) -> io::Result<Self> {
        let switches = switches()?;
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let handle = signals.handle();
        #[expect(
            clippy::disallowed_methods,
            reason = "signals must arrive when every shard is busy"
        )]
        let thread = thread::Builder::new().name("shard-signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                tracing::info!(signal, "asked to end; a second signal ends at once");
                if events.send(Event::StopRequested).is_err() {
                    return;
                }
            }
        })?;
        switches.begin();
        Ok(Self { switches, handle, thread: Some(thread) })
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.switches.end();
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // A panic over there would be one of signal-hook's; there is nothing left to be lost by
            // it.
            let _ = thread.join();
        }
    }
}

impl Switches {
    fn install() -> io::Result<Self> {
        let (idle, armed) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal must find `armed` down and then raise it.
            flag::register_conditional_default(signal, Arc::clone(&idle))?;
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&armed))?;
            flag::register(signal, Arc::clone(&armed))?;
        }
        Ok(Self { idle, armed, run_count: Mutex::new(0) })
    }

    fn begin(&self) {
        *self.run_count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.idle.store(false, Ordering::SeqCst);
    }

    fn end(&self) {
        let mut run_count = self.run_count.lock().unwrap_or_else(PoisonError::into_inner);
        *run_count -= 1;
        if *run_count == 0 {
            self.idle.store(true, Ordering::SeqCst);
            self.armed.store(false, Ordering::SeqCst);
        }
    }
}

fn switches() -> io::Result<&'static Switches> {
    let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(switches) = SWITCHES.get() {
        return Ok(switches);
    }
    let installed = Switches::install()?;
    Ok(SWITCHES.get_or_init(|| installed))
}
