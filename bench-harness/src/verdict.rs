//! Whether a run counts, and why not.
//!
//! | what | limit | verdict |
//! |---|---|---|
//! | generator lag p90 | [`LAG_NS`], or [`LAG_SHARE`] of the response p90 if that is more | invalid |
//! | generator lag p99, likewise | | indicative: p90 can be trusted |
//! | generator lag of any request | [`STOPPED_NS`] | invalid |
//! | achieved below [`ACHIEVED_SHARE`] of offered, client queue empty | | invalid |
//! | achieved below [`ACHIEVED_SHARE`] of offered, client queue or windows full | | overloaded |
//! | generator busy above [`BUSY_SHARE`] with sleeping pace | | invalid |
//! | stolen time above [`STEAL_LIMIT`], or any throttling | | invalid |
//! | stolen time above [`STEAL_SHARE`] | | indicative |
//! | connections lost, not established, or not opened for want of ports or files | any | invalid |
//! | server and generator on one CPU | | indicative |
//! | an idle CPU stood still for [`HICCUP_US`] | | indicative |
//! | the halves of the run differ | [`DRIFT_PERCENT`] in the median | indicative |
//!
//! `overloaded` is no fault of the measurement: the numbers are valid and mean that the server
//! cannot keep up. A closed loop that passes is `capacity`: it says how much, not how long users
//! wait.
//!
//! A request that left late by some time has a response that is too long by it. So the lag is held
//! against the response at the same percentile: what the machine did to one request in fifty says
//! nothing against the p90.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::generator::Pacing;
use crate::report::format_ns;

/// A lateness of the generator up to here is fine whatever the response is.
pub(crate) const LAG_NS: u64 = 50_000;
/// Above [`LAG_NS`] the lateness may still be this share of the response.
pub(crate) const LAG_SHARE: f64 = 0.1;
/// A generator that is this late with a single request was stopped, not slow.
pub(crate) const STOPPED_NS: u64 = 100_000_000;
/// Less than this share of the offered load is a shortfall.
pub(crate) const ACHIEVED_SHARE: f64 = 0.99;
/// A sleeping generator that is busier than this has no time left to be punctual.
pub(crate) const BUSY_SHARE: f64 = 0.95;
/// With more stolen time than this the tail belongs to another virtual machine …
pub(crate) const STEAL_SHARE: f64 = 0.01;
/// … and with more than this, everything.
pub(crate) const STEAL_LIMIT: f64 = 0.05;
/// An idle CPU that stands still for longer has something else to do.
pub(crate) const HICCUP_US: f64 = 1_000.0;
/// The median may change by this much from one half of a run to the other.
pub(crate) const DRIFT_PERCENT: f64 = 25.0;

/// How far the numbers of a load point can be trusted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// A closed loop: throughput counts, latencies are those of a saturated server.
    Capacity,
    /// Nothing speaks against it.
    Valid,
    /// Right in kind, doubtful in size.
    Indicative,
    /// The generator or the machine spoiled it.
    Invalid,
}

impl Status {
    /// The word that is printed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Status::Capacity => "capacity",
            Status::Valid => "valid",
            Status::Indicative => "indicative",
            Status::Invalid => "invalid",
        }
    }
}

/// A status and what led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Verdict {
    /// How far to trust the numbers.
    pub(crate) status: Status,
    /// The server answered less than was asked of it, through no fault of the generator.
    pub(crate) overloaded: bool,
    /// Everything that speaks against the run, the worst first.
    pub(crate) reasons: Vec<String>,
}

/// How late requests left through no fault of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lag {
    /// 90th percentile.
    pub(crate) p90_ns: u64,
    /// 99th percentile.
    pub(crate) p99_ns: u64,
    /// The latest.
    pub(crate) max_ns: u64,
}

/// What a verdict is reached from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Evidence {
    /// Requests were sent when they were due; false for a closed loop.
    pub(crate) open: bool,
    /// Requests a second asked for and answered.
    pub(crate) offered: f64,
    /// Requests a second answered within the measured time.
    pub(crate) achieved: f64,
    /// The generator's own lateness.
    pub(crate) lag: Option<Lag>,
    /// 99th percentile of the wait for a place in a window.
    pub(crate) client_queue_p99_ns: Option<u64>,
    /// Requests that were due and not answered at the end.
    pub(crate) left_over: u64,
    /// Median, 90th and 99th percentile of the response.
    pub(crate) response_p50_ns: Option<u64>,
    pub(crate) response_p90_ns: Option<u64>,
    pub(crate) response_p99_ns: Option<u64>,
    /// How the load threads waited.
    pub(crate) pacing: Pacing,
    /// Share of the time that the busiest load thread was on its CPU.
    pub(crate) generator_busy: Option<f64>,
    /// Share of the machine's time that the hypervisor took.
    pub(crate) steal: Option<f64>,
    /// Time for which the cgroup's quota stopped this process.
    pub(crate) throttled_us: Option<u64>,
    /// Connections asked for, and those that lived to the end.
    pub(crate) connections: (usize, usize),
    /// Connections that this machine had no port or descriptor left for.
    pub(crate) unopened: u64,
    /// Server and generator had to share a CPU.
    pub(crate) shared_cpu: bool,
    /// The longest gap that a spinning thread saw on a used CPU before the run.
    pub(crate) hiccup_us: Option<f64>,
    /// Change of the median from the first half to the second.
    pub(crate) drift_p50_percent: Option<f64>,
}

