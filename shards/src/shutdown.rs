//! The orderly end of a run.
//!
//! ```text
//!  Running ─1▶ Draining ─2▶ Cancelling ─3▶ Ended
//!     └───────── 4 ────────────▲  └─5▶ Aborting ─6▶ ▲
//! ```
//! 1 a signal, [`Shutdown::request`], or every shard's main has returned: servers stop accepting.
//! 2 every main has returned and every connection is closed, or the deadline is past: what is left
//! is cancelled.
//! 3 the clean-up of every shard is done: loops are closed and threads end. Until then shards
//! answer calls.
//! 4 a main failed: a server that lost a part is not worth draining.
//! 5 the last deadline is past: what resists its cancellation is not waited for, and dropped with its loop.
//! 6 every shard has come so far, or a moment has passed. A thread that does not end even now, as something
//! blocks it, is left behind, and the run ends with an error that names what holds it.
//!
//! Both deadlines are one moment for all shards: the first request plus the time to drain, and that plus the time to
//! clean up. Whenever one passes, each shard says what did not end in time. A shard that ends
//! alone (`PanicPolicy::ShutShard`) goes through the stages from Cancelling on by itself, with a last deadline of its
//! own. The calling
//! thread of [`Builder::run`](crate::Builder::run) watches it and tells the shards; each shard
//! keeps its own copy of the stage, so that waiting for it costs no shared memory.

pub(crate) mod signals;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use corelane::WaitKind;
use corelane::lowlevel::note_wait;
use crossbeam_channel::Sender;

use crate::foreign::wake_all;
use crate::supervisor::Event;

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    #[default]
    Running,
    Draining,
    Cancelling,
    Aborting,
    Ended,
}

/// One shard's copy of the stage, and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct StageWatch {
    stage: Cell<Stage>,
    waiting: RefCell<BTreeMap<u64, (Stage, Waker)>>,
    next_key: Cell<u64>,
}

impl StageWatch {
    pub(crate) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Goes on to `stage` and wakes who waited for it. A stage is never gone back from.
    pub(crate) fn advance(&self, stage: Stage) {
        self.stage.set(stage.max(self.stage.get()));
        let (woken, waiting): (BTreeMap<_, _>, _) =
            self.waiting.take().into_iter().partition(|(_, (wanted, _))| *wanted <= stage);
        self.waiting.replace(waiting);
        wake_all(woken.into_values().map(|(_, waker)| waker));
    }

    /// Waits until `stage` is reached.
    pub(crate) fn reached(self: &Rc<Self>, stage: Stage) -> Reached {
        let key = self.next_key.get();
        self.next_key.set(key + 1);
        Reached { watch: Rc::clone(self), stage, key, known: None }
    }
}

/// The future of [`StageWatch::reached`].
#[derive(Debug)]
pub(crate) struct Reached {
    watch: Rc<StageWatch>,
    stage: Stage,
    key: u64,
    /// Who is to be woken, as the watch has it until the stage is reached. A server's connections look here with each
    /// request, so this saves the search.
    known: Option<Waker>,
}

impl Future for Reached {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.watch.stage() >= self.stage {
            return Poll::Ready(());
        }
        let waker = context.waker();
        if !self.known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            let entry = (self.stage, waker.clone());
            let replaced = self.watch.waiting.borrow_mut().insert(self.key, entry);
            // Their drop may be foreign code, so nothing is borrowed any more.
            drop((replaced, self.known.replace(waker.clone())));
        }
        note_wait(WaitKind::Shutdown);
        Poll::Pending
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        let entry = self.watch.waiting.borrow_mut().remove(&self.key);
        drop(entry);
    }
}

/// Waits for whichever of two ends first.
pub(crate) async fn first_of(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| match one.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => other.as_mut().poll(context),
    })
    .await;
}

/// One shard's view of the end of the run: to ask for it and to wait for it.
#[derive(Clone)]
pub struct Shutdown {
    watch: Rc<StageWatch>,
    events: Sender<Event>,
}

impl Shutdown {
    pub(crate) fn new(watch: Rc<StageWatch>, events: Sender<Event>) -> Self {
        Self { watch, events }
    }

    /// Asks for the orderly end of all shards, as SIGTERM does. Asking again changes nothing.
    pub fn request(&self) {
        if !self.is_requested() {
            // Refused means that nobody supervises any more: the run is over.
            let _ = self.events.send(Event::StopRequested);
        }
    }

    /// Whether the end has been asked for, as far as this shard knows.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.watch.stage() > Stage::Running
    }

    /// Waits until the end is asked for: by SIGINT or SIGTERM, by [`request`](Self::request) on any
    /// shard, by a failed main, or because every main has returned. A connection handler that may
    /// wait long for its peer watches this beside its reads, so that draining is quick:
    /// [`unless_requested`](Self::unless_requested) does that.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub fn requested(&self) -> impl Future<Output = ()> + use<> {
        self.watch.reached(Stage::Draining)
    }

    /// Waits for `future`, and gives it up for `None` when the end is asked for: what a connection handler does with
    /// each of its waits for the peer.
    ///
    /// Once the end has been asked for, `future` is not polled any more, so that a peer that always has something to
    /// say does not keep the run from ending.
    ///
    /// ```
    /// # use corelane_shards::{Placement, Shards};
    /// # Shards::builder().placement(Placement::Unpinned(1)).run(async |shard| {
    /// let shutdown = shard.shutdown();
    /// let echo = async move |mut reader: corelane::StreamReader, writer: corelane::StreamWriter| {
    ///     while let Some(line) = shutdown.unless_requested(reader.next_line()).await {
    ///         let Some(line) = line? else { break };
    ///         writer.write_bytes(line)?;
    ///         writer.drain().await?;
    ///     }
    ///     Ok(())
    /// };
    /// let server = shard.serve("127.0.0.1:0", echo).await?;
    /// # shard.shutdown().request();
    /// server.wait_closed().await;
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// # Cancel safety
    /// As safe as `future`: it is dropped when the end is asked for.
    pub async fn unless_requested<F: IntoFuture>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future.into_future());
        let mut requested = pin!(self.requested());
        poll_fn(|context| {
            if self.is_requested() {
                return Poll::Ready(None);
            }
            match future.as_mut().poll(context) {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                Poll::Pending => requested.as_mut().poll(context).map(|()| None),
            }
        })
        .await
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").field("stage", &self.watch.stage()).finish_non_exhaustive()
    }
}
