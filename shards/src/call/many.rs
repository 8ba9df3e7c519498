//! Calls to several shards, and to whichever is least busy.
//!
//! Both are made of single calls, so what holds for those holds here: all are under way when the
//! function returns, and giving the whole up gives each of them up.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use corelane::{Result, Task, create_task};
use futures_core::stream::{FusedStream, Stream};

use super::desk::Desk;
use crate::id::ShardId;
use crate::shard::Shard;

/// An answer that is awaited.
type Awaited<T> = Pin<Box<dyn Future<Output = Result<T>>>>;

/// The answers of several shards to one call: a stream in the order in which they come, or, awaited,
/// all values in the order of the shards.
///
/// # Cancel safety
/// Awaiting [`next`](Self::next) is safe: an answer that is not taken stays. Dropping the answers, or
/// the future that they are awaited by, gives up every call that has not been answered.
///
/// # Examples
/// ```
/// use corelane_shards::{Placement, Shards};
///
/// Shards::builder().placement(Placement::Unpinned(3)).run(async |shard| {
///     let mut answers = shard.broadcast(|| 1);
///     let mut sum = 0;
///     while let Some((_from, answer)) = answers.next().await {
///         sum += answer?;
///     }
///     assert_eq!(sum, 3);
///     assert_eq!(shard.broadcast(|| 2).await?, [2, 2, 2]);
///     Ok(())
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
#[must_use = "dropping them gives the calls up"]
pub struct Answers<T> {
    awaited: Vec<(ShardId, Option<Awaited<T>>)>,
    /// Where the next look begins, so that no shard is always asked first.
    first: usize,
}

impl<T> Answers<T> {
    pub(crate) fn new(awaited: impl IntoIterator<Item = (ShardId, Awaited<T>)>) -> Self {
        let awaited = awaited.into_iter().map(|(from, answer)| (from, Some(answer)));
        Self { awaited: awaited.collect(), first: 0 }
    }

    /// How many answers are still to be taken.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.awaited.iter().filter(|(_, answer)| answer.is_some()).count()
    }

    /// The next answer to come, and whose it is; `None` when all have been taken. An error of one
    /// shard does not end the others' calls.
    ///
    /// # Cancel safety
    /// Safe: an answer that was not taken is taken the next time.
    pub async fn next(&mut self) -> Option<(ShardId, Result<T>)> {
        poll_fn(|context| self.poll_answer(context)).await
    }

    /// Folds the values in the order in which they come.
    ///
    /// # Errors
    /// The first error to come; the calls that are left are given up then.
    ///
    /// # Cancel safety
    /// Dropping the future gives up every call that has not been answered.
    pub async fn fold<A>(mut self, initial: A, mut fold: impl FnMut(A, T) -> A) -> Result<A> {
        let mut folded = initial;
        while let Some((_, answer)) = self.next().await {
            folded = fold(folded, answer?);
        }
        Ok(folded)
    }

    /// Waits until each shard has answered, well or badly, and gives what they said in their order.
    ///
    /// # Cancel safety
    /// Dropping the future gives up every call that has not been answered.
    pub async fn settled(mut self) -> Vec<(ShardId, Result<T>)> {
        let mut settled = Vec::with_capacity(self.remaining());
        while let Some(answer) = self.next().await {
            settled.push(answer);
        }
        settled.sort_by_key(|(from, _)| *from);
        settled
    }

    async fn all(mut self) -> Result<Vec<T>> {
        let mut values = Vec::with_capacity(self.remaining());
        while let Some((from, answer)) = self.next().await {
            values.push((from, answer?));
        }
        values.sort_by_key(|(from, _)| *from);
        Ok(values.into_iter().map(|(_, value)| value).collect())
    }

    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Option<(ShardId, Result<T>)>> {
        let count = self.awaited.len();
        let mut is_any_left = false;
        for step in 0..count {
            let place = (self.first + step) % count;
            let (from, awaited) = &mut self.awaited[place];
            let Some(answer) = awaited else { continue };
            is_any_left = true;
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                let from = *from;
                *awaited = None;
                self.first = place + 1;
                return Poll::Ready(Some((from, answer)));
            }
        }
        if is_any_left { Poll::Pending } else { Poll::Ready(None) }
    }
}

impl<T> Stream for Answers<T> {
    type Item = (ShardId, Result<T>);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_answer(context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining(), Some(self.remaining()))
    }
}

impl<T> FusedStream for Answers<T> {
    fn is_terminated(&self) -> bool {
        self.remaining() == 0
    }
}

impl<T: 'static> IntoFuture for Answers<T> {
    type Output = Result<Vec<T>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Vec<T>>>>>;

    /// All values in the order of the shards, or the first error to come, which gives the rest up.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.all())
    }
}

impl<T> Unpin for Answers<T> {}

impl<T> fmt::Debug for Answers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("remaining", &self.remaining()).finish()
    }
}

/// How [`call_any`](crate::Shard::call_any) spreads its calls.
#[derive(Debug, Default)]
pub(super) struct Spread {
    /// The shard that is asked first among equals.
    turn: Cell<usize>,
    /// Calls of `call_any` that run on this very shard.
    own_count: Rc<Cell<usize>>,
}

