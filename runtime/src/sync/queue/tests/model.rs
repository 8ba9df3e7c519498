//! Random programs against a plain description of the rules.

use std::collections::VecDeque;
use std::task::Poll;

use proptest::prelude::*;

use super::super::super::support::{Waiting, cases};
use super::super::{AnyQueue, Discipline, Fifo, Lifo, QueueGet, QueuePut, Smallest};
use super::Ranked;

#[derive(Clone, Debug)]
enum Op {
    Put,
    Get,
    PutNowait,
    GetNowait,
    /// The first of those who are ready gets its turn.
    Turn,
    /// Cancels by scope somebody who waits; the future is dropped at its turn.
    Cancel(usize),
    /// Drops the future of somebody who waits.
    Drop(usize),
    /// Polls somebody who was not woken, with another waker.
    Stray(usize),
    TaskDone,
    Shutdown(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        40 => Just(Op::Put),
        40 => Just(Op::Get),
        10 => Just(Op::PutNowait),
        10 => Just(Op::GetNowait),
        40 => Just(Op::Turn),
        10 => any::<usize>().prop_map(Op::Cancel),
        10 => any::<usize>().prop_map(Op::Drop),
        10 => any::<usize>().prop_map(Op::Stray),
        10 => Just(Op::TaskDone),
        1 => any::<bool>().prop_map(Op::Shutdown),
    ]
}

enum Future<'a, D: Discipline<Ranked>> {
    Put(Waiting<QueuePut<'a, Ranked, D>>, Ranked),
    Get(Waiting<QueueGet<'a, Ranked, D>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    InLine,
    Woken,
}

struct Waiter<'a, D: Discipline<Ranked>> {
    name: usize,
    future: Future<'a, D>,
    place: Place,
    cancelled: bool,
    /// Wakes of the present waker.
    wakes: usize,
}

impl<D: Discipline<Ranked>> Waiter<'_, D> {
    fn is_put(&self) -> bool {
        matches!(self.future, Future::Put(..))
    }
}

/// Where the next item is in a list by age.
type Next = fn(&VecDeque<Ranked>) -> Option<usize>;

struct Model<'a, D: Discipline<Ranked>> {
    queue: &'a AnyQueue<Ranked, D>,
    next: Next,
    maxsize: usize,
    items: VecDeque<Ranked>,
    /// Stored, and taken or discarded, so far.
    counted: (usize, usize),
    /// Both lines in one: who waits again moves to the end.
    waiters: Vec<Waiter<'a, D>>,
    ready: VecDeque<usize>,
    names: usize,
    unfinished: usize,
    shut_down: bool,
}

impl<'a, D: Discipline<Ranked>> Model<'a, D> {
    fn new(queue: &'a AnyQueue<Ranked, D>, next: Next) -> Self {
        Self {
            queue,
            next,
            counted: (0, 0),
            maxsize: queue.maxsize(),
            items: VecDeque::new(),
            waiters: Vec::new(),
            ready: VecDeque::new(),
            names: 0,
            unfinished: 0,
            shut_down: false,
        }
    }

    fn name(&mut self) -> usize {
        self.names += 1;
        self.names
    }

    fn has_room(&self) -> bool {
        self.maxsize == 0 || self.items.len() < self.maxsize
    }

    /// Q5: the longest waiting live one of a kind.
    fn wake_one(&mut self, puts: bool) {
        let first = self
            .waiters
            .iter_mut()
            .find(|one| one.is_put() == puts && one.place == Place::InLine && !one.cancelled);
        if let Some(one) = first {
            one.place = Place::Woken;
            one.wakes += 1;
            self.ready.push_back(one.name);
        }
    }

    fn stored(&mut self, item: Ranked) {
        self.counted.0 += 1;
        self.items.push_back(item);
        self.unfinished += 1;
        self.wake_one(false);
    }

    fn taken(&mut self) -> Option<Ranked> {
        let item = self.items.remove((self.next)(&self.items)?)?;
        self.counted.1 += 1;
        self.wake_one(true);
        Some(item)
    }

    /// Polls a put or get whose turn it is, new or woken, and compares what comes of it.
    fn step(&mut self, name: usize, mut future: Future<'a, D>, wakes: usize) {
        let waits = match &mut future {
            Future::Put(put, item) => match (put.poll(), self.shut_down, self.has_room()) {
                (Poll::Ready(Err(error)), true, _) => {
                    assert_eq!(error.0, *item);
                    false
                }
                (Poll::Ready(Ok(())), false, true) => {
                    self.stored(*item);
                    false
                }
                (Poll::Pending, false, false) => true,
                (other, ..) => panic!("put {name}: {other:?}"),
            },
            Future::Get(get) => match (get.poll(), self.taken()) {
                (Poll::Ready(Ok(item)), Some(expected)) => {
                    assert_eq!(item, expected);
                    false
                }
                (Poll::Ready(Err(_)), None) if self.shut_down => false,
                (Poll::Pending, None) if !self.shut_down => true,
                (other, expected) => panic!("get {name}: {other:?} for {expected:?}"),
            },
        };
        if waits {
            let place = Place::InLine;
            self.waiters.push(Waiter { name, future, place, cancelled: false, wakes });
        }
    }

    fn put(&mut self) {
        let name = self.name();
        let item = Ranked::new(name);
        self.step(name, Future::Put(Waiting::unpolled(self.queue.put(item)), item), 0);
    }

    fn get(&mut self) {
        let name = self.name();
        self.step(name, Future::Get(Waiting::unpolled(self.queue.get())), 0);
    }

    fn put_nowait(&mut self) {
        let item = Ranked::new(self.name());
        let stored = self.queue.put_nowait(item);
        assert_eq!(stored.is_ok(), !self.shut_down && self.has_room());
        match stored {
            Ok(()) => self.stored(item),
            Err(error) => assert_eq!(error.into_item(), item),
        }
    }

