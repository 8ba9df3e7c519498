//! SIGINT while `run` is active: rules T15 to T20.
//!
//! Each case is a process of its own, because signals are of the process and only its main thread handles
//! SIGINT. So this binary is its own harness: called with `--child NAME` it plays a case, otherwise it starts
//! one process for each case and looks at what that printed and how it ended.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]
#![expect(clippy::disallowed_methods, reason = "the main thread and others are the subject")]

use std::future::{pending, poll_fn};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use corelane::{
    Error, Result, Runner, catch_cancel, create_task, current_task, run, sleep, spawn, yield_now,
};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};

/// A time that is up only if something has gone wrong.
const LONG: Duration = Duration::from_secs(1_000);
/// Time enough for a signal to be noticed.
const NOTICE: Duration = Duration::from_millis(200);

struct Case {
    name: &'static str,
    child: fn(),
    /// What the child prints.
    prints: &'static [&'static str],
    /// The signal that ends it, if one is to.
    dies_of: Option<i32>,
    parent: Parent,
}

/// What the parent does beside waiting.
#[derive(Clone, Copy, PartialEq)]
enum Parent {
    Waits,
    /// Sends SIGINT when the child has printed its first line.
    Interrupts,
    /// Starts the child with SIGINT ignored, as a shell starts a job in the background.
    Ignores,
}

const CASES: &[Case] = &[
    Case {
        name: "t15_off_the_main_thread_sigint_is_not_handled",
        child: off_the_main_thread,
        prints: &["in the thread"],
        dies_of: Some(SIGINT),
        parent: Parent::Waits,
    },
    Case {
        name: "t15_an_ignored_sigint_stays_ignored",
        child: goes_on,
        prints: &["gave 7"],
        dies_of: None,
        parent: Parent::Ignores,
    },
    Case {
        name: "t15_a_handler_that_was_there_first_keeps_sigint",
        child: own_handler,
        prints: &["gave 7", "own handler: true"],
        dies_of: None,
        parent: Parent::Waits,
    },
    Case {
        name: "t15_after_run_sigint_has_its_default_effect_again",
        child: default_afterwards,
        prints: &["gave 7", "interrupted"],
        dies_of: Some(SIGINT),
        parent: Parent::Waits,
    },
    Case {
        name: "t15_a_stream_of_sigint_has_it_alone_while_it_lives",
        child: streamed,
        prints: &["came", "interrupted"],
        dies_of: None,
        parent: Parent::Waits,
    },
    Case {
        name: "t15_a_hold_elsewhere_keeps_sigint",
        child: held_elsewhere,
        prints: &["gave 7", "gave 7"],
        dies_of: Some(SIGTERM),
        parent: Parent::Waits,
    },
    Case {
        name: "t16_t18_the_first_sigint_cancels_main_which_cleans_up",
        child: obeys,
        prints: &["cleans up", "interrupted"],
        dies_of: None,
        parent: Parent::Waits,
    },
    Case {
        name: "t16_a_sigint_ends_the_sleep_of_the_loop",
        child: sleeps,
        prints: &["sleeps", "cleans up", "interrupted"],
        dies_of: None,
        parent: Parent::Interrupts,
    },
    Case {
        name: "t16_a_sigint_reaches_a_loop_that_never_sleeps",
        child: busy,
        prints: &["busy", "cleans up", "interrupted"],
        dies_of: None,
        parent: Parent::Interrupts,
    },
    Case {
        name: "t17_a_main_that_ends_with_a_value_or_an_error_keeps_its_outcome",
        child: swallows,
        prints: &["caught", "gave 7", "caught", "instead"],
        dies_of: None,
        parent: Parent::Waits,
    },
    Case {
        name: "t18_with_another_request_outstanding_run_is_cancelled",
        child: other_request_too,
        prints: &["cancelled"],
        dies_of: None,
        parent: Parent::Waits,
    },
    Case {
        name: "t19_a_second_sigint_returns_before_the_next_step",
        child: twice,
        prints: &["interrupted", "begun: []", "begun: [1, 2]", "main's guard", "closed"],
        dies_of: None,
        parent: Parent::Waits,
    },
    Case {
        name: "t19_a_first_sigint_after_main_is_done_interrupts",
        child: too_late,
        prints: &["interrupted"],
        dies_of: None,
        parent: Parent::Waits,
    },
    Case {
        name: "t19_a_third_sigint_ends_the_process",
        child: third,
        prints: &["interrupted"],
        dies_of: Some(SIGINT),
        parent: Parent::Waits,
    },
    Case {
        name: "t20_the_count_begins_anew_in_every_run",
        child: again,
        prints: &["cleans up", "interrupted", "gave 7", "cleans up", "interrupted"],
        dies_of: None,
        parent: Parent::Waits,
    },
];

