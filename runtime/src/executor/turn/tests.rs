use std::task::Waker;

use super::*;
use crate::driver::DriverKind;
use crate::executor::LoopConfig;

const HOUR: Duration = Duration::from_secs(3_600);

/// A loop with this slack that has timers an hour and so many microseconds from now; and that hour.
fn waiting(driver: DriverKind, slack_micros: u64, timers: &[u64]) -> (Rc<LoopCore>, Instant) {
    let timer_slack = Duration::from_micros(slack_micros);
    let config = LoopConfig { driver, timer_slack, ..LoopConfig::default() };
    let core = LoopCore::new(&config).unwrap();
    let start = core.now() + HOUR;
    for micros in timers {
        core.insert_timer(start + Duration::from_micros(*micros), Waker::noop().clone());
    }
    (core, start)
}

/// When the loop of [`waiting`] would wake, in microseconds from that hour.
fn alarm(driver: DriverKind, slack_micros: u64, timers: &[u64]) -> Option<u128> {
    let (core, start) = waiting(driver, slack_micros, timers);
    core.alarm().map(|alarm| (alarm - start).as_micros())
}

#[test]
fn one_wake_serves_all_timers_within_the_slack_of_the_first() {
    assert_eq!(alarm(DriverKind::Mio, 100, &[250, 60, 0, 101, 99]), Some(99));
    assert_eq!(alarm(DriverKind::Mio, 100, &[250, 60, 0, 100]), Some(100));
    assert_eq!(alarm(DriverKind::Mio, 100, &[]), None);
}

#[test]
fn a_timer_without_neighbours_is_not_late() {
    assert_eq!(alarm(DriverKind::Mio, 100, &[7, 200]), Some(7));
    // One that was cancelled is no neighbour.
    let (core, start) = waiting(DriverKind::Mio, 100, &[7, 200]);
    let near = core.insert_timer(start + Duration::from_micros(50), Waker::noop().clone());
    assert_eq!(core.alarm(), Some(start + Duration::from_micros(50)));
    core.cancel_timer(near);
    assert_eq!(core.alarm(), Some(start + Duration::from_micros(7)));
}

#[test]
fn without_slack_and_on_a_virtual_clock_each_timer_has_its_own_wake() {
    assert_eq!(alarm(DriverKind::Mio, 0, &[60, 0, 99]), Some(0));
    assert_eq!(alarm(DriverKind::VirtualClock, 100, &[60, 0, 99]), Some(0));
}

#[test]
fn a_timer_that_is_due_does_not_wait_for_its_neighbours() {
    let (core, _) = waiting(DriverKind::Mio, 2 * HOUR.as_micros() as u64, &[]);
    let due = core.now();
    core.insert_timer(due, Waker::noop().clone());
    core.insert_timer(due + HOUR, Waker::noop().clone());
    assert_eq!(core.alarm(), Some(due));
}

/// How often a loop asks its driver while it waits twenty times, each time for longer than it spins.
fn looks(idle: Idle) -> u64 {
    let config = LoopConfig { idle, ..LoopConfig::default() };
    let core = LoopCore::new(&config).unwrap();
    let mut buffers = Buffers::default();
    for _ in 0..20 {
        core.insert_timer(core.now() + Duration::from_millis(5), Waker::noop().clone());
        while core.timers.borrow_mut().next().is_some() {
            core.turn(&mut buffers, true).unwrap();
        }
    }
    core.tally.driver_looks.get()
}

#[test]
fn a_loop_that_parks_asks_once_for_each_wait() {
    assert!(looks(Idle::Park) < 25, "a wait may end early now and then");
}

#[test]
fn a_loop_that_spins_then_parks_looks_before_each_wait() {
    let looks = looks(Idle::SpinThenPark(Duration::ZERO));
    assert!((31..50).contains(&looks), "{looks}");
}

#[test]
fn an_adaptive_loop_looks_less_and_less_while_it_finds_nothing() {
    // Before the first wait, and then after one, three and seven that went without.
    let looks = looks(Idle::Adaptive(Duration::ZERO));
    assert!((21..30).contains(&looks), "{looks}");
}
