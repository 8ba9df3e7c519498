//! Is the generator right? It is run against servers whose latencies follow from a formula, and
//! against one that is stopped.
//!
//! A machine that is not quiet must make neither a pass nor a failure. A check passes only on what the
//! machine cannot have feigned, and fails only in a run in which it cannot be at fault; what is
//! neither is tried again, and in the end *not judged*. The checks of queues look at the windows that
//! the machine left alone (see `quiet`); those of freezes, which are longer than anything that a
//! machine does by itself, need only that it did nothing of the kind.
//!
//! # What needs no server
//!
//! The same loop runs on a simulated clock in the tests of `generator`, where tolerances are not needed. A generator was
//! made to lie there on purpose, in one way at a time, and each time a test failed:
//!
//! | lie | found by |
//! |---|---|
//! | a request is due when it is noticed, or when it is sent | `a_stopped_generator_is_late_by_its_own_fault`, `an_overloaded_server_shows_a_response_that_grows_and_no_plateau` |
//! | nothing is sent while an answer is awaited | `a_frozen_server_makes_requests_wait_in_the_client_queue_and_not_in_the_lag` |
//! | after a stall twice the rate is all that leaves | the same |
//! | requests leave in bunches of 20 ms | the same |
//! | what has no answer is in no histogram, or not in the ledger | `a_server_that_never_answers_again_leaves_censored_samples_of_every_age` |
//! | answers are recorded, or counted, twice | `a_counted_run_measures_exactly_so_many_requests_and_ends` |
//! | the generator's own lateness is put down to the server | `a_stopped_generator_is_late_by_its_own_fault` |
//! | sleep until a request is due, and not until shortly before | `hybrid_pacing_is_as_exact_as_spinning_and_sleeping_is_as_late_as_the_kernel` |

mod delay;
mod exact;
mod laws;
mod model;
mod queueing;
pub(crate) mod quiet;
mod stall;
mod stopped;

pub(crate) use model::quantile;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::console::Console;
use crate::generator::Pacing;
use crate::layout::{self, Layout};
use crate::point::{Conditions, Mode, PointSpec, run_point};
use crate::report::{Recorded, format_ns};
use crate::serve::{Gap, Server, ServerSpec, Service, SyntheticSpec, Target, Wire};
use crate::subject::Subject;
use crate::traffic::Traffic;
use crate::verdict::{LAG_NS, Status};
use corelane_shards::Accept;

/// What to check.
pub(crate) struct Options {
    /// Only checks whose name contains this.
    pub(crate) filter: String,
    /// How often a spoiled check is tried.
    pub(crate) tries: u32,
}

/// How one try of a check ended.
enum Finding {
    /// As promised; the text says what was measured.
    Pass(String),
    /// Not as promised, in a run that counts.
    Fail(String),
    /// The run does not count.
    Spoiled(String),
}

impl Finding {
    /// What was measured, whether it is as promised, and why the machine may have feigned the one or
    /// the other, if so.
    fn of(holds: bool, text: String, no_pass: Option<String>, no_failure: Option<String>) -> Self {
        match if holds { no_pass } else { no_failure } {
            Some(reason) => Finding::Spoiled(format!("{reason} [{text}]")),
            None if holds => Finding::Pass(text),
            None => Finding::Fail(text),
        }
    }
}

struct Check {
    name: &'static str,
    promise: &'static str,
    run: fn(&Bench, u32) -> io::Result<Finding>,
}

