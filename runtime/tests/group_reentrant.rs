//! Foreign code in awkward places: wakers and guards that drop, cancel or spawn while an aggregate is at work
//! (rule G31).
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use corelane::{
    Result, ReturnWhen, Task, as_completed, create_task, gather, shield, wait, yield_now,
};
use futures_util::stream::StreamExt;
use task_support::{Job, Log, fails, job, settle, virtual_run};

type Waiting = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    /// What waits with the waker of these tests.
    static WAITING: RefCell<Vec<Waiting>> = const { RefCell::new(Vec::new()) };
    static WAKES: Cell<usize> = const { Cell::new(0) };
}

/// A waker that drops everything which waits.
struct Wrecker;

impl Wake for Wrecker {
    fn wake(self: Arc<Self>) {
        WAKES.set(WAKES.get() + 1);
        drop(WAITING.take());
    }
}

fn boxed<F: Future + 'static>(future: F) -> Waiting {
    Box::pin(async move { drop(future.await) })
}

/// Has what is made of two tasks wait, ends the tasks, and counts the wakes: the first one drops everything.
async fn wreck(aggregate: impl FnOnce(Vec<Task<&'static str>>) -> Vec<Waiting>) -> usize {
    WAKES.set(0);
    let (gates, tasks): (Vec<_>, _) =
        ["a", "bad"].map(job).into_iter().map(|Job { gate, task }| (gate, task)).unzip();
    let waker = Waker::from(Arc::new(Wrecker));
    for mut future in aggregate(tasks) {
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        WAITING.with_borrow_mut(|waiting| waiting.push(future));
    }
    gates.iter().for_each(corelane::sync::Event::set);
    settle().await;
    WAKES.get()
}

#[test]
fn g31_a_waker_may_drop_the_aggregate_that_wakes_it() {
    virtual_run(async || {
        let first = ReturnWhen::FirstCompleted;
        assert_eq!(wreck(|tasks| vec![boxed(gather(tasks))]).await, 1);
        assert_eq!(wreck(|tasks| vec![boxed(gather(tasks).return_exceptions())]).await, 1);
        assert_eq!(wreck(|tasks| vec![boxed(wait(tasks, first, None))]).await, 1);
        assert_eq!(
            wreck(|tasks| vec![boxed(StreamExt::into_future(as_completed(tasks, None)))]).await,
            1
        );
        assert_eq!(wreck(|tasks| tasks.into_iter().map(shield).map(boxed).collect()).await, 1);
        // What the first item was woken for goes to the second, which is being dropped as well.
        let items = |tasks| as_completed(tasks, None).into_iter().map(boxed).collect();
        assert_eq!(wreck(items).await, 2);
        Ok(())
    });
}

/// A value whose drop cancels a task, starts a gather, and drops another one.
struct Meddler {
    victim: Rc<Task<&'static str>>,
    log: Log,
    other: Option<Waiting>,
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.victim.cancel();
        drop(self.other.take());
        let log = self.log.clone();
        let nested = gather((shield(async { Ok(1) }), async { fails::<u8>("nested") }));
        drop(create_task(async move {
            log.say(if nested.await.is_err() { "nested failed" } else { "nested" });
            Ok(())
        }));
    }
}

#[test]
fn g31_a_value_that_meddles_while_a_failed_gather_drops_it() {
    virtual_run(async || {
        let log = Log::default();
        let victim = Rc::new(job("victim").task);
        let other = job("other");
        let meddler = Meddler {
            victim: Rc::clone(&victim),
            log: log.clone(),
            other: Some(boxed(gather([other.task]))),
        };
        let value = create_task(async move { Ok(Some(meddler)) });
        let bad = create_task(async {
            yield_now().await;
            fails::<Option<Meddler>>("bad")
        });
        let protected = Rc::clone(&victim);
        let watcher = create_task(async move { shield(&*protected).await });
        assert!(gather([value, bad]).await.is_err());
        settle().await;
        assert!(victim.cancelled() && watcher.cancelled());
        assert_eq!(log.take(), ["nested failed"]);
        Ok(())
    });
}

#[test]
fn g31_a_child_that_drops_the_gather_it_is_in() {
    virtual_run(async || {
        let holder: Rc<RefCell<Option<Waiting>>> = Rc::default();
        let held = Rc::clone(&holder);
        let log = Log::default();
        let told = log.clone();
        let breaker = create_task(async move {
            yield_now().await;
            drop(held.take());
            told.say("dropped it");
            yield_now().await;
            told.say("ended");
            Ok(())
        });
        let mut all = boxed(gather((breaker, std::future::pending::<Result<u8>>())));
        std::future::poll_fn(|context| {
            assert!(all.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        *holder.borrow_mut() = Some(all);
        settle().await;
        assert_eq!(log.take(), ["dropped it", "ended"]);
        Ok(())
    });
}

#[test]
fn g31_a_gather_that_is_cancelled_by_a_guard_of_its_own_child() {
    struct CancelsAll(Rc<RefCell<Option<Rc<Task<()>>>>>);

    impl Drop for CancelsAll {
        fn drop(&mut self) {
            if let Some(task) = self.0.take() {
                task.cancel();
            }
        }
    }

    virtual_run(async || {
        let collector: Rc<RefCell<Option<Rc<Task<()>>>>> = Rc::default();
        let guard = CancelsAll(Rc::clone(&collector));
        let child = create_task(async move {
            let _guard = guard;
            yield_now().await;
            Ok("first")
        });
        let slow = job("slow");
        let task = Rc::new(create_task(async move { gather([child, slow.task]).await.map(drop) }));
        *collector.borrow_mut() = Some(Rc::clone(&task));
        settle().await;
        assert!(task.cancelled(), "the request went to the other child, and came back");
        Ok(())
    });
}
