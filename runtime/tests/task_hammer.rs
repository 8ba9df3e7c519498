//! Wakers in the hands of eight threads, woken while their tasks finish, are cancelled, and the loop shuts
//! down, and long after that (rule G9). Made for ThreadSanitizer; it holds without.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]
#![allow(clippy::disallowed_methods, reason = "threads are the subject")]

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use corelane::{Runner, catch_cancel_plain, sleep, spawn, yield_now};

const THREADS: usize = 8;
const TASKS: usize = 200;
const ROUNDS: usize = 10;

/// Wakes whatever wakers it has been given, over and over, until it is told to stop.
fn hammer(wakers: &Receiver<Waker>, stop: &AtomicBool, woken: &AtomicU64) {
    let mut held: Vec<Waker> = Vec::new();
    let mut next = 0;
    while !stop.load(Ordering::Acquire) {
        held.extend(wakers.try_iter());
        if held.is_empty() {
            std::thread::yield_now();
            continue;
        }
        next = (next + 7) % held.len();
        held[next].wake_by_ref();
        woken.fetch_add(1, Ordering::Relaxed);
        if held.len() > 400 {
            held.drain(..200).for_each(Waker::wake);
            next = 0;
        }
    }
    // The loop is gone by now: these wake nobody.
    held.into_iter().for_each(Waker::wake);
}

struct Crew {
    senders: Vec<Sender<Waker>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    woken: Arc<AtomicU64>,
}

impl Crew {
    fn start() -> Self {
        let (stop, woken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (mut senders, mut threads) = (Vec::new(), Vec::new());
        for _ in 0..THREADS {
            let (sender, receiver) = channel();
            let (stop, woken) = (Arc::clone(&stop), Arc::clone(&woken));
            senders.push(sender);
            threads.push(std::thread::spawn(move || hammer(&receiver, &stop, &woken)));
        }
        Self { senders, threads, stop, woken }
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.woken.load(Ordering::Relaxed)
    }
}

/// Counts itself out.
struct Guard(Rc<Cell<usize>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Gives its waker away at each poll, and is ready after so many.
async fn polled(times: usize, number: usize, senders: Vec<Sender<Waker>>) {
    let mut polls = 0;
    poll_fn(|context| {
        polls += 1;
        if polls > times {
            return Poll::Ready(());
        }
        // A closed channel means that the threads have stopped: then nobody wakes this task any more.
        let _ = senders[(number + polls) % senders.len()].send(context.waker().clone());
        Poll::Pending
    })
    .await;
}

#[test]
fn g9_wakes_from_eight_threads_are_sound_while_tasks_end_and_the_loop_shuts_down() {
    let crew = Crew::start();
    for round in 0..ROUNDS {
        let dropped = Rc::new(Cell::new(0));
        let (count, senders) = (Rc::clone(&dropped), crew.senders.clone());
        let mut runner = Runner::new();
        runner
            .run(async move || {
                for number in 0..TASKS {
                    let guard = Guard(Rc::clone(&count));
                    let senders = senders.clone();
                    let task = spawn(async move {
                        let _guard = guard;
                        // Every third waits for ever, so that it is alive when the loop shuts down.
                        let times = if number.is_multiple_of(3) { usize::MAX } else { 20 };
                        let _ = catch_cancel_plain(polled(times, number, senders)).await;
                        if number.is_multiple_of(2) {
                            yield_now().await;
                        }
                    });
                    if number.is_multiple_of(5) {
                        yield_now().await;
                        task.cancel();
                    }
                }
                sleep(Duration::from_millis(5)).await;
                Ok(())
            })
            .unwrap();
        runner.close().unwrap();
        assert_eq!(dropped.get(), TASKS, "round {round}: each task's guard ran once");
    }
    assert!(crew.end() > 0, "somebody was woken");
}
