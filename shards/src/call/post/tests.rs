use std::sync::Arc;

use corelane::lowlevel::{EventLoop, LoopConfig, Poller};

use super::super::desk::{Limits, deal};
use super::*;

/// The desks of two shards with one permit, which share this thread: outside a turn mail leaves at
/// once.
fn desks() -> [Rc<Desk>; 2] {
    let loops = [(); 2].map(|()| EventLoop::new(&LoopConfig::default()).expect("a loop starts"));
    let bells = loops.iter().map(EventLoop::remote).collect();
    let limits = Limits { lane_capacity: 4, permit_count: 1, group_permit_count: 1, call_depth: 1 };
    let mut desks = deal(bells, limits).into_iter().map(Desk::new);
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

/// Has `far` run what `home` posted, and `home` take the boxes in.
fn settle(home: &Desk, far: &Desk) {
    far.poll_mail();
    home.poll_mail();
}

#[test]
fn the_box_of_a_post_comes_home_empty_and_is_filled_again() {
    let [home, far] = desks();
    let to = far.id();
    let held = Arc::new(());
    let closure = || {
        let held = Arc::clone(&held);
        move || drop(held)
    };
    assert!(try_post(&home, to, closure()).is_ok());
    settle(&home, &far);
    assert_eq!(Arc::strong_count(&held), 1, "it was run and dropped over there");
    let kept = home.kept_places(to.index());
    assert_eq!(kept.len(), 1);
    assert!(try_post(&home, to, closure()).is_ok());
    assert_eq!(home.kept_places(to.index()), [], "it is on its way again");
    settle(&home, &far);
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(home.kept_places(to.index()), kept, "it is the same box");
}

#[test]
fn a_kept_box_that_does_not_fit_is_given_up_and_a_large_one_is_not_kept() {
    let [home, far] = desks();
    let to = far.id();
    assert!(try_post(&home, to, || ()).is_ok());
    settle(&home, &far);
    let kept = home.kept_places(to.index());
    let large = [7u8; 1000];
    assert!(try_post(&home, to, move || assert_eq!(large.len(), 1000)).is_ok());
    settle(&home, &far);
    assert_eq!(kept.len(), 1);
    assert_eq!(home.kept_places(to.index()), []);
}

#[test]
fn no_more_boxes_are_kept_than_there_are_permits() {
    let [home, far] = desks();
    let to = far.id();
    for number in 0..10u64 {
        // Two shapes in turn: none of them fits the box that has just come home.
        let sent = if number % 2 == 0 {
            try_post(&home, to, move || _ = number).is_ok()
        } else {
            try_post(&home, to, move || _ = (number, number)).is_ok()
        };
        assert!(sent);
        settle(&home, &far);
        assert_eq!(home.kept_places(to.index()).len(), 1);
    }
}
