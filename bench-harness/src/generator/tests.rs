//! The loop on a simulated clock against a simulated server: what a real machine can only show with
//! tolerances holds here exactly.

mod disturbed;
mod pacing;
mod reconnect;
mod unanswered;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::backlog::Backlog;
use crate::plan::{Arrival, Rate, Schedule};
use crate::protocol::Echo;
use crate::record::{Intervals, Recording, recorders};

const MS: u64 = 1_000_000;
const FRAME_BYTES: usize = 8;

/// A first-come first-served server and the clock that both sides see.
#[derive(Default)]
struct Universe {
    now_ns: u64,
    service_ns: u64,
    /// The server does nothing in these spans.
    freezes: Vec<(u64, u64)>,
    /// The generator's clock jumps from the first to the second time of each.
    generator_stops: VecDeque<(u64, u64)>,
    /// The server closes every connection at this time.
    dies_ns: Option<u64>,
    /// Until then it refuses others.
    back_ns: u64,
    /// A wait that is not a mere look lasts so much longer than it should.
    oversleep_ns: u64,
    free_ns: u64,
    replies: Vec<VecDeque<(u64, Vec<u8>)>>,
    served: u64,
}

impl Universe {
    fn serve(&mut self, connection: usize, frame: &[u8]) {
        let mut begin_ns = self.free_ns.max(self.now_ns);
        for (from_ns, to_ns) in &self.freezes {
            if (*from_ns..*to_ns).contains(&begin_ns) {
                begin_ns = *to_ns;
            }
        }
        self.free_ns = begin_ns.saturating_add(self.service_ns);
        self.served += 1;
        self.replies[connection].push_back((self.free_ns, frame.to_vec()));
    }

    /// Whether it has closed what was opened then.
    fn is_dead(&self, opened_ns: u64) -> bool {
        self.dies_ns.is_some_and(|dies_ns| (opened_ns..=self.now_ns).contains(&dies_ns))
    }
}

#[derive(Clone)]
struct SimStream {
    universe: Rc<RefCell<Universe>>,
    number: usize,
    opened_ns: u64,
}

impl Read for SimStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut universe = self.universe.borrow_mut();
        if universe.is_dead(self.opened_ns) {
            universe.replies[self.number].clear();
            return Ok(0);
        }
        let now_ns = universe.now_ns;
        let replies = &mut universe.replies[self.number];
        let mut filled = 0;
        while replies.front().is_some_and(|(at_ns, _)| *at_ns <= now_ns)
            && filled + FRAME_BYTES <= buf.len()
        {
            let (_, bytes) = replies.pop_front().unwrap();
            buf[filled..filled + FRAME_BYTES].copy_from_slice(&bytes);
            filled += FRAME_BYTES;
        }
        if filled == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(filled) }
    }
}

impl Write for SimStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut universe = self.universe.borrow_mut();
        buf.chunks(FRAME_BYTES).for_each(|frame| universe.serve(self.number, frame));
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct SimWorld {
    universe: Rc<RefCell<Universe>>,
}

impl World for SimWorld {
    type Stream = SimStream;

    fn now_ns(&mut self) -> u64 {
        self.universe.borrow().now_ns
    }

    /// Moves the clock to the next reply or the limit; a look takes a microsecond.
    fn wait(&mut self, limit_ns: u64, ready: &mut Vec<usize>) {
        let mut universe = self.universe.borrow_mut();
        let until_ns = universe.now_ns + limit_ns.max(1_000);
        let fronts = universe.replies.iter().filter_map(|replies| replies.front());
        let dies_ns = universe.dies_ns.filter(|dies_ns| *dies_ns > universe.now_ns);
        let next_ns = fronts.map(|(at_ns, _)| *at_ns).chain(dies_ns).min();
        let arrival_ns = next_ns.unwrap_or(u64::MAX).max(universe.now_ns + 1);
        let oversleep_ns = if limit_ns > 0 { universe.oversleep_ns } else { 0 };
        universe.now_ns = until_ns.min(arrival_ns) + oversleep_ns;
        while let Some((from_ns, to_ns)) = universe.generator_stops.front().copied()
            && universe.now_ns >= from_ns
        {
            universe.now_ns = universe.now_ns.max(to_ns);
            universe.generator_stops.pop_front();
        }
        let now_ns = universe.now_ns;
        let dead = universe.is_dead(0);
        for (number, replies) in universe.replies.iter().enumerate() {
            if dead || replies.front().is_some_and(|(at_ns, _)| *at_ns <= now_ns) {
                ready.push(number);
            }
        }
    }

