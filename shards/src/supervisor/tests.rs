use std::fmt;
use std::iter;

use corelane::lowlevel::{DriverKind, EventLoop, LoopConfig};
use crossbeam_channel::unbounded;

use super::*;
use crate::cores::AllowedCores;
use crate::placement::Placement;

const FIRST: ShardId = ShardId::new(0);

/// A supervisor of one shard that nobody turns.
fn supervisor(drain: Duration, clean_up: Duration) -> (Supervisor, ShardsHandle) {
    let rules = EndRules { drain, clean_up, on_panic: PanicPolicy::Isolate };
    let event_loop = EventLoop::new(&LoopConfig::default()).expect("there are descriptors");
    let loops = [(event_loop.remote(), event_loop.pulse())];
    let report = StartReport {
        placement: Placement::Unpinned(1),
        allowed: AllowedCores::fixed(&[0]),
        shards: Vec::new(),
        driver: DriverKind::VirtualClock,
    };
    let shards = ShardsHandle::new(&loops, 1, Arc::new(report), unbounded().0);
    (Supervisor::new(1, rules, DriftWatch::new(None), Watchdog::new(None, unbounded().0)), shards)
}

#[test]
fn a_time_to_clean_up_without_a_limit_has_none_at_the_end_either() {
    for clean_up in [Duration::from_secs(3_600), Duration::MAX] {
        let (mut supervisor, shards) = supervisor(Duration::ZERO, clean_up);
        let all = [Event::MainEnded(FIRST, None), Event::Drained(FIRST), Event::CleanedUp(FIRST)];
        supervisor.go_on(all, &shards);
        assert_eq!(supervisor.stage, Stage::Ended);
        let left = supervisor.next_look().map(|end| end - clock::instant());
        assert!(left.is_none_or(|left| left > Duration::from_secs(3_000)), "{left:?}");
        assert_eq!(left.is_none(), clean_up == Duration::MAX);
    }
}

#[test]
fn events_that_keep_coming_put_no_deadline_off() {
    let (mut supervisor, shards) = supervisor(Duration::ZERO, Duration::ZERO);
    supervisor.go_on(Some(Event::StopRequested), &shards);
    let mut stages = vec![supervisor.stage];
    while !supervisor.is_over() {
        if supervisor.stage >= Stage::Cancelling {
            // What the stages after this one last cannot be said.
            supervisor.deadline = Some(clock::instant());
        }
        supervisor.go_on(Some(Event::StopRequested), &shards);
        stages.push(supervisor.stage);
        assert!(stages.len() < 10, "{stages:?}");
    }
    stages.dedup();
    assert_eq!(stages, [Stage::Draining, Stage::Cancelling, Stage::Aborting, Stage::Ended]);
}

#[test]
fn what_was_heard_in_time_counts_before_the_deadline() {
    let (mut supervisor, shards) = supervisor(Duration::ZERO, Duration::from_secs(3_600));
    let (main, drained) = (Event::MainEnded(FIRST, None), Event::Drained(FIRST));
    // Whoever watches was late itself.
    supervisor.go_on([Event::StopRequested, main, drained], &shards);
    assert_eq!(supervisor.stage, Stage::Cancelling);
    supervisor.go_on(iter::empty(), &shards);
    assert_eq!(supervisor.stage, Stage::Cancelling, "its own deadline is an hour away");
}

/// An error that cannot be told.
#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("there are no words for it")
    }
}

impl std::error::Error for Unspeakable {}

#[test]
fn a_main_whose_error_cannot_be_told_ends_the_run_like_any_other() {
    let (mut supervisor, shards) = supervisor(Duration::ZERO, Duration::ZERO);
    // Without somebody who listens nothing is told.
    let logs = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
    let _logs = tracing::subscriber::set_default(logs);
    supervisor.go_on(Some(Event::MainEnded(FIRST, Some(Error::new(Unspeakable)))), &shards);
    assert!(supervisor.stage >= Stage::Cancelling);
    assert!(
        supervisor
            .into_notes()
            .failure
            .is_some_and(|error| error.downcast_ref::<Unspeakable>().is_some())
    );
}
