use std::cell::RefCell;
use std::future::pending;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Wake;

use super::*;
use crate::error::Error;
use crate::task::Task;
use crate::{Runner, call_soon, create_task, spawn, yield_now};

type Log = Rc<RefCell<Vec<&'static str>>>;

fn virtual_run<T: 'static>(main: impl AsyncFnOnce() -> Result<T> + 'static) -> T {
    Runner::builder().virtual_clock().build().run(main).unwrap()
}

fn note(log: &Log, text: &'static str) -> impl FnOnce() + 'static {
    let log = Rc::clone(log);
    move || log.borrow_mut().push(text)
}

/// Ends `task` in the next turn and waits until all who wait for it have had theirs.
async fn cancel_and_settle<T>(task: &Task<T>) {
    task.cancel();
    for _ in 0..4 {
        yield_now().await;
    }
}

/// A waker that counts, and writes its name into a log that any thread may write to.
struct Foreign(&'static str, AtomicUsize, Arc<Mutex<Vec<&'static str>>>);

impl Wake for Foreign {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.2.lock().unwrap().push(self.0);
    }
}

fn foreign(name: &'static str, log: &Arc<Mutex<Vec<&'static str>>>) -> (Arc<Foreign>, Waker) {
    let foreign = Arc::new(Foreign(name, AtomicUsize::new(0), Arc::clone(log)));
    (Arc::clone(&foreign), Waker::from(foreign))
}

fn poll_with<T: 'static>(task: &mut Task<T>, waker: &Waker) -> Poll<Result<T>> {
    Pin::new(task).poll(&mut Context::from_waker(waker))
}

#[test]
fn t30_callbacks_are_entries_of_the_queue_in_the_order_of_registration() {
    virtual_run(async || {
        let log = Log::default();
        let task = spawn(async {});
        for text in ["first", "second", "third"] {
            task.on_done(note(&log, text));
        }
        // Runs in the turn in which the task ends, behind it; the callbacks run in the turn after that.
        call_soon(note(&log, "same turn"));
        yield_now().await;
        assert!(task.done());
        assert_eq!(*log.borrow(), ["same turn"]);
        yield_now().await;
        assert_eq!(*log.borrow(), ["same turn", "first", "second", "third"]);
        Ok(())
    });
}

#[test]
fn t30_a_callback_on_a_task_that_is_done_is_scheduled_and_not_called_at_once() {
    virtual_run(async || {
        let log = Log::default();
        let mut task = spawn(async {});
        yield_now().await;
        task.on_done(note(&log, "done"));
        (&mut task).await?;
        task.on_done(note(&log, "spent"));
        assert!(log.borrow().is_empty());
        yield_now().await;
        assert_eq!(*log.borrow(), ["done", "spent"]);
        Ok(())
    });
}

#[test]
fn t30_a_callback_that_was_taken_back_does_not_run() {
    virtual_run(async || {
        let log = Log::default();
        let task = spawn(pending::<()>());
        task.on_done(note(&log, "stays"));
        let key = task.on_done(note(&log, "goes"));
        task.on_done(note(&log, "stays too"));
        assert!(task.off_done(key));
        assert!(!task.off_done(key), "it is gone already");
        let other = spawn(pending::<()>());
        other.on_done(|| ());
        assert!(!other.off_done(key), "a key of another task");
        yield_now().await;
        cancel_and_settle(&task).await;
        assert_eq!(*log.borrow(), ["stays", "stays too"]);
        assert!(!task.off_done(key));
        Ok(())
    });
}

#[test]
fn t27_wakers_and_callbacks_are_told_in_the_order_in_which_they_came() {
    virtual_run(async || {
        let log = Arc::default();
        let mut task = spawn(pending::<()>());
        yield_now().await;
        let (_, outsider) = foreign("outsider", &log);
        let in_callback = Arc::clone(&log);
        task.on_done(move || in_callback.lock().unwrap().push("callback"));
        assert!(poll_with(&mut task, &outsider).is_pending());
        assert!(poll_with(&mut task, &outsider).is_pending(), "and keeps its place");
        task.cancel();
        yield_now().await;
        // The waker is called when the task ends, the callback is only queued then.
        assert_eq!(*log.lock().unwrap(), ["outsider"]);
        yield_now().await;
        assert_eq!(*log.lock().unwrap(), ["outsider", "callback"]);
        Ok(())
    });
}

#[test]
fn t27_a_handle_that_moves_to_another_waiter_wakes_only_that_one() {
    virtual_run(async || {
        let log = Arc::default();
        let mut task = spawn(pending::<()>());
        yield_now().await;
        let (old, old_waker) = foreign("old", &log);
        let (new, new_waker) = foreign("new", &log);
        assert!(poll_with(&mut task, &old_waker).is_pending());
        assert!(poll_with(&mut task, &new_waker).is_pending());
        cancel_and_settle(&task).await;
        assert_eq!(old.1.load(Ordering::Relaxed), 0);
        assert_eq!(new.1.load(Ordering::Relaxed), 1);
        Ok(())
    });
}

