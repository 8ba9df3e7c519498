//! `describe_tasks` and the tree of who awaits whom: rule T46.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::future::{Future, pending};
use std::rc::Rc;
use std::time::Duration;

use corelane::sync::{Barrier, Condition, Event, Lock, Queue, Semaphore};
use corelane::{
    Result, ReturnWhen, Runner, StreamReader, TaskState, WaitKind, create_task, describe_tasks,
    format_tasks, gather, open_connection, shield, sleep, spawn, start_server, task, task_group,
    timeout, to_thread, wait, yield_now,
};
use futures_util::future::join3;
use task_support::virtual_run;

#[test]
fn t46_those_described_are_the_unfinished_ones_with_the_caller_and_those_not_begun() {
    virtual_run(async || {
        let short = spawn(async {});
        let waits = spawn(pending::<()>());
        yield_now().await;
        let fresh = spawn(async {});
        let seen: Vec<_> =
            describe_tasks()?.iter().map(|task| (task.id.get(), task.state)).collect();
        let expected = [(1, TaskState::Running), (3, TaskState::Waiting), (4, TaskState::Ready)];
        assert_eq!(seen, expected);
        waits.cancel();
        assert_eq!(describe_tasks()?[1].cancelling, 1);
        fresh.await?;
        assert_eq!(describe_tasks()?.len(), 1);
        assert!(short.done());
        Ok(())
    });
    assert!(describe_tasks().unwrap_err().is_runtime());
}

#[test]
fn t46_ages_are_told_without_a_time_in_each_task() {
    virtual_run(async || {
        let _old = spawn(pending::<()>());
        sleep(Duration::from_secs(10)).await;
        let _young = spawn(pending::<()>());
        sleep(Duration::from_secs(5)).await;
        let ages: Vec<_> = describe_tasks()?.iter().map(|task| task.age.as_secs()).collect();
        assert_eq!(ages, [15, 15, 5]);
        Ok(())
    });
}

#[test]
fn the_tree_shows_who_awaits_whom() {
    virtual_run(async || {
        let work = Rc::new(task().name("work").spawn(pending::<()>()));
        let awaits = |name| {
            let work = Rc::clone(&work);
            task().name(name).create(async move { (&*work).await })
        };
        let (left, right) = (awaits("left"), awaits("right"));
        let boss = task().name("boss").create(left);
        for _ in 0..3 {
            yield_now().await;
        }
        let text = format_tasks()?;
        let lines: Vec<_> = text.lines().map(|line| line.split(", ").next().unwrap()).collect();
        assert_eq!(
            lines,
            [
                "Task-1 running",
                "right waiting",
                "    work waiting",
                "boss waiting",
                "    left waiting",
                "        work (see above)",
            ]
        );
        drop((right, boss));
        Ok(())
    });
}

#[test]
fn tasks_that_wait_in_a_ring_are_drawn_once() {
    virtual_run(async || {
        let place: Rc<std::cell::RefCell<Option<corelane::Task<()>>>> = Rc::default();
        let inside = Rc::clone(&place);
        let first = create_task(async move {
            let second = inside.take().unwrap();
            second.await
        });
        *place.borrow_mut() = Some(create_task(first));
        yield_now().await;
        yield_now().await;
        let text = format_tasks()?;
        assert_eq!(text.matches("Task-2 waiting").count(), 1, "{text}");
        assert_eq!(text.matches("Task-3 waiting").count(), 1, "{text}");
        Ok(())
    });
}

#[test]
fn the_tree_shows_the_children_of_whatever_waits_for_several() {
    virtual_run(async || {
        let child = |name| task().name(name).spawn(pending::<()>());
        let (gathered, waited, shielded) = (child("gathered"), child("waited"), child("shielded"));
        let boss = task().name("boss").create(async move {
            task_group(async |group| {
                let waiting = wait(vec![waited], ReturnWhen::AllCompleted, None);
                let shield = shield(shielded);
                drop(group.spawn(pending::<()>())?.named("member"));
                drop(join3(gather(vec![gathered]), waiting, shield).await);
                Ok(())
            })
            .await
        });
        yield_now().await;
        let text = format_tasks()?;
        let lines: Vec<_> = text.lines().map(|line| line.split(", ").next().unwrap()).collect();
        assert_eq!(
            lines,
            [
                "Task-1 running",
                "boss waiting",
                "    gathered waiting",
                "    waited waiting",
                "    shielded waiting",
                "    member ready",
            ]
        );
        boss.cancel();
        Ok(())
    });
}

