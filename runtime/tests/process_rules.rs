//! Rules P1 to P47: child processes. The traces hold the rest.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::fs::{self, File};
use std::future::Future;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use corelane::process::{Process, ProcessBuilder, Stdio, shell_quote};
use corelane::{
    Result, create_subprocess_exec, create_subprocess_shell, gather, run, sleep, spawn, timeout,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs on the system's clock; what does not end is an error.
fn real(main: impl AsyncFnOnce() -> Result<()> + 'static) {
    run(async move || timeout(PATIENCE, async move |_| main().await).await).unwrap();
}

fn sh(script: &str) -> ProcessBuilder {
    create_subprocess_shell(script)
}

fn cat() -> ProcessBuilder {
    create_subprocess_exec("cat", [] as [&str; 0]).stdin(Stdio::Pipe).stdout(Stdio::Pipe)
}

async fn output(builder: ProcessBuilder) -> Result<String> {
    let mut process = builder.stdout(Stdio::Pipe).spawn().await?;
    let (out, _) = process.communicate(None).await?;
    Ok(String::from_utf8(out.unwrap().to_vec())?)
}

/// What `/proc` says of the state of a process; `None` once it is gone.
fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn p1_arguments_arrive_as_they_are() {
    real(async || {
        let odd = ["a b", "", "$HOME", "'\"*\\", "--", "\n", "é"];
        let args = ["-c", r#"printf '<%s>' "$@""#, "sh"].into_iter().chain(odd);
        let seen = output(create_subprocess_exec("/bin/sh", args)).await?;
        assert_eq!(seen, odd.map(|word| format!("<{word}>")).concat());
        Ok(())
    });
}

#[test]
fn p1_a_zero_byte_is_refused() {
    real(async || {
        let refused = create_subprocess_exec("echo", ["a\0b"]).spawn().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

#[test]
fn p2_a_quoted_word_arrives_unchanged() {
    proptest::proptest!(
        proptest::test_runner::Config { cases: 200, ..Default::default() },
        |(word in "[^\\x00]*")| {
            let line = format!("printf %s {}", shell_quote(&word));
            let out = std::process::Command::new("/bin/sh").args(["-c", &line]).output()?;
            proptest::prop_assert_eq!(out.stdout, word.into_bytes());
        }
    );
}

#[test]
fn p3_a_stream_goes_to_a_descriptor_and_both_to_one() {
    real(async || {
        let mut file = tempfile::tempfile()?;
        let descriptor = || -> Result<Stdio> { Ok(Stdio::Descriptor(file.try_clone()?.into())) };
        let child = sh("echo out; echo err >&2").stdout(descriptor()?).stderr(Stdio::Stdout);
        assert_eq!(child.spawn().await?.wait().await, 0);
        let mut text = String::new();
        file.rewind()?;
        file.read_to_string(&mut text)?;
        assert_eq!(text, "out\nerr\n");

        file.rewind()?;
        let from = Stdio::Descriptor(file.into());
        assert_eq!(output(cat().stdin(from)).await?, "out\nerr\n");
        Ok(())
    });
}

#[test]
fn p3_only_standard_error_goes_where_standard_output_goes() {
    real(async || {
        for builder in [cat().stdin(Stdio::Stdout), cat().stdout(Stdio::Stdout)] {
            let refused = builder.spawn().await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        }
        let silent = sh("echo out; echo err >&2").stdout(Stdio::Null).stderr(Stdio::Stdout);
        assert_eq!(silent.spawn().await?.wait().await, 0);
        Ok(())
    });
}

#[test]
fn p4_the_error_names_the_program_and_the_directory() {
    real(async || {
        let missing = create_subprocess_exec("no-such-program", ["x"]).spawn().await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.to_string().contains("no-such-program"), "{missing}");

        let elsewhere = sh("true").current_dir("/no/such/place").spawn().await.unwrap_err();
        assert!(elsewhere.to_string().contains("/no/such/place"), "{elsewhere}");

        let folder = tempfile::tempdir()?;
        let plain = folder.path().join("plain");
        File::create(&plain)?;
        let denied = create_subprocess_exec(plain, ["x"]).spawn().await.unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::PermissionDenied);
        Ok(())
    });
}

#[test]
fn p5_environment_directory_session_group_and_descriptors() {
    real(async || {
        let bare =
            sh("echo \"$A-$HOME-$(pwd)\"").environment([("A", "1"), ("PATH", "/bin:/usr/bin")]);
        assert_eq!(output(bare.current_dir("/")).await?, "1--/\n");
        assert_eq!(output(sh("echo $B-$B2").env("B", "2")).await?, "2-\n");

        // Fields of /proc/PID/stat after the name: state, parent, group, session.
        let stat = "read -r line </proc/$$/stat; line=${line##*) }; set -- $line; echo $$ $3 $4";
        let numbers = |text: String| -> Vec<u32> {
            text.split_whitespace().map(|word| word.parse().unwrap()).collect()
        };
        let plain = numbers(output(sh(stat)).await?);
        assert!(plain[0] != plain[1] && plain[0] != plain[2], "{plain:?}");
        let grouped = numbers(output(sh(stat).process_group(0)).await?);
        assert!(grouped[0] == grouped[1] && grouped[0] != grouped[2], "{grouped:?}");
        let leading = numbers(output(sh(stat).new_session()).await?);
        assert!(leading[0] == leading[1] && leading[0] == leading[2], "{leading:?}");

        let mut file = tempfile::tempfile()?;
        file.write_all(b"through seven")?;
        file.rewind()?;
        let seven = OwnedFd::from(file);
        assert_eq!(output(sh("cat <&7").descriptor(7, seven)).await?, "through seven");

        let (a, b) = (OwnedFd::from(tempfile::tempfile()?), OwnedFd::from(tempfile::tempfile()?));
        let twice = sh("true").descriptor(5, a).descriptor(5, b).spawn().await.unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

#[test]
fn p6_no_child_inherits_our_ends_of_pipes() {
    real(async || {
        let list = || output(create_subprocess_exec("/bin/ls", ["/proc/self/fd"]));
        // What our own parent has left open for its children goes to ours too.
        let before = list().await?;
        let held = cat().spawn().await?;
        assert_eq!(list().await?, before);
        drop(held);
        Ok(())
    });
}

#[test]
fn p7_a_limit_of_zero_is_refused() {
    real(async || {
        let refused = cat().limit_bytes(0).spawn().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

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
fn p9_the_create_call_is_done_at_its_first_poll() {
    real(async || {
        let start = pin!(create_subprocess_exec("sleep", ["100"]).kill_on_drop(true).spawn());
        let polled = start.poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Ok(child)) = polled else { panic!("{polled:?}") };
        let pid = child.pid();
        drop(child);
        until(|| state_of(pid).is_none()).await;
        Ok(())
    });
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
        stdin.write(&[0; 1 << 20])?;
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