    fn get_nowait(&mut self) {
        let got = self.queue.get_nowait().ok();
        assert_eq!(got, self.taken());
    }

    fn turn(&mut self) {
        let Some(name) = self.ready.pop_front() else { return };
        let at = self.waiters.iter().position(|one| one.name == name).expect("it waits");
        if self.waiters[at].cancelled {
            self.drop_one(at);
        } else {
            let waiter = self.waiters.remove(at);
            assert_eq!(waiter.place, Place::Woken);
            self.step(name, waiter.future, waiter.wakes);
        }
    }

    fn cancel(&mut self, pick: usize) {
        let len = self.waiters.len();
        let Some(one) = self.waiters.get_mut(pick % len.max(1)) else { return };
        match &one.future {
            Future::Put(put, _) => put.cancel(),
            Future::Get(get) => get.cancel(),
        }
        one.cancelled = true;
        if !self.ready.contains(&one.name) {
            self.ready.push_back(one.name);
        }
    }

    /// Q20 and Q21: who was woken passes it on if there still is something to have.
    fn drop_one(&mut self, at: usize) {
        if at >= self.waiters.len() {
            return;
        }
        let waiter = self.waiters.remove(at);
        self.ready.retain(|name| *name != waiter.name);
        let (puts, woken) = (waiter.is_put(), waiter.place == Place::Woken);
        drop(waiter);
        if woken && if puts { self.has_room() } else { !self.items.is_empty() } {
            self.wake_one(puts);
        }
    }

    fn stray(&mut self, pick: usize) {
        let len = self.waiters.len();
        let Some(one) = self.waiters.get_mut(pick % len.max(1)) else { return };
        if one.place == Place::Woken || one.cancelled {
            return;
        }
        one.wakes = 0;
        match &mut one.future {
            Future::Put(put, _) => assert!(put.poll_with_another_waker().is_pending()),
            Future::Get(get) => assert!(get.poll_with_another_waker().is_pending()),
        }
    }

    fn task_done(&mut self) {
        assert_eq!(self.queue.task_done().is_ok(), self.unfinished > 0);
        self.unfinished = self.unfinished.saturating_sub(1);
    }

    fn shutdown(&mut self, immediate: bool) {
        self.queue.shutdown(immediate);
        self.shut_down = true;
        if immediate {
            self.unfinished = self.unfinished.saturating_sub(self.items.len());
            self.counted.1 += self.items.len();
            self.items.clear();
        }
        // Q41. Getters are woken first, then putters; the cancelled have their turn already.
        for puts in [false, true] {
            for one in self.waiters.iter_mut().filter(|one| one.is_put() == puts) {
                if one.place == Place::InLine {
                    one.place = Place::Woken;
                    one.wakes += 1;
                    if !self.ready.contains(&one.name) {
                        self.ready.push_back(one.name);
                    }
                }
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.queue.qsize(), self.items.len());
        assert_eq!(self.queue.empty(), self.items.is_empty());
        assert_eq!(self.queue.full(), !self.has_room());
        assert_eq!(self.counted.0, self.counted.1 + self.queue.qsize(), "items are conserved");
        for waiter in &self.waiters {
            let wakes = match &waiter.future {
                Future::Put(put, _) => put.wakes(),
                Future::Get(get) => get.wakes(),
            };
            assert_eq!(wakes, waiter.wakes, "waiter {}", waiter.name);
        }
    }
}

fn follow<D: Discipline<Ranked>>(queue: &AnyQueue<Ranked, D>, next: Next, ops: Vec<Op>) {
    let mut model = Model::new(queue, next);
    for op in ops {
        match op {
            Op::Put => model.put(),
            Op::Get => model.get(),
            Op::PutNowait => model.put_nowait(),
            Op::GetNowait => model.get_nowait(),
            Op::Turn => model.turn(),
            Op::Cancel(pick) => model.cancel(pick),
            Op::Drop(pick) => model.drop_one(pick % model.waiters.len().max(1)),
            Op::Stray(pick) => model.stray(pick),
            Op::TaskDone => model.task_done(),
            Op::Shutdown(immediate) => model.shutdown(immediate),
        }
        model.check();
    }
    while !model.ready.is_empty() {
        model.turn();
        model.check();
    }
    // Nobody is left who could go on: no getter beside an item, no putter beside room.
    let (puts, gets): (Vec<_>, Vec<_>) = model.waiters.iter().partition(|one| one.is_put());
    assert!(puts.is_empty() || !model.has_room());
    assert!(gets.is_empty() || model.items.is_empty());
}

fn program() -> impl Strategy<Value = (usize, Vec<Op>)> {
    (0..4_usize, proptest::collection::vec(op(), 1..200))
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_queue_follows_its_rules_in_any_program((maxsize, ops) in program()) {
        let first: Next = |items| (!items.is_empty()).then_some(0);
        follow(&AnyQueue::<_, Fifo>::new(maxsize), first, ops);
    }

    #[test]
    fn q52_a_lifo_queue_follows_the_same_rules_in_any_program((maxsize, ops) in program()) {
        let last: Next = |items| items.len().checked_sub(1);
        follow(&AnyQueue::<_, Lifo>::new(maxsize), last, ops);
    }

    #[test]
    fn q52_a_priority_queue_follows_the_same_rules_in_any_program((maxsize, ops) in program()) {
        // `min_by_key` gives the first of equal ones.
        let least: Next = |items| (0..items.len()).min_by_key(|at| items[*at].rank);
        follow(&AnyQueue::<_, Smallest>::new(maxsize), least, ops);
    }
}
