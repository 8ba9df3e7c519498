//! Items are conserved, in order, and no getter is left beside an item.

use corelane::sync::{AnyQueue, Discipline, LifoQueue, PriorityQueue, Queue};
use proptest::prelude::*;

use crate::{Crew, Log, cases, on_a_loop, settle, turns};

#[derive(Clone, Debug)]
enum Step {
    Get,
    Put,
    GetNowait,
    PutNowait,
    EndOne(usize, bool),
    Turns(usize),
    Shutdown(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => Just(Step::Get),
        30 => Just(Step::Put),
        10 => Just(Step::GetNowait),
        10 => Just(Step::PutNowait),
        20 => (any::<usize>(), any::<bool>()).prop_map(|(pick, how)| Step::EndOne(pick, how)),
        20 => (1..3_usize).prop_map(Step::Turns),
        1 => any::<bool>().prop_map(Step::Shutdown),
    ]
}

fn program() -> impl Strategy<Value = (usize, Vec<Step>)> {
    (0..4_usize, proptest::collection::vec(step(), 1..100))
}

struct Play<D: Discipline<usize>> {
    queue: AnyQueue<usize, D>,
    crew: Crew,
    /// Who puts, of the crew.
    putters: Vec<usize>,
    stored: Log<usize>,
    got: Log<usize>,
    discarded: usize,
    items: usize,
}

impl<D: Discipline<usize> + 'static> Play<D> {
    fn new(queue: AnyQueue<usize, D>) -> Self {
        let (stored, got) = (Log::new(), Log::new());
        let crew = Crew::default();
        Self { queue, crew, putters: Vec::new(), stored, got, discarded: 0, items: 0 }
    }

    fn get(&mut self) {
        let (queue, got) = (self.queue.clone(), self.got.clone());
        self.crew.start(async move |_| {
            if let Ok(item) = queue.get().await {
                got.push(item);
            }
        });
    }

    fn put(&mut self) {
        let (queue, stored, item) = (self.queue.clone(), self.stored.clone(), self.items);
        self.items += 1;
        self.putters.push(self.crew.workers.len());
        self.crew.start(async move |_| {
            if queue.put(item).await.is_ok() {
                stored.push(item);
            }
        });
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Get => self.get(),
            Step::Put => self.put(),
            Step::GetNowait => self.got.0.borrow_mut().extend(self.queue.get_nowait().ok()),
            Step::PutNowait => {
                self.items += 1;
                if self.queue.put_nowait(self.items - 1).is_ok() {
                    self.stored.push(self.items - 1);
                }
            }
            Step::EndOne(pick, by_request) => self.crew.end_one(pick, by_request),
            Step::Turns(count) => turns(count).await,
            Step::Shutdown(immediate) => {
                let before = self.queue.qsize();
                self.queue.shutdown(immediate);
                self.discarded += before - self.queue.qsize();
            }
        }
        let (stored, got) = (self.stored.len(), self.got.len());
        assert_eq!(stored, got + self.discarded + self.queue.qsize(), "items are conserved");
    }

    /// Nobody is left who could go on.
    fn check_end(&self) {
        let (putters, getters): (Vec<usize>, Vec<usize>) =
            self.crew.pending().into_iter().partition(|name| self.putters.contains(name));
        assert!(putters.is_empty() || self.queue.full(), "{putters:?} beside room");
        assert!(getters.is_empty() || self.queue.empty(), "{getters:?} beside items");
    }
}

fn play<D: Discipline<usize> + 'static>(
    queue: AnyQueue<usize, D>,
    steps: Vec<Step>,
    in_order: bool,
) {
    on_a_loop(async move || {
        let mut play = Play::new(queue);
        for step in steps {
            play.step(step).await;
        }
        settle().await;
        play.check_end();
        if in_order {
            assert_eq!(play.got.all(), play.stored.all()[..play.got.len()]);
        }
    });
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn q20_q21_no_item_of_a_queue_is_lost_or_reordered((maxsize, steps) in program()) {
        play(Queue::new(maxsize), steps, true);
    }

    #[test]
    fn q52_no_item_of_the_variants_is_lost((maxsize, steps) in program()) {
        play(LifoQueue::new(maxsize), steps.clone(), false);
        play(PriorityQueue::new(maxsize), steps, false);
    }
}
