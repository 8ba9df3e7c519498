//! Rules P1 to P9: how a child is started. The traces hold the rest.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod process_support;

use std::fs::File;
use std::future::Future;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use corelane::process::{Stdio, shell_quote};
use corelane::{Result, create_subprocess_exec};
use process_support::{cat, output, real, sh, state_of, until};

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
fn p8_streams_are_bytes_whatever_they_mean_as_text() {
    real(async || {
        let odd = b"\xff\xfe no text\r\n\0\xc3".repeat(100);
        let mut child = cat().spawn().await?;
        let (out, _) = child.communicate(Some(&odd)).await?;
        assert!(out.is_some_and(|out| out == odd), "bytes were changed");
        Ok(())
    });
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
fn p4_a_program_that_is_not_there_is_told_of_whatever_number_a_descriptor_gets() {
    real(async || {
        for number in 3..64 {
            let (mut reading, sending) = std::io::pipe()?;
            let missing = create_subprocess_exec("/no/such/program", [] as [&str; 0]);
            let started = missing.descriptor(number, sending.into()).spawn().await;
            assert_eq!(started.unwrap_err().kind(), ErrorKind::NotFound, "{number}");
            let mut came = Vec::new();
            reading.read_to_end(&mut came)?;
            assert!(came.is_empty(), "{number}: {came:?}");
        }
        Ok(())
    });
}
