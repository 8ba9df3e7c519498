//! Queues in simulation: how they end, and who is told of a place. Defects that are planted in there are found by these
//! programs: the table in CONTRIBUTING says which.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use corelane::sim::{Check, draw};
use corelane::sync::{PriorityQueue, Queue};
use corelane::{Result, create_task, gather, sleep, timeout, wait_for};

const SEED_COUNT: u64 = 40;
const MILLI: Duration = Duration::from_millis(1);

fn die(sides: u64) -> u64 {
    draw("program", sides).unwrap_or(0)
}

/// Up to half a millisecond.
fn moment() -> Duration {
    Duration::from_micros(die(500))
}

/// Runs `program` on a host by itself, which must not take longer than a minute.
fn alone(program: impl AsyncFn() -> Result<()> + Clone + Sync + 'static) {
    Check::new(SEED_COUNT).run(|sim| {
        let (host, program) = (sim.host("only")?, program.clone());
        let minute = Duration::from_secs(60);
        sim.run(host, async move || timeout(minute, async |_| program().await).await)
    });
}

#[test]
fn queues_join_and_shut_down_whoever_waits() {
    alone(async || {
        let queue: Queue<u32> = Queue::new(3);
        let worked = Rc::new(Cell::new(0));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (queue, worked) = (queue.clone(), Rc::clone(&worked));
                create_task(async move {
                    while queue.get().await.is_ok() {
                        sleep(moment()).await;
                        worked.set(worked.get() + 1);
                        queue.task_done()?;
                    }
                    Ok(())
                })
            })
            .collect();
        let givers = (0..4).map(|_| {
            let queue = queue.clone();
            create_task(async move {
                for item in 0..5 {
                    queue.put(item).await?;
                }
                // Some give up while the queue is full: their items are not in it.
                let given = wait_for(queue.put(9), moment() / 20).await;
                Ok(5 + u32::from(given.is_ok()))
            })
        });
        let given: u32 = gather(givers.collect::<Vec<_>>()).await?.into_iter().sum();
        queue.join().await;
        assert_eq!(worked.get(), given);
        queue.shutdown(false);
        gather(workers).await?;
        let full: Queue<u32> = Queue::new(1);
        full.put(1).await?;
        let stuck: Vec<_> = (0..3)
            .map(|_| {
                let full = full.clone();
                create_task(async move { Ok(full.put(2).await.is_err()) })
            })
            .collect();
        sleep(moment()).await;
        full.shutdown(die(2) == 0);
        assert_eq!(gather(stuck).await?, [true; 3]);
        // Who is told of a place and gives up passes it on.
        let full: Queue<u32> = Queue::new(1);
        full.put(1).await?;
        let put = |item| {
            let full = full.clone();
            create_task(async move { Ok(full.put(item).await?) })
        };
        let first = put(2);
        sleep(MILLI).await;
        let second = put(3);
        sleep(MILLI).await;
        assert_eq!(full.get_nowait()?, 1);
        first.cancel();
        second.await?;
        assert!(first.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

/// Something with a rank, by which alone it is compared, and a number.
#[derive(Debug)]
struct Ranked(u64, u32);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

#[test]
fn a_priority_queue_gives_the_smallest_and_of_equals_the_first() {
    alone(async || {
        let queue: PriorityQueue<Ranked> = PriorityQueue::new(0);
        for number in 0..30 {
            queue.put(Ranked(die(5), number)).await?;
        }
        let mut last = (0, 0);
        for number in 0..30 {
            let Ranked(rank, item) = queue.get().await?;
            assert!(number == 0 || (rank, item) > last, "{rank}, {item} after {last:?}");
            last = (rank, item);
        }
        Ok(())
    });
}
