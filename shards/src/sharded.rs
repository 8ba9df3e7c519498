//! Services that live on every shard.
//!
//! A [`Sharded<S>`] is one `S` on each shard, and a handle to them all. Each instance is made, used,
//! stopped and dropped on its own shard, so `S` need not be `Send` and needs no lock.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use corelane::Result;

use crate::call::{Answers, CallError};
use crate::foreign::text_of;
use crate::id::ShardId;
use crate::kept::{Foreign, Stop, no_shard};
use crate::shard::Shard;

/// A service with an instance on each shard: a handle, `Send`, `Sync` and `Clone` whatever `S` is.
///
/// [`start`](Self::start) makes the instances, on every shard at a time; [`stop`](Self::stop) ends
/// them, the last shard's first. If nobody does, they are ended when the last handle is gone, or when
/// the run ends, on each shard the youngest service first.
///
/// # Examples
/// ```
/// use std::cell::Cell;
/// use corelane_shards::{Placement, ShardId, Sharded, Shards};
///
/// Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
///     if shard.id() != ShardId::new(0) {
///         return Ok(());
///     }
///     let hits = Sharded::start(&shard, async |_shard| Ok(Cell::new(0))).await?;
///     hits.invoke_on(ShardId::new(1), |hits| hits.set(hits.get() + 1)).await?;
///     hits.invoke_on_all(|hits| hits.set(hits.get() + 1)).await?;
///     assert_eq!(hits.local()?.get(), 1);
///     assert_eq!(hits.map_reduce(Cell::get, 0, |sum, n| sum + n).await?, 3);
///     hits.stop().await
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// A server whose connections use it: one shard starts the service, and then has every shard serve with a handle to it.
///
/// ```
/// use std::cell::Cell;
/// use corelane_shards::{Placement, Shard, ShardId, Sharded, Shards};
///
/// async fn serve(shard: Shard, visits: Sharded<Cell<u64>>) -> corelane::Result<()> {
///     let answer = async move |_reader, writer: corelane::StreamWriter| {
///         let mine = visits.local()?;
///         mine.set(mine.get() + 1);
///         let all = visits.map_reduce(Cell::get, 0, |sum, count| sum + count).await?;
///         writeln!(writer, "visit {all}")
///     };
///     shard.serve("127.0.0.1:0", answer).await?;
///     Ok(())
/// }
///
/// Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
///     if shard.id() == ShardId::new(0) {
///         let visits = Sharded::start(&shard, async |_shard| Ok(Cell::default())).await?;
///         let everywhere = visits.clone();
///         let serving = visits.call_on_all(async move |_mine| {
///             let shard = Shard::current().expect("an instance is on a shard");
///             serve(shard, everywhere).await
///         });
///         serving.await?;
///         # shard.shutdown().request();
///     }
///     shard.shutdown().requested().await;
///     Ok(())
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
pub struct Sharded<S> {
    parts: Arc<[Foreign<S>]>,
}