    fn connect(&mut self, number: usize) -> io::Result<SimStream> {
        let mut universe = self.universe.borrow_mut();
        let opened_ns = universe.now_ns;
        if universe.dies_ns.is_some_and(|dies_ns| (dies_ns..universe.back_ns).contains(&opened_ns))
        {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        universe.replies[number].clear();
        Ok(SimStream { universe: Rc::clone(&self.universe), number, opened_ns })
    }
}

struct Case {
    universe: Universe,
    rate: Option<f64>,
    arrival: Arrival,
    connections: usize,
    depth: usize,
    seconds: f64,
    drain_ns: u64,
    timeout_ns: u64,
    interval_ns: u64,
    requests: Option<u64>,
    requests_each: Option<u64>,
    think_ns: u64,
    ramp_ns: u64,
    /// What the control thread tells of the measurement's beginning.
    told_ns: u64,
    pacing: Pacing,
}

impl Default for Case {
    fn default() -> Self {
        Case {
            universe: Universe { service_ns: 20_000, ..Universe::default() },
            rate: Some(1_000.0),
            arrival: Arrival::Constant,
            connections: 4,
            depth: 64,
            seconds: 2.0,
            drain_ns: 2_000 * MS,
            timeout_ns: 60_000 * MS,
            interval_ns: 200 * MS,
            requests: None,
            requests_each: None,
            think_ns: 0,
            ramp_ns: 0,
            told_ns: 0,
            pacing: Pacing::Hybrid,
        }
    }
}

impl Case {
    fn run(mut self) -> (ThreadOutcome, Recording, u64) {
        let measure_ns = 100 * MS;
        let end_ns = measure_ns + (self.seconds * 1e9) as u64;
        let times = Times { start_ns: 0, measure_ns, end_ns, drain_end_ns: end_ns + self.drain_ns };
        self.universe.replies = vec![VecDeque::new(); self.connections];
        let universe = Rc::new(RefCell::new(self.universe));
        let lasts = self.requests_each.is_none();
        let streams = (0..self.connections)
            .map(|number| SimStream { universe: Rc::clone(&universe), number, opened_ns: 0 })
            .map(|stream| lasts.then_some(stream))
            .collect();
        let work = match self.rate {
            None => Work::Closed {
                requests: self.requests.unwrap_or(u64::MAX),
                think_ns: self.think_ns,
                ramp_ns: self.ramp_ns,
            },
            Some(rate) => {
                let rate = Rate::per_second(rate).unwrap();
                let schedule = Schedule::new(rate, self.arrival, 3, (0, end_ns), (0, 1));
                let backlog = Backlog::new(schedule.clone().ramped(self.ramp_ns));
                Work::Open(match self.requests {
                    Some(requests) => {
                        let mut whole = schedule.ramped(self.ramp_ns);
                        whole.set_end(u64::MAX);
                        backlog.counted(whole, requests)
                    }
                    None => backlog,
                })
            }
        };
        let (mut ends, mut collector) =
            recorders(1, Intervals { origin_ns: 0, length_ns: self.interval_ns, digits: 3 });
        let outcome = Generator::new(Load {
            world: SimWorld { universe: Rc::clone(&universe) },
            streams,
            depth: self.depth,
            shards: Vec::new(),
            requests_each: self.requests_each,
            work,
            protocol: Box::new(Echo::new(FRAME_BYTES, 1)),
            recorder: ends.pop().unwrap(),
            times,
            timeout_ns: self.timeout_ns,
            pacing: self.pacing,
            measure_from: Arc::new(AtomicU64::new(self.told_ns)),
            stop: Arc::new(AtomicBool::new(false)),
        })
        .run();
        drop(ends);
        while collector.collect(Duration::from_secs(1)).is_ok() {}
        let served = universe.borrow().served;
        (outcome, collector.into_recording(), served)
    }
}

fn at(recording: &Recording, metric: Metric, quantile: f64) -> u64 {
    recording.total(metric).value_at_quantile(quantile)
}

#[test]
fn every_request_is_in_the_ledger_and_in_a_histogram_once() {
    let (outcome, recording, served) = Case::default().run();
    let ledger = outcome.ledger;
    assert_eq!((ledger.scheduled, ledger.sent, ledger.ok), (2_100, 2_100, 2_100));
    assert_eq!((ledger.warmup, served), (100, 2_100));
    assert!(ledger.balanced());
    for metric in Metric::ALL {
        let expected = if metric == Metric::Warmup { 100 } else { 2_000 };
        assert_eq!(recording.total(metric).len(), expected, "{metric:?}");
    }
    assert_eq!(outcome.done_in_window, 2_000);
    assert!(at(&recording, Metric::Response, 1.0) < 22_100);
    assert!(outcome.send_gaps.variation().unwrap() < 0.01);
}

#[test]
fn a_frozen_server_makes_requests_wait_in_the_client_queue_and_not_in_the_lag() {
    let universe = Universe {
        service_ns: 20_000,
        freezes: vec![(1_000 * MS, 1_200 * MS)],
        ..Universe::default()
    };
    let (outcome, recording, _) = Case { universe, depth: 2, ..Case::default() }.run();
    assert!(outcome.ledger.balanced());
    let response_max = at(&recording, Metric::Response, 1.0);
    assert!((199 * MS..202 * MS).contains(&response_max), "{response_max}");
    // The first eight requests fill the windows; the ninth waits until the thaw.
    let queue_max = at(&recording, Metric::ClientQueue, 1.0);
    assert!((190 * MS..194 * MS).contains(&queue_max), "{queue_max}");
    assert!(at(&recording, Metric::GeneratorLag, 1.0) < 5_000);
}

#[test]
fn a_stopped_generator_is_late_by_its_own_fault() {
    let universe = Universe {
        service_ns: 20_000,
        generator_stops: [(1_000 * MS, 1_200 * MS)].into(),
        ..Universe::default()
    };
    let (outcome, recording, _) = Case { universe, depth: 2, ..Case::default() }.run();
    assert!(outcome.ledger.balanced());
    let lag_max = at(&recording, Metric::GeneratorLag, 1.0);
    assert!((198 * MS..202 * MS).contains(&lag_max), "{lag_max}");
    // Afterwards two hundred requests leave at once, eight at a time: that wait is the window's.
    assert!(at(&recording, Metric::ClientQueue, 1.0) < 6 * MS);
    assert!(at(&recording, Metric::Service, 1.0) < MS);
    assert!(outcome.loop_gap_max_ns > 190 * MS);
}

#[test]
fn a_repeated_freeze_gives_the_p99_of_the_formula_and_a_closed_loop_hides_it() {
    let universe = || Universe {
        service_ns: 20_000,
        freezes: (0..6).map(|k| (k * 1_000 * MS + 500 * MS, k * 1_000 * MS + 600 * MS)).collect(),
        ..Universe::default()
    };
    let open = Case { universe: universe(), seconds: 5.0, ..Case::default() };
    let (outcome, recording, _) = open.run();
    assert!(outcome.ledger.balanced());
    let p99 = at(&recording, Metric::Response, 0.99) as f64 / 1e6;
    assert!((p99 - 90.2).abs() < 0.6, "open loop: p99 {p99} ms");
    // All of the freeze is in windows that never fill, so that service and response agree here.
    let (outcome, recording, _) = Case {
        universe: universe(),
        seconds: 5.0,
        rate: None,
        connections: 1,
        depth: 1,
        ..Case::default()
    }
    .run();
    assert!(outcome.ledger.balanced());
    let (p99, max) =
        (at(&recording, Metric::Response, 0.99), at(&recording, Metric::Response, 1.0));
    assert!(p99 < 100_000 && max > 99 * MS, "closed loop: p99 {p99} ns, max {max} ns");
}

#[test]
fn an_overloaded_server_shows_a_response_that_grows_and_no_plateau() {
    // 1.5 times what the server can do for two seconds: the last request waits for one second.
    let universe = Universe { service_ns: MS, ..Universe::default() };
    let case = Case { universe, rate: Some(1_500.0), seconds: 1.9, ..Case::default() };
    let (outcome, recording, _) = case.run();
    assert!(outcome.ledger.balanced());
    assert_eq!(outcome.ledger.ok, 3_000);
    let max = at(&recording, Metric::Response, 1.0) as f64 / 1e6;
    assert!((max - 1_000.0).abs() < 5.0, "{max}");
    let achieved = outcome.done_in_window as f64 / 1.9;
    assert!((achieved - 1_000.0).abs() < 5.0, "{achieved}");
    assert!(at(&recording, Metric::GeneratorLag, 1.0) < 5_000);
}

#[test]
fn a_closed_loop_obeys_littles_law() {
    for (connections, depth) in [(1, 1), (4, 1), (4, 8)] {
        let case = Case { rate: None, connections, depth, seconds: 1.0, ..Case::default() };
        let (outcome, recording, _) = case.run();
        assert!(outcome.ledger.balanced());
        let product =
            outcome.done_in_window as f64 / 1.0 * recording.total(Metric::Response).mean() / 1e9;
        let wanted = (connections * depth) as f64;
        assert!((product / wanted - 1.0).abs() < 0.06, "{product} instead of {wanted}");
    }
}

#[test]
fn a_server_that_dies_turns_what_was_on_its_way_into_errors() {
    let universe = Universe {
        service_ns: 20_000,
        freezes: vec![(990 * MS, 1_100 * MS)],
        dies_ns: Some(1_000 * MS),
        ..Universe::default()
    };
    let (outcome, _, _) = Case { universe, ..Case::default() }.run();
    assert!(outcome.ledger.balanced());
    assert_eq!(outcome.losses.closed, 4);
    assert_eq!(outcome.ledger.errors, 10);
    assert_eq!(outcome.ledger.unfinished, 0);
}

#[test]
fn an_answer_after_the_limit_is_a_timeout_and_still_a_latency() {
    let universe = Universe {
        service_ns: 20_000,
        freezes: vec![(1_000 * MS, 1_200 * MS)],
        ..Universe::default()
    };
    let (outcome, recording, _) = Case { universe, timeout_ns: 100 * MS, ..Case::default() }.run();
    assert!(outcome.ledger.balanced());
    assert!((95..=105).contains(&outcome.ledger.timeouts), "{}", outcome.ledger.timeouts);
    assert_eq!(recording.total(Metric::Response).len(), 2_000);
}

#[test]
fn poisson_arrivals_queue_as_theory_says() {
    let universe = Universe { service_ns: 200_000, ..Universe::default() };
    let case = Case {
        universe,
        rate: Some(2_500.0),
        arrival: Arrival::Poisson,
        seconds: 40.0,
        connections: 16,
        ..Case::default()
    };
    let (outcome, recording, _) = case.run();
    assert!(outcome.ledger.balanced());
    let mean = recording.total(Metric::Response).mean() / 200_000.0;
    assert!((mean - 1.5).abs() < 0.06, "mean response {mean} service times at half load");
}

#[test]
fn a_counted_run_measures_exactly_so_many_requests_and_ends() {
    for (rate, arrival) in [
        (Some(1_000.0), Arrival::Constant),
        (Some(5_000.0), Arrival::Poisson),
        (None, Arrival::Constant),
    ] {
        for requests in [1, 777, 5_000] {
            // A minute is the most it may take, and it takes far less.
            let case =
                Case { rate, arrival, requests: Some(requests), seconds: 60.0, ..Case::default() };
            let (outcome, recording, served) = case.run();
            let ledger = outcome.ledger;
            assert!(ledger.balanced(), "{ledger:?}");
            assert_eq!(recording.total(Metric::Response).len(), requests, "{rate:?} {arrival}");
            assert_eq!(ledger.sent - ledger.warmup, requests);
            assert_eq!((outcome.done_in_window, served), (requests, ledger.sent));
            assert!(outcome.last_done_ns < 10_000 * MS, "{}", outcome.last_done_ns);
        }
    }
}

#[test]
fn users_who_think_send_as_many_requests_as_the_response_time_law_says() {
    let case = Case { rate: None, depth: 1, think_ns: 2 * MS, ..Case::default() };
    let (outcome, recording, _) = case.run();
    let response_s = recording.total(Metric::Response).mean() / 1e9;
    let rate = outcome.done_in_window as f64 / 2.0;
    // N = X (R + Z): four users, each with its response and its time to think.
    let users = rate * (response_s + 2e-3);
    assert!((users - 4.0).abs() < 0.04, "{users} users at {rate}/s and {response_s} s");
    assert!(outcome.ledger.balanced());
}

#[test]
fn the_connections_of_a_closed_loop_begin_one_after_the_other_in_a_ramp() {
    let ramp_ns = 80 * MS;
    let case = Case { rate: None, depth: 1, ramp_ns, think_ns: MS, ..Case::default() };
    let (outcome, recording, _) = case.run();
    let warmup = recording.total(Metric::Warmup).len() as f64;
    // Four users begin after 0, 20, 40 and 60 ms; the measurement begins after 100 ms.
    let (each_s, users_s) =
        (1e-3 + recording.total(Metric::Response).mean() / 1e9, 0.1 + 0.08 + 0.06 + 0.04);
    assert!((warmup * each_s / users_s - 1.0).abs() < 0.05, "{warmup} requests in the warm-up");
    assert!(outcome.ledger.balanced());
}

#[test]
fn the_measurement_begins_when_the_control_thread_says_so_and_lasts_as_long() {
    for rate in [Some(1_000.0), None] {
        let case = Case { rate, think_ns: MS, depth: 1, told_ns: 60 * MS, ..Case::default() };
        let (outcome, recording, _) = case.run();
        let warmup = recording.total(Metric::Warmup).len();
        let measured = recording.total(Metric::Response).len();
        assert!(outcome.ledger.balanced());
        assert_eq!(outcome.ledger.warmup, warmup);
        // 60 ms before it and two seconds of it, not the 100 ms that the times would have.
        let ratio = measured as f64 / warmup as f64 * 0.06 / 2.0;
        assert!((ratio - 1.0).abs() < 0.05, "{rate:?}: {warmup} and {measured}");
    }
}