#[test]
fn who_sleeps_and_who_has_a_deadline_says_for_how_long() {
    virtual_run(async || {
        let limited = task().name("limited").create(timeout(Duration::from_secs(9), async |_| {
            sleep(Duration::from_secs(60)).await;
            Ok(())
        }));
        let waits = spawn(pending::<()>());
        sleep(Duration::from_secs(2)).await;
        let tasks = describe_tasks()?;
        let seconds = |left: Option<Duration>| left.map(|left| left.as_secs());
        let left: Vec<_> =
            tasks.iter().map(|task| (seconds(task.sleeps), seconds(task.times_out))).collect();
        assert_eq!(left, [(None, None), (Some(58), Some(7)), (None, None)]);
        let text = format_tasks()?;
        let line = text.lines().find(|line| line.starts_with("limited")).unwrap();
        assert!(line.ends_with(", sleeps for 58s, times out in 7s"), "{line}");
        drop((limited, waits));
        Ok(())
    });
}

/// What the task of this name waits for.
fn waits_for(name: &str) -> Vec<WaitKind> {
    let tasks = describe_tasks().unwrap();
    tasks.into_iter().find(|task| task.name == name).unwrap().waits_for
}

/// What `body` waits for, once it has come to its wait.
async fn seen_waiting<T: 'static>(body: impl Future<Output = T> + 'static) -> Vec<WaitKind> {
    let waiter = task().name("waiter").spawn(body);
    while describe_tasks().unwrap().iter().all(|task| task.state != TaskState::Waiting) {
        yield_now().await;
    }
    let seen = waits_for("waiter");
    waiter.cancel();
    drop(waiter.await);
    seen
}

#[test]
fn a_waiting_task_says_what_kind_of_thing_it_waits_for() {
    virtual_run(async || {
        let queue = Queue::<u8>::new(1);
        let taken = Queue::clone(&queue);
        let seen = seen_waiting(async move { taken.get().await }).await;
        assert_eq!(seen, [WaitKind::QueueGet]);
        queue.put_nowait(1).unwrap();
        let full = Queue::clone(&queue);
        assert_eq!(seen_waiting(async move { full.put(2).await }).await, [WaitKind::QueuePut]);
        assert_eq!(seen_waiting(async move { queue.join().await }).await, [WaitKind::QueueJoin]);
        let lock = Lock::new(());
        let held = lock.acquire().await;
        let other = lock.clone();
        let seen = seen_waiting(async move { drop(other.acquire().await) }).await;
        assert_eq!(seen, [WaitKind::Lock]);
        drop(held);
        let event = Event::new();
        assert_eq!(seen_waiting(async move { event.wait().await }).await, [WaitKind::Event]);
        let none_left = Semaphore::new(0);
        let seen = seen_waiting(async move { drop(none_left.acquire().await) }).await;
        assert_eq!(seen, [WaitKind::Semaphore]);
        let sleeper = sleep(Duration::from_secs(1));
        assert_eq!(seen_waiting(sleeper).await, [WaitKind::Sleep]);
        let barrier = Barrier::new(2)?;
        let seen = seen_waiting(async move { barrier.wait().await }).await;
        assert_eq!(seen, [WaitKind::Barrier]);
        Ok(())
    });
}

