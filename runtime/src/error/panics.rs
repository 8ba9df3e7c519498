//! Panics that were caught: what is kept of one, and who is told of it.

#[cfg(test)]
mod tests;

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

thread_local! {
    /// Who is told of the panics that are caught on this thread.
    static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
}

type Watcher = Rc<dyn Fn(&str)>;

/// A panic that was caught at a task's edge.
pub(super) struct Panic {
    pub(super) message: String,
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Panic {
    pub(super) fn caught(payload: Box<dyn Any + Send>) -> Self {
        let message = message_of(&*payload);
        tell(&message);
        Self { message, payload: Mutex::new(Some(payload)) }
    }

    /// The payload, once.
    pub(super) fn take_payload(&self) -> Option<Box<dyn Any + Send>> {
        // A poisoned lock would mean that `Option::take` panicked: it cannot.
        self.payload.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Has a function called with the message of each panic that is caught on this thread, for as long as it lives:
/// those of tasks, callbacks, wakers and destructors, which otherwise end as an error or in the log.
///
/// It is for whoever turns a loop and has a rule of its own for panics, such as to end the process. What a
/// program catches itself is not told. A later watch takes the place of an earlier one.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use corelane::lowlevel::{EventLoop, LoopConfig, PanicWatch};
///
/// let count = Rc::new(Cell::new(0));
/// let counts = Rc::clone(&count);
/// let _watch = PanicWatch::new(move |_message| counts.set(counts.get() + 1));
/// let mut event_loop = EventLoop::new(&LoopConfig::default())?;
/// let task = event_loop.create_task(async { panic!("on purpose") as corelane::Result<()> })?;
/// event_loop.turn_until(|| task.done())?;
/// assert_eq!(count.get(), 1);
/// # Ok::<(), corelane::Error>(())
/// ```
#[must_use = "dropping it ends the watch"]
pub struct PanicWatch {
    /// Not `Send`, as a watch is of its thread: by it, its end takes no other one along.
    watcher: Watcher,
}

impl PanicWatch {
    /// Has `f` called from now on. It is called in the middle of whatever caught the panic: it may note it or
    /// send a message, and must not touch the loop. A panic of its own goes no further.
    pub fn new(f: impl Fn(&str) + 'static) -> Self {
        let watcher: Watcher = Rc::new(f);
        WATCHER.set(Some(Rc::clone(&watcher)));
        Self { watcher }
    }

    /// Takes the watch off its thread while loops of others are turned there: [`resume`](Self::resume) has it go on.
    pub fn pause(&self) {
        WATCHER.set(None);
    }

    /// Goes on after a [`pause`](Self::pause), in the place of whatever watch there is.
    pub fn resume(&self) {
        WATCHER.set(Some(Rc::clone(&self.watcher)));
    }
}

impl Drop for PanicWatch {
    fn drop(&mut self) {
        // Refused, the thread is ending and its watcher has gone. A later watch goes on.
        let _ = WATCHER.try_with(|watcher| {
            let mut watcher = watcher.borrow_mut();
            if watcher.as_ref().is_some_and(|watcher| Rc::ptr_eq(watcher, &self.watcher)) {
                *watcher = None;
            }
        });
    }
}

impl fmt::Debug for PanicWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PanicWatch").finish_non_exhaustive()
    }
}

#[cold]
fn tell(message: &str) {
    // A guard of the thread itself may panic when there is no watcher any more.
    let watcher = WATCHER.try_with(|watcher| watcher.borrow().clone());
    if let Ok(Some(watcher)) = watcher {
        // Nobody is left who could be told of a panic of this one.
        let _ = catch_unwind(AssertUnwindSafe(|| watcher(message)));
    }
}

/// Drops a value whose destructor may panic where nothing may unwind: the panic is written to the log, and a
/// payload whose own destructor panics is leaked.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        let message = message_of(&*payload);
        __report!(ERROR, "a panic in a destructor: {message}");
        tell(&message);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(payload);
        }
    }
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic whose payload is not a text".to_owned()
    }
}
