//! `run_coroutine_threadsafe`: rules T170 to T176.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]
#![expect(clippy::disallowed_methods, reason = "other threads are the subject")]

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use corelane::{
    Error, RemoteLoop, RemoteTask, Result, Runner, create_task, run, run_coroutine_threadsafe,
    sleep, to_thread, yield_now,
};

/// A time that is up only if something has gone wrong.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

/// Runs `client` on a thread while a loop turns that it may talk to.
fn with_client<T: Send + 'static>(client: impl FnOnce(&RemoteLoop) -> T + Send + 'static) -> T {
    let mut runner = Runner::new();
    let remote = runner.remote().unwrap();
    let client = runner.run(async move || to_thread(move || Ok(client(&remote))).await);
    client.unwrap()
}

#[test]
fn handles_are_send_and_sync_whatever_the_future_is() {
    fn assert_shared<T: Send + Sync>(_: &T) {}
    let mut runner = Runner::new();
    let remote = runner.remote().unwrap();
    assert_shared(&remote);
    // `Cell` may be sent but not shared, `Rc` not even sent.
    let task = run_coroutine_threadsafe(&remote, || {
        let local = Rc::new(1);
        async move { Ok(Cell::new(*local)) }
    });
    assert_shared(&task);
}

#[test]
fn t170_values_and_errors_come_back_to_the_thread_that_asked() {
    let (value, error) = with_client(|remote| {
        let value = run_coroutine_threadsafe(remote, || async { Ok(5) }).result(LONG);
        let failed = run_coroutine_threadsafe(remote, || async { Ok("x".parse::<u8>()?) });
        let first = failed.result(LONG).unwrap_err();
        let again = failed.result(LONG).unwrap_err();
        assert_eq!(first.to_string(), again.to_string(), "an error may be asked for again");
        (value, first)
    });
    assert_eq!(value.unwrap(), 5);
    assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
}

#[test]
fn t170_a_panic_in_the_task_is_its_error() {
    let error = with_client(|remote| {
        let task = run_coroutine_threadsafe(remote, || async { panic!("over there") });
        let outcome: Result<()> = task.result(LONG);
        outcome.unwrap_err()
    });
    assert_eq!(error.panic_message(), Some("over there"));
}

#[test]
fn t171_a_result_that_timed_out_can_be_asked_for_again() {
    with_client(|remote| {
        let (open, gate) = mpsc::channel::<()>();
        let task = run_coroutine_threadsafe(remote, || async move {
            to_thread(move || Ok(gate.recv()?)).await?;
            Ok("after the gate")
        });
        assert!(task.result(SHORT).unwrap_err().is_timeout());
        assert!(task.result(Duration::ZERO).unwrap_err().is_timeout());
        assert!(!task.done() && !task.cancelled());
        open.send(()).unwrap();
        assert_eq!(task.result(None).unwrap(), "after the gate");
        assert!(task.done() && !task.cancelled());
        assert!(task.result(LONG).unwrap_err().is_runtime(), "a value is given once");
    });
}

#[test]
fn t171_a_wait_on_the_loops_own_thread_is_refused() {
    let mut runner = Runner::new();
    let remote = runner.remote().unwrap();
    let own = remote.clone();
    let task = run_coroutine_threadsafe(&remote, || async { Ok(7) });
    assert!(task.result(LONG).unwrap_err().is_runtime(), "nobody else turns this loop");
    let outcome = runner.run(async move || {
        let inner = run_coroutine_threadsafe(&own, || async { Ok(8) });
        assert!(inner.result(LONG).unwrap_err().is_runtime());
        yield_now().await;
        inner.await
    });
    assert_eq!(outcome.unwrap(), 8);
    assert_eq!(task.result(LONG).unwrap(), 7, "what is there already takes no waiting");
}

#[test]
fn t172_cancel_cancels_the_handle_at_once_and_the_task_in_its_turn() {
    struct Tells(mpsc::Sender<thread::ThreadId>);
    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }
    let home = thread::current().id();
    let client_thread = with_client(move |remote| {
        let (dropped, guard_dropped) = mpsc::channel();
        let (begun, has_begun) = mpsc::channel();
        let task: RemoteTask<()> = run_coroutine_threadsafe(remote, move || async move {
            let _guard = Tells(dropped);
            begun.send(())?;
            pending().await
        });
        has_begun.recv_timeout(LONG).unwrap();
        assert!(task.cancel() && task.cancelled() && task.done());
        assert_eq!(guard_dropped.recv_timeout(LONG), Ok(home), "dropped where it lived");
        assert!(task.result(LONG).unwrap_err().is_cancelled());
        assert!(task.cancel(), "it is cancelled now too");
        thread::current().id()
    });
    assert_ne!(client_thread, home);
}

