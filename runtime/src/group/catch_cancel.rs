//! asyncio's `try … except CancelledError`: the cancel frame as a future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{CancelledError, Result};
use crate::util::cancel::{Frame, Request};

/// Runs `future` inside a cancel frame (rules G23, G24). A request for the task comes to the innermost frame:
/// what is inside is dropped where it waits, its guards run, and the frame is ready, in the same step, with
/// the [`CancelledError`]. The code after it may wait and clean up, return a value, or
/// [`resume`](CancelledError::resume) the unwinding towards the next frame out.
///
/// The future is a fallible one. A [`CancelledError`] that comes out of it as an [`Error`](crate::Error), as
/// from a task that was cancelled, counts as the same thing (rule G29). [`catch_cancel_plain`] is for futures
/// that cannot fail.
///
/// ```
/// use std::time::Duration;
/// use corelane::{catch_cancel, sleep};
/// # corelane::Runner::builder().virtual_clock().build().run(async || {
/// let task = corelane::create_task(async {
///     let work = catch_cancel(async {
///         sleep(Duration::from_secs(3_600)).await;
///         Ok("finished")
///     });
///     match work.await {
///         Ok(outcome) => outcome,
///         Err(_cancelled) => {
///             sleep(Duration::from_secs(1)).await; // clean-up may wait
///             Ok("cleaned up")
///         }
///     }
/// });
/// corelane::yield_now().await;
/// task.cancel();
/// assert_eq!(task.await?, "cleaned up");
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// Where a task polls several futures at once (a join, a select), a request goes to every frame that has no
/// frame inside it. What lies beside them goes on until the unwinding reaches the frame around it.
///
/// # Cancel safety
/// Dropping it drops the future, as always in Rust: that is no request, and nothing is caught (rule G30).
pub fn catch_cancel<T, F>(future: F) -> CatchCancel<F::IntoFuture>
where
    F: IntoFuture<Output = Result<T>>,
{
    CatchCancel { plain: catch_cancel_plain(future) }
}

/// The same for a future that cannot fail.
///
/// # Cancel safety
/// As [`catch_cancel`].
pub fn catch_cancel_plain<F: IntoFuture>(future: F) -> CatchCancelPlain<F::IntoFuture> {
    CatchCancelPlain { future: Some(future.into_future()), frame: Frame::new() }
}

pin_project_lite::pin_project! {
    /// The future of [`catch_cancel`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct CatchCancel<F> {
        #[pin]
        plain: CatchCancelPlain<F>,
    }
}

pin_project_lite::pin_project! {
    /// The future of [`catch_cancel_plain`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct CatchCancelPlain<F> {
        #[pin]
        future: Option<F>,
        frame: Frame,
    }
}

impl<T, F: Future<Output = Result<T>>> Future for CatchCancel<F> {
    type Output = Result<Result<T>, CancelledError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().plain.poll(context).map(|caught| match caught {
            Ok(Err(error)) => match error.downcast_ref::<CancelledError>() {
                Some(cancelled) => Err(cancelled.clone()),
                None => Ok(Err(error)),
            },
            other => other,
        })
    }
}

impl<F: Future> Future for CatchCancelPlain<F> {
    type Output = Result<F::Output, CancelledError>;

    /// # Panics
    /// If it is polled after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let caught = |Request { message }| Poll::Ready(Err(CancelledError::with_words(message)));
        if let Some(request) = this.frame.take_request() {
            this.future.set(None);
            this.frame.leave();
            return caught(request);
        }
        let future = this.future.as_mut().as_pin_mut();
        let future = future.expect("a frame is not polled after it was ready");
        if let Poll::Ready(output) = this.frame.enter(context, |context| future.poll(context)) {
            this.frame.leave();
            this.future.set(None);
            return Poll::Ready(Ok(output));
        }
        // Unwinding that came from inside stops here (rule G24).
        match this.frame.take_request() {
            Some(request) => {
                this.future.set(None);
                this.frame.leave();
                caught(request)
            }
            None => Poll::Pending,
        }
    }
}

impl<F> fmt::Debug for CatchCancel<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchCancel").finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for CatchCancelPlain<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchCancelPlain").finish_non_exhaustive()
    }
}