#[test]
fn a_task_of_ours_that_takes_over_from_an_outsider_is_the_one_that_is_woken() {
    virtual_run(async || {
        let log = Arc::default();
        let mut task = create_task(async {
            yield_now().await;
            Ok(7)
        });
        let (outsider, waker) = foreign("outsider", &log);
        task.on_done(|| ());
        assert!(poll_with(&mut task, &waker).is_pending());
        assert_eq!((&mut task).await?, 7);
        assert_eq!(outsider.1.load(Ordering::Relaxed), 0);
        Ok(())
    });
}

#[test]
fn an_outsider_that_takes_over_from_a_task_of_ours_is_woken() {
    virtual_run(async || {
        let log = Arc::default();
        let mut task = create_task(async { pending::<Result<()>>().await });
        std::future::poll_fn(|context| {
            assert!(Pin::new(&mut task).poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        let (outsider, waker) = foreign("outsider", &log);
        assert!(poll_with(&mut task, &waker).is_pending());
        cancel_and_settle(&task).await;
        assert_eq!(outsider.1.load(Ordering::Relaxed), 1);
        Ok(())
    });
}

#[test]
fn a_dropped_handle_wakes_nobody_any_more() {
    virtual_run(async || {
        let log = Arc::default();
        let mut task = create_task(async {
            yield_now().await;
            Ok(())
        });
        let (outsider, waker) = foreign("outsider", &log);
        assert!(poll_with(&mut task, &waker).is_pending());
        drop(task);
        for _ in 0..4 {
            yield_now().await;
        }
        assert_eq!(outsider.1.load(Ordering::Relaxed), 0);
        drop(waker);
        assert_eq!(Arc::strong_count(&outsider), 1, "nobody keeps its waker");
        Ok(())
    });
}

#[test]
fn t27_a_share_that_is_dropped_takes_its_waker_along() {
    virtual_run(async || {
        let log = Arc::default();
        let task = spawn(pending::<()>());
        let (outsider, waker) = foreign("outsider", &log);
        for _ in 0..100 {
            let mut share = (&task).into_future();
            let mut context = Context::from_waker(&waker);
            assert!(Pin::new(&mut share).poll(&mut context).is_pending());
            assert!(Pin::new(&mut share).poll(&mut context).is_pending());
            assert_eq!(Arc::strong_count(&outsider), 3);
        }
        assert_eq!(Arc::strong_count(&outsider), 2);
        let mut share = (&task).into_future();
        assert!(Pin::new(&mut share).poll(&mut Context::from_waker(&waker)).is_pending());
        let noop = Waker::noop();
        assert!(Pin::new(&mut share).poll(&mut Context::from_waker(noop)).is_pending());
        assert_eq!(Arc::strong_count(&outsider), 2, "the new waker took the old one's place");
        Ok(())
    });
}

#[test]
fn g10_a_callback_that_panics_does_not_keep_the_others_from_running() {
    virtual_run(async || {
        let log = Log::default();
        let task = spawn(async {});
        task.on_done(|| panic!("in a callback"));
        task.on_done(note(&log, "next"));
        yield_now().await;
        yield_now().await;
        assert_eq!(*log.borrow(), ["next"]);
        Ok(())
    });
}

#[test]
fn g31_a_callback_that_is_taken_back_is_dropped_where_it_may_call_anything() {
    struct CallsInDrop(Rc<Task<()>>);
    impl Drop for CallsInDrop {
        fn drop(&mut self) {
            self.0.on_done(|| ());
            self.0.cancel();
        }
    }
    virtual_run(async || {
        let task = Rc::new(spawn(pending::<()>()));
        let guard = CallsInDrop(Rc::clone(&task));
        let key = task.on_done(move || drop(guard));
        assert!(task.off_done(key));
        yield_now().await;
        assert!(task.cancelled());
        Ok(())
    });
}

#[test]
fn t34_an_error_that_was_marked_before_it_came_is_not_reported() {
    virtual_run(async || {
        let log = Log::default();
        let reported = Rc::clone(&log);
        crate::set_report_handler(move |_| reported.borrow_mut().push("reported"));
        let task = create_task(async { Err::<(), _>(Error::msg("seen")) });
        task.mark_retrieved();
        drop(task);
        let mut taken = create_task(async { Err::<(), _>(Error::msg("taken")) });
        assert!(taken.take_output().is_none());
        yield_now().await;
        assert_eq!(taken.take_output().unwrap().unwrap_err().to_string(), "taken");
        assert!(taken.take_output().is_none());
        drop(taken);
        assert!(log.borrow().is_empty());
        Ok(())
    });
}

#[test]
fn registrations_that_were_taken_back_leave_nothing() {
    let mut joiners = Joiners::default();
    joiners.push(1, Told::Callback(Box::new(|| ())));
    for key in 2..100_000 {
        joiners.push(key, Told::Callback(Box::new(|| ())));
        assert!(joiners.remove(key).is_some());
        assert!(joiners.remove(key).is_none());
    }
    assert!(joiners.list.capacity() < 16, "{}", joiners.list.capacity());
    assert!(!joiners.is_empty());
    assert!(joiners.remove(1).is_some());
    assert!(joiners.is_empty());
}