#[test]
fn t172_a_task_that_has_ended_is_not_cancelled() {
    with_client(|remote| {
        let task = run_coroutine_threadsafe(remote, || async { Ok(1) });
        while !task.done() {
            thread::yield_now();
        }
        assert!(!task.cancel() && !task.cancelled());
        assert_eq!(task.result(None).unwrap(), 1);
    });
}

#[test]
fn t172_cancelled_before_it_was_made_it_never_runs() {
    let mut runner = Runner::new();
    let remote = runner.remote().unwrap();
    let called = Arc::new(Mutex::new(0));
    let count = Arc::clone(&called);
    let task = run_coroutine_threadsafe(&remote, move || {
        *count.lock().unwrap() += 1;
        async { Ok(()) }
    });
    task.cancel();
    runner
        .run(async || {
            yield_now().await;
            Ok(())
        })
        .unwrap();
    assert_eq!(*called.lock().unwrap(), 0);
    assert!(task.result(LONG).unwrap_err().is_cancelled());
}

#[test]
fn t172_cancel_ends_a_wait_on_another_thread() {
    with_client(|remote| {
        let task: Arc<RemoteTask<()>> =
            Arc::new(run_coroutine_threadsafe(remote, || async { pending().await }));
        let waits = Arc::clone(&task);
        let waiter = thread::spawn(move || waits.result(LONG));
        assert!(task.result(SHORT).unwrap_err().is_timeout());
        task.cancel();
        assert!(waiter.join().unwrap().unwrap_err().is_cancelled());
    });
}

#[test]
fn t173_a_task_that_is_cancelled_on_its_loop_cancels_the_handle() {
    with_client(|remote| {
        let task: RemoteTask<()> =
            run_coroutine_threadsafe(remote, || async { Err(Error::cancelled()) });
        assert!(task.result(LONG).unwrap_err().is_cancelled() && task.cancelled());
        let awaits_cancelled: RemoteTask<()> = run_coroutine_threadsafe(remote, || async {
            let inner = create_task(pending());
            inner.cancel();
            inner.await
        });
        assert!(awaits_cancelled.result(LONG).unwrap_err().is_cancelled());
    });
}

#[test]
fn t174_a_panic_while_the_task_is_made_goes_to_the_handle_and_is_reported() {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&reports);
    let mut runner = Runner::new();
    let remote = runner.remote().unwrap();
    let told = runner.run(async move || {
        corelane::set_report_handler(move |report| seen.lock().unwrap().push(report.to_string()));
        let client = move || {
            fn no_future() -> std::future::Ready<Result<()>> {
                panic!("no future")
            }
            let error = run_coroutine_threadsafe(&remote, no_future).result(LONG).unwrap_err();
            Ok(error.panic_message().map(str::to_owned))
        };
        to_thread(client).await
    });
    assert_eq!(told.unwrap().as_deref(), Some("no future"));
    assert_eq!(*reports.lock().unwrap(), ["a callback failed: panicked: no future"]);
}

#[test]
fn t175_tasks_start_in_the_order_of_their_submission_and_a_sleeping_loop_is_woken() {
    let order = with_client(|remote| {
        // The loop sleeps meanwhile, as it has nothing else to do than to wait for this thread.
        thread::sleep(SHORT);
        let order = Arc::new(Mutex::new(Vec::new()));
        let start = |number| {
            let order = Arc::clone(&order);
            run_coroutine_threadsafe(remote, move || async move {
                order.lock().unwrap().push(number);
                Ok(())
            })
        };
        let tasks: Vec<_> = (0..100).map(start).collect();
        for task in tasks {
            task.result(LONG).unwrap();
        }
        Arc::try_unwrap(order).unwrap().into_inner().unwrap()
    });
    assert_eq!(order, Vec::from_iter(0..100));
}

#[test]
fn t176_a_loop_that_was_closed_is_an_error() {
    let mut runner = Runner::new();
    let remote = runner.remote().unwrap();
    runner.close().unwrap();
    let task = run_coroutine_threadsafe(&remote, || async { Ok(()) });
    assert!(task.done() && !task.cancelled() && task.result(LONG).unwrap_err().is_runtime());
}

