//! Posts: a closure travels to another shard, and nothing comes home but its permit.
//!
//! A post holds one of the permits of `invoke` and waits for it in the same queue, so that both keep
//! one order. It has no ticket and no answer: over there the empty boxes of those that were run are
//! collected, and come home many at a time, their permits with them. At home they are filled again, so
//! that a stream of posts allocates nothing and the allocators of two threads do not trade memory.

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use corelane::lowlevel::note_wait;
use corelane::{Result, SchedulingGroup, WaitKind};

use super::ambient::{Baggage, Priority};
use super::desk::{Desk, Kind};
use super::errand::Errand;
use super::error::CallError;
use super::peer::GroupPlace;
use super::table::Polled;
use crate::foreign::{drop_quietly, guarded};
use crate::id::ShardId;

/// Why [`Shard::try_post`](crate::Shard::try_post) did not send a closure, which comes back.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryPostError<F> {
    /// No permit is free: as many closures as there are permits are on their way or waiting.
    Full(F),
    /// It would never run: the shard has ended, or there is none.
    Unreachable(F, CallError),
}

impl<F> TryPostError<F> {
    /// The closure that was not sent.
    #[must_use]
    pub fn into_closure(self) -> F {
        match self {
            Self::Full(f) | Self::Unreachable(f, _) => f,
        }
    }

    /// Whether there may be room later.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl<F> fmt::Debug for TryPostError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full"),
            Self::Unreachable(_, error) => f.debug_tuple("Unreachable").field(error).finish(),
        }
    }
}

impl<F> fmt::Display for TryPostError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("no permit is free for a post"),
            Self::Unreachable(_, error) => error.fmt(f),
        }
    }
}

impl<F> StdError for TryPostError<F> {}

/// The way of a closure that was given to [`Shard::post`](crate::Shard::post): ready when it has left.
///
/// # Cancel safety
/// Dropping it takes a closure back that still waits for a permit; it will not run. One that has left
/// runs all the same.
#[must_use = "dropping it takes back a closure that waits for a permit"]
pub struct Posting(Place);

/// Where the closure is.
enum Place {
    /// It has left, or never will.
    Decided(Result<()>),
    /// In the queue for a permit.
    Queued(Queued),
    /// The result has been taken.
    Taken,
}

struct Queued {
    desk: Rc<Desk>,
    to: ShardId,
    group: GroupPlace,
    slot: u32,
}

/// Sends `f` to `to` if there is a permit for it; runs it here and now if that is this shard.
pub(crate) fn try_post<F>(desk: &Desk, to: ShardId, f: F) -> Result<(), TryPostError<F>>
where
    F: FnOnce() + Send + 'static,
{
    if to == desk.id() {
        guarded(f);
        return Ok(());
    }
    let count = desk.shard_count();
    if to.index() >= count {
        return Err(TryPostError::Unreachable(f, CallError::NoSuchShard { asked: to, count }));
    }
    let baggage = Baggage::pack_plain();
    let group = desk.place_of(baggage.as_ref().and_then(Baggage::group));
    match desk.take_post_permit(to.index(), group) {
        Some(true) => {
            desk.send(to.index(), packed(desk, to, f, baggage).1);
            Ok(())
        }
        Some(false) => Err(TryPostError::Full(f)),
        None => Err(TryPostError::Unreachable(f, CallError::ShardGone(to))),
    }
}

/// Sends `f` to `to`, now or when its turn for a permit has come.
pub(crate) fn post<F>(desk: &Rc<Desk>, to: ShardId, f: F) -> Posting
where
    F: FnOnce() + Send + 'static,
{
    Posting(match try_post(desk, to, f) {
        Ok(()) => Place::Decided(Ok(())),
        Err(TryPostError::Full(f)) => {
            let baggage = Baggage::pack_plain();
            let group = desk.place_of(baggage.as_ref().and_then(Baggage::group));
            let (priority, errand) = packed(desk, to, f, baggage);
            let slot = desk.queue_post(to.index(), group, priority, errand);
            Place::Queued(Queued { desk: Rc::clone(desk), to, group, slot })
        }
        Err(TryPostError::Unreachable(f, error)) => {
            drop_quietly(f);
            Place::Decided(Err(error.into()))
        }
    })
}

impl Future for Posting {
    type Output = Result<()>;

