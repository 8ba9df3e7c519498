//! Values that stay on their shard, and the keys to them that travel.
//!
//! ```text
//!  shard 1, home                                          anywhere
//!  table: 7 → Rc<T>  ◀── call, invoke: look up, use ───── Foreign<T> { home: 1, key: 7 }
//!                    ◀── the last clone was dropped ────── (by the inbox: no permit, no wait)
//! ```
//!
//! The table lives as long as its shard. What is left in it when the shard ends is dropped there, the
//! youngest first, so a key never keeps anything alive on another thread and its drop may come when
//! it likes. Keys are numbered for the whole process, so one of an earlier run finds nothing.

mod stopping;

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use corelane::{Error, RemoteLoop, Result, Task, shield};

pub(crate) use self::stopping::{Stop, Stopping};
use crate::call::CallError;
use crate::foreign::{drop_quietly, text_of};
use crate::id::ShardId;
use crate::shard::Shard;

/// Numbers the values of all shards of all runs. No data travels by it, so `Relaxed` is enough.
static LAST_NUMBER: AtomicU64 = AtomicU64::new(0);

/// The values of one shard.
#[derive(Default)]
pub(crate) struct Kept {
    values: RefCell<BTreeMap<u64, Entry>>,
    /// What is being stopped, and some of what was.
    stopping: RefCell<Vec<Stopping>>,
}

struct Entry {
    value: Rc<dyn Any>,
    stop: Option<Stop>,
}

impl Kept {
    fn find<T: 'static>(&self, number: u64) -> Result<Rc<T>> {
        let values = self.values.borrow();
        let value = values.get(&number).map(|entry| Rc::clone(&entry.value));
        value.and_then(|value| value.downcast().ok()).ok_or_else(|| CallError::ValueGone.into())
    }

    fn has(&self, number: u64) -> bool {
        self.values.borrow().contains_key(&number)
    }

    /// Nobody has the key any more. What has to be stopped is stopped by a task.
    fn release(&self, number: u64) {
        let Some(Entry { value, stop }) = self.take(number) else { return };
        let Some(stop) = stop else { return drop_quietly(value) };
        // Nobody is there to be told of an error, so the rule of tasks holds: it is reported.
        drop(self.begin(stop, value));
    }

    /// Stops one value and drops it. `Ok` if it is gone already.
    async fn stop(&self, number: u64) -> Result<()> {
        let Some(Entry { value, stop }) = self.take(number) else { return Ok(()) };
        let Some(stop) = stop else {
            drop_quietly(value);
            return Ok(());
        };
        // A task of its own, so that whoever gives the wait up does not leave it half stopped.
        shield(self.begin(stop, value)?).await
    }

    fn take(&self, number: u64) -> Option<Entry> {
        self.values.borrow_mut().remove(&number)
    }

    /// Has a task stop `value`.
    fn begin(&self, stop: Stop, value: Rc<dyn Any>) -> Result<Task<()>> {
        let (begun, task) = Stopping::begin(stop, value)?;
        let mut stopping = self.stopping.borrow_mut();
        stopping.retain(|stopping| !stopping.has_ended());
        stopping.push(begun);
        Ok(task)
    }

    /// Stops what has to be stopped: what was begun, whose errors are reported as those of all tasks, then the
    /// rest, the youngest first.
    pub(crate) async fn stop_all(&self) {
        loop {
            let begun = self.stopping.borrow_mut().pop();
            let outcome = match (begun, self.youngest()) {
                (Some(begun), _) => {
                    begun.wait().await;
                    Ok(())
                }
                (None, Some(number)) => self.stop(number).await,
                (None, None) => return,
            };
            if let Err(error) = outcome {
                corelane::__report!(ERROR, "a service could not be stopped: {}", text_of(&error));
            }
        }
    }

    /// The youngest value that has to be stopped.
    fn youngest(&self) -> Option<u64> {
        let values = self.values.borrow();
        let mut stoppable = values.iter().filter(|(_, entry)| entry.stop.is_some());
        stoppable.next_back().map(|(number, _)| *number)
    }

    /// Drops everything, the youngest first. What a stop that has not ended holds goes with its task.
    pub(crate) fn clear(&self) {
        loop {
            let Some((_, entry)) = self.values.borrow_mut().pop_last() else { return };
            drop_quietly(entry);
        }
    }
}

/// The last key sends the value's end home.
struct Key {
    home: ShardId,
    number: u64,
    remote: RemoteLoop,
}

impl Drop for Key {
    fn drop(&mut self) {
        let number = self.number;
        if let Some(shard) = Shard::current().filter(|shard| shard.id() == self.home)
            && shard.kept().has(number)
        {
            return shard.kept().release(number);
        }
        // Refused means that the shard has ended, and has dropped what it kept.
        let _ = self.remote.submit(move || {
            if let Some(shard) = Shard::current() {
                shard.kept().release(number);
            }
        });
    }
}

