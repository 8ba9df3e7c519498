//! `describe_tasks` and the tree of who awaits whom: rule T46.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use corelane::{
    ReturnWhen, TaskState, create_task, describe_tasks, format_tasks, gather, shield, sleep, spawn,
    task, task_group, timeout, wait, yield_now,
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