    /// # Panics
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        if let Place::Queued(queued) = &self.0 {
            let to = queued.to;
            let way = Kind::Invoke.in_group(queued.group);
            let found = queued.desk.poll(to.index(), way, queued.slot, context.waker());
            let sent = match found {
                Polled::Pending | Polled::NewWaker => {
                    note_wait(WaitKind::QueuePut);
                    return Poll::Pending;
                }
                Polled::Sent => Ok(()),
                Polled::Home(_) | Polled::Gone => Err(CallError::ShardGone(to).into()),
            };
            // The slot is no longer ours.
            self.0 = Place::Taken;
            return Poll::Ready(sent);
        }
        match mem::replace(&mut self.0, Place::Taken) {
            Place::Decided(sent) => Poll::Ready(sent),
            _ => panic!("a post was awaited again after it had left"),
        }
    }
}

impl Drop for Posting {
    fn drop(&mut self) {
        if let Place::Queued(queued) = &self.0 {
            let way = Kind::Invoke.in_group(queued.group);
            queued.desk.abandon(queued.to.index(), way, queued.slot);
        }
    }
}

impl fmt::Debug for Posting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.0 {
            Place::Decided(_) => "decided",
            Place::Queued(_) => "queued",
            Place::Taken => "taken",
        };
        f.debug_tuple("Posting").field(&place).finish()
    }
}

/// A closure that nobody waits for; none once it was run.
struct Posted<F> {
    f: Option<F>,
    /// `None` for the default group, and for whichever group things arrive in over there.
    group: Option<SchedulingGroup>,
    /// Whose permit it holds, as the shard that it comes from counts its groups.
    place: GroupPlace,
}

/// `f` in a box, and with it what goes with a call.
fn packed<F>(
    desk: &Desk,
    to: ShardId,
    f: F,
    baggage: Option<Baggage>,
) -> (Priority, Box<dyn Errand>)
where
    F: FnOnce() + Send + 'static,
{
    match baggage {
        None => (Priority::Normal, boxed(desk, to, f, None)),
        Some(baggage) => {
            let (priority, group) = (baggage.priority(), baggage.group().cloned());
            let baggage = Box::new(baggage);
            let f = move || match baggage.is_expired() {
                true => drop_quietly(f),
                false => baggage.open(None, f),
            };
            (priority, boxed(desk, to, f, group))
        }
    }
}

/// `f` in a box that was at `to` before, or else in a new one.
fn boxed<F>(desk: &Desk, to: ShardId, f: F, group: Option<SchedulingGroup>) -> Box<dyn Errand>
where
    F: FnOnce() + Send + 'static,
{
    let place = desk.place_of(group.as_ref());
    let fresh = Posted { f: Some(f), group, place };
    let Some(mut kept) = desk.kept_box(to.index()) else { return Box::new(fresh) };
    let any: &mut dyn Any = &mut *kept;
    match any.downcast_mut::<Posted<F>>() {
        Some(posted) => *posted = fresh,
        // Who alternates between shapes allocates, and no more than without the kept ones.
        None => kept = Box::new(fresh),
    }
    kept
}

impl<F> Drop for Posted<F> {
    fn drop(&mut self) {
        // Boxes are dropped in lanes and in the middle of other clean-up.
        if let Some(f) = self.f.take() {
            drop_quietly(f);
        }
    }
}

impl<F: FnOnce() + Send + 'static> Errand for Posted<F> {
    fn arrive(self: Box<Self>, from: usize, desk: &Rc<Desk>) {
        match desk.group_of(self.group.as_ref()) {
            None => self.run(from, desk),
            Some(group) => desk.run_in(&group, from, self, Self::run),
        }
    }
}

impl<F: FnOnce() + Send + 'static> Posted<F> {
    fn run(mut self: Box<Self>, from: usize, desk: &Rc<Desk>) {
        let f = self.f.take();
        self.group = None;
        // Before it runs, so that a panic, which is reported where the lanes are read, costs no permit.
        desk.settle_later(from, self.place, self);
        if let Some(f) = f {
            f();
        }
    }
}

/// Boxes of posts that were run, on their way home.
pub(super) struct Spent {
    /// Whose permits come home with them.
    place: GroupPlace,
    boxes: Vec<Box<dyn Errand>>,
}

impl Spent {
    pub(super) fn new(place: GroupPlace, boxes: Vec<Box<dyn Errand>>) -> Box<Self> {
        Box::new(Self { place, boxes })
    }
}

impl Errand for Spent {
    fn arrive(self: Box<Self>, from: usize, desk: &Rc<Desk>) {
        desk.settle(from, self.place, self.boxes);
    }
}
