//! `wait`: rules T85 to T93.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::rc::Rc;
use std::time::Duration;

use corelane::{ReturnWhen, Task, create_task, now, shield, wait};
use task_support::{Job, Log, badness, job, passes, settle, virtual_run, wakes_when_dropped};

const MODES: [ReturnWhen; 3] =
    [ReturnWhen::AllCompleted, ReturnWhen::FirstCompleted, ReturnWhen::FirstException];

fn split(jobs: Vec<Job>) -> (Vec<corelane::sync::Event>, Vec<Task<&'static str>>) {
    jobs.into_iter().map(|job| (job.gate, job.task)).unzip()
}

fn names<T>(tasks: &[Task<T>]) -> Vec<String> {
    tasks.iter().map(Task::name).collect()
}

#[test]
fn t85_the_two_lists_partition_the_input_and_no_error_is_raised() {
    for mode in MODES {
        virtual_run(async move || {
            let reports = Log::reports();
            let (gates, tasks) = split(vec![job("a"), job("bad"), job("lost")]);
            tasks[2].cancel();
            gates[0].set();
            gates[1].set();
            let (done, pending) = wait(&tasks, mode, None).await?;
            assert_eq!((done.len(), pending.len()), (3, 0));
            assert!(!tasks[0].cancelled() && !tasks[1].cancelled());
            assert!(reports.take().is_empty());
            drop(tasks);
            assert_eq!(reports.take(), ["never-retrieved bad bad"], "rule T34: it did not ask");
            Ok(())
        });
    }
}

#[test]
fn t86_all_completed_waits_for_all_whatever_they_end_with() {
    virtual_run(async || {
        let (gates, tasks) = split(vec![job("a"), job("bad"), job("lost")]);
        let waiter = create_task(async move { wait(tasks, ReturnWhen::AllCompleted, None).await });
        gates[1].set();
        settle().await;
        assert!(!waiter.done());
        gates[2].set();
        settle().await;
        assert!(!waiter.done());
        gates[0].set();
        let (done, pending) = waiter.await?;
        assert_eq!((done.len(), pending.len()), (3, 0));
        Ok(())
    });
}

#[test]
fn t87_first_completed_gives_all_that_are_done_when_the_waiter_runs() {
    virtual_run(async || {
        let (gates, tasks) = split(vec![job("a"), job("b"), job("c")]);
        let ids: Vec<_> = tasks.iter().map(Task::id).collect();
        let waiter =
            create_task(async move { wait(tasks, ReturnWhen::FirstCompleted, None).await });
        passes(2).await;
        gates[2].set();
        passes(1).await;
        // The callback of `c` runs in the turn in which `a` ends.
        gates[0].set();
        let (done, pending) = waiter.await?;
        assert_eq!(done.iter().map(Task::id).collect::<Vec<_>>(), [ids[0], ids[2]]);
        assert_eq!(pending[0].id(), ids[1]);
        Ok(())
    });
}

#[test]
fn t88_first_exception_is_not_a_cancellation() {
    virtual_run(async || {
        let (gates, tasks) = split(vec![job("a"), job("lost"), job("bad"), job("d")]);
        tasks[1].cancel();
        let waiter =
            create_task(async move { wait(tasks, ReturnWhen::FirstException, None).await });
        gates[0].set();
        settle().await;
        assert!(!waiter.done(), "a value and a cancellation do not end it");
        gates[2].set();
        let (done, pending) = waiter.await?;
        assert_eq!((done.len(), pending.len()), (3, 1));
        let mut outcomes = Vec::new();
        for task in done {
            outcomes.push(task.await);
        }
        assert_eq!(badness(outcomes.pop().unwrap()), "bad");
        Ok(())
    });
}

#[test]
fn t88_without_a_failure_first_exception_waits_for_all() {
    virtual_run(async || {
        let (gates, tasks) = split(vec![job("a"), job("b")]);
        gates.iter().for_each(corelane::sync::Event::set);
        let (done, pending) = wait(&tasks, ReturnWhen::FirstException, None).await?;
        assert_eq!((done.len(), pending.len()), (2, 0));
        Ok(())
    });
}