impl Spread {
    /// The shard with the fewest calls, each in its turn if there are several.
    fn choose(&self, calls: impl Fn(usize) -> Option<usize>, shard_count: usize) -> usize {
        let first = self.turn.get();
        let in_turn = (0..shard_count).map(|step| (first + step) % shard_count);
        let alive = in_turn.filter_map(|place| Some((calls(place)?, place)));
        // Of equals the first is taken.
        let (_, chosen) = alive.min_by_key(|(count, _)| *count).unwrap_or_default();
        self.turn.set((chosen + 1) % shard_count);
        chosen
    }
}

/// What [`Shard::call_any`] has chosen.
enum Chosen<T, C> {
    Own(Own<T>),
    Far(C),
}

/// A call of `call_any` on this very shard: a task, so that it is under way as well.
struct Own<T> {
    task: Task<T>,
    count: Rc<Cell<usize>>,
}

impl<T: 'static> Own<T> {
    fn start(call: impl Future<Output = Result<T>> + 'static, spread: &Spread) -> Self {
        let count = Rc::clone(&spread.own_count);
        count.set(count.get() + 1);
        Self { task: create_task(call), count }
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        self.task.cancel();
        self.count.set(self.count.get() - 1);
    }
}

impl Shard {
    /// Has `f` called on every shard, this one included, as by [`invoke`](Self::invoke), and gives
    /// their answers as they come, or, awaited, all at once.
    ///
    /// # Errors
    /// Of each shard, as with [`invoke`](Self::invoke).
    pub fn broadcast<T, F>(&self, f: F) -> Answers<T>
    where
        F: FnOnce() -> T + Clone + Send + 'static,
        T: Send + 'static,
    {
        self.ask(self.all(), |to| Box::pin(self.invoke(to, f.clone())))
    }

    /// Has `f` called on every shard, this one included, as by [`call`](Self::call), and gives their
    /// answers as they come, or, awaited, all at once.
    ///
    /// # Errors
    /// Of each shard, as with [`call`](Self::call).
    pub fn call_all<T, F, M>(&self, f: F) -> Answers<T>
    where
        F: FnOnce() -> M + Clone + Send + 'static,
        M: Future<Output = Result<T>> + 'static,
        T: Send + 'static,
    {
        self.ask(self.all(), |to| Box::pin(self.call(to, f.clone())))
    }

    /// Has `map` called on every shard, this one included, as by [`invoke`](Self::invoke), and folds
    /// what they return, in the order in which it comes.
    ///
    /// ```
    /// use corelane_shards::{Placement, Shard, Shards};
    ///
    /// Shards::builder().placement(Placement::Unpinned(3)).run(async |shard| {
    ///     let own_number = || Shard::current().map_or(0, |shard| shard.id().index());
    ///     assert_eq!(shard.map_reduce(own_number, 0, |most, n| n.max(most)).await?, 2);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// # Errors
    /// The first error of a shard, as with [`invoke`](Self::invoke); the other calls are given up.
    ///
    /// # Cancel safety
    /// Dropping the future gives up every call that has not been answered.
    pub fn map_reduce<T, A, F, R>(
        &self,
        map: F,
        initial: A,
        reduce: R,
    ) -> impl Future<Output = Result<A>> + use<T, A, F, R>
    where
        F: FnOnce() -> T + Clone + Send + 'static,
        T: Send + 'static,
        R: FnMut(A, T) -> A,
    {
        self.broadcast(map).fold(initial, reduce)
    }

    /// Has `f` called, as by [`call`](Self::call), on whichever shard has the fewest calls of this one
    /// to answer; among equals each has its turn. This shard is one of them, and there too `f`'s
    /// future becomes a task, so that a row of such calls is under way on all shards.
    ///
    /// It is for work that any shard can do. What is counted is this shard's own calls: where others
    /// send theirs it does not know, and asks nobody.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    pub fn call_any<T, F, M>(&self, f: F) -> impl Future<Output = Result<T>> + use<T, F, M>
    where
        F: FnOnce() -> M + Send + 'static,
        M: Future<Output = Result<T>> + 'static,
        T: Send + 'static,
    {
        let desk = self.desk();
        let chosen = ShardId::at(desk.spread.choose(|place| desk.calls_to(place), self.count()));
        let call = self.call(chosen, f);
        let call = match chosen == self.id() {
            true => Chosen::Own(Own::start(call, &desk.spread)),
            false => Chosen::Far(call),
        };
        async move {
            match call {
                Chosen::Own(mut own) => (&mut own.task).await,
                Chosen::Far(call) => call.await,
            }
        }
    }

    /// Makes a call to each of `shards`.
    pub(crate) fn ask<T>(
        &self,
        shards: impl Iterator<Item = ShardId>,
        mut call: impl FnMut(ShardId) -> Awaited<T>,
    ) -> Answers<T> {
        Answers::new(shards.map(|to| (to, call(to))))
    }
}

impl Desk {
    /// How many calls of this shard are with `place` or wait to leave for it; `None` if it has ended.
    fn calls_to(&self, place: usize) -> Option<usize> {
        if place == self.id().index() {
            return Some(self.spread.own_count.get());
        }
        self.unanswered(place)
    }
}
