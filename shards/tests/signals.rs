//! What SIGINT and SIGTERM do to a process that runs shards. The process is this test binary again.

use std::env;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use corelane::Result;
use corelane_shards::{Placement, Shard, Shards};
use rustix::process::{Pid, Signal, kill_process};

/// Says what the process that a test starts is to do.
const ROLE: &str = "CORELANE_SIGNAL_TEST_ROLE";

/// The body of the process; nothing at all when it is run as a test.
#[test]
fn child() {
    let Ok(role) = env::var(ROLE) else { return };
    let builder = Shards::builder().placement(Placement::Unpinned(2));
    let mains = builder.run(async move |shard: Shard| {
        let is_first = shard.id().index() == 0;
        if role == "returns" {
            return Ok(());
        }
        if is_first {
            println!("ready");
        }
        if role == "is-stalled" && !is_first {
            // Until the parent has seen what it asked for and closes the pipe.
            let hog = corelane::task().name("hog").spawn(async {
                let _ = std::io::stdin().lines().count();
            });
            hog.await?;
            return Ok(());
        }
        shard.shutdown().requested().await;
        if role == "is-stalled" {
            return Ok(());
        }
        if role == "hangs" {
            if is_first {
                println!("draining");
            }
            std::future::pending::<Result<()>>().await?;
        }
        Ok(())
    });
    assert_eq!(mains.unwrap().len(), 2);
    println!("ended");
    // Only "returns" gets a signal here; the others are done.
    if env::var(ROLE).is_ok_and(|role| role == "returns") {
        loop {
            std::thread::park();
        }
    }
}

struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(role: &str) -> Self {
        Self::spawn(role, |_| ())
    }

    fn spawn(role: &str, set_up: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env::current_exe().expect("a test has a file"));
        command.args(["--exact", "child", "--nocapture"]).env(ROLE, role).stdout(Stdio::piped());
        set_up(&mut command);
        let mut child = command.spawn().expect("the test binary runs");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        Self { child, output }
    }

    /// Reads on until a line ends with `word`.
    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while !line.trim_end().ends_with(word) {
            line.clear();
            let length = self.output.read_line(&mut line).expect("its output is text");
            assert_ne!(length, 0, "the process ended without saying {word}");
        }
    }

    fn send(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process has a number"), signal).expect("it runs");
    }

    fn end(&mut self) -> ExitStatus {
        self.child.wait().expect("it is our child")
    }
}

#[test]
fn the_first_signal_ends_the_run_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut process = Process::start("ends");
        process.wait_for("ready");
        process.send(signal);
        process.wait_for("ended");
        assert!(process.end().success());
    }
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut process = Process::start("hangs");
        process.wait_for("ready");
        process.send(signal);
        process.wait_for("draining");
        process.send(signal);
        assert_eq!(process.end().code(), Some(code));
    }
}

#[test]
fn after_the_run_a_signal_does_what_it_does_by_default() {
    let mut process = Process::start("returns");
    process.wait_for("ended");
    process.send(Signal::TERM);
    assert_eq!(process.end().signal(), Some(Signal::TERM.as_raw()));
}

#[test]
fn sigusr1_prints_all_tasks_and_names_who_holds_a_stalled_shard() {
    let mut process = Process::spawn("is-stalled", |command| {
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
    });
    let mut errors = BufReader::new(process.child.stderr.take().expect("they are piped"));
    process.wait_for("ready");
    // The hog may not have begun at the first signal.
    let mut dump = String::new();
    while !dump.contains("shard 1 did not answer: held by task hog, created at ") {
        process.send(Signal::USR1);
        dump.clear();
        while !dump.contains("shard 1") {
            assert_ne!(errors.read_line(&mut dump).expect("they are text"), 0, "{dump}");
        }
    }
    assert!(dump.contains("    main waiting, ") && dump.contains("signals.rs"), "{dump}");
    drop(process.child.stdin.take());
    process.send(Signal::TERM);
    process.wait_for("ended");
    assert!(process.end().success());
}
