//! Work in progress, and an end to it.
//!
//! ```text
//!  open ──close──▶ closing ──the last one leaves──▶ drained
//!   │ enter, leave    │ leave; enter is refused
//! ```

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::rc::Rc;

use super::signal::Signal;
use crate::util::wait_kind::WaitKind;

/// Counts who is inside, refuses newcomers once closed, and tells when the last one has left: what
/// a service waits for before it ends. A clone is the same gate.
///
/// # Examples
/// ```
/// # fn main() -> corelane::Result<()> {
/// use corelane::sync::Gate;
///
/// corelane::run(async || {
///     let gate = Gate::new();
///     let inside = gate.enter()?;
///     let work = corelane::spawn(async move {
///         corelane::yield_now().await;
///         drop(inside);
///     });
///     gate.close();
///     assert!(gate.enter().is_err());
///     gate.wait_closed().await; // the work is done
///     work.await
/// })
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Gate {
    inner: Rc<Inner>,
}

struct Inner {
    inside: Cell<usize>,
    closed: Cell<bool>,
    drained: Signal,
}

impl Gate {
    /// Makes an open gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes inside, until the guard is dropped.
    ///
    /// # Errors
    /// If the gate is closed.
    pub fn enter(&self) -> Result<GateGuard, GateClosed> {
        if self.is_closed() {
            return Err(GateClosed);
        }
        self.inner.inside.set(self.inner.inside.get() + 1);
        Ok(GateGuard { gate: Rc::clone(&self.inner) })
    }

    /// Refuses newcomers from now on. Closing again changes nothing.
    pub fn close(&self) {
        self.inner.closed.set(true);
        self.inner.wake_if_drained();
    }

    /// Waits until the gate is closed and nobody is inside.
    ///
    /// # Cancel safety
    /// Safe: a dropped wait leaves nothing behind.
    pub async fn wait_closed(&self) {
        self.inner.drained.until(|| self.inner.is_drained().then_some(())).await;
    }

    /// Whether the gate was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.closed.get()
    }

    /// How many are inside.
    #[must_use]
    pub fn inside_count(&self) -> usize {
        self.inner.inside.get()
    }
}

impl Default for Inner {
    fn default() -> Self {
        let drained = Signal::new(WaitKind::Gate);
        Self { inside: Cell::default(), closed: Cell::default(), drained }
    }
}

impl Inner {
    fn is_drained(&self) -> bool {
        self.closed.get() && self.inside.get() == 0
    }

    fn wake_if_drained(&self) {
        if self.is_drained() {
            self.drained.wake_all();
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("closed", &self.is_closed())
            .field("inside", &self.inside_count())
            .field("waiters", &self.inner.drained.waiters())
            .finish()
    }
}

/// Somebody inside a [`Gate`]. Dropping it leaves. It borrows nothing, so it can move into a task.
#[must_use = "dropping a guard leaves the gate at once"]
pub struct GateGuard {
    gate: Rc<Inner>,
}

impl Drop for GateGuard {
    fn drop(&mut self) {
        self.gate.inside.set(self.gate.inside.get() - 1);
        self.gate.wake_if_drained();
    }
}

impl fmt::Debug for GateGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateGuard").finish_non_exhaustive()
    }
}

/// The gate was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateClosed;

impl fmt::Display for GateClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the gate is closed")
    }
}

impl Error for GateClosed {}

#[cfg(test)]
mod tests;
