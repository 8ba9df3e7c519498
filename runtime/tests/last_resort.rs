//! What a program that has set up no logging sees: warnings and errors on the standard error, as asyncio's
//! users do. Each program is this test again, in a process of its own.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::env;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use corelane::{
    Error, StreamReader, create_task, open_connection, run, start_server, to_thread, yield_now,
};
use tracing::subscriber::NoSubscriber;

/// Says to the process of a program which one it is.
const PROGRAM: &str = "CORELANE_LAST_RESORT";

fn command(name: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(PROGRAM, name).stdout(Stdio::null());
    command
}

/// Runs the test `name` in a process of its own, and gives what it wrote to its standard error.
fn stderr_of(name: &str, stderr: impl Into<Stdio>) -> String {
    let child = command(name).stderr(stderr).spawn();
    let output = child.unwrap().wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

/// Whether this process is the one in which the program is to run.
fn is_program(name: &str) -> bool {
    env::var(PROGRAM).is_ok_and(|program| program == name)
}

fn a_detached_task_fails() {
    run(async || {
        drop(create_task(async { Err::<(), _>(Error::msg("the disk is full")) }));
        yield_now().await;
        yield_now().await;
        Ok(())
    })
    .unwrap();
}

#[cfg(feature = "sim")]
#[test]
fn nothing_is_said_of_what_a_simulated_host_was_doing_when_it_crashed() {
    let name = "nothing_is_said_of_what_a_simulated_host_was_doing_when_it_crashed";
    if !is_program(name) {
        assert_eq!(stderr_of(name, Stdio::piped()), "");
        return;
    }
    let mut sim = corelane::sim::Simulation::new(1);
    let [one, _other] = ["crashes", "is there when the world ends"].map(|host| {
        let host = sim.host(host).unwrap();
        drop(sim.spawn(host, async || -> corelane::Result<()> { std::future::pending().await }));
        host
    });
    sim.run_for(std::time::Duration::from_secs(1)).unwrap();
    sim.restart(one).unwrap();
}

#[test]
fn e20_a_failure_that_nobody_asked_for_is_seen_without_a_subscriber() {
    let name = "e20_a_failure_that_nobody_asked_for_is_seen_without_a_subscriber";
    if is_program(name) {
        return a_detached_task_fails();
    }
    let said = stderr_of(name, Stdio::piped());
    assert_eq!(said.lines().count(), 1, "{said}");
    let begin = "ERROR corelane::task::report: a task failed and nobody asked for its error: Task-";
    assert!(said.starts_with(begin), "{said}");
    assert!(said.contains("last_resort.rs:"), "{said}");
    assert!(said.ends_with(": the disk is full kind=never-retrieved\n"), "{said}");
}

#[test]
fn s12_a_handler_that_fails_is_seen_without_a_subscriber() {
    let name = "s12_a_handler_that_fails_is_seen_without_a_subscriber";
    if is_program(name) {
        let failed = run(async || {
            let handler = async |_, _| Err(Error::msg("first line\nsecond line\u{1b}[2J"));
            let server = start_server(handler, "127.0.0.1:0").await?;
            let (mut reader, _writer) = open_connection(server.local_addrs()[0]).await?;
            assert_eq!(reader.read_to_end().await?.len(), 0);
            Ok(())
        });
        return failed.unwrap();
    }
    let said = stderr_of(name, Stdio::piped());
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("the handler of a connection failed"), "{said}");
    assert!(said.contains(r"first line\nsecond line\u{1b}[2J kind=client-callback"), "{said}");
}

#[test]
fn a_subscriber_that_hears_nothing_switches_it_off() {
    let name = "a_subscriber_that_hears_nothing_switches_it_off";
    if is_program(name) {
        tracing::subscriber::set_global_default(NoSubscriber::new()).unwrap();
        return a_detached_task_fails();
    }
    assert_eq!(stderr_of(name, Stdio::piped()), "");
}

#[test]
fn a_standard_error_that_nobody_reads_harms_nobody() {
    let name = "a_standard_error_that_nobody_reads_harms_nobody";
    if is_program(name) {
        return a_detached_task_fails();
    }
    let (reader, writer) = UnixStream::pair().unwrap();
    drop(reader);
    assert_eq!(stderr_of(name, OwnedFd::from(writer)), "");
}

#[test]
fn what_a_loop_that_ends_never_sent_is_told() {
    let name = "what_a_loop_that_ends_never_sent_is_told";
    if is_program(name) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let run = run(async move || {
            let (_reader, writer) = open_connection(addr).await?;
            writer.write(vec![0; 16 * 1024 * 1024])?;
            writer.close();
            Ok(())
        });
        return run.unwrap();
    }
    let said = stderr_of(name, Stdio::piped());
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.starts_with("WARN corelane::io::stream::bound: a connection to 127.0.0.1:"),
        "{said}"
    );
    assert!(said.ends_with(" bytes unsent\n"), "{said}");
}

#[test]
fn s24_a_server_that_waits_for_an_idle_client_says_so() {
    let name = "s24_a_server_that_waits_for_an_idle_client_says_so";
    if is_program(name) {
        let run = run(async || {
            let handler = async |mut reader: StreamReader, _writer| {
                reader.read_to_end().await?;
                Ok(())
            };
            let server = start_server(handler, "127.0.0.1:0").await?;
            let (_reader, writer) = open_connection(server.local_addrs()[0]).await?;
            let serving = create_task(async move { server.serve_forever().await });
            yield_now().await;
            serving.cancel();
            // Until the warning has come, which the test answers.
            to_thread(|| Ok(std::io::stdin().read_line(&mut String::new())?)).await?;
            writer.close();
            assert!(serving.await.unwrap_err().is_cancelled());
            Ok(())
        });
        return run.unwrap();
    }
    let mut child = command(name).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "WARN corelane::net::server: a server that ends waits for 1 connection\n");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
