//! Task-local context: asyncio's context variables as typed keys (rules T42, T168).
//!
//! ```text
//!  LocalKey::set ──▶ Current (of the loop while a task is stepped, else of the thread)
//!                       │ at the end of a step            │ at a task's creation: the same pointer
//!                       ▼                                 ▼
//!                    the task's own ◀── next step ──   the child's own
//! ```
//!
//! A context is a counted pointer to a map that nobody changes while it is shared: whoever sets a key then
//! copies the map, which has as many entries as there are keys in use. A task that never had one pays for a
//! look at a bit; one that has keeps it where few tasks have anything.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::AtomicU8;
use std::task::{Context, Poll};

use super::assign::GroupNumber;
use super::home::Home;
use super::wake::current_home;
use crate::error::drop_quietly;

mod travel;

#[cfg(test)]
mod tests;

pub use self::travel::Travelling;

/// A variable that each task has its own value of: a request's number, a user's name.
///
/// A key is a `static`. A task starts with what the task that created it had at that moment; later changes in
/// one are not seen by the other (rule T42). Callbacks of [`call_soon`](crate::call_soon) and of
/// [`Task::add_done_callback`](crate::Task::add_done_callback) see what was set where they were registered.
/// Outside of tasks each thread has values of its own, which [`run`](crate::run) hands to its main task.
///
/// ```
/// use corelane::LocalKey;
///
/// static USER: LocalKey<String> = LocalKey::new();
///
/// corelane::run(async || {
///     USER.set("ada".to_owned());
///     let child = corelane::spawn(async {
///         let inherited = USER.get();
///         USER.set("grace".to_owned());
///         inherited
///     });
///     assert_eq!(child.await?.as_deref(), Some("ada"));
///     assert_eq!(USER.get().as_deref(), Some("ada"));
///     Ok(())
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// Values of a key made with [`new`](Self::new) stay on their thread; those of a
/// [`sendable`](Self::sendable) key travel to [`to_thread`](crate::to_thread) and to other loops as clones.
pub struct LocalKey<T: 'static> {
    travel: Option<travel::Travel>,
    /// A key is known by its address, so it must have a place of its own.
    place: AtomicU8,
    value: PhantomData<fn() -> T>,
}

/// The address of a key.
type KeyId = usize;

/// A value, and how it gets to another thread if it may.
#[derive(Clone)]
struct Value {
    value: Rc<dyn Any>,
    travel: Option<travel::Travel>,
}

/// What all keys are set to: a snapshot that is cheap to clone and does not change.
///
/// ```
/// use corelane::{LocalContext, LocalKey};
///
/// static LEVEL: LocalKey<u32> = LocalKey::new();
///
/// LEVEL.set(1);
/// let before = LocalContext::current();
/// LEVEL.set(2);
/// assert_eq!(before.enter(|| LEVEL.get()), Some(1));
/// assert_eq!(LEVEL.get(), Some(2));
/// ```
#[derive(Clone, Default)]
pub struct LocalContext(Option<Rc<BTreeMap<KeyId, Value>>>);

impl<T: 'static> LocalKey<T> {
    /// A key whose values stay on their thread.
    #[must_use]
    pub const fn new() -> Self {
        Self { travel: None, place: AtomicU8::new(0), value: PhantomData }
    }

    /// A key whose values travel to threads and other loops as clones (rule T168).
    #[must_use]
    pub const fn sendable() -> Self
    where
        T: Send + Clone,
    {
        Self {
            travel: Some(travel::Travel::of::<T>()),
            place: AtomicU8::new(0),
            value: PhantomData,
        }
    }

    /// A clone of the value; `None` if none is set.
    pub fn get(&'static self) -> Option<T>
    where
        T: Clone,
    {
        self.with(|value| value.cloned())
    }

    /// Calls `f` with the value. What `f` sets is not seen through its argument.
    pub fn with<R>(&'static self, f: impl FnOnce(Option<&T>) -> R) -> R {
        let value = LocalContext::current().find(self.id());
        f(value.as_deref().and_then(<dyn Any>::downcast_ref))
    }

    /// Sets the value for the rest of this task, and for the tasks that it creates from now on.
    pub fn set(&'static self, value: T) {
        let value = Value { value: Rc::new(value), travel: self.travel };
        drop(change(|context| context.insert(self.id(), value)));
    }

    /// Goes back to no value.
    pub fn clear(&'static self) {
        drop(change(|context| context.remove(self.id())));
    }

    /// Runs `future` with the value set; outside of it nothing changes. What `future` sets this key to is
    /// its own too.
    ///
    /// ```
    /// use corelane::LocalKey;
    ///
    /// static REQUEST: LocalKey<u64> = LocalKey::new();
    ///
    /// corelane::run(async || {
    ///     let inside = REQUEST.scope(7, async { REQUEST.get() }).await;
    ///     assert_eq!((inside, REQUEST.get()), (Some(7), None));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// # Cancel safety
    /// As safe as `future`, which is dropped with the value still set.
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> LocalScope<F> {
        let value = Value { value: Rc::new(value), travel: self.travel };
        LocalScope { future: Some(future), other: Other { id: self.id(), value: Some(value) } }
    }

    /// Calls `f` with the value set.
    pub fn sync_scope<R>(&'static self, value: T, f: impl FnOnce() -> R) -> R {
        let value = Value { value: Rc::new(value), travel: self.travel };
        let mut other = Other { id: self.id(), value: Some(value) };
        let _inside = other.enter();
        f()
    }

    fn id(&'static self) -> KeyId {
        std::ptr::from_ref(&self.place).addr()
    }
}

