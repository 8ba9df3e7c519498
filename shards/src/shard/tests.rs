use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use corelane::lowlevel::{DriverKind, EventLoop, LoopConfig};

use super::thread::Presence;
use super::*;
use crate::cores::AllowedCores;
use crate::placement::Placement;

/// Settles this thread as the only shard of a run.
fn settle_here(event_loop: &mut EventLoop) -> Shard {
    let limits =
        call::Limits { lane_capacity: 1, permit_count: 1, group_permit_count: 1, call_depth: 1 };
    let seed = call::deal(vec![event_loop.remote()], limits).remove(0);
    let allowed = AllowedCores::of_process().unwrap().clone();
    let report = Arc::new(StartReport {
        placement: Placement::default(),
        allowed,
        shards: Vec::new(),
        driver: DriverKind::default(),
    });
    let (events, _) = crossbeam_channel::unbounded();
    let outside =
        ShardsHandle::new(&[(event_loop.remote(), event_loop.pulse())], 1, report, events.clone());
    let go = Go { seed, groups: Groups::default(), outside };
    let shard = event_loop.enter(|| Shard::settle(go, events)).unwrap().unwrap();
    Shard::enter(Some(shard.clone()));
    shard
}

#[test]
fn a_thread_that_unwinds_is_no_shard_any_more_and_lets_go_of_its_desk() {
    let mut event_loop = EventLoop::new(&LoopConfig::default()).unwrap();
    let desk = Rc::downgrade(&settle_here(&mut event_loop).0.desk);
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _presence = Presence;
        let _event_loop = event_loop;
        panic!("on purpose");
    }));
    assert!(unwound.is_err());
    assert!(Shard::current().is_none());
    assert_eq!(desk.strong_count(), 0);
}

#[test]
fn a_destructor_of_the_thread_may_ask_for_the_shard() {
    struct Asks;
    impl Drop for Asks {
        fn drop(&mut self) {
            assert!(Shard::current().is_none());
        }
    }
    thread_local!(static LAST: Asks = const { Asks });
    #[expect(clippy::disallowed_methods, reason = "the end of a thread is the subject")]
    let thread = thread::spawn(|| {
        // What is used first is destroyed last.
        LAST.with(|_| ());
        Shard::current().is_none()
    });
    assert!(thread.join().unwrap());
}
