//! What a server pays for an HTTP request, under wrk: hyper on the runtime and on tokio, each with the greeting
//! alone and with what the server of the examples has besides.

use std::io;
use std::process::{Command, Stdio};

use super::Sample;
use super::net::{shard_use, start};
use crate::layout::Layout;
use crate::serve::Target;
use crate::threads;

/// How long wrk loads the server before, and while it is measured.
const WARM_UP_SECONDS: u32 = 1;
const SECONDS: u32 = 2;
/// The size of echo's frames, which every target takes and these do not use.
const UNUSED_FRAME_BYTES: usize = 64;

/// Microseconds of server CPU for a request that is answered with a greeting.
pub(super) fn hello(layout: &Layout, target: Target, connections: usize) -> Sample {
    let server = start(layout, target, UNUSED_FRAME_BYTES)?;
    let url = format!("http://{}/", server.ready().addr);
    // wrk inherits where this thread may run.
    if let Some(cpu) = layout.load_cpus.first() {
        threads::pin(*cpu);
    }
    load(&url, connections, WARM_UP_SECONDS)?;
    let before = shard_use(&server)?;
    let requests = load(&url, connections, SECONDS)?;
    Ok(shard_use(&server)?.since(&before).cpu_ns as f64 / requests as f64 / 1e3)
}

/// Runs wrk and counts what was answered.
fn load(url: &str, connections: usize, seconds: u32) -> io::Result<u64> {
    let output = Command::new("wrk")
        .args(["--threads=1", &format!("--connections={connections}")])
        .args([&format!("--duration={seconds}s"), url])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("no wrk here: {error}")))?;
    let report = String::from_utf8_lossy(&output.stdout);
    answered(&report).map_err(|why| io::Error::other(format!("wrk: {why}")))
}

/// The number of requests in a report of wrk, if all of them were answered well.
fn answered(report: &str) -> Result<u64, String> {
    let is_bad = |line: &&str| line.contains("Socket errors") || line.contains("Non-2xx");
    if let Some(line) = report.lines().find(is_bad) {
        return Err(line.trim().to_owned());
    }
    let count = report.lines().find_map(|line| {
        let (count, _) = line.split_once(" requests in ")?;
        count.trim().parse().ok()
    });
    count.filter(|count| *count > 0).ok_or_else(|| "no request was answered".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_only_if_all_was_answered_well() {
        let good = "Running 1s test @ http://127.0.0.1:1/\n  1 threads and 1 connections\n  \
                    13579 requests in 1.00s, 1.7MB read\nRequests/sec: 13579.00\n";
        assert_eq!(answered(good), Ok(13_579));
        let refused = format!("{good}  Non-2xx or 3xx responses: 12\n");
        assert_eq!(answered(&refused), Err("Non-2xx or 3xx responses: 12".to_owned()));
        let broken = format!("  Socket errors: connect 0, read 3, write 0, timeout 0\n{good}");
        assert!(answered(&broken).is_err());
        assert!(answered("  0 requests in 1.00s, 0.00B read\n").is_err());
        assert!(answered("").is_err());
    }
}
