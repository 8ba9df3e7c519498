use std::cell::RefCell;
use std::future::pending;

use super::*;
use crate::task::Task;
use crate::{Error, Result, Runner, create_task, spawn, yield_now};

fn virtual_run(main: impl AsyncFnOnce() -> Result<()> + 'static) {
    Runner::builder().virtual_clock().build().run(main).unwrap();
}

#[derive(Default)]
struct Log(RefCell<Vec<String>>);

impl Log {
    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

impl Observer for Log {
    fn ended(&self, child: usize, error: Option<Error>) {
        let error = error.map_or_else(|| "a value".to_owned(), |error| error.to_string());
        self.0.borrow_mut().push(format!("{child}: {error}"));
    }
}

fn notice(log: &Rc<Log>, child: usize) -> Notice {
    Notice::new(Rc::clone(log) as _, child)
}

/// Places of notices that are taken, and all of them.
fn places<T: 'static>(task: &Task<T>) -> (usize, usize) {
    let tasks = task.home().tasks.borrow();
    let notices = &tasks.table.notices;
    (notices.places.len() - notices.free.len(), notices.places.len())
}

#[test]
fn g5_an_observer_hears_how_a_task_ended_one_turn_after_its_end() {
    virtual_run(async || {
        let log = Rc::<Log>::default();
        let value = spawn(async {});
        let failing = create_task(async { Err::<(), _>(Error::msg("broken")) });
        let watches = [value.watch_end(notice(&log, 1)), failing.watch_end(notice(&log, 2))];
        assert_eq!(places(&value), (2, 2));
        yield_now().await;
        assert!(value.done() && failing.done());
        assert!(log.take().is_empty(), "it comes with the next turn");
        assert_eq!(places(&value), (0, 2), "the places are free already");
        yield_now().await;
        assert_eq!(log.take(), ["1: a value", "2: broken"]);
        drop(watches);
        assert!(log.take().is_empty());
        failing.await.unwrap_err();
        value.await
    });
}

#[test]
fn an_observer_of_a_task_that_has_ended_hears_of_it_in_the_next_turn() {
    virtual_run(async || {
        let log = Rc::<Log>::default();
        let failed = create_task(async { Err::<(), _>(Error::msg("broken")) });
        yield_now().await;
        let _watch = failed.watch_end(notice(&log, 7));
        assert!(log.take().is_empty());
        yield_now().await;
        assert_eq!(log.take(), ["7: broken"]);
        failed.await.unwrap_err();
        Ok(())
    });
}

#[test]
fn t30_observers_and_awaiters_are_told_in_the_order_in_which_they_came() {
    virtual_run(async || {
        let log = Rc::<Log>::default();
        let task = Rc::new(spawn(async {
            yield_now().await;
            yield_now().await;
        }));
        let waits = |number: usize| {
            let (task, log) = (Rc::clone(&task), Rc::clone(&log));
            create_task(async move {
                (&*task).await?;
                log.ended(number, None);
                Ok(())
            })
        };
        let first = task.watch_end(notice(&log, 1));
        let awaiter = waits(2);
        yield_now().await;
        let second = task.watch_end(notice(&log, 3));
        awaiter.await?;
        assert_eq!(log.take(), ["1: a value", "2: a value", "3: a value"]);
        drop((first, second));
        Ok(())
    });
}

#[test]
fn a_notice_that_is_taken_back_is_told_at_once_and_leaves_its_place() {
    virtual_run(async || {
        let log = Rc::<Log>::default();
        let task = create_task(pending::<Result<()>>());
        let watch = task.watch_end(notice(&log, 1));
        let in_line = task.watch_end(notice(&log, 2));
        assert_eq!(places(&task), (1, 1), "the second one is in the line");
        drop(watch);
        assert_eq!(log.take(), ["1: a value"]);
        assert_eq!(places(&task), (0, 1));
        drop(in_line);
        assert_eq!(log.take(), ["2: a value"]);
        let again = task.watch_end(notice(&log, 3));
        assert_eq!(places(&task), (1, 1), "the cell is free for another");
        task.cancel();
        task.await.unwrap_err();
        yield_now().await;
        assert_eq!(log.take(), ["3: cancelled"]);
        drop(again);
        Ok(())
    });
}

#[test]
fn a_place_that_a_running_task_still_names_goes_to_nobody_else() {
    virtual_run(async || {
        let log = Rc::<Log>::default();
        let kept = Rc::new(RefCell::new(None));
        let other = create_task(pending::<Result<()>>());
        let task = {
            let (kept, log, home) = (Rc::clone(&kept), Rc::clone(&log), Rc::clone(other.home()));
            let other = other.slot().unwrap();
            spawn(async move {
                // Its own observer goes while it runs; then there is another one, of another task.
                drop(kept.take());
                home.observe(other, notice(&log, 2));
            })
        };
        kept.replace(Some(task.watch_end(notice(&log, 1))));
        task.await?;
        assert_eq!(log.take(), ["1: a value"]);
        yield_now().await;
        assert!(log.take().is_empty(), "the other task has not ended");
        assert_eq!(places(&other), (1, 2));
        other.cancel();
        other.await.unwrap_err();
        yield_now().await;
        assert_eq!(log.take(), ["2: cancelled"]);
        Ok(())
    });
}

#[test]
fn a_crowd_of_notices_gives_its_memory_back() {
    virtual_run(async || {
        let log = Rc::<Log>::default();
        let tasks: Vec<_> = (0..2 * KEPT).map(|_| spawn(async {})).collect();
        let watched = tasks.iter().enumerate();
        let watches: Vec<_> =
            watched.map(|(child, task)| task.watch_end(notice(&log, child))).collect();
        assert_eq!(places(&tasks[0]), (2 * KEPT, 2 * KEPT));
        yield_now().await;
        yield_now().await;
        assert_eq!(places(&tasks[0]), (0, 0));
        assert_eq!(log.take().len(), 2 * KEPT);
        drop(watches);
        Ok(())
    });
}
