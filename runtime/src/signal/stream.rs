//! A signal as a stream.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use signal_hook::SigId;
use signal_hook::consts::SIGINT;
use signal_hook::low_level::{self, pipe};

use super::hold::{self, SignalHold};
use crate::driver::{Op, OpId, Outcome, SourceId, SourceKind, SourceSpec, Started};
use crate::executor::{IoHandle, OpOwner, current_io};
use crate::util::cancel;
use crate::util::wait_kind::WaitKind;

/// Bytes that one receive takes out of the pipe, each of them a signal.
const RECEIVE_BYTES: usize = 1024;

/// Streams of SIGINT in this process. While there is one, SIGINT does not interrupt `run`.
static INTERRUPT_STREAMS: AtomicUsize = AtomicUsize::new(0);

/// Whether SIGINT goes to streams. `Relaxed`, as no data travels by it.
pub(crate) fn is_streamed() -> bool {
    INTERRUPT_STREAMS.load(Ordering::Relaxed) > 0
}

/// A signal of this process, by its number, as a stream on the current loop.
///
/// While the stream lives, the signal has no other effect: SIGTERM does not end the process, and SIGINT does
/// not interrupt [`run`](crate::run). Each of several streams, on whatever loops and threads, sees each signal.
/// Signals that come while nobody looks are one, as they are for the system. When the last stream of a signal
/// is dropped the signal does again what it did before.
///
/// The numbers are those of the system, for instance of the constants in `libc`.
///
/// ```no_run
/// # async fn reload() {}
/// # corelane::run(async || {
/// let mut hangup = corelane::signal(libc::SIGHUP)?;
/// loop {
///     hangup.recv().await;
///     reload().await;
/// }
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` for a number that is no signal's, and for those that cannot be handled: SIGKILL, SIGSTOP,
/// SIGILL, SIGFPE and SIGSEGV. Otherwise what the system says. An error of the runtime off a loop.
pub fn signal(number: i32) -> io::Result<Signal> {
    let io = current_io()?;
    hold::check(number)?;
    let (source, registration) = match io.chance() {
        Some(_) => (io.open(SourceSpec::Signal { number })?, None),
        None => Registration::new(&io, number).map(|(pipe, made)| (pipe, Some(made)))?,
    };
    let inbox = Rc::new(Inbox {
        io,
        source,
        read_op: Cell::new(None),
        has_come: Cell::new(false),
        waker: RefCell::new(None),
    });
    let read_op = inbox.io.register(Rc::clone(&inbox) as Rc<dyn OpOwner>, 0);
    inbox.read_op.set(Some(read_op));
    inbox.read_on();
    Ok(Signal { number, inbox, _registration: registration })
}

/// A stream of one signal: what [`signal`] gives.
#[must_use = "a signal that nobody receives has no effect"]
pub struct Signal {
    number: i32,
    inbox: Rc<Inbox>,
    /// None in a simulation, in which no signals of the system come.
    _registration: Option<Registration>,
}

impl Signal {
    /// Waits for the signal. Returns at once if it has come since the last call.
    ///
    /// # Cancel safety
    /// Safe: a signal that has come is there for the next call.
    pub async fn recv(&mut self) {
        poll_fn(|context| self.poll_recv(context)).await;
    }

    /// The number of the signal.
    #[must_use]
    pub fn number(&self) -> i32 {
        self.number
    }

    /// The same as [`recv`](Self::recv), for who polls by hand.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.inbox.has_come.take() {
            return Poll::Ready(());
        }
        let replaced = self.inbox.waker.replace(Some(context.waker().clone()));
        drop(replaced);
        cancel::note_wait(WaitKind::Signal);
        Poll::Pending
    }
}

impl Stream for Signal {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<()>> {
        self.poll_recv(context).map(Some)
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").field("number", &self.number).finish_non_exhaustive()
    }
}

/// What has the system's handler of a signal write into a pipe, until it is dropped.
struct Registration {
    number: i32,
    id: SigId,
    _hold: SignalHold,
}

impl Registration {
    /// And the end of the pipe that is read.
    fn new(io: &IoHandle, number: i32) -> io::Result<(SourceId, Self)> {
        let hold = SignalHold::new(number)?;
        let (ours, handlers) = UnixStream::pair()?;
        let pipe =
            io.open(SourceSpec::Adopt { descriptor: ours.into(), kind: SourceKind::UnixStream })?;
        let id = pipe::register(number, handlers).inspect_err(|_| io.close(pipe))?;
        if number == SIGINT {
            INTERRUPT_STREAMS.fetch_add(1, Ordering::Relaxed);
        }
        Ok((pipe, Self { number, id, _hold: hold }))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        low_level::unregister(self.id);
        if self.number == SIGINT {
            INTERRUPT_STREAMS.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Where a stream's signals come in: the reading end of a pipe, or what a simulation has in its place.
struct Inbox {
    io: IoHandle,
    source: SourceId,
    read_op: Cell<Option<OpId>>,
    has_come: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Inbox {
    fn read_on(&self) {
        while let Some(read_op) = self.read_op.get() {
            let read = Op::Read { source: self.source, max_bytes: RECEIVE_BYTES };
            match self.io.start(read_op, read) {
                Started::Parked => return,
                Started::Done(outcome) => self.take(outcome),
            }
        }
    }

    fn take(&self, outcome: Outcome) {
        match outcome {
            Outcome::Read(_) | Outcome::Filled(_) => self.has_come.set(true),
            // The pipe was closed, which only `close` does.
            _ => self.close(),
        }
    }

    fn close(&self) {
        if let Some(read_op) = self.read_op.take() {
            self.io.release(read_op);
            self.io.close(self.source);
        }
        drop(self.waker.take());
    }
}

impl OpOwner for Inbox {
    fn complete(self: Rc<Self>, _tag: u32, outcome: Outcome) {
        let is_end = outcome.is_end();
        self.take(outcome);
        if is_end {
            self.read_on();
        }
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn abandoned(self: Rc<Self>) {
        self.close();
    }
}