#[test]
fn in_its_scopes_a_task_says_it_for_each_and_never_what_is_over() {
    virtual_run(async || {
        let (first, second) = (Event::new(), Event::new());
        let (opened, hours) = (first.clone(), Duration::from_secs(7_200));
        let both = timeout(hours, async move |_| {
            opened.wait().await;
            // Another crate's wait, which is nothing of ours.
            pending::<()>().await;
            Ok(())
        });
        let waiter = task().name("waiter").create(both);
        yield_now().await;
        assert_eq!(waits_for("waiter"), [WaitKind::Event]);
        let text = format_tasks()?;
        let line = text.lines().find(|line| line.starts_with("waiter")).unwrap();
        assert!(line.contains(", waits for an event, times out in 7200s"), "{line}");
        first.set();
        assert_eq!(waits_for("waiter"), [], "it is ready");
        yield_now().await;
        assert_eq!(waits_for("waiter"), []);
        waiter.cancel();
        let several = async move {
            let also = sleep(Duration::from_secs(1));
            join3(second.wait(), also, yield_now()).await;
        };
        let waiter = task().name("several").spawn(several);
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!(waits_for("several"), [WaitKind::Several]);
        drop(waiter);
        Ok(())
    });
}

#[test]
fn who_waits_for_tasks_says_by_what() {
    virtual_run(async || {
        let child = || spawn(pending::<()>());
        let gathered = child();
        let seen = seen_by_name("gatherer", async move { gather(vec![gathered]).await.map(drop) });
        assert_eq!(seen.await, [WaitKind::Gather]);
        let waited = child();
        let waits =
            async move { wait(vec![waited], ReturnWhen::AllCompleted, None).await.map(drop) };
        assert_eq!(seen_by_name("wait", waits).await, [WaitKind::Wait]);
        let shielded = child();
        assert_eq!(seen_by_name("shield", shield(shielded)).await, [WaitKind::Shield]);
        let awaited = child();
        assert_eq!(seen_by_name("task", awaited).await, [WaitKind::Task]);
        let group = task_group(async |group| {
            drop(group.spawn(pending::<()>())?);
            Ok(())
        });
        assert_eq!(seen_by_name("group", group).await, [WaitKind::TaskGroup]);
        Ok(())
    });
}

/// What a task of this name waits for that awaits other tasks.
async fn seen_by_name(
    name: &str,
    body: impl Future<Output = Result<()>> + 'static,
) -> Vec<WaitKind> {
    let waiter = task().name(name).create(body);
    for _ in 0..3 {
        yield_now().await;
    }
    let seen = waits_for(name);
    waiter.cancel();
    drop(waiter.await);
    seen
}

#[test]
fn a_condition_says_so_and_then_that_it_waits_for_its_lock() {
    virtual_run(async || {
        let condition = Rc::new(Condition::new(()));
        let waits = Rc::clone(&condition);
        let waiter = task().name("waiter").spawn(async move {
            let held = waits.lock().await;
            drop(waits.wait(held).await);
        });
        yield_now().await;
        assert_eq!(waits_for("waiter"), [WaitKind::Condition]);
        let held = condition.lock().await;
        condition.notify(&held, 1);
        yield_now().await;
        yield_now().await;
        assert_eq!(waits_for("waiter"), [WaitKind::Lock]);
        drop(held);
        waiter.await
    });
}

#[test]
fn sockets_and_threads_say_it_too() {
    let ran = Runner::new().run(async || {
        let silent = async |mut reader: StreamReader, _writer| {
            drop(reader.read(1).await);
            Ok(())
        };
        let server = start_server(silent, "127.0.0.1:0");
        let server = server.await?;
        let (mut reader, _writer) = open_connection(server.local_addrs()[0]).await?;
        let seen = seen_waiting_among("reader", async move { drop(reader.read(1).await) }).await;
        assert_eq!(seen, [WaitKind::Read]);
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let blocked = async move { to_thread(move || Ok(wait.recv().is_err())).await };
        let seen = seen_waiting_among("thread", blocked).await;
        assert_eq!(seen, [WaitKind::Thread]);
        drop(done);
        server.close();
        Ok(())
    });
    ran.unwrap();
}

/// The same as [`seen_waiting`], for a task of this name while others may wait.
async fn seen_waiting_among<T: 'static>(
    name: &'static str,
    body: impl Future<Output = T> + 'static,
) -> Vec<WaitKind> {
    let waiter = task().name(name).spawn(body);
    while waits_for(name).is_empty() {
        yield_now().await;
    }
    let seen = waits_for(name);
    waiter.cancel();
    seen
}
