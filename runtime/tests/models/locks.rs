//! Locks, permits and notifications are conserved, and served in order.

use std::cell::Cell;
use std::rc::Rc;

use corelane::sync::{Barrier, Condition, Event, Gate, Lock, RwLock, Semaphore};
use proptest::prelude::*;

use crate::{Crew, Log, cases, on_a_loop, settle, turns};

#[derive(Clone, Debug)]
enum Step {
    /// Somebody comes who wants this much and keeps it for so many turns.
    Come(usize, usize),
    EndOne(usize, bool),
    Turns(usize),
    /// What only this primitive has.
    Special(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        40 => (0..4_usize, 0..4_usize).prop_map(|(wants, keeps)| Step::Come(wants, keeps)),
        20 => (any::<usize>(), any::<bool>()).prop_map(|(pick, how)| Step::EndOne(pick, how)),
        20 => (1..3_usize).prop_map(Step::Turns),
        10 => (0..4_usize).prop_map(Step::Special),
    ];
    proptest::collection::vec(step, 1..80)
}

/// Plays a program: `come` starts a worker, `special` does what it likes.
async fn play(
    steps: Vec<Step>,
    crew: &mut Crew,
    mut come: impl FnMut(&mut Crew, usize, usize),
    mut special: impl FnMut(usize),
) {
    for step in steps {
        match step {
            Step::Come(wants, keeps) => come(crew, wants, keeps),
            Step::EndOne(pick, by_request) => crew.end_one(pick, by_request),
            Step::Turns(count) => turns(count).await,
            Step::Special(number) => special(number),
        }
    }
    settle().await;
}

fn lock(steps: Vec<Step>) {
    on_a_loop(async || {
        let (lock, came, held) = (Lock::new(()), Log::new(), Log::new());
        let mut crew = Crew::default();
        let come = |crew: &mut Crew, _, keeps| {
            let (lock, came, held) = (lock.clone(), came.clone(), held.clone());
            crew.start(async move |name| {
                came.push(name);
                let _guard = lock.acquire().await;
                held.push(name);
                turns(keeps).await;
            });
        };
        play(steps, &mut crew, come, |_| ()).await;
        assert!(crew.pending().is_empty() && lock.try_acquire().is_some());
        crew.assert_in_order(&came, &held);
    });
}

fn semaphore(total: usize, steps: Vec<Step>) {
    on_a_loop(async move || {
        let (semaphore, came, held) = (Semaphore::new(total), Log::new(), Log::new());
        let in_use = Rc::new(Cell::new(0));
        let mut crew = Crew::default();
        let come = |crew: &mut Crew, wants: usize, keeps| {
            let wants = wants.min(total);
            let (semaphore, came, held) = (semaphore.clone(), came.clone(), held.clone());
            let in_use = Rc::clone(&in_use);
            crew.start(async move |name| {
                came.push(name);
                let permit = semaphore.acquire_many(wants).await.expect("nobody closes it");
                held.push(name);
                let _count = Counted::new(in_use, permit.count(), total);
                turns(keeps).await;
            });
        };
        play(steps, &mut crew, come, |_| ()).await;
        assert!(crew.pending().is_empty(), "nobody is left behind");
        assert_eq!((semaphore.available(), semaphore.locked()), (total, total == 0));
        crew.assert_in_order(&came, &held);
    });
}

/// So many are in use; never more than there are.
struct Counted(Rc<Cell<usize>>, usize);

impl Counted {
    fn new(in_use: Rc<Cell<usize>>, count: usize, most: usize) -> Self {
        in_use.set(in_use.get() + count);
        assert!(in_use.get() <= most);
        Self(in_use, count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - self.1);
    }
}

fn rwlock(steps: Vec<Step>) {
    on_a_loop(async || {
        let (lock, came, held) = (RwLock::new(0), Log::new(), Log::new());
        let in_use = Rc::new(Cell::new(0));
        let mut crew = Crew::default();
        let come = |crew: &mut Crew, wants: usize, keeps| {
            let (lock, came, held) = (lock.clone(), came.clone(), held.clone());
            let in_use = Rc::clone(&in_use);
            crew.start(async move |name| {
                came.push(name);
                if wants == 0 {
                    let mut writer = lock.write().await;
                    held.push(name);
                    let _all = Counted::new(in_use, 100, 100);
                    *writer += 1;
                    turns(keeps).await;
                } else {
                    let _reader = lock.read().await;
                    held.push(name);
                    let _one = Counted::new(in_use, 1, 100);
                    turns(keeps).await;
                }
            });
        };
        play(steps, &mut crew, come, |_| ()).await;
        assert!(crew.pending().is_empty() && lock.try_write().is_some());
        crew.assert_in_order(&came, &held);
    });
}

