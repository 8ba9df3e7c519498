//! The port of `runner_sigint`, a program of its own: SIGINT is handled on the main thread only, where the
//! usual harness runs no test.
//!
//! The scenario is played in a child, which at the end sends itself one more SIGINT: no `run` is active then,
//! so it has to die of it (rule T15).
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]
#![allow(dead_code, reason = "this port needs a part of what is there for all")]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use corelane::{Result, Runner, catch_cancel_plain, sleep, yield_now};
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::SIGINT;

#[macro_use]
mod support;

use support::{FOREVER, Show, check, finally, me, raise};

const NAME: &str = "runner_sigint";

fn interrupt() {
    kill_process(getpid(), Signal::INT).unwrap();
}

async fn obeys() -> Result<()> {
    interrupt();
    let _end = finally(|| ev!("obeys cleans up"));
    sleep(FOREVER).await;
    Ok(())
}

async fn swallows() -> Result<&'static str> {
    interrupt();
    if catch_cancel_plain(sleep(FOREVER)).await.is_err() {
        ev!("swallows caught it");
    }
    yield_now().await;
    Ok("value")
}

async fn fails() -> Result<()> {
    interrupt();
    match catch_cancel_plain(sleep(FOREVER)).await {
        Ok(()) => Ok(()),
        Err(_) => raise("instead"),
    }
}

async fn other_request_too() -> Result<()> {
    interrupt();
    if catch_cancel_plain(sleep(FOREVER)).await.is_err() {
        me().cancel();
        sleep(FOREVER).await;
    }
    Ok(())
}

fn attempt<T: Show + 'static>(
    label: &str,
    runner: &mut Runner,
    main: impl AsyncFnOnce() -> Result<T> + 'static,
) {
    match runner.run(main) {
        Ok(value) => ev!(label, "gave", value),
        Err(error) => ev!(label, "raised", error),
    }
    // The disposition cannot be looked at: the end of the child shows its effect.
    ev!("disposition restored", true);
}

fn play() {
    check(NAME, || {
        let mut runner = Runner::new();
        attempt("obeys", &mut runner, obeys);
        attempt("swallows", &mut runner, swallows);
        attempt("fails", &mut runner, fails);
        attempt("other", &mut runner, other_request_too);
        attempt("obeys again", &mut runner, obeys);
    });
    interrupt();
    unreachable!("SIGINT has its default effect again");
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--child") {
        play();
    }
    if arguments.iter().any(|argument| argument == "--list") {
        println!("{NAME}: test");
        return ExitCode::SUCCESS;
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    if filter.is_some_and(|part| !NAME.contains(part.as_str())) {
        return ExitCode::SUCCESS;
    }
    let child = Command::new(std::env::current_exe().unwrap()).arg("--child").status().unwrap();
    let ended_well = child.signal() == Some(SIGINT);
    println!("test {NAME} ... {}", if ended_well { "ok" } else { "FAILED" });
    if ended_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
