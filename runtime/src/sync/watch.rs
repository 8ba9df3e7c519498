//! The latest value of something that changes, for many who watch.
//!
//! ```
//! # fn main() -> corelane::Result<()> {
//! use corelane::sync::watch;
//!
//! corelane::run(async || {
//!     let (sender, mut receiver) = watch::channel("starting");
//!     let watcher = corelane::spawn(async move {
//!         let mut last = "";
//!         while let Ok(state) = receiver.changed().await {
//!             last = *state;
//!         }
//!         last
//!     });
//!     sender.send("ready");
//!     drop(sender);
//!     assert_eq!(watcher.await?, "ready");
//!     Ok(())
//! })
//! # }
//! ```
//!
//! Only the latest value is kept: a receiver that is slow sees some of them never, and the last one
//! always. Values are shared, so what a receiver looks at does not change under its eyes.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::rc::Rc;

use super::signal::Signal;
use crate::util::wait_kind::WaitKind;

struct Shared<T> {
    value: RefCell<Rc<T>>,
    /// Grows with each value.
    version: Cell<u64>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    /// Receivers wait here for a value, or for the end of the last sender.
    changes: Signal,
    /// Senders may wait here for the end of the last receiver.
    abandonment: Signal,
}

/// Makes a channel that holds this value, which counts as seen by the receiver.
#[must_use]
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        value: RefCell::new(Rc::new(value)),
        version: Cell::new(0),
        senders: Cell::new(1),
        receivers: Cell::new(1),
        changes: Signal::new(WaitKind::Watch),
        abandonment: Signal::new(WaitKind::Watch),
    });
    (Sender { shared: Rc::clone(&shared) }, Receiver { shared, seen: 0 })
}

/// An end that sends. There may be several.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

/// An end that watches. There may be several; each remembers what it has seen.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    seen: u64,
}

impl<T> Sender<T> {
    /// Replaces the value and wakes all who wait for a change. It works without receivers, too:
    /// somebody may [subscribe](Self::subscribe) later.
    pub fn send(&self, value: T) {
        let replaced = self.shared.value.replace(Rc::new(value));
        self.shared.version.set(self.shared.version.get() + 1);
        self.shared.changes.wake_all();
        drop(replaced);
    }

    /// The latest value.
    #[must_use]
    pub fn get(&self) -> Rc<T> {
        self.shared.get()
    }

    /// Makes a receiver that has seen the latest value.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::of(&self.shared, self.shared.version.get())
    }

    /// How many watch.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers.get()
    }

    /// Waits until nobody watches.
    ///
    /// # Cancel safety
    /// Safe: a dropped wait leaves nothing behind.
    pub async fn closed(&self) {
        let look = || (self.receiver_count() == 0).then_some(());
        self.shared.abandonment.until(look).await;
    }
}

impl<T> Receiver<T> {
    fn of(shared: &Rc<Shared<T>>, seen: u64) -> Self {
        shared.receivers.set(shared.receivers.get() + 1);
        Self { shared: Rc::clone(shared), seen }
    }

    /// The latest value, without remembering that it was seen.
    #[must_use]
    pub fn get(&self) -> Rc<T> {
        self.shared.get()
    }

    /// Whether there is a value that this receiver has not seen.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.seen != self.shared.version.get()
    }

    /// Waits for a value that this receiver has not seen, and returns the latest one, which then
    /// counts as seen. Without suspending if there is one.
    ///
    /// # Errors
    /// If there is none and all senders are gone.
    ///
    /// # Cancel safety
    /// Safe: a value counts as seen only if it was returned.
    pub async fn changed(&mut self) -> Result<Rc<T>, WatchClosed> {
        let look = || match self.has_changed() {
            true => Some(Ok(())),
            false => (self.shared.senders.get() == 0).then_some(Err(WatchClosed)),
        };
        self.shared.changes.until(look).await?;
        self.seen = self.shared.version.get();
        Ok(self.get())
    }

    /// Waits until `is_true` says so of the latest value, beginning with the present one, and returns
    /// it; it then counts as seen.
    ///
    /// # Errors
    /// If it is not true and all senders are gone.
    ///
    /// # Cancel safety
    /// Safe: a dropped wait loses no value.
    pub async fn wait_for(
        &mut self,
        mut is_true: impl FnMut(&T) -> bool,
    ) -> Result<Rc<T>, WatchClosed> {
        let mut value = self.get();
        self.seen = self.shared.version.get();
        while !is_true(&value) {
            value = self.changed().await?;
        }
        Ok(value)
    }
}

impl<T> Shared<T> {
    fn get(&self) -> Rc<T> {
        Rc::clone(&self.value.borrow())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.set(self.shared.senders.get() + 1);
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self::of(&self.shared, self.seen)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let rest = self.shared.senders.get() - 1;
        self.shared.senders.set(rest);
        if rest == 0 {
            self.shared.changes.wake_all();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let rest = self.shared.receivers.get() - 1;
        self.shared.receivers.set(rest);
        if rest == 0 {
            self.shared.abandonment.wake_all();
        }
    }
}

/// All senders are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchClosed;

impl fmt::Display for WatchClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody sends a value any more")
    }
}

impl Error for WatchClosed {}

impl<T: fmt::Debug> Shared<T> {
    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("value", &self.get())
            .field("senders", &self.senders.get())
            .field("receivers", &self.receivers.get())
            .field("waiters", &(self.changes.waiters() + self.abandonment.waiters()))
            .finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.describe("Sender", f)
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.describe("Receiver", f)
    }
}

#[cfg(test)]
mod tests;
