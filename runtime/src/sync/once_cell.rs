//! A value that is made once, by whoever needs it first.
//!
//! Those who want to make it take turns at a lock. The first one that succeeds sets the value, and the
//! others find it; if the one at work fails, is cancelled or is dropped, the next one has its turn.

use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;

use super::{Event, Lock};
use crate::util::wait_kind::WaitKind;

/// A cell that is set once: made by one task, awaited by others. A clone is the same cell.
///
/// # Examples
/// ```
/// # fn main() -> corelane::Result<()> {
/// use corelane::sync::OnceCell;
///
/// corelane::run(async || {
///     let config = OnceCell::new();
///     let reader = config.clone();
///     let waits = corelane::spawn(async move { *reader.wait().await });
///     let made = config.get_or_init(async || 7).await;
///     assert_eq!((*made, waits.await?), (7, 7));
///     Ok(())
/// })
/// # }
/// ```
pub struct OnceCell<T> {
    inner: Rc<Inner<T>>,
}

struct Inner<T> {
    value: std::cell::OnceCell<T>,
    making: Lock,
    set: Event,
}

impl<T> OnceCell<T> {
    /// Makes an empty cell.
    #[must_use]
    pub fn new() -> Self {
        let value = std::cell::OnceCell::new();
        Self {
            inner: Rc::new(Inner {
                value,
                making: Lock::new(()),
                set: Event::of_kind(WaitKind::OnceCell),
            }),
        }
    }

    /// The value if it was set.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.inner.value.get()
    }

    /// Sets the value and wakes all who wait for it. Somebody who is at work on making one finds
    /// this one instead when it is done.
    ///
    /// # Errors
    /// The value comes back if there is one already.
    pub fn set(&self, value: T) -> Result<(), T> {
        self.inner.value.set(value)?;
        self.inner.set.set();
        Ok(())
    }

    /// Waits until somebody has set the value.
    ///
    /// # Cancel safety
    /// Safe: a dropped wait leaves nothing behind.
    pub async fn wait(&self) -> &T {
        self.inner.set.wait().await;
        self.present()
    }

    /// Gives the value, or makes it. Whoever comes while it is being made waits for that.
    ///
    /// # Cancel safety
    /// Safe: if the making is dropped half-way, the next one who waits makes it.
    pub async fn get_or_init(&self, init: impl AsyncFnOnce() -> T) -> &T {
        let made = self.get_or_try_init(async || Ok::<T, Infallible>(init().await)).await;
        made.unwrap_or_else(|never| match never {})
    }

    /// As [`get_or_init`](Self::get_or_init), if making may fail.
    ///
    /// # Errors
    /// If `init` fails. The cell stays empty then, and the next one who waits makes it.
    ///
    /// # Cancel safety
    /// Safe: if the making is dropped half-way, the next one who waits makes it.
    pub async fn get_or_try_init<E>(
        &self,
        init: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let _turn = self.inner.making.acquire().await;
        if self.get().is_none() {
            // If somebody has set it meanwhile, theirs stands.
            let _ = self.set(init().await?);
        }
        Ok(self.present())
    }

    /// The value, where it is known to be there.
    fn present(&self) -> &T {
        self.get().expect("it was set before, and a value is never taken away")
    }
}

impl<T> Clone for OnceCell<T> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceCell")
            .field("value", &self.get())
            .field("making", &self.inner.making)
            .field("set", &self.inner.set)
            .finish()
    }
}

#[cfg(test)]
mod tests;
