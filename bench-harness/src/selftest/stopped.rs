//! One side is stopped by a signal: the verdict must tell which.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{Bench, Finding, echo, spoiled};
use crate::plan::{Arrival, Rate};
use crate::point::Mode;
use crate::report::{RunResult, format_ns};
use crate::subject::{Counting, Subject};
use crate::threads;
use crate::verdict::{STOPPED_NS, Status};

const RATE: f64 = 1_000.0;
const DURATION: Duration = Duration::from_secs(3);
const FREEZE: Duration = Duration::from_millis(200);
/// Share of the time for which the server is stopped.
const ASLEEP: f64 = 0.07;
/// When the freeze begins, counted from the start of the run.
const BEFORE: Duration = Duration::from_millis(1_500);

/// A stopped server: the wait is in the response, not in the lag.
pub(super) fn server(bench: &Bench, _attempt: u32) -> io::Result<Finding> {
    let server = bench.start(echo(0))?;
    let pid = server.ready().pid;
    let mut subject = Subject::embedded(server, Counting::Pipe);
    let (sender, started) = channel();
    let freezer = threads::spawn("freezer", None, move || -> io::Result<()> {
        // If the run never starts there is nothing to freeze.
        if started.recv().is_ok() {
            freeze(pid)?;
        }
        Ok(())
    })?;
    let rate = Rate::per_second(RATE).map_err(io::Error::other)?;
    let spec = bench.spec(Mode::Open(rate, Arrival::Constant), DURATION);
    let _ = sender.send(());
    let recorded = bench.run(&spec, &mut subject)?;
    freezer.join().map_err(|_| io::Error::other("the freezer panicked"))??;
    let point = &recorded.point;
    let max = point.response.max_ns.unwrap_or(0);
    let lag = point.generator_lag.max_ns.unwrap_or(u64::MAX);
    let text = format!(
        "response max {}, lag max {}, {}",
        format_ns(max),
        format_ns(lag),
        point.verdict.status.name()
    );
    // Below the limit the verdict does not say that the generator stood still. A machine may have
    // lengthened the wait, but it cannot have moved it out of the lag.
    let holds = max >= 190_000_000 && lag < STOPPED_NS && point.balanced;
    Ok(Finding::of(holds, text, None, spoiled(bench, &recorded, ASLEEP)))
}

/// A stopped generator: the wait is in the lag, and the run does not count.
pub(super) fn generator(bench: &Bench, _attempt: u32) -> io::Result<Finding> {
    let server = bench.start(echo(0))?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["attack", &format!("echo://{}", server.ready().addr)])
        .args(["--rate=1000", "--duration=3s", "--warmup=200ms", "--noise=0s"])
        .args(["--no-files", "--format=json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    freeze(child.id())?;
    let mut text = Vec::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_end(&mut text)?;
    }
    child.wait()?;
    let result: RunResult = serde_json::from_slice(&text)?;
    let Some(point) = result.points.first() else {
        return Ok(Finding::Fail("the stopped run has no point".to_owned()));
    };
    let lag = point.generator_lag.max_ns.unwrap_or(0);
    let invalid = point.verdict.status == Status::Invalid;
    let text = format!("lag max {}, {}", format_ns(lag), point.verdict.status.name());
    Ok(Finding::of(lag >= 190_000_000 && invalid && point.balanced, text, None, None))
}

/// Stops a process for a while, some time after its start.
fn freeze(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("a process without a number"))?;
    threads::sleep(BEFORE);
    kill_process(pid, Signal::STOP)?;
    threads::sleep(FREEZE);
    Ok(kill_process(pid, Signal::CONT)?)
}
