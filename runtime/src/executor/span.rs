//! A task inside of its span.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tracing::dispatcher::get_default;
use tracing::span::{Id, Span};

/// A task that has more spans entered than this when it is suspended leaves the rest to its thread.
const MAX_KEPT: usize = 256;

pin_project! {
    /// A future that is polled, and dropped, inside of a span, and leaves none behind. Spans that it has entered
    /// and not exited are exited when it is suspended and entered again when it goes on: on this thread they
    /// would be those of whatever task comes next.
    pub(super) struct Spanned<F> {
        #[pin]
        future: Option<F>,
        span: Span,
        kept: Vec<Id>,
    }

    impl<F> PinnedDrop for Spanned<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            inside(this.span, this.kept, || this.future.set(None));
        }
    }
}

impl<F> Spanned<F> {
    pub(super) fn new(span: Span, future: F) -> Self {
        Self { future: Some(future), span, kept: Vec::new() }
    }
}

impl<F: Future> Future for Spanned<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let future = this.future.as_pin_mut();
        let future = future.expect("a task is not polled after it was dropped");
        inside(this.span, this.kept, || future.poll(context))
    }
}

/// Calls `f` with `span` entered, and inside of it those that were `kept`.
fn inside<R>(span: &Span, kept: &mut Vec<Id>, f: impl FnOnce() -> R) -> R {
    let _entered = span.enter();
    let floor = current();
    for id in kept.drain(..).rev() {
        get_default(|dispatch| dispatch.enter(&id));
    }
    // A guard, as `f` may panic.
    let _leaving = Leaving { floor, kept };
    f()
}

/// Exits what was entered and is still there, and keeps it, the innermost first.
struct Leaving<'a> {
    floor: Option<Id>,
    kept: &'a mut Vec<Id>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        while self.kept.len() < MAX_KEPT
            && let Some(id) = current().filter(|id| Some(id) != self.floor.as_ref())
        {
            get_default(|dispatch| dispatch.exit(&id));
            self.kept.push(id);
        }
    }
}

fn current() -> Option<Id> {
    get_default(|dispatch| dispatch.current_span().id().cloned())
}
