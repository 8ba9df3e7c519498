//! Signals as streams. Each test has a signal of its own, as they share one process; what ends a process is
//! tried on a child of ours.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use corelane::{Result, Runner, run, signal, sleep, spawn, timeout};
use futures_util::StreamExt;

const PATIENCE: Duration = Duration::from_secs(20);

fn raise(number: i32) {
    signal_hook::low_level::raise(number).unwrap();
}

fn real(main: impl AsyncFnOnce() -> Result<()> + 'static) {
    run(async move || timeout(PATIENCE, async move |_| main().await).await).unwrap();
}

#[test]
fn a_signal_comes_to_who_waits_and_to_who_comes_later() {
    real(async || {
        let mut hangup = signal(libc::SIGHUP)?;
        let waiter = spawn(async move {
            hangup.recv().await;
            hangup
        });
        corelane::yield_now().await;
        raise(libc::SIGHUP);
        let mut hangup = waiter.await?;
        raise(libc::SIGHUP);
        sleep(Duration::from_millis(5)).await;
        hangup.recv().await;
        // It was one signal, so nothing is left.
        let more = timeout(Duration::from_millis(20), async |_| {
            hangup.recv().await;
            Ok(())
        });
        assert!(more.await.unwrap_err().is_timeout());
        Ok(())
    });
}

#[test]
fn each_stream_sees_each_signal_on_every_loop() {
    real(async || {
        let (ready, is_ready) = mpsc::channel();
        #[expect(clippy::disallowed_methods, reason = "a loop on another thread is the subject")]
        let other = std::thread::spawn(move || {
            run(async move || {
                let mut stream = signal(libc::SIGUSR1)?;
                ready.send(()).unwrap();
                assert_eq!(stream.next().await, Some(()));
                Ok(())
            })
        });
        let (mut first, mut second) = (signal(libc::SIGUSR1)?, signal(libc::SIGUSR1)?);
        is_ready.recv()?;
        raise(libc::SIGUSR1);
        first.recv().await;
        second.recv().await;
        other.join().unwrap()
    });
}

#[test]
fn a_flood_is_at_least_one_signal_and_stops() {
    real(async || {
        let mut stream = signal(libc::SIGUSR2)?;
        for _ in 0..100_000 {
            raise(libc::SIGUSR2);
        }
        stream.recv().await;
        let mut more = 0;
        while let Ok(()) = timeout(Duration::from_millis(20), async |_| {
            stream.recv().await;
            Ok(())
        })
        .await
        {
            more += 1;
        }
        assert!(more < 1_000, "{more} further ones came of what the pipe held");
        Ok(())
    });
}

#[test]
fn a_cancelled_wait_loses_no_signal() {
    real(async || {
        let mut stream = signal(libc::SIGWINCH)?;
        let gave_up = timeout(Duration::from_millis(1), async |_| {
            stream.recv().await;
            Ok(())
        });
        assert!(gave_up.await.unwrap_err().is_timeout());
        raise(libc::SIGWINCH);
        stream.recv().await;
        Ok(())
    });
}

#[test]
fn what_cannot_be_handled_is_refused_and_so_is_a_virtual_clock() {
    real(async || {
        for number in [0, -3, 65, libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV] {
            let refused = signal(number).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput, "{number}");
        }
        Ok(())
    });
    let mut runner = Runner::builder().virtual_clock().build();
    let refused = runner.run(async || Ok(signal(libc::SIGALRM).map(drop)?));
    assert_eq!(refused.unwrap_err().io_kind(), Some(std::io::ErrorKind::Unsupported));
    assert!(signal(libc::SIGALRM).is_err(), "off a loop");
}

/// Runs one test of this file in a child, with `PART` set. What a job in the background has ignored, it has not.
fn child(test: &str) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,QUIT"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env("PART", "1").stdout(Stdio::null());
    command
}

fn is_child() -> bool {
    std::env::var_os("PART").is_some()
}

#[test]
fn a_signal_does_what_it_did_before_when_its_last_stream_has_gone() {
    if !is_child() {
        let test = "a_signal_does_what_it_did_before_when_its_last_stream_has_gone";
        let status = child(test).status().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGQUIT), "{status}");
        return;
    }
    real(async || {
        let (first, mut second) = (signal(libc::SIGQUIT)?, signal(libc::SIGQUIT)?);
        drop(first);
        raise(libc::SIGQUIT);
        second.recv().await;
        // What was ignored stays ignored: the standard library ignores SIGPIPE.
        let mut pipe = signal(libc::SIGPIPE)?;
        raise(libc::SIGPIPE);
        pipe.recv().await;
        drop(pipe);
        raise(libc::SIGPIPE);
        drop(second);
        raise(libc::SIGQUIT);
        Ok(())
    });
}
