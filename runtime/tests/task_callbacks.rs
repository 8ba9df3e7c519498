//! Done callbacks, and the report that waits for them: rules T30 and T34.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;

use corelane::{Task, current_task, spawn, yield_now};
use task_support::{Log, failing, settle, virtual_run};

#[test]
fn t30_callbacks_get_the_finished_task_and_run_in_order() {
    virtual_run(async || {
        let seen: Rc<RefCell<Vec<String>>> = Rc::default();
        let task = failing().named("worker");
        for index in 0..3 {
            let seen = Rc::clone(&seen);
            task.add_done_callback(move |task| {
                assert!(current_task().unwrap().is_none(), "a callback belongs to no task");
                let error = task.exception().unwrap().unwrap();
                seen.borrow_mut().push(format!("{index} {} {error}", task.name()));
            });
        }
        yield_now().await;
        assert!(task.done() && seen.borrow().is_empty(), "callbacks take a hop");
        yield_now().await;
        assert_eq!(*seen.borrow(), ["0 worker mine", "1 worker mine", "2 worker mine"]);
        let late = Rc::clone(&seen);
        task.add_done_callback(move |task| late.borrow_mut().push(format!("late {}", task.id())));
        assert_eq!(seen.borrow().len(), 3, "scheduled, not called at once");
        yield_now().await;
        assert_eq!(seen.borrow()[3], format!("late {}", task.id()));
        Ok(())
    });
}

#[test]
fn t30_a_callback_on_a_spent_handle_sees_how_the_task_ended() {
    virtual_run(async || {
        let seen: Rc<RefCell<Vec<String>>> = Rc::default();
        let mut task = failing();
        (&mut task).await.unwrap_err();
        task.set_name("renamed");
        let noted = Rc::clone(&seen);
        task.add_done_callback(move |task| {
            let error = task.exception().unwrap().unwrap();
            noted.borrow_mut().push(format!("{} {error} {}", task.name(), task.cancelled()));
        });
        drop(task);
        yield_now().await;
        assert_eq!(*seen.borrow(), ["renamed mine false"]);
        Ok(())
    });
}

#[test]
fn t30_a_removed_callback_does_not_run_and_removing_says_how_many_were() {
    virtual_run(async || {
        let count = Rc::new(Cell::new(0));
        let task = spawn(async {});
        let keys = [1, 10, 100].map(|value| {
            let count = Rc::clone(&count);
            task.add_done_callback(move |_| count.set(count.get() + value))
        });
        assert_eq!(task.remove_done_callback(keys[1]), 1);
        assert_eq!(task.remove_done_callback(keys[1]), 0);
        yield_now().await;
        assert_eq!(task.remove_done_callback(keys[0]), 0, "it is queued already");
        yield_now().await;
        assert_eq!(count.get(), 101);
        Ok(())
    });
}

#[test]
fn t34_a_callback_is_a_handle_and_the_report_waits_for_it() {
    virtual_run(async || {
        let reports = Log::reports();
        let asked = failing();
        asked.add_done_callback(|task| assert!(task.exception().unwrap().is_some()));
        let ignored = failing();
        let seen = reports.clone();
        ignored.add_done_callback(|task| assert!(!task.cancelled()));
        ignored.add_done_callback(move |_| assert!(seen.is_empty(), "not yet"));
        let done = failing();
        done.add_done_callback(|task| assert!(task.exception().unwrap().is_some()));
        drop((asked, ignored));
        yield_now().await;
        assert!(done.done());
        drop(done);
        settle().await;
        assert_eq!(reports.take(), ["never-retrieved mine"]);
        Ok(())
    });
}

#[test]
fn t34_a_handle_that_outlives_the_callbacks_still_has_the_outcome() {
    virtual_run(async || {
        let reports = Log::reports();
        let task = spawn(async { vec![1, 2] });
        task.add_done_callback(|_| ());
        let failed = failing();
        failed.add_done_callback(|_| ());
        settle().await;
        assert_eq!(task.await?, [1, 2]);
        assert!(reports.is_empty());
        drop(failed);
        assert_eq!(reports.take(), ["never-retrieved mine"]);
        Ok(())
    });
}

#[test]
fn t34_an_awaiter_that_comes_before_the_callbacks_takes_the_output_all_the_same() {
    virtual_run(async || {
        let reports = Log::reports();
        let told = Rc::new(Cell::new(false));
        let flag = Rc::clone(&told);
        let mut task = failing();
        let id = task.id();
        std::future::poll_fn(|context| {
            assert!(std::pin::Pin::new(&mut task).poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        task.add_done_callback(move |task| {
            assert_eq!((task.id(), task.exception().unwrap().is_some()), (id, true));
            flag.set(true);
        });
        assert_eq!(task.await.unwrap_err().to_string(), "mine");
        assert!(!told.get());
        // The slot is not given away before its callback has run.
        let other = spawn(async {});
        yield_now().await;
        assert!(told.get() && reports.is_empty(), "{:?}", reports.take());
        other.await
    });
}

#[test]
fn a_callback_on_a_task_of_a_closed_loop_is_dropped_uncalled() {
    let kept: Rc<RefCell<Option<Task<()>>>> = Rc::default();
    let slot = Rc::clone(&kept);
    let witness = Rc::new(());
    let inside = Rc::clone(&witness);
    corelane::run(async move || {
        let task = spawn(pending::<()>());
        task.add_done_callback(move |_| drop(inside));
        *slot.borrow_mut() = Some(task);
        Ok(())
    })
    .unwrap();
    let task = kept.take().unwrap();
    let late = Rc::clone(&witness);
    task.add_done_callback(move |_| {
        drop(late);
        unreachable!("the loop is closed");
    });
    assert_eq!(Rc::strong_count(&witness), 1);
}
