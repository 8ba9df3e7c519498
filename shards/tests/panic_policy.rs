//! What a panic does to the shard that it happened on, and to the others, under each policy.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod support;

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use corelane::{Error, Result, catch_cancel, catch_cancel_plain, create_task, spawn, yield_now};
use corelane_shards::sync::oneshot;
use corelane_shards::{
    CallError, PanicPolicy, Phase, Shard, ShardId, ShardsHandle, Silence, TryPostError,
};
use support::{FAR, call_error, ends_everywhere, shards, wait_until};

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(60);
/// Tells the child process what to do.
const PART: &str = "CORELANE_PANIC_PART";

/// Waits for ever, also if it is asked not to.
async fn resist() {
    loop {
        let _ = catch_cancel_plain(std::future::pending::<()>()).await;
    }
}

fn is_gone(error: &Error) -> bool {
    call_error(error) == &CallError::ShardGone(FAR)
}

/// Waits until the thread of shard 1 has ended.
async fn until_far_has_ended(shard: &Shard) {
    let has_ended =
        |stats: &corelane_shards::RunStats| matches!(stats.shards[1].answer, Err(Silence::Ended));
    while !has_ended(&shard.stats(LONG).await) {
        yield_now().await;
    }
}

#[test]
fn isolated_a_panic_is_the_matter_of_its_task() {
    let main = async |shard: Shard| {
        let task = spawn(async { panic!("on purpose") });
        assert!(task.await.unwrap_err().is_panic());
        let peer = ShardId::new(1 - shard.id().index() as u16);
        shard.invoke(peer, || ()).await
    };
    ends_everywhere(
        &shards(2),
        || main,
        |ending| {
            assert!(ending.failure.is_none() && ending.lost.is_empty() && ending.late.is_empty());
            assert_eq!(ending.into_result().unwrap().len(), 2);
        },
    );
}

/// Every way to shard 1 is refused at once.
async fn check_refused(shard: &Shard, outside: &ShardsHandle) {
    assert!(is_gone(&shard.call(FAR, || async { Ok(()) }).await.unwrap_err()));
    assert!(is_gone(&shard.invoke(FAR, || ()).await.unwrap_err()));
    assert!(is_gone(&shard.post(FAR, || ()).await.unwrap_err()));
    let posted = shard.try_post(FAR, || ());
    assert!(matches!(posted, Err(TryPostError::Unreachable(..))));
    assert!(is_gone(&outside.call(FAR, || async { Ok(()) }).await.unwrap_err()));
}

#[test]
fn a_shard_that_is_shut_is_seen_by_the_others_at_once_and_they_go_on() {
    let builder = shards(3).panic_policy(PanicPolicy::ShutShard);
    let make = || {
        let (release, released) = oneshot::channel::<()>();
        let released = Arc::new(std::sync::Mutex::new(Some(released)));
        let release = Arc::new(std::sync::Mutex::new(Some(release)));
        async move |shard: Shard| {
            if shard.id() == FAR {
                // It is still cleaning up when the others have long been told.
                let released = released.lock().unwrap().take().unwrap();
                let _ = catch_cancel(std::future::pending::<Result<()>>()).await;
                let error = shard.invoke(ShardId::new(0), || ()).await.unwrap_err();
                assert!(matches!(call_error(&error), CallError::ShardGone(_)), "{error}");
                let _ = released.await;
                return Ok(0);
            }
            if shard.id() == ShardId::new(2) {
                shard.shutdown().requested().await;
                return Ok(2);
            }
            let waiting = create_task(shard.call(FAR, std::future::pending::<Result<()>>));
            let queued = shard
                .invoke(FAR, || drop(create_task(async { panic!("on purpose") as Result<()> })));
            queued.await?;
            assert!(is_gone(&waiting.await.unwrap_err()), "a call that was under way fails");
            check_refused(&shard, &shard.handle()).await;
            drop(release.lock().unwrap().take());
            until_far_has_ended(&shard).await;
            check_refused(&shard, &shard.handle()).await;
            let answer = shard.invoke(ShardId::new(2), || 5).await?;
            shard.shutdown().request();
            Ok(answer)
        }
    };
    ends_everywhere(&builder, make, |ending| {
        let [first, far, last] = &ending.mains[..] else { panic!("three mains") };
        assert_eq!((first.as_ref().ok(), last.as_ref().ok()), (Some(&5), Some(&2)));
        assert_eq!(far.as_ref().ok(), Some(&0), "it ended by itself, with clean-up");
        let [(FAR, panic)] = &ending.lost[..] else { panic!("{:?}", ending.lost) };
        assert!(panic.is_panic() && panic.to_string().contains("on purpose (in task "), "{panic}");
        assert!(ending.late.is_empty());
        assert!(ending.into_result().unwrap_err().is_panic());
    });
}

