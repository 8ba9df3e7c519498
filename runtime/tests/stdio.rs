//! Standard input and output of all kinds. Each test runs this file again as a child that copies its input to its
//! output by our streams.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use corelane::{Result, run, stderr, stdin, stdout};
use rustix::fs::OFlags;

/// The child: lines of the input go to the output, and their number to the error output.
#[test]
fn child() {
    if std::env::var_os("COPY").is_none() {
        return;
    }
    run(async || {
        let (mut input, output, errors) = (stdin()?, stdout()?, stderr()?);
        let mut count = 0;
        while let Some(line) = input.next_line().await? {
            output.write(&line)?;
            output.drain().await?;
            count += 1;
        }
        errors.write(format!("{count} lines\n").as_bytes())?;
        for writer in [output, errors] {
            writer.close();
            writer.wait_closed().await?;
        }
        // Still open, and still blocking, for everybody else.
        println!("done");
        Ok(())
    })
    .unwrap();
}

fn copy(input: impl Into<Stdio>, output: impl Into<Stdio>, errors: impl Into<Stdio>) -> Child {
    let me = std::env::current_exe().unwrap();
    let mut command = Command::new(me);
    command.args(["--exact", "child", "--nocapture", "--quiet"]).env("COPY", "1");
    command.stdin(input).stdout(output).stderr(errors).spawn().unwrap()
}

fn lines() -> String {
    (0..20_000).map(|number| format!("line {number}\n")).collect()
}

/// What the child printed, without what the test harness says before and after.
fn assert_copied(output: &str, input: &str) {
    let copied = output.find(input).map(|at| &output[at + input.len()..]);
    assert!(copied.is_some_and(|rest| rest.contains("done")), "the output is not the input");
}

fn is_blocking(file: impl AsFd) -> bool {
    !rustix::fs::fcntl_getfl(file).unwrap().contains(OFlags::NONBLOCK)
}

#[test]
fn pipes_stay_blocking_for_who_shares_them() {
    let (from, mut to_child) = std::io::pipe().unwrap();
    let (mut from_child, to) = std::io::pipe().unwrap();
    let (our_from, our_to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let child = copy(from, to, Stdio::piped());
    let text = lines();
    #[expect(clippy::disallowed_methods, reason = "a pipe holds less than is written")]
    let writer = std::thread::spawn({
        let text = text.clone();
        move || to_child.write_all(text.as_bytes()).unwrap()
    });
    let mut output = vec![0; text.len()];
    // As much as is sure to come: then both ends can be looked at while the child has them.
    from_child.read_exact(&mut output).unwrap();
    assert!(is_blocking(&our_from) && is_blocking(&our_to));
    drop((our_from, our_to));
    writer.join().unwrap();
    let mut rest = String::new();
    from_child.read_to_string(&mut rest).unwrap();
    assert_copied(&(String::from_utf8(output).unwrap() + &rest), &text);
    let errors = child.wait_with_output().unwrap();
    assert_eq!(errors.stderr, b"20000 lines\n");
}

#[test]
fn files_are_read_and_written_at_the_shared_position() {
    let (mut input, mut output) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let text = lines();
    input.write_all(b"read by somebody else\n").unwrap();
    input.write_all(text.as_bytes()).unwrap();
    input.seek(SeekFrom::Start(22)).unwrap();
    output.write_all(b"written before\n").unwrap();
    let mut child = copy(input, output.try_clone().unwrap(), Stdio::null());
    assert!(child.wait().unwrap().success());
    let mut seen = String::new();
    output.rewind().unwrap();
    output.read_to_string(&mut seen).unwrap();
    assert!(seen.starts_with("written before\n"));
    assert!(!seen.contains("somebody else"));
    assert_copied(&seen, &text);
}

#[test]
fn nothing_comes_from_the_null_device_and_nothing_is_lost_in_it() {
    let child = copy(Stdio::null(), Stdio::null(), Stdio::piped());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stderr, b"0 lines\n");
}

#[test]
fn a_terminal_is_read_line_by_line_and_stays_blocking() {
    let master =
        rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY)
            .unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = rustix::fs::open(&*name, flags, rustix::fs::Mode::empty()).unwrap();
    let ours = terminal.try_clone().unwrap();
    let child = copy(terminal.try_clone().unwrap(), terminal, Stdio::piped());
    let mut master = File::from(master);
    master.write_all(b"typed\n").unwrap();
    let mut seen = String::new();
    // First the echo of the terminal, then the copy.
    while seen.matches("typed").count() < 2 {
        let mut bytes = [0; 256];
        let count = master.read(&mut bytes).unwrap();
        seen += std::str::from_utf8(&bytes[..count]).unwrap();
    }
    assert!(is_blocking(&ours));
    // End of input, as typed.
    master.write_all(&[4]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stderr, b"1 lines\n");
    drop(ours);
}

#[test]
fn sockets_serve_as_standard_streams_too() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let theirs = OwnedFd::from(theirs);
    let child = copy(theirs.try_clone().unwrap(), theirs, Stdio::piped());
    (&ours).write_all(b"through a socket\n").unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stderr, b"1 lines\n");
    let mut seen = String::new();
    (&ours).read_to_string(&mut seen).unwrap();
    assert!(seen.contains("through a socket\n"), "{seen}");
}

#[test]
fn without_sockets_and_off_a_loop_there_are_none() {
    let mut runner = corelane::Runner::builder().virtual_clock().build();
    let refused: Result<()> = runner.run(async || Ok(stdin().map(drop)?));
    assert_eq!(refused.unwrap_err().io_kind(), Some(std::io::ErrorKind::Unsupported));
    assert!(stdout().is_err());
}
