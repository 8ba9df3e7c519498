//! Random programs against a plain description of the rules.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::super::super::support::Waiting;
use super::super::{Lock, LockAcquire, LockGuard};

#[derive(Clone, Debug)]
enum Op {
    /// Somebody new wants the lock.
    Arrive,
    Release,
    /// The first of those who are ready gets its turn.
    Turn,
    /// Cancels by scope somebody who waits; the future is dropped at its turn.
    Cancel(usize),
    /// Drops the future of somebody who waits.
    Drop(usize),
    /// Polls somebody who was not woken, with another waker.
    Stray(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Arrive),
        3 => Just(Op::Release),
        3 => Just(Op::Turn),
        1 => any::<usize>().prop_map(Op::Cancel),
        1 => any::<usize>().prop_map(Op::Drop),
        1 => any::<usize>().prop_map(Op::Stray),
    ]
}

struct Waiter<'a> {
    name: usize,
    future: Waiting<LockAcquire<'a>>,
    cancelled: bool,
}

/// What the rules say, in the words of a list.
struct Model<'a> {
    lock: &'a Lock,
    guard: Option<LockGuard<'a>>,
    /// Woken by a release and not yet run.
    handed: Option<usize>,
    waiters: VecDeque<Waiter<'a>>,
    /// Who has a turn to come: woken or cancelled.
    ready: VecDeque<usize>,
    arrived: usize,
    served: Vec<usize>,
}

impl<'a> Model<'a> {
    fn new(lock: &'a Lock) -> Self {
        Self {
            lock,
            guard: None,
            handed: None,
            waiters: VecDeque::new(),
            ready: VecDeque::new(),
            arrived: 0,
            served: Vec::new(),
        }
    }

    fn arrive(&mut self) {
        let mut future = Waiting::unpolled(self.lock.acquire());
        let name = self.arrived;
        self.arrived += 1;
        match future.poll() {
            std::task::Poll::Ready(guard) => {
                assert!(self.guard.is_none() && self.handed.is_none(), "{name} barged in");
                self.guard = Some(guard);
                self.served.push(name);
            }
            std::task::Poll::Pending => {
                assert!(self.guard.is_some() || self.handed.is_some(), "{name} waits for nothing");
                self.waiters.push_back(Waiter { name, future, cancelled: false });
            }
        }
    }

    fn release(&mut self) {
        if self.guard.take().is_some() {
            self.hand_over();
        }
    }

    /// The rule of L2, L3 and L5: the first live waiter is woken, nobody else.
    fn hand_over(&mut self) {
        self.handed = self.waiters.iter().find(|one| !one.cancelled).map(|one| one.name);
        self.ready.extend(self.handed);
    }

    fn turn(&mut self) {
        let Some(name) = self.ready.pop_front() else { return };
        let at = self.waiters.iter().position(|one| one.name == name).expect("it waits");
        if self.waiters[at].cancelled {
            self.drop_one(at);
            return;
        }
        assert_eq!(self.handed.take(), Some(name));
        let waiter = self.waiters.remove(at).expect("it waits");
        self.guard = Some(waiter.future.ready());
        self.served.push(name);
    }

    fn cancel(&mut self, pick: usize) {
        let len = self.waiters.len();
        let Some(one) = self.waiters.get_mut(pick % len.max(1)) else { return };
        one.future.cancel();
        one.cancelled = true;
        if !self.ready.contains(&one.name) {
            self.ready.push_back(one.name);
        }
    }

    fn drop_one(&mut self, at: usize) {
        let Some(waiter) = self.waiters.remove(at) else { return };
        self.ready.retain(|name| *name != waiter.name);
        let had_it = self.handed == Some(waiter.name);
        drop(waiter.future);
        if had_it {
            self.hand_over();
        }
    }

    fn stray(&mut self, pick: usize) {
        let handed = self.handed;
        let len = self.waiters.len();
        let Some(one) = self.waiters.get_mut(pick % len.max(1)) else { return };
        if handed != Some(one.name) && !one.cancelled {
            assert!(one.future.poll_with_another_waker().is_pending());
        }
    }

    fn check(&self) {
        assert_eq!(self.lock.locked(), self.guard.is_some());
        for waiter in &self.waiters {
            let woken = self.handed == Some(waiter.name);
            assert_eq!(waiter.future.wakes(), usize::from(woken), "waiter {}", waiter.name);
        }
    }
}

proptest! {
    #[test]
    fn a_lock_follows_its_rules_in_any_program(ops in proptest::collection::vec(op(), 1..200)) {
        let lock = Lock::new(());
        let mut model = Model::new(&lock);
        for op in ops {
            match op {
                Op::Arrive => model.arrive(),
                Op::Release => model.release(),
                Op::Turn => model.turn(),
                Op::Cancel(pick) => model.cancel(pick),
                Op::Drop(pick) => model.drop_one(pick % model.waiters.len().max(1)),
                Op::Stray(pick) => model.stray(pick),
            }
            model.check();
        }
        // Nobody who could go on is left behind, and nobody overtook anybody.
        while model.guard.is_some() || !model.ready.is_empty() {
            model.release();
            model.turn();
            model.check();
        }
        prop_assert!(model.waiters.is_empty());
        prop_assert!(model.served.is_sorted());
        prop_assert!(lock.try_acquire().is_some());
    }
}