impl<T: 'static> Default for LocalKey<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").field("sendable", &self.travel.is_some()).finish()
    }
}

impl LocalContext {
    /// What the keys are set to now, in this task or, outside of tasks, on this thread.
    #[must_use]
    pub fn current() -> Self {
        with_current(Current::get)
    }

    /// Calls `f` with the keys set to what they were; what `f` sets is forgotten after it.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        let _inside = Inside(Some(with_current(|current| current.replace(self.clone()))));
        f()
    }

    /// Sets the keys to what they were, for the rest of this task.
    pub fn restore(&self) {
        drop_quietly(with_current(|current| current.replace(self.clone())));
    }

    /// Whether any key is set: the price of a look at a bit.
    #[must_use]
    pub fn is_any_set() -> bool {
        with_current(Current::is_set)
    }

    /// Whether anything goes with what is being run: a key that is set, or a scheduling group other than the
    /// default.
    pub(crate) fn is_any_inherited() -> bool {
        with_current(Current::is_inherited)
    }

    fn find(self, id: KeyId) -> Option<Rc<dyn Any>> {
        Some(Rc::clone(&self.0.as_ref()?.get(&id)?.value))
    }

    fn insert(&mut self, id: KeyId, value: Value) -> Option<Value> {
        Rc::make_mut(self.0.get_or_insert_default()).insert(id, value)
    }

    fn remove(&mut self, id: KeyId) -> Option<Value> {
        let map = self.0.as_mut()?;
        let removed = map.contains_key(&id).then(|| Rc::make_mut(map).remove(&id)).flatten();
        if map.is_empty() {
            self.0 = None;
        }
        removed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Debug for LocalContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.0.as_ref().map_or(0, |map| map.len());
        f.debug_struct("LocalContext").field("keys", &len).finish()
    }
}

/// Puts the context before back when it is dropped.
struct Inside(Option<LocalContext>);

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            drop_quietly(with_current(|current| current.replace(before)));
        }
    }
}

/// A value that is exchanged for the one outside while something inside runs.
struct Other {
    id: KeyId,
    value: Option<Value>,
}

impl Other {
    fn enter(&mut self) -> Exchanged<'_> {
        self.exchange();
        Exchanged(self)
    }

    fn exchange(&mut self) {
        let id = self.id;
        let value = self.value.take();
        self.value = change(|context| match value {
            Some(value) => context.insert(id, value),
            None => context.remove(id),
        });
    }
}

struct Exchanged<'a>(&'a mut Other);

impl Drop for Exchanged<'_> {
    fn drop(&mut self) {
        self.0.exchange();
    }
}

pin_project_lite::pin_project! {
    /// The future of [`LocalKey::scope`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct LocalScope<F> {
        // Taken out only to be dropped.
        #[pin]
        future: Option<F>,
        other: Other,
    }

    impl<F> PinnedDrop for LocalScope<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _inside = this.other.enter();
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for LocalScope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _inside = this.other.enter();
        let future = this.future.as_mut().as_pin_mut().expect("it is there until the drop");
        future.poll(context)
    }
}

impl<F> fmt::Debug for LocalScope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalScope")
    }
}

/// What is set right now, in a loop or on a thread.
pub(super) struct Current {
    /// Whether a context is set, and above that the scheduling group of what is being run.
    marks: Cell<u8>,
    context: Cell<LocalContext>,
}

const SET: u8 = 1;

impl Current {
    pub(super) const fn new() -> Self {
        Self { marks: Cell::new(0), context: Cell::new(LocalContext(None)) }
    }