#[test]
fn t176_when_run_ends_the_task_is_cancelled_and_the_handle_with_it() {
    let handle: Rc<RefCell<Option<RemoteTask<()>>>> = Rc::default();
    let slot = Rc::clone(&handle);
    run(async move || {
        let own = corelane::lowlevel::current_remote()?;
        *slot.borrow_mut() = Some(run_coroutine_threadsafe(&own, || async { pending().await }));
        sleep(Duration::from_millis(1)).await;
        Ok(())
    })
    .unwrap();
    let task = handle.take().unwrap();
    assert!(task.cancelled() && task.result(LONG).unwrap_err().is_cancelled());
}

#[test]
fn t176_when_the_loop_closes_before_the_task_was_made_the_handle_is_cancelled() {
    let mut runner = Runner::new();
    let remote = runner.remote().unwrap();
    let task = run_coroutine_threadsafe(&remote, || async { Ok(()) });
    assert!(!task.done());
    // Not even one turn: a loop without tasks is closed as it stands.
    runner.close().unwrap();
    assert!(task.cancelled() && task.result(LONG).unwrap_err().is_cancelled());
}

#[test]
fn a_dropped_handle_lets_its_task_run_on_and_its_error_is_reported() {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&reports);
    run(async move || {
        corelane::set_report_handler(move |report| seen.borrow_mut().push(report.to_string()));
        let own = corelane::lowlevel::current_remote()?;
        let task: RemoteTask<()> = run_coroutine_threadsafe(&own, || async {
            sleep(Duration::from_millis(1)).await;
            Err(Error::msg("nobody asks"))
        });
        drop(task);
        sleep(SHORT).await;
        Ok(())
    })
    .unwrap();
    let reports = reports.borrow();
    assert!(reports.len() == 1 && reports[0].ends_with("nobody asks"), "{reports:?}");
    assert!(reports[0].contains("remote_task.rs"), "it names the place that submitted it");
}

#[test]
fn a_handle_is_awaited_on_another_loop_and_cancelling_the_awaiter_cancels_the_task() {
    let value = with_client(|remote| {
        let remote = remote.clone();
        run(async move || {
            let value = run_coroutine_threadsafe(&remote, || async { Ok(5) }).await?;
            let (dropped, is_dropped) = mpsc::channel::<()>();
            let (begun, has_begun) = mpsc::channel();
            let forever = run_coroutine_threadsafe(&remote, move || async move {
                let _guard = dropped;
                begun.send(())?;
                pending::<Result<()>>().await
            });
            let awaiter = create_task(forever);
            yield_now().await;
            has_begun.recv_timeout(LONG)?;
            awaiter.cancel();
            assert!(awaiter.await.unwrap_err().is_cancelled());
            assert_eq!(is_dropped.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
            Ok(value)
        })
    });
    assert_eq!(value.unwrap(), 5);
}

#[test]
fn a_handle_is_awaited_in_tokio() {
    let value = with_client(|remote| {
        let slow = run_coroutine_threadsafe(remote, || async {
            sleep(SHORT).await;
            Ok(42)
        });
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(slow)
    });
    assert_eq!(value.unwrap(), 42);
}

#[test]
fn eight_threads_that_submit_and_cancel_all_get_an_answer() {
    let mut runner = Runner::new();
    let remote = runner.remote().unwrap();
    let (finished, finish) = mpsc::channel();
    let client = |number: u32| {
        let (remote, finished) = (remote.clone(), finished.clone());
        thread::spawn(move || {
            for round in 0..200 {
                let task = run_coroutine_threadsafe(&remote, move || async move {
                    for _ in 0..round % 5 {
                        yield_now().await;
                    }
                    Ok(round)
                });
                if (round + number).is_multiple_of(3) {
                    task.cancel();
                }
                match task.result(LONG) {
                    Ok(value) => assert_eq!(value, round),
                    Err(error) => assert!(error.is_cancelled() || error.is_runtime(), "{error}"),
                }
            }
            finished.send(()).unwrap();
        })
    };
    let clients: Vec<_> = (0..8).map(client).collect();
    drop(finished);
    // The loop goes away while half of them are still at it.
    let half = runner.run(async move || {
        to_thread(move || {
            (0..4).try_for_each(|_| finish.recv())?;
            Ok(finish)
        })
        .await
    });
    runner.close().unwrap();
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(half.unwrap().iter().count(), 4);
}