struct Says(&'static str);

impl Drop for Says {
    fn drop(&mut self) {
        println!("{}", self.0);
    }
}

/// SIGINT for this process. Its handler has run when this returns.
fn interrupt() {
    signal_hook::low_level::raise(SIGINT).unwrap();
}

fn tell(outcome: Result<i32>) {
    match outcome {
        Ok(value) => println!("gave {value}"),
        Err(error) if error.is_interrupted() => println!("interrupted"),
        Err(error) => println!("{error}"),
    }
}

async fn seven() -> Result<i32> {
    interrupt();
    sleep(NOTICE).await;
    Ok(7)
}

async fn cleans_up() -> Result<i32> {
    let _guard = Says("cleans up");
    interrupt();
    sleep(LONG).await;
    Ok(0)
}

fn off_the_main_thread() {
    thread::spawn(|| {
        run(async || {
            println!("in the thread");
            seven().await
        })
    })
    .join()
    .unwrap()
    .unwrap();
}

fn goes_on() {
    tell(run(seven));
}

fn own_handler() {
    let seen = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGINT, Arc::clone(&seen)).unwrap();
    tell(run(seven));
    println!("own handler: {}", seen.load(Ordering::SeqCst));
}

fn streamed() {
    tell(run(async || {
        let mut stream = corelane::signal(SIGINT)?;
        interrupt();
        stream.recv().await;
        // Had it interrupted the run as well, main would not come here again.
        sleep(NOTICE).await;
        println!("came");
        drop(stream);
        interrupt();
        pending().await
    }));
}

fn default_afterwards() {
    tell(run(async || Ok(7)));
    tell(run(cleans_up_quietly));
    interrupt();
    println!("still alive");
}

async fn cleans_up_quietly() -> Result<i32> {
    interrupt();
    sleep(LONG).await;
    Ok(0)
}

fn held_elsewhere() {
    // First before anything was installed, then beside our own handler.
    let hold = corelane::lowlevel::SignalHold::new(SIGINT).unwrap();
    let other = corelane::lowlevel::SignalHold::new(SIGTERM).unwrap();
    tell(run(seven));
    drop(hold);
    run(async || Ok(())).unwrap();
    let hold = corelane::lowlevel::SignalHold::new(SIGINT).unwrap();
    tell(run(seven));
    drop((hold, other));
    signal_hook::low_level::raise(SIGTERM).unwrap();
}

fn obeys() {
    tell(run(cleans_up));
}

fn sleeps() {
    tell(run(async || {
        let _guard = Says("cleans up");
        println!("sleeps");
        pending().await
    }));
}

fn busy() {
    tell(run(async || {
        let _guard = Says("cleans up");
        println!("busy");
        loop {
            yield_now().await;
        }
    }));
}

fn swallows() {
    async fn caught() {
        interrupt();
        let waited = async {
            sleep(LONG).await;
            Ok(())
        };
        assert!(catch_cancel(waited).await.is_err());
        println!("caught");
    }
    tell(run(async || {
        caught().await;
        yield_now().await;
        Ok(7)
    }));
    tell(run(async || {
        caught().await;
        Err(Error::msg("instead"))
    }));
}

