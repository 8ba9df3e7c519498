//! Random programs against a plain description of the rules.

use std::collections::VecDeque;
use std::task::Poll;

use proptest::prelude::*;

use super::super::super::support::{Waiting, cases};
use super::super::{Permit, Semaphore, SemaphoreAcquire};

#[derive(Clone, Debug)]
enum Op {
    /// Somebody new wants this many.
    Arrive(usize),
    /// One of the guards goes.
    GiveBack(usize),
    /// One of the guards is forgotten, and its permits are released by hand.
    ReleaseRaw(usize),
    /// The first of those who are ready gets its turn.
    Turn,
    /// Cancels by scope somebody who waits; the future is dropped at its turn.
    Cancel(usize),
    /// Drops the future of somebody who waits.
    Drop(usize),
    /// Polls somebody who was not woken, with another waker.
    Stray(usize),
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        80 => (0_usize..4).prop_map(Op::Arrive),
        60 => any::<usize>().prop_map(Op::GiveBack),
        20 => any::<usize>().prop_map(Op::ReleaseRaw),
        60 => Just(Op::Turn),
        20 => any::<usize>().prop_map(Op::Cancel),
        20 => any::<usize>().prop_map(Op::Drop),
        20 => any::<usize>().prop_map(Op::Stray),
        1 => Just(Op::Close),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Waits,
    Promised,
    Refused,
}

struct Waiter<'a> {
    name: usize,
    wanted: usize,
    future: Waiting<SemaphoreAcquire<'a>>,
    fate: Fate,
    cancelled: bool,
}

/// What the rules say, in the words of a list.
struct Model<'a> {
    semaphore: &'a Semaphore,
    free: usize,
    closed: bool,
    held: Vec<Permit>,
    waiters: VecDeque<Waiter<'a>>,
    /// Who has a turn to come: woken or cancelled.
    ready: VecDeque<usize>,
    arrived: usize,
    served: Vec<usize>,
}

impl<'a> Model<'a> {
    fn new(semaphore: &'a Semaphore) -> Self {
        Self {
            semaphore,
            free: semaphore.available(),
            closed: false,
            held: Vec::new(),
            waiters: VecDeque::new(),
            ready: VecDeque::new(),
            arrived: 0,
            served: Vec::new(),
        }
    }

    /// L47: a live waiter comes first, also one that was woken and has not run.
    fn contested(&self) -> bool {
        self.waiters.iter().any(|one| match one.fate {
            Fate::Waits => !one.cancelled,
            Fate::Promised => true,
            Fate::Refused => false,
        })
    }

    fn arrive(&mut self, wanted: usize) {
        let mut future = Waiting::unpolled(self.semaphore.acquire_many(wanted));
        let name = self.arrived;
        self.arrived += 1;
        let goes_on = !self.contested() && wanted <= self.free;
        match future.poll() {
            Poll::Ready(Err(_)) => assert!(self.closed, "{name} was refused"),
            Poll::Ready(Ok(permit)) => {
                assert!(goes_on && !self.closed, "{name} barged in");
                self.free -= wanted;
                self.held.push(permit);
                self.served.push(name);
            }
            Poll::Pending => {
                assert!(!goes_on && !self.closed, "{name} waits for nothing");
                let fate = Fate::Waits;
                self.waiters.push_back(Waiter { name, wanted, future, fate, cancelled: false });
            }
        }
    }

    /// The rules of L46 and L48: from the front, as long as there is enough.
    fn hand_over(&mut self) {
        let waits = |one: &&mut Waiter<'_>| one.fate == Fate::Waits && !one.cancelled;
        while let Some(first) = self.waiters.iter_mut().find(waits) {
            if first.wanted > self.free {
                return;
            }
            self.free -= first.wanted;
            first.fate = Fate::Promised;
            self.ready.push_back(first.name);
        }
    }

    fn give_back(&mut self, pick: usize, raw: bool) {
        if self.held.is_empty() {
            return;
        }
        let permit = self.held.swap_remove(pick % self.held.len());
        if permit.count() == 0 {
            return;
        }
        self.free += permit.count();
        if raw {
            let count = permit.count();
            permit.forget();
            self.semaphore.release_many(count);
        } else {
            drop(permit);
        }
        self.hand_over();
    }

    fn turn(&mut self) {
        let Some(name) = self.ready.pop_front() else { return };
        let at = self.waiters.iter().position(|one| one.name == name).expect("it waits");
        if self.waiters[at].cancelled {
            self.drop_one(at);
            return;
        }
        let waiter = self.waiters.remove(at).expect("it waits");
        match waiter.future.ready() {
            Ok(permit) => {
                assert_eq!((waiter.fate, permit.count()), (Fate::Promised, waiter.wanted));
                self.held.push(permit);
                self.served.push(name);
                self.hand_over();
            }
            Err(_) => assert_eq!(waiter.fate, Fate::Refused),
        }
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
        drop(waiter.future);
        if waiter.fate == Fate::Promised {
            self.free += waiter.wanted;
        }
        self.hand_over();
    }

    fn stray(&mut self, pick: usize) {
        let len = self.waiters.len();
        let Some(one) = self.waiters.get_mut(pick % len.max(1)) else { return };
        if one.fate == Fate::Waits && !one.cancelled {
            assert!(one.future.poll_with_another_waker().is_pending());
        }
    }

    fn close(&mut self) {
        self.semaphore.close();
        self.closed = true;
        for one in self.waiters.iter_mut().filter(|one| one.fate == Fate::Waits && !one.cancelled) {
            one.fate = Fate::Refused;
            self.ready.push_back(one.name);
        }
    }

    fn check(&self, total: usize) {
        assert_eq!(self.semaphore.available(), self.free);
        assert_eq!(self.semaphore.locked(), self.free == 0 || self.contested());
        let held: usize = self.held.iter().map(Permit::count).sum();
        let promised = self.waiters.iter().filter(|one| one.fate == Fate::Promised);
        assert_eq!(self.free + held + promised.map(|one| one.wanted).sum::<usize>(), total);
        for waiter in &self.waiters {
            let woken = waiter.fate != Fate::Waits;
            assert_eq!(waiter.future.wakes(), usize::from(woken), "waiter {}", waiter.name);
        }
    }
}

proptest! {
    #![proptest_config(cases(512))]
    #[test]
    fn a_semaphore_follows_its_rules_in_any_program(
        total in 0_usize..5,
        ops in proptest::collection::vec(op(), 1..200),
    ) {
        let semaphore = Semaphore::new(total);
        let mut model = Model::new(&semaphore);
        for op in ops {
            match op {
                Op::Arrive(wanted) => model.arrive(wanted),
                Op::GiveBack(pick) => model.give_back(pick, false),
                Op::ReleaseRaw(pick) => model.give_back(pick, true),
                Op::Turn => model.turn(),
                Op::Cancel(pick) => model.cancel(pick),
                Op::Drop(pick) => model.drop_one(pick % model.waiters.len().max(1)),
                Op::Stray(pick) => model.stray(pick),
                Op::Close => model.close(),
            }
            model.check(total);
        }
        // Nobody who could go on is left behind, and nobody overtook anybody.
        while !model.held.is_empty() || !model.ready.is_empty() {
            model.give_back(0, false);
            model.turn();
            model.check(total);
        }
        prop_assert!(model.waiters.front().is_none_or(|first| first.wanted > total));
        prop_assert!(model.served.is_sorted());
        drop(model);
        prop_assert_eq!(semaphore.available(), total);
    }
}
