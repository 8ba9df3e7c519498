//! The program `subprocess`, as its users meet it.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

fn subprocess() -> Command {
    Command::new(env!("CARGO_BIN_EXE_subprocess"))
}

fn text(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn outputs_come_in_order_and_failures_are_named() {
    let output =
        subprocess().args(["sleep 0.1; echo a", "echo b >&2; exit 3", "echo c"]).output().unwrap();
    let expected = "==> sleep 0.1; echo a\na\n\
                    ==> echo b >&2; exit 3\nb\n==> failed with 3\n\
                    ==> echo c\nc\n";
    assert_eq!(text(&output), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn commands_come_from_standard_input_too() {
    let mut child = subprocess().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"echo one\necho two\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output), "==> echo one\none\n==> echo two\ntwo\n");
    assert!(output.status.success());
}

#[test]
fn what_takes_too_long_is_ended_also_if_it_will_not() {
    let stubborn = "trap '' TERM; while :; do sleep 0.05; done";
    let output = subprocess().args(["--limit", "0.2", stubborn, "echo well"]).output().unwrap();
    assert!(text(&output).contains("==> took too long\n==> echo well\nwell\n"), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn no_more_run_at_a_time_than_jobs() {
    let folder = tempfile::tempdir().unwrap();
    // Each takes the one place there is, and fails if somebody else has it.
    let command =
        format!("cd {} && mkdir place && sleep 0.02 && rmdir place", folder.path().display());
    let output = subprocess().args(["--jobs", "1"]).args(vec![command; 5]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn an_interrupt_ends_the_commands_too() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let command = format!("echo $$ > {}; exec sleep 1000", fifo.display());
    let child = subprocess().arg(command).stdout(Stdio::null()).spawn().unwrap();
    let mut pid = String::new();
    BufReader::new(std::fs::File::open(&fifo).unwrap()).read_line(&mut pid).unwrap();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    // It was reaped before the program ended.
    assert!(!std::path::Path::new("/proc").join(pid.trim()).exists());
}

#[test]
fn bad_options_are_explained() {
    for options in [["--jobs", "0"], ["--limit", "-1"]] {
        let output = subprocess().args(options).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(!output.stderr.is_empty());
    }
}
