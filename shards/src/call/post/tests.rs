use std::sync::Arc;

use corelane::lowlevel::{EventLoop, LoopConfig, Poller};

use super::super::desk::deal;
use super::*;

/// The desks of two shards with one permit, which share this thread: outside a turn mail leaves at
/// once.
fn desks() -> [Rc<Desk>; 2] {
    let loops = [(); 2].map(|()| EventLoop::new(&LoopConfig::default()).expect("a loop starts"));
    let bells = loops.iter().map(EventLoop::remote).collect();
    let mut desks = deal(bells, 4, 1).into_iter().map(Desk::new);
    [(); 2].map(|()| desks.next().expect("one for each bell"))
}

fn poll(posting: &mut Posting) -> Poll<Result<()>> {
    Pin::new(posting).poll(&mut Context::from_waker(std::task::Waker::noop()))
}

fn is_gone(posting: &mut Posting, to: ShardId) -> bool {
    let Poll::Ready(Err(error)) = poll(posting) else { return false };
    error.downcast_ref() == Some(&CallError::ShardGone(to))
}

#[test]
fn posts_to_a_shard_that_ends_fail_if_they_wait_and_their_closures_are_dropped() {
    let [home, far] = desks();
    let held = Arc::new(());
    let closure = || {
        let held = Arc::clone(&held);
        move || drop(held)
    };
    let mut sent = post(&home, far.id(), closure());
    let mut waiting = post(&home, far.id(), closure());
    assert!(matches!(poll(&mut sent), Poll::Ready(Ok(()))));
    assert!(poll(&mut waiting).is_pending());
    let to = far.id();
    drop(far);
    home.poll_mail();
    assert!(is_gone(&mut waiting, to));
    assert_eq!(Arc::strong_count(&held), 1, "neither is kept");
    assert!(is_gone(&mut post(&home, to, || ()), to));
    let refused = try_post(&home, to, || ()).expect_err("it has ended");
    assert!(matches!(refused, TryPostError::Unreachable(_, CallError::ShardGone(id)) if id == to));
}

#[test]
fn a_post_that_waits_is_ready_when_the_permit_of_one_that_ran_has_come_home() {
    let [home, far] = desks();
    let mut first = post(&home, far.id(), || ());
    let mut second = post(&home, far.id(), || ());
    assert!(matches!(poll(&mut first), Poll::Ready(Ok(()))));
    assert!(poll(&mut second).is_pending());
    far.poll_mail();
    assert!(poll(&mut second).is_pending(), "the permit is on its way");
    home.poll_mail();
    assert!(matches!(poll(&mut second), Poll::Ready(Ok(()))));
}