#[test]
fn t89_a_timeout_ends_the_wait_with_what_is_done() {
    virtual_run(async || {
        let second = Duration::from_secs(1);
        let (gates, tasks) = split(vec![job("a"), job("b")]);
        let start = now();
        let (done, pending) = wait(&tasks, ReturnWhen::AllCompleted, second).await?;
        assert_eq!((done.len(), pending.len(), now() - start), (0, 2, second));
        gates[0].set();
        let (done, pending) = wait(&tasks, ReturnWhen::AllCompleted, second).await?;
        assert_eq!((done[0].id(), pending[0].id()), (tasks[0].id(), tasks[1].id()));
        assert!(!tasks[1].done(), "nobody was cancelled");
        Ok(())
    });
}

#[test]
fn t89_a_timeout_of_zero_lets_a_turn_go_by() {
    virtual_run(async || {
        let a = job("a");
        let (done, _) = wait([&a.task], ReturnWhen::AllCompleted, Duration::ZERO).await?;
        assert!(done.is_empty());
        a.gate.set();
        let (done, _) = wait([&a.task], ReturnWhen::AllCompleted, Duration::ZERO).await?;
        assert_eq!(done.len(), 1, "it has ended in the turn that went by");
        Ok(())
    });
}

#[test]
fn t90_no_tasks_are_an_error_and_duplicates_count_once() {
    virtual_run(async || {
        for mode in MODES {
            let error = wait(&[] as &[Task<u8>], mode, None).await.unwrap_err();
            assert!(error.is_value());
        }
        let (a, b) = (job("a"), job("b"));
        a.gate.set();
        let tasks = [&b.task, &a.task, &b.task, &a.task];
        let (done, pending) = wait(tasks, ReturnWhen::FirstCompleted, None).await?;
        assert_eq!((done.len(), pending.len()), (1, 1));
        Ok(())
    });
}

#[test]
fn t91_cancelling_the_waiter_leaves_the_children_alone_and_takes_the_callbacks_back() {
    virtual_run(async || {
        let jobs = Rc::new([job("a"), job("b")]);
        let waiting = Rc::clone(&jobs);
        let waiter = create_task(async move {
            let tasks = waiting.each_ref().map(|job| &job.task);
            wait(tasks, ReturnWhen::AllCompleted, Duration::from_secs(9)).await.map(drop)
        });
        settle().await;
        waiter.cancel();
        passes(1).await;
        assert!(waiter.cancelled());
        let start = now();
        for job in &*jobs {
            assert!(!job.task.done());
            job.gate.set();
            shield(&job.task).await?;
        }
        assert_eq!(now(), start, "its timer is gone");
        Ok(())
    });
}

#[test]
fn t91_a_dropped_wait_wakes_nobody() {
    virtual_run(async || {
        for mode in MODES {
            let a = job("a");
            assert_eq!(wakes_when_dropped(wait([&a.task], mode, None)).await, 0);
        }
        Ok(())
    });
}

#[test]
fn t92_a_child_that_is_done_already_costs_the_two_hops() {
    virtual_run(async || {
        let (a, log) = (job("a"), Log::default());
        a.gate.set();
        settle().await;
        let told = log.clone();
        let waiter = create_task(async move {
            told.say("waits");
            wait([a.task], ReturnWhen::AllCompleted, None).await?;
            told.say("resumed");
            Ok(())
        });
        for turn in ["1", "2", "3", "4"] {
            log.say(turn);
            passes(1).await;
        }
        assert_eq!(log.take(), ["1", "waits", "2", "3", "resumed", "4"]);
        waiter.await
    });
}

#[test]
fn t93_the_lists_are_in_input_order() {
    virtual_run(async || {
        let (gates, tasks) = split(["a", "b", "c", "d", "e"].map(job).into());
        for index in [4, 0, 2] {
            gates[index].set();
            settle().await;
        }
        for (task, name) in tasks.iter().zip(["a", "b", "c", "d", "e"]) {
            task.set_name(name);
        }
        let (done, pending) = wait(tasks, ReturnWhen::FirstCompleted, None).await?;
        assert_eq!((names(&done).concat(), names(&pending).concat()), ("ace".into(), "bd".into()));
        Ok(())
    });
}
