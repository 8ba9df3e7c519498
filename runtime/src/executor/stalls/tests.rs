use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::executor::{EventLoop, LoopConfig};

const LIMIT: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_millis(50);

fn watched() -> (EventLoop, StallWatch) {
    let event_loop = EventLoop::new(&LoopConfig::default()).unwrap();
    let mut watch = StallWatch::new(LIMIT);
    watch.add(event_loop.pulse());
    (event_loop, watch)
}

/// Looks until something is reported, and says how often that took.
fn report(watch: &mut StallWatch) -> (usize, Stall) {
    for looks in 1..100 {
        if let [stall] = &watch.look(LOOK)[..] {
            return (looks, stall.clone());
        }
    }
    panic!("nothing was reported");
}

#[test]
fn a_task_that_holds_its_loop_is_named_while_it_does() {
    let (mut event_loop, mut watch) = watched();
    let (found, here) = (std::rc::Rc::new(std::cell::RefCell::new(None)), std::line!() + 2);
    let inner = std::rc::Rc::clone(&found);
    let task = event_loop.create_task(async move {
        // The task is in the middle of its step here, and another thread would see just this.
        let first = report(&mut watch);
        let second = report(&mut watch);
        *inner.borrow_mut() = Some((first, second, watch));
        Ok(())
    });
    let task = task.unwrap().named("hog");
    event_loop.turn_until(|| task.done()).unwrap();
    let ((looks, first), (more, second), mut watch) = found.take().unwrap();
    // The first look sees it, four more make 200 ms, and four more the double.
    assert_eq!((looks, more), (5, 4));
    assert_eq!((first.index, first.lasted, first.is_over), (0, LIMIT, false));
    assert_eq!(second.lasted, LIMIT * 2);
    let said = first.holder.to_string();
    assert!(
        said.starts_with("task hog, created at ") && said.contains(&format!("tests.rs:{here}:")),
        "{said}"
    );
    let (looks, over) = report(&mut watch);
    assert_eq!((looks, over.is_over, over.lasted, over.holder), (1, true, LIMIT * 2, first.holder));
}

#[test]
fn a_callback_that_holds_its_loop_is_reported_as_one() {
    let (mut event_loop, mut watch) = watched();
    let found = std::rc::Rc::new(std::cell::RefCell::new(None));
    let inner = std::rc::Rc::clone(&found);
    let task = event_loop.create_task(async move {
        crate::executor::call_soon(move || *inner.borrow_mut() = Some(report(&mut watch).1));
        crate::executor::yield_now().await;
        Ok(())
    });
    let task = task.unwrap();
    event_loop.turn_until(|| task.done()).unwrap();
    assert_eq!(found.take().unwrap().holder, Holder::Other);
}

#[test]
fn a_loop_that_goes_on_or_rests_is_not_stalled() {
    let (mut event_loop, mut watch) = watched();
    for _ in 0..20 {
        assert_eq!(watch.look(LOOK), []);
    }
    let task = event_loop.create_task(async move {
        for _ in 0..20 {
            assert_eq!(watch.look(LOOK), []);
            crate::executor::yield_now().await;
        }
        Ok(())
    });
    let task = task.unwrap();
    event_loop.turn_until(|| task.done()).unwrap();
    assert!(task.result().is_ok());
}

#[test]
fn time_in_which_nobody_looked_counts_as_half_the_limit() {
    let (mut event_loop, mut watch) = watched();
    let task = event_loop.create_task(async move {
        assert_eq!(watch.look(LOOK), []);
        // The whole process was stopped for an hour.
        assert_eq!(watch.look(Duration::from_secs(3600)), []);
        assert_eq!(watch.look(Duration::from_secs(3600)).len(), 1);
        Ok(())
    });
    let task = task.unwrap();
    event_loop.turn_until(|| task.done()).unwrap();
    assert!(task.result().is_ok());
}

/// A watch that may leave off looking, with what it counts: how often it was woken.
fn paused(watch: &mut StallWatch) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        assert_eq!(watch.look(LOOK), []);
        let counted = Arc::clone(&count);
        if watch.may_pause(move || _ = counted.fetch_add(1, Ordering::Relaxed)) {
            return count;
        }
    }
    panic!("the loops rest, and are looked at on and on");
}

#[test]
fn loops_that_rest_need_no_looks_until_one_goes_on() {
    let (mut event_loop, mut watch) = watched();
    let mut other = EventLoop::new(&LoopConfig::default()).unwrap();
    watch.add(other.pulse());
    let woken = paused(&mut watch);
    assert_eq!(woken.load(Ordering::Relaxed), 0);
    for event_loop in [&mut event_loop, &mut other] {
        event_loop.turn(false).unwrap();
        event_loop.turn(false).unwrap();
    }
    // Once for each of them.
    assert_eq!(woken.load(Ordering::Relaxed), 2);
    // They have done something since, and so it begins anew.
    assert_eq!(watch.look(LOOK), []);
    assert!(!watch.may_pause(|| ()));
    let woken = paused(&mut watch);
    event_loop.enter(|| ()).unwrap();
    assert_eq!(woken.load(Ordering::Relaxed), 1);
}

#[test]
fn loops_of_which_one_goes_on_are_looked_at() {
    let (mut event_loop, mut watch) = watched();
    let other = EventLoop::new(&LoopConfig::default()).unwrap();
    watch.add(other.pulse());
    for _ in 0..10 {
        assert_eq!(watch.look(LOOK), []);
        assert!(!watch.may_pause(|| ()));
        event_loop.turn(false).unwrap();
    }
    // One that went on unseen between being asked to tell and the look after that.
    let woken = paused(&mut watch);
    event_loop.enter(|| ()).unwrap();
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    assert_eq!(watch.look(LOOK), []);
    assert!(!watch.may_pause(|| ()), "the first has told and has to be asked again");
}

#[test]
fn a_stall_right_after_a_pause_is_reported() {
    let (mut event_loop, mut watch) = watched();
    let woken = paused(&mut watch);
    let task = event_loop.create_task(async move {
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        assert_eq!(report(&mut watch).0, 5);
        assert!(!watch.may_pause(|| ()));
        Ok(())
    });
    let task = task.unwrap();
    event_loop.turn_until(|| task.done()).unwrap();
    assert!(task.result().is_ok());
}