impl<S: 'static> Sharded<S> {
    /// Makes an instance on every shard, all at a time: `make` is called on each with that shard, and
    /// may wait and fail. When this returns the service is up everywhere.
    ///
    /// # Errors
    /// The first shard's whose `make` failed or panicked, in the order of the shards. What the others
    /// have made is stopped then, the last shard's first, before this returns.
    ///
    /// # Cancel safety
    /// A start that is dropped is given up, and what was made is dropped where it is.
    pub async fn start<F>(shard: &Shard, make: F) -> Result<Self>
    where
        F: AsyncFnOnce(Shard) -> Result<S> + Clone + Send + 'static,
    {
        let part = async move |here: Shard| {
            let instance = make(here.clone()).await?;
            Ok(here.keep(instance))
        };
        Self::start_parts(shard, part).await
    }

    /// The same for instances that have to be stopped: `stop` is called for each, once, on its shard,
    /// before it is dropped: by [`stop`](Self::stop), by a start that failed elsewhere, when the last
    /// handle is gone, or at the end of the run, when tasks have been cancelled and shards still
    /// answer. One that is under way when tasks are cancelled is spared, with the tasks that it has created and
    /// the calls that it has made: within the time to clean up it comes to its end.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    /// As [`start`](Self::start); what was made is stopped as well.
    ///
    /// # Examples
    /// ```
    /// use std::cell::RefCell;
    /// use corelane_shards::{Placement, Sharded, Shards};
    ///
    /// Shards::builder().placement(Placement::Unpinned(1)).run(async |shard| {
    ///     let make = async |_shard| Ok(RefCell::new(vec!["open"]));
    ///     let log = Sharded::start_with(&shard, make, async |log| {
    ///         log.borrow_mut().push("closed");
    ///         Ok(())
    ///     });
    ///     let log = log.await?;
    ///     let local = log.local()?;
    ///     log.stop().await?;
    ///     assert_eq!(*local.borrow(), ["open", "closed"]);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    pub async fn start_with<F, G>(shard: &Shard, make: F, stop: G) -> Result<Self>
    where
        F: AsyncFnOnce(Shard) -> Result<S> + Clone + Send + 'static,
        G: AsyncFnOnce(Rc<S>) -> Result<()> + Clone + Send + 'static,
    {
        let part = async move |here: Shard| {
            let instance = Rc::new(make(here.clone()).await?);
            let stopped = Rc::clone(&instance);
            let stop = Stop::new::<S, _>(move || async move { stop(stopped).await });
            Ok(here.keep_entry(instance, Some(stop)))
        };
        Self::start_parts(shard, part).await
    }

    async fn start_parts<F>(shard: &Shard, part: F) -> Result<Self>
    where
        F: AsyncFnOnce(Shard) -> Result<Foreign<S>> + Clone + Send + 'static,
    {
        let made = shard.call_all(move || async move {
            let here = Shard::current().ok_or_else(no_shard)?;
            part(here).await
        });
        let (mut parts, mut failure) = (Vec::new(), None);
        for (_, part) in made.settled().await {
            match part {
                Ok(part) => parts.push(part),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let Some(error) = failure else { return Ok(Self { parts: parts.into() }) };
        // The start's own error is what its caller wants to know.
        if let Err(stopping) = stop_in_reverse(&parts).await {
            let text = text_of(&stopping);
            corelane::__report!(ERROR, "a service whose start failed could not be stopped: {text}");
        }
        Err(error)
    }

    /// This shard's instance.
    ///
    /// # Errors
    /// Runtime if this thread is no shard; [`CallError::ValueGone`], by `downcast_ref`, if the service
    /// was stopped, or belongs to another run.
    pub fn local(&self) -> Result<Rc<S>> {
        let shard = Shard::current().ok_or_else(no_shard)?;
        self.part(shard.id())?.local()
    }

    /// Has `f` called with the instance of shard `to`, as by [`Shard::invoke`].
    ///
    /// # Errors
    /// As [`Shard::invoke`]; [`CallError::ValueGone`] if the service was stopped; Runtime if this thread
    /// is no shard.
    ///
    /// # Cancel safety
    /// As [`Shard::invoke`].
    pub fn invoke_on<R, F>(
        &self,
        to: ShardId,
        f: F,
    ) -> impl Future<Output = Result<R>> + use<R, F, S>
    where
        F: FnOnce(&S) -> R + Send + 'static,
        R: Send + 'static,
    {
        let invoked = self.part(to).map(|part| part.invoke(f));
        async move { invoked?.await }
    }

    /// Has `f` called with the instance of shard `to`, as by [`Shard::call`].
    ///
    /// # Errors
    /// As [`Shard::call`], and as [`invoke_on`](Self::invoke_on).
    ///
    /// # Cancel safety
    /// As [`Shard::call`].
    pub fn call_on<R, F>(&self, to: ShardId, f: F) -> impl Future<Output = Result<R>> + use<R, F, S>
    where
        F: AsyncFnOnce(Rc<S>) -> Result<R> + Send + 'static,
        R: Send + 'static,
    {
        let called = self.part(to).map(|part| part.call(f));
        async move { called?.await }
    }

    /// Has `f` called with every instance, and gives what it returned as it comes, or, awaited, in the
    /// order of the shards.
    ///
    /// # Errors
    /// Of each shard, as [`invoke_on`](Self::invoke_on).
    pub fn invoke_on_all<R, F>(&self, f: F) -> Answers<R>
    where
        F: FnOnce(&S) -> R + Clone + Send + 'static,
        R: Send + 'static,
    {
        self.invoke_where(f, |_| true)
    }

    /// The same with every instance but this shard's own.
    ///
    /// # Errors
    /// Of each shard, as [`invoke_on`](Self::invoke_on).
    pub fn invoke_on_others<R, F>(&self, f: F) -> Answers<R>
    where
        F: FnOnce(&S) -> R + Clone + Send + 'static,
        R: Send + 'static,
    {
        let own = Shard::current().map(|shard| shard.id());
        self.invoke_where(f, |part| Some(part.home()) != own)
    }

    /// Has `f` called with every instance, each as by [`call_on`](Self::call_on).
    ///
    /// # Errors
    /// Of each shard, as [`call_on`](Self::call_on).
    pub fn call_on_all<R, F>(&self, f: F) -> Answers<R>
    where
        F: AsyncFnOnce(Rc<S>) -> Result<R> + Clone + Send + 'static,
        R: Send + 'static,
    {
        let call = |part: &Foreign<S>| (part.home(), boxed(part.call(f.clone())));
        Answers::new(self.parts.iter().map(call))
    }

    /// Has `map` called with every instance and folds what it returns, in the order in which it comes.
    ///
    /// # Errors
    /// The first error of a shard, as [`invoke_on`](Self::invoke_on).
    ///
    /// # Cancel safety
    /// Dropping the future gives up every call that has not been answered.
    pub fn map_reduce<T, A, F, R>(
        &self,
        map: F,
        initial: A,
        reduce: R,
    ) -> impl Future<Output = Result<A>> + use<T, A, F, R, S>
    where
        F: FnOnce(&S) -> T + Clone + Send + 'static,
        T: Send + 'static,
        R: FnMut(A, T) -> A,
    {
        self.invoke_on_all(map).fold(initial, reduce)
    }

    /// Stops every instance and drops it, one after the other, the last shard's first. Handles that
    /// are left give [`CallError::ValueGone`] from then on; to stop twice is no error.
    ///
    /// # Errors
    /// The first error of a `stop`; the others are stopped all the same.
    ///
    /// # Cancel safety
    /// Given up, it lets the instance that is being stopped finish that; the others are stopped when
    /// the last handle is gone.
    pub async fn stop(self) -> Result<()> {
        stop_in_reverse(&self.parts).await
    }

    fn invoke_where<R, F>(&self, f: F, is_meant: impl Fn(&Foreign<S>) -> bool) -> Answers<R>
    where
        F: FnOnce(&S) -> R + Clone + Send + 'static,
        R: Send + 'static,
    {
        let meant = self.parts.iter().filter(|part| is_meant(part));
        Answers::new(meant.map(|part| (part.home(), boxed(part.invoke(f.clone())))))
    }

    fn part(&self, id: ShardId) -> Result<&Foreign<S>> {
        let count = self.parts.len();
        let none = || CallError::NoSuchShard { asked: id, count }.into();
        self.parts.get(id.index()).ok_or_else(none)
    }
}

fn boxed<R>(
    call: impl Future<Output = Result<R>> + 'static,
) -> Pin<Box<dyn Future<Output = Result<R>>>> {
    Box::pin(call)
}

/// Stops all, whatever some of them say; the first error.
async fn stop_in_reverse<S: 'static>(parts: &[Foreign<S>]) -> Result<()> {
    let mut outcome = Ok(());
    for part in parts.iter().rev() {
        outcome = outcome.and(part.stop().await);
    }
    outcome
}

impl<S> Clone for Sharded<S> {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts) }
    }
}

impl<S> fmt::Debug for Sharded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharded").field("count", &self.parts.len()).finish()
    }
}