    #[inline]
    pub(super) fn is_set(&self) -> bool {
        self.marks.get() & SET != 0
    }

    /// Whether a new task inherits anything: a context, or a group other than the default.
    #[inline]
    pub(super) fn is_inherited(&self) -> bool {
        self.marks.get() != 0
    }

    pub(super) fn group(&self) -> GroupNumber {
        self.marks.get() >> 1
    }

    /// Sets the group of what is being run, and returns the one before.
    pub(super) fn set_group(&self, group: GroupNumber) -> GroupNumber {
        let before = self.marks.replace(self.marks.get() & SET | group << 1);
        before >> 1
    }

    pub(super) fn get(&self) -> LocalContext {
        let context = self.context.take();
        self.context.set(context.clone());
        context
    }

    pub(super) fn replace(&self, context: LocalContext) -> LocalContext {
        let set = if context.is_empty() { 0 } else { SET };
        self.marks.set(self.marks.get() & !SET | set);
        self.context.replace(context)
    }
}

thread_local! {
    /// What is set outside of loops.
    static OF_THREAD: Current = const { Current::new() };
}

fn with_current<R>(f: impl FnOnce(&Current) -> R) -> R {
    if let Some(home) = current_home() {
        return f(&home.locals);
    }
    let mut f = Some(f);
    let mut call = |current: &Current| f.take().map(|f| f(current));
    // A thread that ends has nothing set when its own is gone.
    match OF_THREAD.try_with(&mut call) {
        Ok(result) => result,
        Err(_) => call(&Current::new()),
    }
    .expect("it is called once")
}

/// Changes what is set; no user code runs in `f`.
fn change<R>(f: impl FnOnce(&mut LocalContext) -> R) -> R {
    with_current(|current| {
        let mut context = current.replace(LocalContext::default());
        let result = f(&mut context);
        current.replace(context);
        result
    })
}

/// A callback that sees what is set now.
pub(crate) fn bound(f: impl FnOnce() + 'static) -> Box<dyn FnOnce()> {
    let context = LocalContext::current();
    if context.is_empty() { Box::new(f) } else { Box::new(move || context.enter(f)) }
}

/// What the calls of one runner have in common (rule T11).
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptLocals(Rc<RefCell<LocalContext>>);

/// What is set in here is kept when it is dropped.
pub(crate) struct Keeping(KeptLocals);

impl KeptLocals {
    /// Begins with what is set now.
    pub(crate) fn begin(&self) {
        self.keep(LocalContext::current());
    }

    /// Sets what is kept, in the task whose step is being made, and keeps what that task sets.
    pub(crate) fn enter(&self) -> Keeping {
        let kept = self.0.borrow().clone();
        drop_quietly(with_current(|current| current.replace(kept)));
        Keeping(self.clone())
    }

    fn keep(&self, context: LocalContext) {
        let before = self.0.replace(context);
        drop_quietly(before);
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.0.keep(LocalContext::current());
    }
}

impl Home {
    /// A new task has the context and the group of what creates it (rule T42).
    #[cold]
    pub(super) fn bequeath(&self, slot: u32) {
        let group = self.locals.group();
        if group != 0 {
            self.assign(slot, group);
        }
        if self.locals.is_set() {
            // A new slot has none that this would replace.
            self.set_locals(slot, self.locals.get());
        }
    }

    /// Gives a task what it has set, or nothing, for its step. What code outside of tasks has left behind is
    /// forgotten.
    #[cold]
    pub(super) fn enter_locals(&self, slot: u32) {
        let context = self.tasks.borrow_mut().table.take_locals(slot);
        drop_quietly(self.locals.replace(context));
    }

    /// The step is over: a task that goes on keeps what it has set.
    #[cold]
    pub(super) fn leave_locals(&self, slot: u32, goes_on: bool) {
        let context = self.locals.replace(LocalContext::default());
        if goes_on {
            self.tasks.borrow_mut().table.set_locals(slot, context);
        } else {
            drop_quietly(context);
        }
    }

    /// What a callback has set is forgotten after it.
    #[inline]
    pub(crate) fn forget_locals(&self) {
        if self.locals.is_set() {
            drop_quietly(self.locals.replace(LocalContext::default()));
        }
    }

    /// Has a task that was not stepped yet begin with `context`.
    pub(crate) fn set_locals(&self, slot: u32, context: LocalContext) {
        let before = self.tasks.borrow_mut().table.set_locals(slot, context);
        drop_quietly(before);
    }
}
