//! What travels: one box per call, out with the closure and home with its outcome. (A post's goes one
//! way; see its room.)
//!
//! The box is made at home and freed at home, so that the allocators of two threads do not trade
//! memory. It knows by its stage what it has come for: over there it runs, at home it is handed in.

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::any::Any;
use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::thread;

use corelane::Error;

use super::ambient::Job;
use super::desk::{Desk, Kind};
use super::table::Ticket;
use crate::foreign::{drop_quietly, guarded};

/// A call on its way out or home, or a post on its way out.
pub(super) trait Errand: Send + Any {
    /// Writes the ticket on it, before it leaves. A post has no use for one.
    fn stamp(&mut self, _ticket: Ticket) {}

    /// It has come out of the lane from `from`: it runs there, or is handed in at home.
    fn arrive(self: Box<Self>, from: usize, desk: &Rc<Desk>);

    /// At home: puts the outcome into `into`, which is an `Option<Outcome<T>>` of the call's own
    /// `T`. A post never comes home.
    fn take_outcome(&mut self, _into: &mut dyn Any) {}
}

/// How a call ended over there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome<T> {
    Value(T),
    Panicked(String),
    Cancelled,
    /// Its deadline was over when it arrived.
    Expired,
}

enum Stage<J, T> {
    Out(J),
    Home(Outcome<T>),
    Spent,
}

impl<J, T> Stage<J, T> {
    fn take(&mut self) -> Self {
        mem::replace(self, Self::Spent)
    }

    /// Drops what is in it. Boxes are dropped in lanes, in outboxes and in the middle of other
    /// clean-up, where a panic would take what is not its own along.
    fn clear(&mut self) {
        if !matches!(self, Self::Spent) {
            drop_quietly(self.take());
        }
    }
}

impl<J, T: 'static> Stage<J, T> {
    fn take_outcome(&mut self, into: &mut dyn Any) {
        let target = into.downcast_mut::<Option<Outcome<T>>>();
        let target = target.expect("a call's slot is polled by the call's own future");
        if let Self::Home(outcome) = self.take() {
            *target = Some(outcome);
        }
    }
}

/// A closure that runs in the mail phase of the other shard.
pub(super) struct Plain<J, T> {
    ticket: Ticket,
    stage: Stage<J, T>,
}

/// A closure that makes a future, which becomes a task of the other shard.
pub(super) struct Deferred<J, T> {
    ticket: Ticket,
    stage: Stage<J, T>,
}

impl<J, T> Plain<J, T> {
    pub(super) fn new(job: J) -> Box<Self> {
        Box::new(Self { ticket: Ticket::default(), stage: Stage::Out(job) })
    }
}

impl<J, T> Deferred<J, T> {
    pub(super) fn new(job: J) -> Box<Self> {
        Box::new(Self { ticket: Ticket::default(), stage: Stage::Out(job) })
    }
}

impl<J, T> Drop for Plain<J, T> {
    fn drop(&mut self) {
        self.stage.clear();
    }
}

impl<J, T> Drop for Deferred<J, T> {
    fn drop(&mut self) {
        self.stage.clear();
    }
}

impl<J, T> Errand for Plain<J, T>
where
    J: Job<Output = T> + Send + 'static,
    T: Send + 'static,
{
    fn stamp(&mut self, ticket: Ticket) {
        self.ticket = ticket;
    }

    fn arrive(self: Box<Self>, from: usize, desk: &Rc<Desk>) {
        match &self.stage {
            Stage::Out(job) => match desk.group_of(job.group()) {
                None => self.run(from, desk),
                Some(group) => desk.run_in(&group, from, self, Self::run),
            },
            _ => desk.hand_in(from, Kind::Invoke, self.ticket, self),
        }
    }

    fn take_outcome(&mut self, into: &mut dyn Any) {
        self.stage.take_outcome(into);
    }
}

impl<J, T> Plain<J, T>
where
    J: Job<Output = T> + Send + 'static,
    T: Send + 'static,
{
    /// Runs over there, and goes home with the outcome.
    fn run(mut self: Box<Self>, from: usize, desk: &Rc<Desk>) {
        if let Stage::Out(job) = self.stage.take() {
            self.stage = Stage::Home(if desk.is_withdrawn(from, Kind::Invoke, self.ticket) {
                drop_quietly(job);
                Outcome::Cancelled
            } else {
                job.run(from, desk)
            });
        }
        desk.send(from, self);
    }
}

