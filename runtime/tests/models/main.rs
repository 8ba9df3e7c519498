//! Random programs of tasks on the loop, for every primitive: they come and go, are cancelled by request and
//! by plain drop, and whatever they did, nothing is lost and nobody is left behind who could go on.
//!
//! `CORELANE_CASES` sets how many programs each test tries; `scripts/soak.sh` tries many.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use corelane::sync::oneshot;
use corelane::{Result, Runner, Task, spawn, yield_now};
use proptest::test_runner::Config;

mod channels;
mod locks;
mod queues;

/// How many programs to try.
fn cases() -> Config {
    let asked = std::env::var("CORELANE_CASES").ok();
    let cases = asked.map_or(256, |text| text.parse().expect("CORELANE_CASES is a number"));
    Config { cases, failure_persistence: None, ..Config::default() }
}

fn on_a_loop(main: impl AsyncFnOnce() + 'static) {
    let main = async || -> Result<()> {
        main().await;
        Ok(())
    };
    Runner::builder().virtual_clock().build().run(main).unwrap();
}

/// Long enough for all that can go on, also through a line of a hundred.
async fn settle() {
    for _ in 0..400 {
        yield_now().await;
    }
}

async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// A task whose wait can be ended in both ways.
struct Worker {
    name: usize,
    task: Task<()>,
    kill: Option<oneshot::Sender<()>>,
    ended_early: bool,
}

#[derive(Default)]
struct Crew {
    workers: Vec<Worker>,
}

impl Crew {
    /// Starts a worker with a body that is given its name.
    fn start<F: Future<Output = ()> + 'static>(&mut self, body: impl FnOnce(usize) -> F) {
        let name = self.workers.len();
        let (kill, killed) = oneshot::channel();
        let task = spawn(or_killed(body(name), killed));
        self.workers.push(Worker { name, task, kill: Some(kill), ended_early: false });
    }

    /// Ends somebody who has not finished: by a request, or by dropping the future where it waits.
    fn end_one(&mut self, pick: usize, by_request: bool) {
        let mut waiting: Vec<_> = self.workers.iter_mut().filter(|one| !one.task.done()).collect();
        let len = waiting.len();
        let Some(worker) = waiting.get_mut(pick % len.max(1)) else { return };
        worker.ended_early = true;
        if by_request {
            worker.task.cancel();
        } else if let Some(kill) = worker.kill.take() {
            let _ = kill.send(());
        }
    }

    /// Those who still wait.
    fn pending(&self) -> Vec<usize> {
        self.workers.iter().filter(|one| !one.task.done()).map(|one| one.name).collect()
    }

    fn ended_early(&self, name: usize) -> bool {
        self.workers[name].ended_early
    }

    /// That those who went on did so in the order in which they came, the ones that were ended aside.
    fn assert_in_order(&self, came: &Log<usize>, went_on: &Log<usize>) {
        let kept = |log: &Log<usize>| -> Vec<usize> {
            log.all().into_iter().filter(|name| !self.ended_early(*name)).collect()
        };
        assert_eq!(kept(went_on), kept(came)[..kept(went_on).len()]);
    }
}

/// Runs `body` until somebody sends the word; then its future is dropped, as a select does it.
async fn or_killed(body: impl Future<Output = ()>, killed: oneshot::Receiver<()>) {
    let mut body = pin!(body);
    let mut killed = pin!(killed);
    poll_fn(|context| {
        if let Poll::Ready(Ok(())) = killed.as_mut().poll(context) {
            return Poll::Ready(());
        }
        body.as_mut().poll(context)
    })
    .await;
}

/// What happened, in order.
struct Log<T>(Rc<RefCell<Vec<T>>>);

impl<T: Clone> Log<T> {
    fn new() -> Self {
        Self(Rc::default())
    }

    fn push(&self, entry: T) {
        self.0.borrow_mut().push(entry);
    }

    fn all(&self) -> Vec<T> {
        self.0.borrow().clone()
    }

    fn len(&self) -> usize {
        self.0.borrow().len()
    }
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}