/// Judges a load point.
pub(crate) fn judge(evidence: &Evidence) -> Verdict {
    let (shortfall, overloaded) = shortfall(evidence);
    let mut against: Vec<(Status, String)> = Vec::new();
    against.extend(shortfall.map(|reason| (Status::Invalid, reason)));
    against.extend(lateness(evidence));
    against.extend(generator_faults(evidence).map(|reason| (Status::Invalid, reason)));
    against.extend(machine_faults(evidence));
    against.extend(doubts(evidence, overloaded).map(|reason| (Status::Indicative, reason)));
    let clean = if evidence.open { Status::Valid } else { Status::Capacity };
    let status = against.iter().map(|(status, _)| *status).fold(clean, Status::max);
    let mut reasons: Vec<String> = against.into_iter().map(|(_, reason)| reason).collect();
    if overloaded {
        reasons.push(format!(
            "overloaded: the server answered {:.1} % of {:.0}/s",
            evidence.achieved / evidence.offered * 100.0,
            evidence.offered
        ));
    }
    Verdict { status, overloaded, reasons }
}

/// A shortfall is the server's if requests waited for it, else the generator's.
fn shortfall(evidence: &Evidence) -> (Option<String>, bool) {
    if !evidence.open || evidence.achieved >= evidence.offered * ACHIEVED_SHARE {
        return (None, false);
    }
    // What one percent of a second's requests comes to: so much may be on its way at any moment.
    let queued = evidence.client_queue_p99_ns.is_some_and(|wait_ns| wait_ns > LAG_NS);
    let waited = evidence.response_p50_ns.is_some_and(|p50_ns| p50_ns > 100 * LAG_NS);
    if queued || waited || evidence.left_over > 0 {
        return (None, true);
    }
    let share = evidence.achieved / evidence.offered * 100.0;
    (Some(format!("only {share:.1} % of the load was reached although nothing waited")), false)
}

/// The lag at a percentile, held against the response at the same one.
fn lateness(evidence: &Evidence) -> Option<(Status, String)> {
    let lag = evidence.lag.filter(|_| evidence.open)?;
    let limit_ns =
        |response_ns: Option<u64>| (response_ns.unwrap_or(0) as f64 * LAG_SHARE).max(LAG_NS as f64);
    let (p90_limit_ns, p99_limit_ns) =
        (limit_ns(evidence.response_p90_ns), limit_ns(evidence.response_p99_ns));
    let late = |name: &str, lag_ns: u64, limit_ns: f64| {
        let (lag, limit) = (format_ns(lag_ns), format_ns(limit_ns as u64));
        format!("the generator was late: lag {name} {lag}, allowed {limit}")
    };
    if lag.p90_ns as f64 > p90_limit_ns {
        return Some((Status::Invalid, late("p90", lag.p90_ns, p90_limit_ns)));
    }
    let tail = lag.p99_ns as f64 > p99_limit_ns;
    tail.then(|| {
        let text = late("p99", lag.p99_ns, p99_limit_ns);
        (Status::Indicative, format!("{text}; up to p90 the response can be trusted"))
    })
}

fn generator_faults(evidence: &Evidence) -> impl Iterator<Item = String> {
    let stopped = evidence
        .lag
        .filter(|lag| evidence.open && lag.max_ns >= STOPPED_NS)
        .map(|lag| format!("the generator stood still for {}", format_ns(lag.max_ns)));
    let busy = evidence
        .generator_busy
        .filter(|busy| evidence.pacing == Pacing::Sleep && *busy > BUSY_SHARE)
        .map(|busy| format!("the generator was busy {:.0} % of the time", busy * 100.0));
    let (asked, alive) = evidence.connections;
    let lost = (alive < asked).then(|| format!("{} of {asked} connections lost", asked - alive));
    let unopened = (evidence.unopened > 0).then(|| {
        format!(
            "no port or file was left here for {} connections; take a lower rate or a larger --reconnect, or look at \
             net.ipv4.ip_local_port_range and ulimit -n",
            evidence.unopened
        )
    });
    [stopped, busy, lost, unopened].into_iter().flatten()
}

fn machine_faults(evidence: &Evidence) -> impl Iterator<Item = (Status, String)> {
    let stolen = evidence.steal.filter(|share| *share > STEAL_SHARE).map(|share| {
        let text = format!("the hypervisor took {:.1} % of the time", share * 100.0);
        if share > STEAL_LIMIT {
            return (Status::Invalid, text);
        }
        (Status::Indicative, format!("{text}, and so much of the tail is not the server's"))
    });
    let throttled = evidence.throttled_us.filter(|throttled_us| *throttled_us > 0).map(|us| {
        let stopped_ms = us as f64 / 1e3;
        (Status::Invalid, format!("the cgroup's quota stopped this process for {stopped_ms:.1} ms"))
    });
    [stolen, throttled].into_iter().flatten()
}

fn doubts(evidence: &Evidence, overloaded: bool) -> impl Iterator<Item = String> {
    let shared = evidence.shared_cpu.then(|| "server and generator share a cpu".to_owned());
    let hiccup = evidence
        .hiccup_us
        .filter(|longest_us| *longest_us > HICCUP_US)
        .map(|us| format!("an idle cpu stood still for {:.1} ms before the run", us / 1e3));
    // The response of an overloaded server grows for as long as the run lasts.
    let drift = evidence
        .drift_p50_percent
        .filter(|percent| !overloaded && percent.abs() > DRIFT_PERCENT)
        .map(|percent| format!("the median changed by {percent:+.0} % during the run"));
    [shared, hiccup, drift].into_iter().flatten()
}

#[cfg(test)]
mod tests;
