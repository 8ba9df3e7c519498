//! `describe_tasks` and the tree of who awaits whom: rule T46.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use corelane::{
    TaskState, create_task, describe_tasks, format_tasks, sleep, spawn, task, yield_now,
};
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
