//! Rules P20 to P47: the life of a child, and talking to it. The traces hold the rest.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod process_support;

use std::fs;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use corelane::process::{Process, Stdio};
use corelane::{create_subprocess_exec, gather, run, sleep, spawn, timeout};
use process_support::{cat, real, sh, state_of, until};

#[test]
fn p21_p25_signals_end_the_child_and_not_its_children() {
    real(async || {
        let mut parent = sh("sleep 100 & echo $!; wait").stdout(Stdio::Pipe).spawn().await?;
        let line = parent.stdout.as_mut().unwrap().read_line().await?;
        let grandchild: i32 = std::str::from_utf8(&line)?.trim().parse()?;
        parent.kill()?;
        assert_eq!(parent.wait().await, -9);
        let alive = || state_of(grandchild.cast_unsigned()).is_some_and(|state| state != 'Z');
        assert!(alive(), "it was not killed with its parent");
        let stopped = std::process::Command::new("kill").arg(grandchild.to_string()).status()?;
        assert!(stopped.success());
        Ok(())
    });
}

#[test]
fn p25_what_is_no_signal_is_refused() {
    real(async || {
        let child = create_subprocess_exec("sleep", ["100"]).spawn().await?;
        for signal in [0, -1, 1_000] {
            assert_eq!(child.send_signal(signal).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        child.kill()?;
        assert_eq!(child.wait().await, -9);
        Ok(())
    });
}

#[test]
fn p26_between_end_and_report_a_signal_does_nothing() {
    real(async || {
        let child = sh("exit 6").spawn().await?;
        let pid = child.pid();
        // The loop does not turn meanwhile, so the end is not reported.
        while state_of(pid) != Some('Z') {
            std::thread::yield_now();
        }
        child.terminate()?;
        child.kill()?;
        assert_eq!(child.wait().await, 6);
        assert_eq!(child.kill().unwrap_err().raw_os_error(), Some(libc::ESRCH));
        Ok(())
    });
}

#[test]
fn p28_a_dropped_process_runs_on_and_is_reaped() {
    real(async || {
        let mut child = sh("read line; exit 3").stdin(Stdio::Pipe).spawn().await?;
        let (pid, stdin) = (child.pid(), child.stdin.take().unwrap());
        drop(child);
        sleep(Duration::from_millis(10)).await;
        assert!(state_of(pid).is_some_and(|state| state != 'Z'), "it runs on");
        stdin.write(b"go\n")?;
        until(|| state_of(pid).is_none()).await;
        Ok(())
    });
}

#[test]
fn p28_kill_on_drop_kills_and_reaps() {
    real(async || {
        let child = create_subprocess_exec("sleep", ["100"]).kill_on_drop(true).spawn().await?;
        let pid = child.pid();
        drop(child);
        until(|| state_of(pid).is_none()).await;
        Ok(())
    });
}

#[test]
fn p29_children_of_others_are_left_alone() {
    real(async || {
        let mut theirs = std::process::Command::new("/bin/sh").args(["-c", "exit 9"]).spawn()?;
        until(|| state_of(theirs.id()) == Some('Z')).await;
        assert_eq!(sh("exit 1").spawn().await?.wait().await, 1);
        assert_eq!(theirs.wait()?.code(), Some(9));
        Ok(())
    });
}

#[test]
fn p40_input_without_a_pipe_is_refused() {
    real(async || {
        let mut child = sh("true").spawn().await?;
        let refused = child.communicate(Some(b"lost")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        child.communicate(Some(b"")).await?;
        Ok(())
    });
}

#[test]
fn p43_communicate_can_be_cancelled_at_each_of_its_polls() {
    real(async || {
        let input = vec![b'x'; 300_000];
        let mut polls = 0;
        loop {
            let mut child = cat().spawn().await?;
            let talk_ended = {
                let mut talk = pin!(child.communicate(Some(&input)));
                let mut left = polls;
                std::future::poll_fn(|context| poll_some(talk.as_mut(), context, &mut left)).await
            };
            if let Some(outcome) = talk_ended {
                assert_eq!(outcome?.0.unwrap(), input);
                assert_eq!(child.returncode(), Some(0));
                break;
            }
            // With all input sent it may have ended by itself.
            let _ = child.kill();
            assert!([0, -9].contains(&child.wait().await));
            polls += 1;
        }
        assert!(polls > 2, "it was cancelled at {polls} polls");
        Ok(())
    });
}

/// Polls until it has suspended so often, then gives up.
fn poll_some<F: Future>(
    future: std::pin::Pin<&mut F>,
    context: &mut Context<'_>,
    left: &mut usize,
) -> Poll<Option<F::Output>> {
    match future.poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if *left == 0 => Poll::Ready(None),
        Poll::Pending => {
            *left -= 1;
            Poll::Pending
        }
    }
}

#[test]
fn p45_output_is_streamed_in_bounded_memory() {
    const TOTAL: usize = 64 << 20;
    real(async || {
        let mut child = create_subprocess_exec("head", ["-c", &TOTAL.to_string(), "/dev/zero"])
            .stdout(Stdio::Pipe)
            .spawn()
            .await?;
        let (mut seen, mut most) = (0, 0);
        let stdout = child.stdout.as_mut().unwrap();
        loop {
            let there = stdout.fill_buf().await?.len();
            if there == 0 {
                break;
            }
            stdout.consume(there);
            (seen, most) = (seen + there, most.max(there));
        }
        assert_eq!((seen, child.wait().await), (TOTAL, 0));
        assert!(most <= 2 * 65_536 + 16 * 1024, "{most} bytes were held at once");
        Ok(())
    });
}

#[test]
fn p46_drain_fails_when_the_child_is_gone() {
    real(async || {
        let child = sh("exit 0").stdin(Stdio::Pipe).spawn().await?;
        let stdin = child.stdin.as_ref().unwrap();
        child.wait().await;
        // The loss is noticed without a write.
        let _ = stdin.wait_closed().await;
        let lost = stdin.drain().await.unwrap_err();
        assert!(
            matches!(lost.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
            "{lost}"
        );

        let child = sh("exec sleep 100").stdin(Stdio::Pipe).spawn().await?;
        let stdin = child.stdin.as_ref().unwrap();
        stdin.write(vec![0; 1 << 20])?;
        child.kill()?;
        let lost = stdin.drain().await.unwrap_err();
        assert!(
            matches!(lost.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
            "{lost}"
        );
        child.wait().await;
        Ok(())
    });
}

#[test]
fn p24_a_grandchild_that_holds_the_pipe_does_not_delay_wait() {
    real(async || {
        let mut child = sh("sleep 100 & echo $!").stdout(Stdio::Pipe).spawn().await?;
        let line = child.stdout.as_mut().unwrap().read_line().await?;
        assert_eq!(child.wait().await, 0);
        let grandchild = std::str::from_utf8(&line)?.trim();
        assert!(std::process::Command::new("kill").arg(grandchild).status()?.success());
        assert_eq!(child.stdout.as_mut().unwrap().read_to_end().await?.len(), 0);
        Ok(())
    });
}

#[test]
fn p25_a_child_that_ignores_sigterm_is_killed() {
    real(async || {
        let script = "trap '' TERM; echo ready; while :; do sleep 0.02; done";
        let mut child = sh(script).stdout(Stdio::Pipe).spawn().await?;
        child.stdout.as_mut().unwrap().read_line().await?;
        child.terminate()?;
        let late = timeout(Duration::from_millis(50), async |_| Ok(child.wait().await)).await;
        assert!(late.unwrap_err().is_timeout());
        child.kill()?;
        assert_eq!(child.wait().await, -9);
        Ok(())
    });
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn p47_a_thousand_children_a_hundred_at_a_time_leave_nothing_behind() {
    // In a process of its own: other tests open descriptors too.
    if std::env::var_os("CORELANE_CHILDREN").is_none() {
        let me = std::env::current_exe().unwrap();
        let test = "p47_a_thousand_children_a_hundred_at_a_time_leave_nothing_behind";
        let mut again = std::process::Command::new(me);
        let status = again.args(["--exact", test]).env("CORELANE_CHILDREN", "1").status().unwrap();
        assert!(status.success());
        return;
    }
    run(async || {
        sh("true").spawn().await?.wait().await;
        let before = open_descriptors();
        let alive = corelane::sync::Semaphore::new(100);
        let one = |i: usize| {
            let alive = alive.clone();
            async move {
                let _permit = alive.acquire().await?;
                let child = sh(&format!("exit {}", i % 200)).stdin(Stdio::Pipe);
                let child: Process = child.spawn().await?;
                Ok(child.wait().await)
            }
        };
        let codes = gather((0..1_000).map(one)).await?;
        assert!(codes.iter().enumerate().all(|(i, &code)| code == (i % 200) as i32));
        assert_eq!(open_descriptors(), before);
        let children = fs::read_to_string("/proc/thread-self/children")?;
        assert_eq!(children, "", "no zombie is left");
        Ok(())
    })
    .unwrap();
}

#[test]
fn p27_cancelled_waits_leave_the_others() {
    real(async || {
        let child = std::rc::Rc::new(sh("read x; exit 2").stdin(Stdio::Pipe).spawn().await?);
        let wait = || {
            let child = std::rc::Rc::clone(&child);
            spawn(async move { child.wait().await })
        };
        let (first, second) = (wait(), wait());
        corelane::yield_now().await;
        first.cancel();
        child.stdin.as_ref().unwrap().write(b"\n")?;
        assert_eq!(second.await?, 2);
        assert!(first.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn p45_on_a_virtual_clock_nothing_is_started() {
    let mut runner = corelane::Runner::builder().virtual_clock().build();
    let refused =
        runner.run(async || Ok(sh("exit 0").stdin(Stdio::Pipe).spawn().await.map(drop)?));
    assert_eq!(refused.unwrap_err().io_kind(), Some(ErrorKind::Unsupported));
}

#[test]
fn p20_the_number_is_known_from_the_start_and_stays() {
    real(async || {
        let mut child = sh("echo $$").stdout(Stdio::Pipe).spawn().await?;
        let pid = child.pid();
        let (out, _) = child.communicate(None).await?;
        assert_eq!(std::str::from_utf8(&out.unwrap())?.trim(), pid.to_string());
        assert_eq!((child.pid(), child.returncode()), (pid, Some(0)));
        Ok(())
    });
}

#[test]
fn p23_wait_does_not_read_what_the_child_writes() {
    real(async || {
        let mut child = sh("head -c 1000000 /dev/zero").stdout(Stdio::Pipe).spawn().await?;
        let stuck = timeout(Duration::from_millis(50), async |_| Ok(child.wait().await)).await;
        assert!(stuck.unwrap_err().is_timeout());
        let (out, _) = child.communicate(None).await?;
        assert_eq!(out.unwrap().len(), 1_000_000);
        Ok(())
    });
}

#[test]
fn p41_p44_no_sizes_and_no_limit_make_communicate_wait_forever() {
    real(async || {
        // It writes all before it reads anything.
        let script = "head -c 500000 /dev/zero; head -c 500000 /dev/zero >&2; wc -c";
        let child = sh(script).stdin(Stdio::Pipe).stdout(Stdio::Pipe).stderr(Stdio::Pipe);
        let mut child = child.limit_bytes(10).spawn().await?;
        let (out, err) = child.communicate(Some(&vec![b'x'; 400_000])).await?;
        assert_eq!(&out.unwrap()[500_000..], b"400000\n");
        assert_eq!(err.unwrap().len(), 500_000);
        Ok(())
    });
}

#[test]
fn p42_a_child_that_reads_nothing_is_no_error() {
    real(async || {
        for script in ["exec <&-; sleep 0.05; exit 3", "exit 3"] {
            let mut child = sh(script).stdin(Stdio::Pipe).spawn().await?;
            child.communicate(Some(&vec![b'x'; 1_000_000])).await?;
            assert_eq!(child.returncode(), Some(3));
        }
        Ok(())
    });
}