const CHECKS: [Check; 17] = [
    Check {
        name: "stall-open",
        promise: "a freeze of 100 ms each second shows: p99 near 90 ms, not the service time",
        run: stall::open_loop,
    },
    Check {
        name: "stall-closed",
        promise: "a closed loop hides the same freeze: p99 below 5 ms",
        run: stall::closed_loop,
    },
    Check {
        name: "even-arrivals",
        promise: "evenly spaced requests leave evenly and never queue at half load",
        run: queueing::constant_arrivals,
    },
    Check {
        name: "queue-30",
        promise: "M/D/1 at 30 % load: mean within 10 %, p90 and p99 within 15 % of theory",
        run: |bench, attempt| queueing::fixed_service(bench, 30, attempt),
    },
    Check {
        name: "queue-50",
        promise: "M/D/1 at 50 % load: mean within 10 %, p90 and p99 within 15 % of theory",
        run: |bench, attempt| queueing::fixed_service(bench, 50, attempt),
    },
    Check {
        name: "queue-70",
        promise: "M/D/1 at 70 % load: mean within 10 %, p90 and p99 within 15 % of theory",
        run: |bench, attempt| queueing::fixed_service(bench, 70, attempt),
    },
    Check {
        name: "stopped-server",
        promise: "a server stopped for 200 ms: the wait is in the response, not in the lag",
        run: stopped::server,
    },
    Check {
        name: "stopped-generator",
        promise: "a generator stopped for 200 ms: lag of 200 ms, run invalid",
        run: stopped::generator,
    },
    Check {
        name: "queue-mm1",
        promise: "M/M/1 at 50 % load: mean within 10 %, p90 and p99 within 15 % of theory",
        run: |bench, attempt| queueing::exponential_service(bench, 50, attempt),
    },
    Check {
        name: "delay-fixed",
        promise: "answers held back for 2 ms by timers: p50 2 ms, deviation below the floor",
        run: delay::fixed,
    },
    Check {
        name: "delay-bimodal",
        promise: "1 % of answers held back for 10 ms, the others for 0.1 ms: p98 and p99.5 tell them apart",
        run: delay::bimodal,
    },
    Check {
        name: "overload",
        promise: "half as much again as the server can do: waits grow as the formula says",
        run: laws::overload,
    },
    Check {
        name: "littles-law",
        promise: "in a closed loop users = rate x response within 3 %",
        run: laws::littles_law,
    },
    Check {
        name: "exact-ledger",
        promise: "the server counts exactly what the ledger says",
        run: exact::ledger,
    },
    Check {
        name: "exact-drop",
        promise: "requests without an answer are counted and make their percentiles lower bounds",
        run: exact::dropped,
    },
    Check {
        name: "exact-wrong",
        promise: "one wrong byte in one answer is found",
        run: exact::wrong_byte,
    },
    Check {
        name: "exact-death",
        promise: "a server that dies takes no request out of the ledger",
        run: exact::death,
    },
];

