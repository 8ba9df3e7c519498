//! SIGINT and SIGTERM: the first asks for an orderly end, the second ends the process at once. SIGUSR1 asks what
//! all tasks are doing.
//!
//! While no run is under way nobody holds the signals, and they do what they do by default.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};

use corelane::lowlevel::SignalHold;
use crossbeam_channel::Sender;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::{SigId, flag, low_level};

use crate::supervisor::Event;

/// Watches the signals for one run, until it is dropped.
pub(crate) struct SignalWatch {
    second: SecondSignal,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    /// Let go last: until then a signal that comes in between ends nothing.
    _holds: [SignalHold; 3],
}

/// Ends the process at a second signal.
struct SecondSignal(Vec<SigId>);

impl SignalWatch {
    /// Sends [`Event::StopRequested`] at the first signal, and [`Event::DumpRequested`] at each SIGUSR1.
    pub(crate) fn start(events: Sender<Event>) -> io::Result<Self> {
        let holds =
            [SignalHold::new(SIGINT)?, SignalHold::new(SIGTERM)?, SignalHold::new(SIGUSR1)?];
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
        let handle = signals.handle();
        let second = SecondSignal::install()?;
        #[expect(
            clippy::disallowed_methods,
            reason = "signals must arrive when every shard is busy"
        )]
        let thread = thread::Builder::new().name("shard-signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                let event = if signal == SIGUSR1 {
                    Event::DumpRequested
                } else {
                    tracing::info!(signal, "asked to end; a second signal ends at once");
                    Event::StopRequested
                };
                if events.send(event).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { second, handle, thread: Some(thread), _holds: holds })
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.second.uninstall();
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // A panic over there would be one of signal-hook's; there is nothing left to be lost by
            // it.
            let _ = thread.join();
        }
    }
}

impl SecondSignal {
    fn install() -> io::Result<Self> {
        let armed = Arc::new(AtomicBool::new(false));
        let mut second = Self(Vec::new());
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal must find `armed` down and then raise it.
            let ends =
                flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&armed))?;
            second.0.push(ends);
            second.0.push(flag::register(signal, Arc::clone(&armed))?);
        }
        Ok(second)
    }

    fn uninstall(&mut self) {
        for id in self.0.drain(..) {
            low_level::unregister(id);
        }
    }
}

impl Drop for SecondSignal {
    fn drop(&mut self) {
        self.uninstall();
    }
}