impl<J, M, T> Errand for Deferred<J, T>
where
    J: Job<Output = M> + Send + 'static,
    M: Future<Output = T> + 'static,
    T: Send + 'static,
{
    fn stamp(&mut self, ticket: Ticket) {
        self.ticket = ticket;
    }

    fn arrive(self: Box<Self>, from: usize, desk: &Rc<Desk>) {
        match &self.stage {
            Stage::Out(job) => match desk.group_of(job.group()) {
                None => self.run(from, desk),
                Some(group) => desk.run_in(&group, from, self, |errand, from, desk| {
                    // Its caller may have ended meanwhile, and would not cancel it any more.
                    if desk.has_lost(from) { drop(errand) } else { errand.run(from, desk) }
                }),
            },
            _ => desk.hand_in(from, self.ticket.call_kind(), self.ticket, self),
        }
    }

    fn take_outcome(&mut self, into: &mut dyn Any) {
        self.stage.take_outcome(into);
    }
}

impl<J, M, T> Deferred<J, T>
where
    J: Job<Output = M> + Send + 'static,
    M: Future<Output = T> + 'static,
    T: Send + 'static,
{
    /// Has its future become a task over there, which goes home with the outcome.
    fn run(mut self: Box<Self>, from: usize, desk: &Rc<Desk>) {
        let ticket = self.ticket;
        let made = match self.stage.take() {
            Stage::Out(job) if !desk.is_withdrawn(from, ticket.call_kind(), ticket) => {
                job.run(from, desk)
            }
            unwanted => {
                drop_quietly(unwanted);
                Outcome::Cancelled
            }
        };
        let desk_there = Rc::clone(desk);
        let mut homing =
            Homing { errand: Some(self), outcome: Outcome::Cancelled, from, desk: desk_there };
        match made {
            Outcome::Value(future) => desk.start(from, ticket, async move {
                homing.carry(catch_polls(future).await);
            }),
            Outcome::Panicked(message) => homing.carry(Outcome::Panicked(message)),
            Outcome::Expired => homing.carry(Outcome::Expired),
            Outcome::Cancelled => {}
        }
    }
}

/// Brings a call's box home when its task has ended, in whichever way: with an outcome, or dropped.
struct Homing<J, M, T>
where
    J: Job<Output = M> + Send + 'static,
    M: Future<Output = T> + 'static,
    T: Send + 'static,
{
    errand: Option<Box<Deferred<J, T>>>,
    outcome: Outcome<T>,
    from: usize,
    desk: Rc<Desk>,
}

impl<J, M, T> Homing<J, M, T>
where
    J: Job<Output = M> + Send + 'static,
    M: Future<Output = T> + 'static,
    T: Send + 'static,
{
    /// What to bring home; without it the call was cancelled.
    fn carry(&mut self, outcome: Outcome<T>) {
        self.outcome = outcome;
    }
}

impl<J, M, T> Drop for Homing<J, M, T>
where
    J: Job<Output = M> + Send + 'static,
    M: Future<Output = T> + 'static,
    T: Send + 'static,
{
    fn drop(&mut self) {
        let Some(mut errand) = self.errand.take() else { return };
        self.desk.ended(self.from, errand.ticket);
        let outcome = match mem::replace(&mut self.outcome, Outcome::Cancelled) {
            // Not cancelled but torn down: a guard of the future panicked.
            Outcome::Cancelled if thread::panicking() => {
                Outcome::Panicked("the future panicked when it was dropped".to_owned())
            }
            outcome => outcome,
        };
        errand.stage = Stage::Home(outcome);
        self.desk.send(self.from, errand);
    }
}

/// Calls `f`; a panic is an outcome.
pub(super) fn catch<T>(f: impl FnOnce() -> T) -> Outcome<T> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Outcome::Value(value),
        Err(payload) => Outcome::Panicked(message_of(payload)),
    }
}

/// Awaits `future` and drops it; a panic in a poll or in the drop is an outcome.
pub(super) async fn catch_polls<M: Future>(future: M) -> Outcome<M::Output> {
    let mut future = pin!(Some(future));
    poll_fn(|context| {
        let polled = catch(|| {
            let alive = future.as_mut().as_pin_mut().expect("it is polled until it is ready");
            let polled = alive.poll(context);
            if polled.is_ready() {
                future.set(None);
            }
            polled
        });
        match polled {
            Outcome::Value(Poll::Pending) => Poll::Pending,
            Outcome::Value(Poll::Ready(value)) => Poll::Ready(Outcome::Value(value)),
            Outcome::Panicked(message) => {
                guarded(|| future.set(None));
                Poll::Ready(Outcome::Panicked(message))
            }
            Outcome::Cancelled | Outcome::Expired => Poll::Ready(Outcome::Cancelled),
        }
    })
    .await
}

fn message_of(payload: Box<dyn Any + Send>) -> String {
    let error = Error::panicked(payload);
    let message = error.panic_message().unwrap_or_default().to_owned();
    // The payload goes with it, which is the user's.
    drop_quietly(error);
    message
}
