//! A run on a virtual clock in which nothing can happen any more ends with an error; one that another thread may
//! still wake waits.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]
#![allow(clippy::disallowed_methods, reason = "threads wake what is tested")]

use std::cell::Cell;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use corelane::sync::{Event, Lock, Queue};
use corelane::{
    Result, Runner, catch_cancel, gather, run_coroutine_threadsafe, sleep, spawn, task, task_group,
    timeout, to_thread, yield_now,
};
use futures_util::future::{AbortHandle, Abortable, pending};

fn virtual_runner() -> Runner {
    Runner::builder().virtual_clock().build()
}

async fn wait_in_vain() -> Result<()> {
    Event::new().wait().await;
    Ok(())
}

/// What a main that nobody can wake fails with.
fn stuck(main: impl AsyncFnOnce() -> Result<()> + 'static) -> String {
    let text = virtual_runner().run(main).unwrap_err().to_string();
    assert!(text.starts_with("nothing can happen any more\nTask-"), "{text}");
    text
}

#[test]
fn a_queue_that_nobody_feeds_is_an_error_with_the_tree_of_the_tasks() {
    let text = stuck(async || {
        sleep(Duration::from_secs(60)).await;
        let queue = Queue::<u8>::new(0);
        task().name("consumer").spawn(async move { queue.get().await.unwrap() }).await?;
        Ok(())
    });
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[2].starts_with("    consumer waiting, "), "{text}");
    assert!(lines[2].ends_with("waits for an item of a queue"), "{text}");
    assert_eq!(lines.len(), 3, "{text}");
}

#[test]
fn tasks_that_wait_for_each_other_are_stuck_in_scopes_and_groups_too() {
    stuck(async || {
        let lock = Rc::new(Lock::new(()));
        let _guard = lock.acquire().await;
        drop(lock.acquire().await);
        Ok(())
    });
    stuck(async || {
        let event = Event::new();
        task_group(async |group| {
            let event = event.clone();
            drop(group.spawn(async move { event.wait().await })?);
            Ok(())
        })
        .await
    });
    stuck(async || {
        let waits = (0..3).map(|_| spawn(async { Event::new().wait().await }));
        gather(waits.collect::<Vec<_>>()).await?;
        Ok(())
    });
}

#[test]
fn what_is_stuck_is_cancelled_and_cleans_up() {
    let cleaned_up = Rc::new(Cell::new(false));
    let seen = Rc::clone(&cleaned_up);
    let mut runner = virtual_runner();
    let failed = runner.run(async move || {
        let waited = catch_cancel(async { wait_in_vain().await }).await;
        sleep(Duration::from_secs(1)).await;
        seen.set(waited.is_err());
        Ok(())
    });
    assert!(failed.is_err());
    runner.close().unwrap();
    assert!(cleaned_up.get());
}

#[test]
fn a_timer_is_something_that_can_happen() {
    let waited = virtual_runner().run(async || {
        let limit = Duration::from_secs(3_600);
        timeout(limit, async |_: &_| wait_in_vain().await).await
    });
    assert!(waited.unwrap_err().is_timeout());
}

#[test]
fn a_function_on_the_pool_is_waited_for() {
    let sum = virtual_runner().run(async || {
        let queue = Queue::new(0);
        let items = queue.clone();
        spawn(async move { items.put(to_thread(|| Ok(42)).await.unwrap()).await }).await?.unwrap();
        Ok(queue.get().await?)
    });
    assert_eq!(sum.unwrap(), 42);
}

#[test]
fn who_has_a_remote_loop_is_waited_for_until_he_lets_go_of_it() {
    let mut runner = virtual_runner();
    let remote = runner.remote().unwrap();
    let event = runner.run(async || Ok(Event::new())).unwrap();
    let (begun, begins) = std::sync::mpsc::channel();
    let helper = thread::spawn(move || {
        begins.recv().unwrap();
        let answer = run_coroutine_threadsafe(&remote, async || {
            yield_now().await;
            Ok(7)
        });
        answer.result(None).unwrap()
    });
    let failed = runner.run(async move || {
        begun.send(()).unwrap();
        event.wait().await;
        Ok(())
    });
    assert_eq!(helper.join().unwrap(), 7, "it was answered before main was given up");
    assert!(failed.unwrap_err().to_string().starts_with("nothing can happen any more"));
}

#[test]
fn a_future_of_somebody_else_may_be_woken_by_any_thread() {
    let ended = virtual_runner().run(async || {
        let (handle, registration) = AbortHandle::new_pair();
        let (begun, begins) = std::sync::mpsc::channel();
        let helper = thread::spawn(move || {
            begins.recv().unwrap();
            handle.abort();
        });
        begun.send(()).unwrap();
        let aborted = Abortable::new(pending::<()>(), registration).await;
        helper.join().unwrap();
        Ok(aborted.is_err())
    });
    assert!(ended.unwrap());
}