#[test]
fn a_shard_that_is_shut_and_does_not_clean_up_in_time_is_aborted_alone() {
    let builder = shards(2).panic_policy(PanicPolicy::ShutShard).drain(LONG);
    let builder = builder.clean_up(Duration::from_millis(20));
    let main = async |shard: Shard| {
        if shard.id() == FAR {
            drop(corelane::task().name("stubborn").spawn(resist()));
            panic!("main panics")
        }
        until_far_has_ended(&shard).await;
        assert!(!shard.shutdown().is_requested(), "nobody has asked for the end of all");
        Ok(1)
    };
    ends_everywhere(
        &builder,
        || main,
        |ending| {
            assert_eq!(ending.mains[0].as_ref().ok(), Some(&1));
            // On a slow machine the time is up before its panic has come to who waits for it.
            assert!(ending.mains[1].is_err());
            let [late] = &ending.late[..] else { panic!("{:?}", ending.late) };
            assert_eq!((late.phase, late.id), (Phase::CleanUp, FAR));
            assert!(late.tasks.iter().any(|task| task.name == "stubborn"));
            let [(FAR, panic)] = &ending.lost[..] else { panic!("{:?}", ending.lost) };
            assert!(panic.is_panic());
        },
    );
}

#[test]
fn every_shard_may_be_shut_one_by_one() {
    let builder = shards(3).panic_policy(PanicPolicy::ShutShard);
    let main = async |_: Shard| -> Result<()> {
        drop(create_task(async { panic!("on purpose") as Result<()> }));
        std::future::pending().await
    };
    ends_everywhere(
        &builder,
        || main,
        |ending| {
            assert!(!ending.lost.is_empty() && ending.late.is_empty());
            assert!(ending.into_result().unwrap_err().is_panic());
        },
    );
}

#[test]
fn all_shards_are_shut_by_a_panic_of_one() {
    let builder = shards(3).panic_policy(PanicPolicy::ShutAll);
    let main = async |shard: Shard| {
        if shard.id() == FAR {
            drop(create_task(async { panic!("on purpose") as Result<()> }));
        }
        std::future::pending::<Result<()>>().await
    };
    ends_everywhere(
        &builder,
        || main,
        |ending| {
            assert!(ending.lost.is_empty());
            assert!(ending.mains.iter().all(|main| main.as_ref().is_err_and(Error::is_cancelled)));
            let error = ending.into_result().unwrap_err();
            assert!(error.is_panic() && error.to_string().contains("on purpose"), "{error}");
        },
    );
}

/// Runs what the environment names, in the process that [`end_of`] starts.
#[test]
fn child() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("a thread-local panics when it is dropped");
        }
    }
    thread_local!(static LAST: Panics = const { Panics });
    let Ok(part) = env::var(PART) else { return };
    let policy = if part == "abort" { PanicPolicy::Abort } else { PanicPolicy::Isolate };
    let run = shards(2).panic_policy(policy).run(async move |shard: Shard| {
        match (shard.id() == FAR, part.as_str()) {
            (true, "abort") => drop(create_task(async { panic!("on purpose") as Result<()> })),
            (true, _) => {
                LAST.with(|_| ());
                return Ok(());
            }
            (false, _) => {}
        }
        if part == "abort" {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    println!("lived: {run:?}");
}

/// The signal that ends a process which does `part`; it would wait for ever, or say so, if it lived.
fn end_of(part: &str) -> Option<i32> {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env(PART, part);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut status = None;
    wait_until("the process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().signal()
}

#[test]
fn the_process_is_aborted_by_a_panic_of_one() {
    assert_eq!(end_of("abort"), Some(rustix::process::Signal::ABORT.as_raw()));
}

#[test]
fn a_thread_local_that_panics_when_its_shard_has_ended_aborts_the_process_as_everywhere() {
    assert_eq!(end_of("thread-local"), Some(rustix::process::Signal::ABORT.as_raw()));
}
