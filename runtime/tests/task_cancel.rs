//! Cancellation of tasks without frames: rules G20 to G22, and that nothing handed over is lost.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use corelane::sync::{Event, Lock, Queue};
use corelane::{
    CancelledError, Error, Task, create_task, sleep, spawn, timeout, wait_for, yield_now,
};
use task_support::{settle, virtual_run};

/// Calls a closure when it is dropped.
struct Guard<F: FnMut()>(F);

impl<F: FnMut()> Drop for Guard<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn g20_a_request_drops_nothing_before_the_tasks_own_turn() {
    virtual_run(async || {
        let dropped = Rc::new(Cell::new(false));
        let flag = Rc::clone(&dropped);
        let task = spawn(async move {
            let _guard = Guard(|| flag.set(true));
            pending::<()>().await;
        });
        yield_now().await;
        assert!(task.cancel());
        assert!(!dropped.get() && !task.done());
        yield_now().await;
        assert!(dropped.get() && task.done() && task.cancelled());
        assert!(!task.cancel(), "a task that is done refuses");
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn g21_self_cancel_takes_effect_at_the_next_suspension() {
    virtual_run(async || {
        let passed = Rc::new(Cell::new(0));
        let seen = Rc::clone(&passed);
        let handle: Rc<RefCell<Option<Task<()>>>> = Rc::default();
        let own = Rc::clone(&handle);
        let task = spawn(async move {
            assert!(own.borrow().as_ref().unwrap().cancel());
            seen.set(1);
            yield_now().await;
            seen.set(2);
        });
        *handle.borrow_mut() = Some(task);
        settle().await;
        let task = handle.take().unwrap();
        assert_eq!(passed.get(), 1);
        assert!(task.cancelled());
        drop(task);
        Ok(())
    });
}

#[test]
fn g21_a_value_after_the_request_is_dropped_and_an_error_stands() {
    virtual_run(async || {
        for fails in [false, true] {
            let handle: Rc<RefCell<Option<Task<u32>>>> = Rc::default();
            let own = Rc::clone(&handle);
            let task = create_task(async move {
                own.borrow().as_ref().unwrap().cancel();
                if fails { Err(Error::msg("mine")) } else { Ok(7) }
            });
            *handle.borrow_mut() = Some(task);
            settle().await;
            let error = handle.take().unwrap().await.unwrap_err();
            assert_eq!(error.is_cancelled(), !fails);
        }
        Ok(())
    });
}

#[test]
fn g22_a_task_cancelled_before_its_first_step_runs_nothing_of_its_body() {
    virtual_run(async || {
        let ran = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ran);
        let task = spawn(async move { flag.set(true) });
        assert!(task.cancel());
        assert!(!task.done(), "not before its turn");
        yield_now().await;
        assert!(task.cancelled() && !ran.get());
        Ok(())
    });
}

#[test]
fn g28_the_message_of_the_first_request_reaches_the_awaiter() {
    virtual_run(async || {
        let task = spawn(pending::<()>());
        yield_now().await;
        assert!(task.cancel_with("enough"));
        assert!(task.cancel_with("too late"));
        let error = task.await.unwrap_err();
        let cancelled = error.downcast_ref::<CancelledError>().unwrap();
        assert_eq!(cancelled.message(), Some("enough"));
        Ok(())
    });
}

#[test]
fn g27_a_body_that_returns_the_carrier_of_cancellation_is_cancelled_not_failed() {
    virtual_run(async || {
        let inner = spawn(pending::<()>());
        inner.cancel();
        let outer = create_task(inner);
        settle().await;
        assert!(outer.cancelled());
        Ok(())
    });
}

#[test]
fn g31_guards_may_call_anything_while_they_are_dropped() {
    virtual_run(async || {
        let handle: Rc<RefCell<Option<Task<()>>>> = Rc::default();
        let own = Rc::clone(&handle);
        let ran = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ran);
        let task = spawn(async move {
            let _guard = Guard(move || {
                let flag = Rc::clone(&flag);
                drop(spawn(async move { flag.set(true) }));
                let handle = own.borrow();
                let task = handle.as_ref().unwrap();
                assert!(!task.done());
                task.cancel();
                task.set_name("in its guard");
            });
            pending::<()>().await;
        });
        *handle.borrow_mut() = Some(task);
        yield_now().await;
        handle.borrow().as_ref().unwrap().cancel();
        settle().await;
        assert!(ran.get());
        assert_eq!(handle.borrow().as_ref().unwrap().name(), "in its guard");
        Ok(())
    });
}

#[test]
fn g31_a_guard_may_drop_the_last_handle_of_its_own_task() {
    virtual_run(async || {
        let handle: Rc<RefCell<Option<Task<()>>>> = Rc::default();
        let own = Rc::clone(&handle);
        let task = spawn(async move {
            let _guard = Guard(move || drop(own.take()));
            pending::<()>().await;
        });
        *handle.borrow_mut() = Some(task);
        yield_now().await;
        handle.borrow().as_ref().unwrap().cancel();
        settle().await;
        assert!(handle.borrow().is_none());
        Ok(())
    });
}

#[test]
fn l5_a_lock_that_was_handed_to_a_cancelled_task_goes_to_the_next() {
    virtual_run(async || {
        let lock = Lock::new(());
        let held = lock.acquire().await;
        let got = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..3)
            .map(|index| {
                let (lock, got) = (lock.clone(), Rc::clone(&got));
                spawn(async move {
                    let _held = lock.acquire().await;
                    got.borrow_mut().push(index);
                })
            })
            .collect();
        yield_now().await;
        // Dead from the moment of the request, so the release in the same step passes over it.
        tasks[0].cancel();
        drop(held);
        // Woken by that release, and cancelled before its turn.
        tasks[1].cancel();
        settle().await;
        assert_eq!(*got.borrow(), [2]);
        assert!(!lock.locked());
        Ok(())
    });
}

