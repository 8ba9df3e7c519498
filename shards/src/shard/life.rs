//! What a shard goes through, in phases between which its loop is turned: by its thread, or by a simulation.
//!
//! ```text
//!  Living ──▶ Cancelling ──▶ Stopping ──▶ Answering ──▶ Over
//! ```
//! Living: main runs, and connections are drained. Cancelling: what is left cleans up, but for stops of services that
//! are under way. Stopping: those end, and services that nobody has stopped are stopped. Answering: other shards may still call. Each phase but the last ends early when the run
//! aborts.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::rc::Rc;

use corelane::lowlevel::{Cancelled, EventLoop, shut_down_threads};
use corelane::{Error, Result, Task, yield_now};

use super::Shard;
use crate::kept::Stopping;
use crate::overdue;
use crate::shutdown::{Stage, first_of};
use crate::supervisor::Event;

/// One shard's life.
pub(crate) struct Life<T> {
    shard: Shard,
    outcome: Rc<RefCell<Option<Result<T>>>>,
    phase: Phase,
}

enum Phase {
    Living(Task<()>),
    Cancelling(Cancelled),
    Stopping(Task<()>),
    Answering,
    Over,
}

impl<T: 'static> Life<T> {
    /// Begins it: `main` runs as a task.
    pub(crate) fn begin<F>(event_loop: &mut EventLoop, shard: &Shard, main: F) -> Result<Self>
    where
        F: AsyncFnOnce(Shard) -> Result<T> + 'static,
    {
        let outcome = Rc::new(RefCell::new(None));
        let (for_main, for_life, result) = (shard.clone(), shard.clone(), Rc::clone(&outcome));
        let main = event_loop.create_task(async move { main(for_main).await })?.named("main");
        let life = event_loop.create_task(async move {
            let ended = lifecycle(&for_life, main).await;
            *result.borrow_mut() = Some(ended);
            Ok(())
        })?;
        life.set_name(overdue::LIFE);
        Ok(Self { shard: shard.clone(), outcome, phase: Phase::Living(life) })
    }

    /// Whether what the loop was turned for has come. Asked before each turn.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        let stage = self.shard.watch().stage();
        match &self.phase {
            Phase::Living(life) => life.done() || stage >= Stage::Aborting,
            Phase::Cancelling(cancelled) => cancelled.left() == 0 || stage >= Stage::Aborting,
            Phase::Stopping(stopping) => stopping.done() || stage >= Stage::Aborting,
            Phase::Answering => stage == Stage::Ended,
            Phase::Over => true,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Goes on to the next phase.
    pub(crate) fn go_on(&mut self, event_loop: &mut EventLoop) -> Result<()> {
        self.phase = match mem::replace(&mut self.phase, Phase::Over) {
            // Half of a stop is worse than none: what is under way of them comes to its end.
            Phase::Living(_) => {
                Phase::Cancelling(event_loop.begin_cancel_all_but(Stopping::is_part_of)?)
            }
            Phase::Cancelling(cancelled) => {
                event_loop.enter(|| cancelled.report())?;
                // Services that nobody has stopped. Peers still answer, and tasks use them no more.
                let shard = self.shard.clone();
                Phase::Stopping(event_loop.create_task(async move {
                    shard.kept().stop_all().await;
                    Ok(())
                })?)
            }
            Phase::Stopping(_) => {
                self.shard.tell(Event::CleanedUp(self.shard.id()));
                Phase::Answering
            }
            Phase::Answering | Phase::Over => Phase::Over,
        };
        Ok(())
    }

    /// What came of main, once it is over.
    pub(crate) fn into_outcome(self) -> Result<T> {
        self.outcome.take().unwrap_or_else(|| Err(Error::cancelled()))
    }
}

/// Ends the loop of a shard whose life is over, or has failed.
pub(crate) fn end<T>(event_loop: &mut EventLoop, shard: &Shard, outcome: Result<T>) -> Result<T> {
    let ended = shut_down_threads(event_loop);
    // While there is a loop for what its values do when they are dropped.
    event_loop.enter(|| shard.kept().clear())?;
    event_loop.close();
    outcome.and_then(|value| ended.map(|()| value))
}

async fn lifecycle<T: 'static>(shard: &Shard, main: Task<T>) -> Result<T> {
    let outcome = until_main_ends(shard, main).await;
    shard.tell(Event::MainEnded(shard.id(), outcome.as_ref().err().cloned()));
    shard.watch().reached(Stage::Draining).await;
    let time_is_up = shard.watch().reached(Stage::Cancelling);
    first_of(shard.servers().wait_closed(), time_is_up).await;
    shard.tell(Event::Drained(shard.id()));
    shard.watch().reached(Stage::Cancelling).await;
    outcome
}

/// Waits for main; cancels it when it is time to.
async fn until_main_ends<T: 'static>(shard: &Shard, mut main: Task<T>) -> Result<T> {
    let mut time_is_up = pin!(async {
        shard.watch().reached(Stage::Cancelling).await;
        // Two hops later, so that a main that was waiting for just this moment ends by itself: it is woken for the next
        // turn, and this may have its own in the one in which the moment comes.
        yield_now().await;
        yield_now().await;
    });
    let mut cancelled = false;
    poll_fn(|context| {
        if !cancelled && time_is_up.as_mut().poll(context).is_ready() {
            cancelled = true;
            main.cancel();
        }
        Pin::new(&mut main).poll(context)
    })
    .await
}
