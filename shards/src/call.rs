//! Calls: a closure travels to another shard, what it returns comes home.
//!
//! See the crate's page for the walk of a call. Here are the futures that wait for one: [`Invoke`]
//! for a closure that is run where it arrives, [`call`] for one whose future becomes a task there.

mod ambient;
mod desk;
mod errand;
mod error;
mod group;
mod many;
mod outside;
mod peer;
mod post;
mod streamed;
mod table;
mod withdrawal;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use corelane::lowlevel::note_wait;
use corelane::{Error, LocalContext, Result, WaitKind};

use self::ambient::{Baggage, Bare, Laden, Maker};
use self::desk::{Kind, Way};
use self::errand::{Deferred, Errand, Outcome, Plain, catch, catch_polls};
use self::table::Polled;
use crate::id::ShardId;

pub use ambient::Priority;
pub(crate) use desk::{Desk, Limits, Seed, deal};
pub use error::CallError;
pub(crate) use group::Shares;
pub use group::{GroupStats, ServiceGroup};
pub use many::Answers;
pub(crate) use outside::refuse_to_block;
pub use outside::{ShardsHandle, Submitted};
pub use post::{Posting, TryPostError};
pub(crate) use post::{post, try_post};
pub use streamed::ItemStream;
pub(crate) use table::MAX_PERMIT_COUNT;

/// The answer of a closure that was sent with [`Shard::invoke`](crate::Shard::invoke).
///
/// # Cancel safety
/// Dropping it gives the call up: if it has not run yet it will not.
#[must_use = "dropping it gives the call up"]
pub struct Invoke<T>(Answer<T>);

/// A call's type is that of the box that comes home, so it cannot be taken for a subtype's.
///
/// ```
/// use corelane_shards::Invoke;
/// fn same(call: Invoke<for<'a> fn(&'a u8)>) -> Invoke<for<'a> fn(&'a u8)> { call }
/// ```
///
/// ```compile_fail
/// use corelane_shards::Invoke;
/// fn other(call: Invoke<for<'a> fn(&'a u8)>) -> Invoke<fn(&'static u8)> { call }
/// ```
#[cfg(doctest)]
struct Invariance;

/// An answer that is here, or on its way.
enum Answer<T> {
    Here(Result<T>),
    Awaited(Awaited<T>),
    Taken,
}

/// The place at home where an answer is expected.
struct Awaited<T> {
    desk: Rc<Desk>,
    to: ShardId,
    slot: u32,
    way: Way,
    /// Invariant: the box that comes home is one of this very `T`.
    answer: PhantomData<fn(T) -> T>,
}

/// Sends `f` to `to`, or runs it here and now if that is this shard.
pub(crate) fn invoke<T, F>(desk: &Rc<Desk>, to: ShardId, f: F) -> Invoke<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if to == desk.id() {
        return Invoke(Answer::Here(into_result(catch(f))));
    }
    Invoke(match Baggage::pack_plain() {
        None => {
            let way = Kind::Invoke.in_group(0);
            send(desk, to, way, Priority::Normal, || Plain::<_, T>::new(Bare(f)))
        }
        Some(baggage) => send_laden(desk, to, baggage, f),
    })
}

/// Sends a closure with what goes with it.
#[cold]
fn send_laden<T, F>(desk: &Rc<Desk>, to: ShardId, baggage: Baggage, f: F) -> Answer<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if baggage.is_expired() {
        return Answer::Here(Err(CallError::DeadlinePassed.into()));
    }
    let priority = baggage.priority();
    let way = Kind::Invoke.in_group(desk.place_of(baggage.group()));
    let laden = Laden { baggage: Box::new(baggage), f };
    send(desk, to, way, priority, || Plain::<_, T>::new(laden))
}

