//! When the watchdog looks, and when it has no need to.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use corelane::lowlevel::{EventLoop, LoopConfig};
use crossbeam_channel::{Receiver, unbounded};

use super::*;
use crate::clock;

const LIMIT: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_millis(50);

fn watched() -> (EventLoop, Watchdog, Receiver<Event>) {
    let event_loop = EventLoop::new(&LoopConfig::default()).unwrap();
    let (events, heard) = unbounded();
    let mut dog = Watchdog::new(Some(LIMIT), events);
    dog.add(event_loop.pulse());
    (event_loop, dog, heard)
}

/// Looks whenever it is time, until there is no next time or there were too many.
fn looks(dog: &mut Watchdog, mut now: Instant) -> (usize, Instant) {
    for count in 0..100 {
        match dog.next(now) {
            Some(next) => {
                assert!(next <= now + LOOK);
                now = next;
            }
            None => return (count, now),
        }
        dog.look(now);
    }
    panic!("idle shards are looked at on and on");
}

#[test]
fn while_all_shards_rest_no_look_is_due_and_who_goes_on_says_so() {
    let (mut event_loop, mut dog, heard) = watched();
    let (count, now) = looks(&mut dog, clock::instant());
    assert_eq!(count, 3);
    assert!(heard.is_empty());
    event_loop.turn(false).unwrap();
    assert!(matches!(heard.try_recv(), Ok(Event::WentOn)));
    assert!(heard.is_empty(), "a shard says so once");

    // An hour later: no time has passed in which anybody was watched.
    let now = now + Duration::from_secs(3_600);
    dog.wake(now);
    assert_eq!(dog.next(now), Some(now + LOOK));
    assert_eq!(looks(&mut dog, now).0, 3);
}

#[test]
fn a_watchdog_that_is_awake_is_not_put_off_by_who_goes_on() {
    let (_event_loop, mut dog, _heard) = watched();
    let now = clock::instant();
    assert_eq!(dog.next(now), Some(now + LOOK));
    dog.wake(now + LOOK / 2);
    assert_eq!(dog.next(now + LOOK / 2), Some(now + LOOK));
}