/// Runs the checks and prints a line for each; false if one failed or none could be judged.
///
/// # Errors
/// If a server cannot be started.
pub(crate) fn run(options: &Options, console: Console) -> io::Result<bool> {
    let bench = Bench::new(console)?;
    let mut failed = 0;
    let mut passed = 0;
    let mut unjudged = 0;
    for check in CHECKS.iter().filter(|check| check.name.contains(&options.filter)) {
        bench.console.note(&format!("{}: {}", check.name, check.promise));
        match judge(check, &bench, options.tries)? {
            Finding::Pass(text) => {
                passed += 1;
                println!("ok          {:18} {text}", check.name);
            }
            Finding::Fail(text) => {
                failed += 1;
                println!("FAILED      {:18} {text}", check.name);
            }
            Finding::Spoiled(text) => {
                unjudged += 1;
                println!("not judged  {:18} {text}", check.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed, {unjudged} not judged");
    if passed + failed + unjudged == 0 {
        let names = CHECKS.map(|check| check.name).join(", ");
        eprintln!("error: no check has {:?} in its name; there are {names}", options.filter);
    }
    Ok(is_right(passed, failed))
}

/// What nobody could judge proves nothing.
fn is_right(passed: u32, failed: u32) -> bool {
    failed == 0 && passed > 0
}

/// Tries a check until it passes. A failure must repeat to count, because a verdict that sees no
/// fault of the machine is no proof that there was none.
fn judge(check: &Check, bench: &Bench, tries: u32) -> io::Result<Finding> {
    let mut worst = None;
    for attempt in 0..tries {
        match (check.run)(bench, attempt)? {
            Finding::Pass(text) => return Ok(Finding::Pass(text)),
            Finding::Fail(text) => {
                bench.console.note(&format!("  try {}: {text}", attempt + 1));
                worst = Some(Finding::Fail(text));
            }
            Finding::Spoiled(text) => {
                bench.console.note(&format!("  try {} does not count: {text}", attempt + 1));
                worst.get_or_insert(Finding::Spoiled(text));
            }
        }
    }
    Ok(worst.unwrap_or_else(|| Finding::Spoiled("never tried".to_owned())))
}

/// The place where checks are run.
struct Bench {
    layout: Layout,
    console: Console,
    began_ns: u64,
}

/// Connections of the checks, enough that a window is never full.
const CONNECTIONS: usize = 64;

/// Length of a frame.
const FRAME_BYTES: usize = 64;

impl Bench {
    fn new(console: Console) -> io::Result<Self> {
        let layout = layout::automatic()?;
        Ok(Bench { layout, console, began_ns: clock::now_ns() })
    }

    /// One load thread: what it sends is then one stream.
    fn conditions(&self) -> Conditions {
        let load_cpus = self.layout.load_cpus.iter().take(1).copied().collect();
        let layout = Layout { load_cpus, ..self.layout.clone() };
        Conditions { began_ns: self.began_ns, ..Conditions::new(layout, Arc::default()) }
    }

    fn start(&self, synthetic: SyntheticSpec) -> io::Result<Server> {
        // A server that spins on the generator's own CPU would starve it.
        let spin = synthetic.spin && !self.layout.shared;
        Server::start(&ServerSpec {
            target: Target::Synthetic,
            cpus: self.layout.server_cpus.iter().take(1).copied().collect(),
            pin: self.layout.pin,
            accept: Accept::default(),
            frame_bytes: FRAME_BYTES,
            synthetic: SyntheticSpec { spin, ..synthetic },
        })
    }

    fn spec(&self, mode: Mode, duration: Duration) -> PointSpec {
        let traffic = Traffic::Echo { frame_bytes: FRAME_BYTES, verify_every: 1_024 };
        PointSpec {
            connections: CONNECTIONS,
            depth: 64,
            duration,
            timeout: Duration::from_secs(10),
            pacing: if self.layout.shared { Pacing::Sleep } else { Pacing::Spin },
            ..PointSpec::new("selftest", mode, traffic)
        }
    }

    fn run(&self, spec: &PointSpec, subject: &mut Subject) -> io::Result<Recorded> {
        let mut bar = self.console.bar(&spec.label, spec.longest());
        let recorded =
            run_point(spec, subject, &self.conditions(), &mut |progress| bar.set(progress));
        bar.finish();
        recorded
    }
}

/// A machine that stops nobody for so long cannot feign a freeze, nor hide one.
const UNLIKE_A_FREEZE_NS: u64 = 20_000_000;

/// Why a run may show freezes that nobody ordered, if it may.
fn froze(recorded: &Recorded, gaps: &[Gap]) -> Option<String> {
    let gap_ns = gaps.iter().map(|gap| gap.end_ns - gap.begin_ns).max().unwrap_or(0);
    let lag_ns = recorded.point.generator_lag.max_ns.unwrap_or(0);
    let longest_ns = gap_ns.max(lag_ns);
    (longest_ns > UNLIKE_A_FREEZE_NS)
        .then(|| format!("the machine stood still for {}", format_ns(longest_ns)))
}

/// A server that only spins must have had its CPU for this share of the time: at half load a loss
/// of two percent, in slices of some milliseconds, triples the p99.
const SERVER_SHARE: f64 = 0.995;
/// The same for the generator, whose thread starts a little after the clock; its lag is judged too.
const GENERATOR_SHARE: f64 = 0.98;

/// Why a run as a whole does not count as undisturbed, if it does not. An overloaded or drifting run may be what a check is
/// about, so only the machine and the generator are asked, and more strictly than a verdict does:
/// server and generator both spin, so that a share of the time without a CPU was taken from them.
/// `asleep` is the share for which the server sleeps by plan.
fn spoiled(bench: &Bench, recorded: &Recorded, asleep: f64) -> Option<String> {
    let point = &recorded.point;
    if matches!(point.verdict.status, Status::Invalid | Status::Indicative) {
        return Some(point.verdict.reasons.join("; "));
    }
    if bench.layout.shared {
        return Some("server and generator share a cpu".to_owned());
    }
    let lag_ns = point.generator_lag.percentile("99").unwrap_or(0);
    if lag_ns > LAG_NS {
        return Some(format!("the generator was late: lag p99 {}", format_ns(lag_ns)));
    }
    let server = point.server.iter().map(|shard| ("server", shard.busy + asleep, SERVER_SHARE));
    let generator = point.generator.busy.map(|busy| ("generator", busy, GENERATOR_SHARE));
    let lacking = server.chain(generator).find(|(_, busy, share)| busy < share);
    lacking.map(|(who, busy, _)| format!("the {who} had its cpu {:.1} % of the time", busy * 100.0))
}

fn echo(service_ns: u64) -> SyntheticSpec {
    let service = Service::Fixed(service_ns);
    SyntheticSpec { service, spin: true, ..SyntheticSpec::null(Wire::Echo, FRAME_BYTES) }
}

#[cfg(test)]
mod tests;
