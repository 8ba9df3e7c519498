use std::process::Command;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::child::{Child, Unwatched};
use super::{Stdio, create_subprocess_exec, exit};
use crate::executor::current_io;
use crate::{Result, Runner, Timeout, run, sleep, timeout};

#[expect(clippy::zombie_processes, reason = "who reaps it is the subject")]
fn start(program: &str, args: &[&str]) -> Pid {
    let child = Command::new(program).args(args).spawn().unwrap();
    Pid::from_raw(child.id().cast_signed()).unwrap()
}

async fn ended(child: &Child) -> Result<()> {
    let end = async |_: &Timeout| {
        child.ended().wait().await;
        Ok(())
    };
    timeout(Duration::from_secs(10), end).await
}

/// Whether a process of this number is a child of ours, running or not yet reaped.
fn is_ours(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), options).is_ok()
}

#[test]
fn p22_without_descriptors_for_processes_a_thread_waits() {
    run(async || {
        let io = current_io()?;
        let pid = start("/bin/sh", &["-c", "exit 4"]);
        let child = Unwatched(pid).watch_by(io.clone(), exit::watch_by_thread(pid)?)?;
        ended(&child).await?;
        assert_eq!(child.code(), Some(4));
        assert!(!is_ours(pid));

        let pid = start("sleep", &["100"]);
        let child = Unwatched(pid).watch_by(io, exit::watch_by_thread(pid)?)?;
        assert_eq!(child.code(), None);
        child.send(Signal::KILL)?;
        ended(&child).await?;
        assert_eq!(child.code(), Some(-9));
        Ok(())
    })
    .unwrap();
}

#[test]
fn p9_a_child_that_cannot_be_watched_is_killed_and_reaped() {
    let pid = start("sleep", &["100"]);
    drop(Unwatched(pid));
    assert!(!is_ours(pid));
}

#[test]
fn p28_what_outlives_its_loop_is_reaped_by_the_next_that_starts_a_child() {
    let mut pids = Vec::new();
    let mut runner = Runner::new();
    let started = runner.run(async || {
        let sleeping = create_subprocess_exec("sleep", ["100"]).spawn().await?;
        Ok(sleeping.pid())
    });
    runner.close().unwrap();
    pids.push(Pid::from_raw(started.unwrap().cast_signed()).unwrap());
    assert!(is_ours(pids[0]), "nobody has reaped it");
    kill_process(pids[0], Signal::KILL).unwrap();
    run(async move || {
        // It ends at some moment: each start looks for it.
        timeout(Duration::from_secs(10), async |_| {
            while is_ours(pids[0]) {
                let next = create_subprocess_exec("true", [] as [&str; 0]);
                next.stdin(Stdio::Null).spawn().await?.wait().await;
                sleep(Duration::from_millis(1)).await;
            }
            Ok(())
        })
        .await
    })
    .unwrap();
}

#[test]
fn p29_a_child_that_somebody_else_reaped_has_an_unknown_code() {
    run(async || {
        let process = create_subprocess_exec("true", [] as [&str; 0]).spawn().await?;
        let pid = Pid::from_raw(process.pid().cast_signed()).unwrap();
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap();
        assert_eq!(process.wait().await, 255);
        Ok(())
    })
    .unwrap();
}

#[test]
fn p26_what_has_outlived_its_loop_gets_no_signal_once_it_may_have_been_reaped() {
    let start = |kill_on_drop| {
        let mut runner = Runner::new();
        let started = runner.run(async move || {
            Ok(create_subprocess_exec("sleep", ["100"]).kill_on_drop(kill_on_drop).spawn().await?)
        });
        runner.close().unwrap();
        let process = started.unwrap();
        let pid = Pid::from_raw(process.pid().cast_signed()).unwrap();
        (process, pid)
    };
    // As long as nobody has reaped it its number is its own.
    let (process, pid) = start(false);
    process.terminate().unwrap();
    while is_ours(pid) {
        exit::reap_orphans();
    }
    assert_eq!(process.kill().unwrap_err().raw_os_error(), Some(Errno::SRCH.raw_os_error()));
    // It counts as reaped, and what runs under its number as a stranger.
    let (process, stranger) = start(true);
    exit::forget_orphan(stranger);
    assert_eq!(process.kill().unwrap_err().raw_os_error(), Some(Errno::SRCH.raw_os_error()));
    drop(process);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    assert!(waitid(WaitId::Pid(stranger), options).unwrap().is_none(), "it was killed");
    drop(Unwatched(stranger));
}