/// Each adds one and notifies one; those who come take one each.
fn condition(steps: Vec<Step>) {
    on_a_loop(async || {
        let condition = Condition::new(0_usize);
        let taken = Log::new();
        let (mut crew, produced) = (Crew::default(), Rc::new(Cell::new(0)));
        let come = |crew: &mut Crew, wants, keeps| {
            let (condition, taken) = (condition.clone(), taken.clone());
            let produced = Rc::clone(&produced);
            crew.start(async move |name| {
                let mut guard = condition.lock().await;
                if wants == 0 {
                    turns(keeps).await;
                    *guard += 1;
                    produced.set(produced.get() + 1);
                    condition.notify(&guard, 1);
                    return;
                }
                let mut guard = condition.wait_for(guard, |count| *count > 0).await;
                *guard -= 1;
                taken.push(name);
                turns(keeps).await;
            });
        };
        play(steps, &mut crew, come, |_| ()).await;
        let left = *condition.try_lock().expect("nobody holds the lock");
        assert_eq!(produced.get(), taken.len() + left);
        assert!(crew.pending().is_empty() || left == 0, "{left} left beside {:?}", crew.pending());
    });
}

fn barrier(parties: usize, steps: Vec<Step>) {
    on_a_loop(async move || {
        let barrier = Barrier::new(parties).unwrap();
        let indices = Log::new();
        let mut crew = Crew::default();
        let come = |crew: &mut Crew, _, _| {
            let (barrier, indices) = (barrier.clone(), indices.clone());
            crew.start(async move |_| {
                if let Ok(index) = barrier.wait().await {
                    indices.push(index);
                }
            });
        };
        let special = |number| match number {
            0 => barrier.abort(),
            1 => barrier.reset(),
            _ => (),
        };
        play(steps, &mut crew, come, special).await;
        assert!(indices.all().iter().all(|index| *index < parties));
        assert_eq!(crew.pending().len(), barrier.n_waiting());
        assert!(barrier.n_waiting() < parties && (!barrier.broken() || barrier.n_waiting() == 0));
        // Whatever happened, it can be mended.
        barrier.reset();
        settle().await;
        assert!(crew.pending().is_empty() && !barrier.broken());
        let rounds = indices.len();
        for _ in 0..parties {
            come(&mut crew, 0, 0);
        }
        settle().await;
        let mut round = indices.all().split_off(rounds);
        round.sort_unstable();
        assert_eq!(round, (0..parties).collect::<Vec<_>>());
    });
}

fn event_and_gate(steps: Vec<Step>) {
    on_a_loop(async || {
        let (event, gate) = (Event::new(), Gate::new());
        let mut crew = Crew::default();
        let come = |crew: &mut Crew, wants, keeps| {
            let (event, gate) = (event.clone(), gate.clone());
            crew.start(async move |_| {
                // Who is inside must not wait for the gate: it would wait for itself.
                let inside = gate.enter().ok().filter(|_| wants > 0);
                if inside.is_none() {
                    return gate.wait_closed().await;
                }
                event.wait().await;
                turns(keeps).await;
            });
        };
        let special = |number| match number {
            0 => event.set(),
            1 => event.clear(),
            _ => (),
        };
        play(steps, &mut crew, come, special).await;
        event.set();
        gate.close();
        settle().await;
        assert!(crew.pending().is_empty() && gate.inside_count() == 0);
        assert!(format!("{event:?} {gate:?}").matches("waiters: 0").count() == 2);
    });
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn l2_l5_a_lock_goes_to_all_who_wait_in_order(steps in steps()) {
        lock(steps);
    }

    #[test]
    fn l46_l52_permits_are_conserved_and_given_in_order(total in 0..4_usize, steps in steps()) {
        semaphore(total, steps);
    }

    #[test]
    fn readers_and_writers_are_served_in_order_and_apart(steps in steps()) {
        rwlock(steps);
    }

    #[test]
    fn l27_no_notification_is_lost(steps in steps()) {
        condition(steps);
    }

    #[test]
    fn l65_l72_a_barrier_lets_whole_rounds_go(parties in 1..5_usize, steps in steps()) {
        barrier(parties, steps);
    }

    #[test]
    fn l15_an_event_and_a_gate_leave_nobody_behind(steps in steps()) {
        event_and_gate(steps);
    }
}