#[test]
fn q20_an_item_is_not_lost_with_the_getter_that_was_woken_for_it() {
    virtual_run(async || {
        let queue = Queue::new(0);
        let getters: Vec<_> = (0..2)
            .map(|_| {
                let queue = queue.clone();
                create_task(async move { Ok(queue.get().await?) })
            })
            .collect();
        yield_now().await;
        queue.put_nowait("item").unwrap();
        getters[0].cancel();
        settle().await;
        let mut got = Vec::new();
        for getter in getters {
            got.push(getter.await.ok());
        }
        assert_eq!(got, [None, Some("item")]);
        Ok(())
    });
}

#[test]
fn q23_a_wait_that_times_out_leaves_the_item_in_the_queue() {
    virtual_run(async || {
        let queue = Queue::<u32>::new(0);
        let late = wait_for(queue.get(), Duration::from_secs(1)).await;
        assert!(late.unwrap_err().is_timeout());
        queue.put_nowait(1).unwrap();
        assert_eq!(wait_for(queue.get(), Duration::from_secs(1)).await?, 1);
        Ok(())
    });
}

#[test]
fn t111_a_scope_that_expires_ends_with_a_timeout_and_runs_the_guards_of_its_body() {
    virtual_run(async || {
        let dropped = Rc::new(Cell::new(false));
        let flag = Rc::clone(&dropped);
        let error = timeout(Duration::from_secs(1), async |scope| {
            let _guard = Guard(|| flag.set(true));
            assert!(!scope.expired());
            pending::<()>().await;
            Ok(())
        })
        .await
        .unwrap_err();
        assert!(error.is_timeout() && dropped.get());
        Ok(())
    });
}

#[test]
fn t113_a_body_that_never_waits_is_not_interrupted_by_a_deadline_in_the_past() {
    virtual_run(async || {
        assert_eq!(timeout(Duration::ZERO, async |_| Ok(7)).await?, 7);
        let error = timeout(Duration::ZERO, async |_| {
            yield_now().await;
            yield_now().await;
            Ok(())
        });
        assert!(error.await.unwrap_err().is_timeout());
        Ok(())
    });
}

#[test]
fn t114_a_deadline_moves_and_goes() {
    virtual_run(async || {
        let start = corelane::now();
        let error = timeout(Duration::from_secs(1), async |scope| {
            scope.reschedule(start + Duration::from_secs(5))?;
            pending::<()>().await;
            Ok(())
        });
        assert!(error.await.unwrap_err().is_timeout());
        assert_eq!(corelane::now() - start, Duration::from_secs(5));
        timeout(Duration::from_secs(1), async |scope| {
            scope.reschedule(None)?;
            assert_eq!(scope.when(), None);
            sleep(Duration::from_secs(60)).await;
            Ok(())
        })
        .await
    });
}

#[test]
fn l16_a_waiter_woken_by_set_returns_although_clear_came_before_its_turn() {
    virtual_run(async || {
        let event = Event::new();
        let waiting = event.clone();
        let task = spawn(async move { waiting.wait().await });
        yield_now().await;
        event.set();
        event.clear();
        task.await?;
        assert!(!event.is_set());
        Ok(())
    });
}
