//! `all_tasks`: rule T46.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::future::pending;

use corelane::{Result, TaskRef, all_tasks, create_task, current_task, spawn, yield_now};
use task_support::virtual_run;

fn names() -> Vec<String> {
    all_tasks().unwrap().iter().map(TaskRef::name).collect()
}

#[test]
fn t46_all_tasks_are_the_unfinished_ones_oldest_first_also_without_a_handle() {
    virtual_run(async || {
        current_task()?.unwrap().set_name("main");
        let first = spawn(pending::<()>()).named("first");
        drop(spawn(pending::<()>()).named("detached"));
        let short = spawn(async { names() }).named("short");
        assert_eq!(names(), ["main", "first", "detached", "short"]);
        assert_eq!(short.await?, ["main", "first", "detached", "short"]);
        assert_eq!(names(), ["main", "first", "detached"], "a task leaves when it ends");
        first.cancel();
        assert_eq!(names().len(), 3, "a request alone ends nothing");
        yield_now().await;
        assert_eq!(names(), ["main", "detached"]);
        Ok(())
    });
}

#[test]
fn t46_each_of_all_tasks_can_be_asked_and_cancelled() {
    virtual_run(async || {
        let task = create_task(async { pending::<Result<()>>().await });
        let found = all_tasks()?.pop().unwrap();
        assert_eq!((found.id(), found.cancelling()), (task.id(), 0));
        assert!(found.location().file().ends_with("task_all.rs"));
        assert!(found.cancel());
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!found.cancel(), "it has ended");
        Ok(())
    });
}

#[test]
fn t46_there_are_none_to_ask_for_off_a_loop() {
    assert!(all_tasks().unwrap_err().is_runtime());
}