/// A key to a value that stays on its shard: `Send`, `Sync` and `Clone`, whatever the value is.
///
/// It is made with [`Shard::keep`]. The value is used where it lives: [`invoke`](Self::invoke) and
/// [`call`](Self::call) bring closures to it, from any shard of the run. When the last key is gone,
/// wherever that is, the value is dropped at home: nothing blocks for that, and no permit is needed. A
/// call under way has a key of its own. A shard that ends drops what it keeps.
///
/// # Examples
/// ```
/// use std::cell::Cell;
/// use corelane_shards::{Placement, Shards, ShardId};
///
/// Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
///     if shard.id() == ShardId::new(0) {
///         let counter = shard.keep(Cell::new(1));
///         let key = counter.clone();
///         let seen = shard.call(ShardId::new(1), move || async move {
///             // The cell is on shard 0, and is changed there.
///             key.invoke(|cell| cell.replace(5)).await
///         });
///         assert_eq!(seen.await?, 1);
///         assert_eq!(counter.local()?.get(), 5);
///     }
///     Ok(())
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
pub struct Foreign<T> {
    key: Arc<Key>,
    value: PhantomData<fn() -> T>,
}

impl<T: 'static> Foreign<T> {
    /// The shard where the value lives.
    #[must_use]
    pub fn home(&self) -> ShardId {
        self.key.home
    }

    /// The value itself, on its own shard.
    ///
    /// # Errors
    /// [`CallError`], by `downcast_ref`: `Elsewhere` on any other thread, `ValueGone` if it was dropped.
    pub fn local(&self) -> Result<Rc<T>> {
        match Shard::current().filter(|shard| shard.id() == self.key.home) {
            Some(shard) => shard.kept().find(self.key.number),
            None => Err(CallError::Elsewhere(self.key.home).into()),
        }
    }

    /// Has `f` called with the value, as by [`Shard::invoke`], and waits for what it returns.
    ///
    /// # Errors
    /// As [`Shard::invoke`]; [`CallError::ValueGone`] if the value was dropped; Runtime if this thread
    /// is no shard.
    ///
    /// # Cancel safety
    /// As [`Shard::invoke`].
    pub fn invoke<R, F>(&self, f: F) -> impl Future<Output = Result<R>> + use<R, F, T>
    where
        F: FnOnce(&T) -> R + Send + 'static,
        R: Send + 'static,
    {
        let key = self.clone();
        let invoked = Shard::current()
            .map(|shard| shard.invoke(key.home(), move || key.local().map(|value| f(&value))));
        async move { invoked.ok_or_else(no_shard)?.await? }
    }

    /// Has `f` called with the value, as by [`Shard::call`], and waits for what its future returns.
    ///
    /// # Errors
    /// As [`Shard::call`]; [`CallError::ValueGone`] if the value was dropped; Runtime if this thread is
    /// no shard.
    ///
    /// # Cancel safety
    /// As [`Shard::call`].
    pub fn call<R, F>(&self, f: F) -> impl Future<Output = Result<R>> + use<R, F, T>
    where
        F: AsyncFnOnce(Rc<T>) -> Result<R> + Send + 'static,
        R: Send + 'static,
    {
        let key = self.clone();
        let called = Shard::current().map(|shard| {
            shard.call(key.home(), move || async move {
                let value = key.local()?;
                f(value).await
            })
        });
        async move { called.ok_or_else(no_shard)?.await }
    }

    /// Stops the value, if it has to be, and drops it, whoever else has a key.
    pub(crate) fn stop(&self) -> impl Future<Output = Result<()>> + use<T> {
        let (home, number) = (self.key.home, self.key.number);
        let called = Shard::current().map(|shard| {
            shard.call(home, move || async move {
                let shard = Shard::current().ok_or_else(no_shard)?;
                shard.kept().stop(number).await
            })
        });
        async move { called.ok_or_else(no_shard)?.await }
    }
}

impl Shard {
    /// Keeps `value` on this shard, and gives a key to it that may travel.
    pub fn keep<T: 'static>(&self, value: T) -> Foreign<T> {
        self.keep_entry(Rc::new(value), None)
    }

    /// Keeps a value that has to be stopped before it may be dropped.
    pub(crate) fn keep_entry<T: 'static>(&self, value: Rc<T>, stop: Option<Stop>) -> Foreign<T> {
        let number = LAST_NUMBER.fetch_add(1, Ordering::Relaxed);
        self.kept().values.borrow_mut().insert(number, Entry { value, stop });
        let key = Key { home: self.id(), number, remote: self.remote(self.id()).clone() };
        Foreign { key: Arc::new(key), value: PhantomData }
    }
}

/// A thread that is no shard asked for something between shards.
pub(crate) fn no_shard() -> Error {
    Error::runtime("this thread is no shard: a `ShardsHandle` is the way in from outside")
}

impl<T> Clone for Foreign<T> {
    fn clone(&self) -> Self {
        Self { key: Arc::clone(&self.key), value: PhantomData }
    }
}

impl<T> fmt::Debug for Foreign<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign").field("home", &self.key.home).finish_non_exhaustive()
    }
}
