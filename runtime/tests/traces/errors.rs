//! The family of errors (rules E1 to E7).

use std::io;

use bytes::Bytes;
use corelane::sync::{BrokenBarrierError, QueueEmpty, QueueFull, QueueShutDown};
use corelane::{
    CancelledError, Error, InvalidStateError, ReadError, TimeoutError, catch_cancel, create_task,
    sleep, yield_now,
};

use crate::support::{FOREVER, check_run};

/// What generic handling sees: an `Error`, or the `io::Error` that it becomes.
fn handle(error: impl Into<Error>) {
    let error = error.into();
    if error.is_cancelled() {
        return ev!(error, "passes generic handlers");
    }
    let kind = io::Error::from(error.clone()).kind();
    ev!(
        error,
        "ordinary",
        os_error = kind == io::ErrorKind::TimedOut,
        eof = kind == io::ErrorKind::UnexpectedEof,
        runtime = error.is_runtime()
    );
}

fn incomplete(expected: Option<usize>) -> ReadError {
    ReadError::Incomplete { partial: Bytes::from_static(b"part"), expected }
}

#[test]
fn task_exceptions() {
    check_run("task_exceptions", async || {
        handle(CancelledError::default());
        handle(TimeoutError::default());
        handle(InvalidStateError("not yet"));
        handle(incomplete(Some(10)));
        handle(ReadError::LimitOverrun { consumed: 7 });
        handle(BrokenBarrierError);
        // There is no sendfile, so none that is not available.
        ev!("SendfileNotAvailableError", "ordinary", os_error = false, eof = false, runtime = true);
        handle(QueueEmpty);
        handle(QueueFull(()));
        handle(QueueShutDown(()));
        let e = incomplete(None);
        if let ReadError::Incomplete { partial, expected } = &e {
            ev!(e, partial = partial, expected = expected);
        }
        let e = ReadError::LimitOverrun { consumed: 7 };
        if let ReadError::LimitOverrun { consumed } = &e {
            ev!(e, consumed = consumed);
        }

        let t = create_task(async {
            let body = async {
                sleep(FOREVER).await;
                Ok::<_, Error>(())
            };
            if body.await.is_err() {
                ev!("must not run");
            }
            Ok(())
        });
        yield_now().await;
        t.cancel();
        if let Err(cancelled) = catch_cancel(t).await {
            ev!("cancellation went through", cancelled);
        }
        Ok(())
    });
}
