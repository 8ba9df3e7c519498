//! What a task's handle tells and who may wait on it: rules T25 to T37.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use corelane::{Result, Task, create_task, current_task, sleep, spawn, yield_now};
use task_support::{Log, failing, virtual_run};

#[test]
fn t26_the_outcome_of_an_unfinished_task_is_an_invalid_state() {
    virtual_run(async || {
        let task = spawn(async { 7 });
        assert!(task.result().unwrap_err().is_invalid_state());
        assert!(task.exception().unwrap_err().is_invalid_state());
        yield_now().await;
        assert_eq!(task.result()?, 7);
        assert_eq!(task.result()?, 7, "as often as one likes");
        assert!(task.exception()?.is_none());
        assert_eq!(task.await?, 7);
        Ok(())
    });
}

#[test]
fn t26_the_outcome_of_a_failed_or_cancelled_task_is_its_error() {
    virtual_run(async || {
        let failed = failing();
        let cancelled = spawn(pending::<u32>());
        cancelled.cancel();
        yield_now().await;
        assert_eq!(failed.result().unwrap_err().to_string(), "mine");
        assert_eq!(failed.exception()?.unwrap().to_string(), "mine");
        assert!(cancelled.result().unwrap_err().is_cancelled());
        assert!(cancelled.exception().unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn t26_a_spent_handle_keeps_its_error_and_says_that_its_value_is_gone() {
    virtual_run(async || {
        let (mut value, mut failed) = (spawn(async { 7 }), failing());
        assert_eq!((&mut value).await?, 7);
        (&mut failed).await.unwrap_err();
        assert!(value.exception()?.is_none() && !value.cancelled());
        assert!(value.result().unwrap_err().is_invalid_state());
        assert_eq!(failed.exception()?.unwrap().to_string(), "mine");
        assert_eq!(failed.result().unwrap_err().to_string(), "mine");
        let mut cancelled = spawn(pending::<u32>());
        cancelled.cancel();
        (&mut cancelled).await.unwrap_err();
        assert!(cancelled.cancelled() && cancelled.done());
        assert!(cancelled.exception().unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn t27_all_who_await_a_task_see_its_outcome_in_the_order_in_which_they_began() {
    virtual_run(async || {
        let order: Rc<RefCell<Vec<usize>>> = Rc::default();
        let shared = Rc::new(create_task(async {
            sleep(Duration::from_secs(1)).await;
            Ok("outcome".to_owned())
        }));
        let waiters: Vec<_> = (0..5)
            .map(|index| {
                let (shared, order) = (Rc::clone(&shared), Rc::clone(&order));
                create_task(async move {
                    let outcome = (&*shared).await?;
                    order.borrow_mut().push(index);
                    Ok(outcome)
                })
            })
            .collect();
        for waiter in waiters {
            assert_eq!(waiter.await?, "outcome");
        }
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
        assert_eq!((&*shared).await?, "outcome", "also of a task that is done");
        Ok(())
    });
}

#[test]
fn t27_a_share_and_the_handle_itself_wait_in_one_line() {
    virtual_run(async || {
        let order: Rc<RefCell<Vec<&str>>> = Rc::default();
        let mut task = spawn(sleep(Duration::from_secs(1)));
        std::future::poll_fn(|context| {
            use std::pin::Pin;
            use std::task::Poll;
            // The handle is awaited by this task, then shared, then awaited again where it stood.
            assert!(Pin::new(&mut task).poll(context).is_pending());
            {
                let mut share = Box::pin((&task).into_future());
                assert!(share.as_mut().poll(context).is_pending());
                assert!(share.as_mut().poll(context).is_pending());
            }
            assert!(Pin::new(&mut task).poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        let noted = Rc::clone(&order);
        task.add_done_callback(move |_| noted.borrow_mut().push("callback"));
        task.await?;
        order.borrow_mut().push("awaited");
        yield_now().await;
        // Both were queued by the task's end, the one who awaits first.
        assert_eq!(*order.borrow(), ["awaited", "callback"]);
        Ok(())
    });
}

#[test]
fn t27_an_error_reaches_every_awaiter_and_none_of_them_spends_it() {
    virtual_run(async || {
        let reports = Log::reports();
        let task = failing();
        for _ in 0..3 {
            assert_eq!((&task).await.unwrap_err().to_string(), "mine");
        }
        drop(task);
        assert!(reports.is_empty());
        Ok(())
    });
}

#[test]
fn t27_a_share_that_was_dropped_is_woken_no_more_and_leaves_nothing() {
    virtual_run(async || {
        let task = spawn(sleep(Duration::from_secs(3_600)));
        for _ in 0..1_000 {
            std::future::poll_fn(|context| {
                let share = std::pin::pin!((&task).into_future());
                assert!(share.poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        }
        assert!(!task.done());
        task.await
    });
}

#[test]
fn t28_awaiting_a_cancelled_task_gives_the_cancellation() {
    virtual_run(async || {
        let task = spawn(pending::<()>());
        task.cancel_with("enough");
        let error = (&task).await.unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(error.to_string(), "cancelled: enough");
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn t29_a_task_that_awaits_its_own_share_gets_an_error() {
    virtual_run(async || {
        let own: Rc<RefCell<Option<Rc<Task<()>>>>> = Rc::default();
        let handle = Rc::clone(&own);
        let task = Rc::new(create_task(async move {
            let own = handle.take().unwrap();
            assert!((&*own).await.unwrap_err().is_runtime());
            assert!(own.result().unwrap_err().is_invalid_state());
            Ok(())
        }));
        *own.borrow_mut() = Some(Rc::clone(&task));
        (&*task).await
    });
}

#[test]
fn t33_names_change_at_any_time() {
    virtual_run(async || {
        let mut task = spawn(async { current_task().unwrap().unwrap().name() });
        assert_eq!(task.name(), "Task-2");
        task.set_name("early");
        assert_eq!((&mut task).await?, "early");
        assert_eq!(task.name(), "early", "the name outlives the output");
        task.set_name("late");
        assert_eq!(task.name(), "late");
        let plain = spawn(async {});
        yield_now().await;
        plain.set_name("done");
        assert_eq!(plain.name(), "done");
        Ok(())
    });
}

#[test]
fn t33_a_task_names_itself() {
    virtual_run(async || {
        let task = spawn(async {
            let me = current_task().unwrap().unwrap();
            me.set_name("self-made");
            assert_eq!(me.name(), "self-made");
            me
        });
        yield_now().await;
        assert_eq!(task.name(), "self-made");
        let stale = task.await?;
        // The slot of the old task is another's now.
        let other = spawn(pending::<()>());
        stale.set_name("stranger");
        assert_eq!(other.name(), format!("Task-{}", other.id()));
        assert_eq!(stale.name(), format!("Task-{}", stale.id()));
        Ok(())
    });
}

#[test]
fn t31_a_task_asks_itself_and_takes_it_back() {
    virtual_run(async || {
        let task = spawn(async {
            let me = current_task().unwrap().unwrap();
            assert!(me.cancel() && me.cancel_with("twice"));
            assert_eq!((me.cancelling(), me.uncancel(), me.uncancel()), (2, 1, 0));
            yield_now().await;
            assert!(me.cancel());
            me
        });
        yield_now().await;
        yield_now().await;
        assert!(task.cancelled(), "the last request stands");
        let task = spawn(async { current_task().unwrap().unwrap() });
        let stale = task.await?;
        let other = spawn(pending::<()>());
        assert!(!stale.cancel() && stale.cancelling() == 0 && stale.uncancel() == 0);
        assert_eq!(other.cancelling(), 0, "whoever has the slot now is not touched");
        Ok(())
    });
}

#[test]
fn t31_a_spent_handle_keeps_its_count() {
    virtual_run(async || {
        let mut task = spawn(pending::<()>());
        task.cancel();
        task.cancel();
        (&mut task).await.unwrap_err();
        assert_eq!(
            (task.cancelling(), task.uncancel(), task.uncancel(), task.uncancel()),
            (2, 1, 0, 0)
        );
        Ok(())
    });
}

#[test]
fn g26_a_request_to_one_who_awaits_a_share_goes_to_the_shared_task() {
    virtual_run(async || {
        let inner = Rc::new(create_task(async {
            corelane::catch_cancel(pending::<Result<()>>()).await.unwrap_err();
            Ok(7)
        }));
        let shared = Rc::clone(&inner);
        let outer = create_task(async move { (&*shared).await });
        yield_now().await;
        yield_now().await;
        assert!(outer.cancel());
        assert_eq!(outer.await?, 7, "the inner task swallowed it");
        assert_eq!(inner.cancelling(), 1);
        Ok(())
    });
}

#[test]
fn t34_exception_and_result_count_as_having_asked_and_done_does_not() {
    virtual_run(async || {
        let reports = Log::reports();
        let (by_exception, by_result, by_nobody) = (failing(), failing(), failing());
        yield_now().await;
        by_exception.exception()?.unwrap();
        by_result.result().unwrap_err();
        assert!(by_nobody.done() && !by_nobody.cancelled());
        drop((by_exception, by_result));
        assert!(reports.is_empty());
        drop(by_nobody);
        assert_eq!(reports.take(), ["never-retrieved mine"]);
        Ok(())
    });
}

#[test]
fn g31_a_value_may_call_anything_while_it_is_cloned() {
    struct Curious(Rc<RefCell<Option<Rc<Task<Self>>>>>);
    impl Clone for Curious {
        fn clone(&self) -> Self {
            let handle = self.0.borrow().clone().unwrap();
            assert!(handle.done() && !handle.cancelled());
            assert!(handle.result().is_err_and(|error| error.is_invalid_state()));
            assert!(handle.exception().unwrap().is_none());
            drop(spawn(async {}));
            Self(Rc::clone(&self.0))
        }
    }
    virtual_run(async || {
        let own = Rc::default();
        let inside = Rc::clone(&own);
        let task = Rc::new(spawn(async { Curious(inside) }));
        *own.borrow_mut() = Some(Rc::clone(&task));
        (&*task).await?;
        task.result()?;
        own.borrow_mut().take();
        Ok(())
    });
}

#[test]
fn a_value_whose_clone_panics_is_still_there() {
    struct Fails(Rc<Cell<bool>>);
    impl Clone for Fails {
        fn clone(&self) -> Self {
            assert!(!self.0.get(), "in clone");
            Self(Rc::clone(&self.0))
        }
    }
    virtual_run(async || {
        let fails = Rc::new(Cell::new(true));
        let inside = Rc::clone(&fails);
        let task = Rc::new(spawn(async { Fails(inside) }));
        let shared = Rc::clone(&task);
        let waiter = create_task(async move { (&*shared).await.map(|_| ()) });
        assert!(waiter.await.unwrap_err().is_panic());
        fails.set(false);
        task.result().map(|_| ())
    });
}