/// Sends `f` to `to`, where its future becomes a task. On this shard `f` is called, and its future
/// polled, when the returned future is.
pub(crate) fn call<T, F, M>(
    desk: &Rc<Desk>,
    to: ShardId,
    f: F,
) -> impl Future<Output = Result<T>> + use<T, F, M>
where
    F: FnOnce() -> M + Send + 'static,
    M: Future<Output = Result<T>> + 'static,
    T: Send + 'static,
{
    let (local, remote) = if to == desk.id() {
        (Some(f), None)
    } else {
        // The task that the future becomes begins with what the closure was called with (rule T168).
        let f = move || {
            let (context, future) = (LocalContext::current(), f());
            async move {
                context.restore();
                future.await
            }
        };
        let answer = match Baggage::pack() {
            None => {
                let maker = Maker { baggage: None, f };
                send(desk, to, Kind::Call(0).in_group(0), Priority::Normal, || {
                    Deferred::<_, Result<T>>::new(maker)
                })
            }
            Some(baggage) => match baggage.call_kind(desk) {
                Ok(kind) => {
                    let priority = baggage.priority();
                    let way = kind.in_group(desk.place_of(baggage.group()));
                    let maker = Maker { baggage: Some(Box::new(baggage)), f };
                    send(desk, to, way, priority, || Deferred::<_, Result<T>>::new(maker))
                }
                Err(error) => Answer::Here(Err(error.into())),
            },
        };
        (None, Some(Invoke(answer)))
    };
    async move {
        match (local, remote) {
            (Some(f), _) => run_caught(catch(f)).await,
            (None, Some(answer)) => answer.await?,
            (None, None) => Err(Error::cancelled()),
        }
    }
}

/// Awaits what was made; a panic is an error.
async fn run_caught<T, M: Future<Output = Result<T>>>(made: Outcome<M>) -> Result<T> {
    match made {
        Outcome::Value(future) => into_result(catch_polls(future).await)?,
        Outcome::Panicked(message) => Err(CallError::Panicked(message).into()),
        Outcome::Cancelled => Err(Error::cancelled()),
        Outcome::Expired => Err(CallError::DeadlinePassed.into()),
    }
}

fn send<T, E: Errand + 'static>(
    desk: &Rc<Desk>,
    to: ShardId,
    way: Way,
    priority: Priority,
    errand: impl FnOnce() -> Box<E>,
) -> Answer<T> {
    let count = desk.shard_count();
    if to.index() >= count {
        return Answer::Here(Err(CallError::NoSuchShard { asked: to, count }.into()));
    }
    match desk.begin(to.index(), way, priority, errand()) {
        Some(slot) => {
            let desk = Rc::clone(desk);
            Answer::Awaited(Awaited { desk, to, slot, way, answer: PhantomData })
        }
        None => Answer::Here(Err(CallError::ShardGone(to).into())),
    }
}

fn into_result<T>(outcome: Outcome<T>) -> Result<T> {
    match outcome {
        Outcome::Value(value) => Ok(value),
        Outcome::Panicked(message) => Err(CallError::Panicked(message).into()),
        Outcome::Cancelled => Err(Error::cancelled()),
        Outcome::Expired => Err(CallError::DeadlinePassed.into()),
    }
}

impl<T: 'static> Future for Invoke<T> {
    type Output = Result<T>;

    /// # Panics
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        if let Answer::Awaited(awaited) = &self.0 {
            let to = awaited.to;
            let found = awaited.desk.poll(to.index(), awaited.way, awaited.slot, context.waker());
            let answer = match found {
                Polled::Pending | Polled::NewWaker => {
                    note_wait(WaitKind::Call);
                    return Poll::Pending;
                }
                Polled::Home(errand) => Some(errand),
                Polled::Gone | Polled::Sent => None,
            };
            // The slot is no longer ours, whatever happens from here on.
            self.0 = Answer::Taken;
            let Some(mut errand) = answer else {
                return Poll::Ready(Err(CallError::ShardGone(to).into()));
            };
            let mut outcome = None;
            errand.take_outcome(&mut outcome);
            return Poll::Ready(into_result(outcome.unwrap_or(Outcome::Cancelled)));
        }
        match mem::replace(&mut self.0, Answer::Taken) {
            Answer::Here(answer) => Poll::Ready(answer),
            _ => panic!("a call was awaited again after its answer was taken"),
        }
    }
}

impl<T> Drop for Invoke<T> {
    fn drop(&mut self) {
        if let Answer::Awaited(awaited) = &self.0 {
            awaited.desk.abandon(awaited.to.index(), awaited.way, awaited.slot);
        }
    }
}

impl<T> Unpin for Invoke<T> {}

impl<T> fmt::Debug for Invoke<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.0 {
            Answer::Here(_) => "here",
            Answer::Awaited(_) => "awaited",
            Answer::Taken => "taken",
        };
        f.debug_tuple("Invoke").field(&state).finish()
    }
}