fn other_request_too() {
    tell(run(async || {
        interrupt();
        let waited = async {
            sleep(LONG).await;
            Ok(())
        };
        assert!(catch_cancel(waited).await.is_err());
        current_task()?.unwrap().cancel();
        sleep(LONG).await;
        Ok(0)
    }));
}

fn twice() {
    let mut runner = Runner::new();
    let begun = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&begun);
    let note = move |number| {
        let seen = Arc::clone(&seen);
        async move { seen.lock().unwrap().push(number) }
    };
    tell(runner.run(async move || {
        let _guard = Says("main's guard");
        let mut is_first = true;
        poll_fn(|context| {
            if !std::mem::replace(&mut is_first, false) {
                return Poll::Ready(());
            }
            // Woken before the other task is made, main comes before it in the next turn.
            context.waker().wake_by_ref();
            drop(spawn(note(1)));
            Poll::Pending
        })
        .await;
        drop(spawn(note(2)));
        interrupt();
        interrupt();
        thread::sleep(NOTICE);
        pending().await
    }));
    println!("begun: {:?}", begun.lock().unwrap());
    // What was not begun is still there, in its order.
    let later = runner.run(async || {
        yield_now().await;
        Ok(())
    });
    later.unwrap();
    println!("begun: {:?}", begun.lock().unwrap());
    runner.close().unwrap();
    println!("closed");
}

fn too_late() {
    tell(run(async || {
        interrupt();
        Ok(0)
    }));
}

fn third() {
    let mut runner = Runner::new();
    tell(runner.run(async || {
        drop(create_task(async {
            struct Stubborn;
            impl Drop for Stubborn {
                fn drop(&mut self) {
                    interrupt();
                    println!("still alive");
                }
            }
            let _guard = Stubborn;
            pending::<Result<()>>().await
        }));
        yield_now().await;
        interrupt();
        interrupt();
        pending().await
    }));
    runner.close().unwrap();
}

fn again() {
    let mut runner = Runner::new();
    tell(runner.run(cleans_up));
    tell(runner.run(async || {
        // Long enough for what was left of the first one, if anything was.
        sleep(NOTICE).await;
        Ok(7)
    }));
    tell(runner.run(cleans_up));
}

impl Case {
    fn start(&self) -> Child {
        let own = std::env::current_exe().unwrap();
        let mut command = match self.parent {
            Parent::Ignores => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "trap '' INT; exec \"$0\" \"$@\""]).arg(own);
                shell
            }
            // A job in the background has SIGINT ignored, and with it the whole test run.
            _ => {
                let mut env = Command::new("env");
                env.arg("--default-signal=INT").arg(own);
                env
            }
        };
        command.args(["--child", self.name]).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// What differs from what was expected.
    fn check(&self) -> Result<(), String> {
        let mut child = self.start();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut printed = String::new();
        if self.parent == Parent::Interrupts {
            output.read_line(&mut printed).unwrap();
            // Most likely it sleeps by now; if it does not yet, the outcome is the same.
            thread::sleep(NOTICE / 10);
            kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        }
        output.read_to_string(&mut printed).unwrap();
        let status = child.wait().unwrap();
        let lines: Vec<_> = printed.lines().collect();
        let ended = (status.signal(), status.code());
        let expected = (self.dies_of, self.dies_of.is_none().then_some(0));
        if lines == self.prints && ended == expected {
            return Ok(());
        }
        Err(format!("printed {lines:?} and ended with {status}, expected {:?}", self.prints))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [flag, name] = &arguments[..]
        && flag == "--child"
    {
        let case = CASES.iter().find(|case| case.name == name).unwrap();
        (case.child)();
        return ExitCode::SUCCESS;
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    if arguments.iter().any(|argument| argument == "--list") {
        CASES.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut failed) = (0, 0);
    for case in CASES.iter().filter(|case| filter.is_none_or(|part| case.name.contains(part))) {
        let outcome = case.check();
        *if outcome.is_ok() { &mut passed } else { &mut failed } += 1;
        println!("test {} ... {}", case.name, outcome.err().as_deref().unwrap_or("ok"));
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
