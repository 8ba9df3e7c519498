//! Foreign code where nobody could catch its panic: wakers that are woken, values that are dropped, errors that are told.
//!
//! What runs here may do as it likes, so nothing is borrowed around it; and a panic of it goes no
//! further, because what comes after it is somebody else's.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

use corelane::lowlevel::current_remote;
use corelane::{Error, call_soon};

/// Calls `f`. A panic is reported through the loop (rule G10); off a loop it is logged.
pub(crate) fn guarded(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        report(payload);
    }
}

/// Drops `value`.
pub(crate) fn drop_quietly<T>(value: T) {
    guarded(move || drop(value));
}

/// Wakes all, whatever some of them do.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        guarded(|| waker.wake());
    }
}

/// The text of an error, which is the application's to make.
pub(crate) fn text_of(error: &Error) -> String {
    let made = catch_unwind(AssertUnwindSafe(|| error.to_string()));
    made.unwrap_or_else(|payload| {
        let panic = Error::panicked(payload);
        let text = format!("an error whose text cannot be had: {panic}");
        drop_quietly(panic);
        text
    })
}

#[cold]
fn report(payload: Box<dyn Any + Send>) {
    if current_remote().is_ok() {
        // The loop reports what its callbacks panic with.
        return call_soon(move || resume_unwind(payload));
    }
    let error = Error::panicked(payload);
    corelane::__report!(ERROR, "a guard or a waker panicked: {error}");
}
