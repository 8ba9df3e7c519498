#![expect(clippy::disallowed_methods, reason = "threads that block are the subject")]

use std::sync::Mutex;
use std::sync::mpsc;

use super::*;
use crate::util::atomic::lock;

/// A time that is up only if something has gone wrong.
const LONG: Duration = Duration::from_secs(10);

type Work = Box<dyn FnOnce() + Send>;

/// A job that runs a closure once.
struct Once(Mutex<Option<Work>>);

impl Job for Once {
    fn run(&self) {
        let work = lock(&self.0).take();
        work.expect("a job is run once")();
    }

    fn refuse(&self, _error: Error) {
        lock(&self.0).take();
    }
}

fn submit(pool: &Pool, work: impl FnOnce() + Send + 'static) -> Ticket {
    pool.submit(Arc::new(Once(Mutex::new(Some(Box::new(work)))))).unwrap()
}

fn pool(thread_limit: usize, idle_timeout: Duration) -> Pool {
    Pool::new(&PoolConfig { thread_limit: Some(thread_limit), idle_timeout, cpus: None })
}

/// Waits until the threads of the pool are as they are to be. Nobody is woken when they are, so it looks again and
/// again, for ten seconds at most.
fn wait_for(shared: &Shared, mut is_so: impl FnMut(&Desk) -> bool) {
    for _ in 0..100_000 {
        if is_so(&shared.desk.lock()) {
            return;
        }
        thread::sleep(Duration::from_micros(100));
    }
    panic!("the pool does not come to rest");
}

#[test]
fn t166_an_idle_thread_takes_one_job_and_another_thread_the_next() {
    // Whether the idle thread has woken when the second job comes is a matter of luck: so, many times.
    for _ in 0..200 {
        let pool = pool(8, LONG);
        submit(&pool, || ());
        wait_for(&pool.shared, |desk| desk.idle == 1);
        let (here, there) = mpsc::channel();
        let (met, has_met) = mpsc::channel();
        submit(&pool, move || met.send(there.recv_timeout(LONG).is_ok()).unwrap());
        submit(&pool, move || here.send(()).unwrap());
        assert_eq!(has_met.recv(), Ok(true));
        assert!(pool.thread_count() <= 2);
    }
}

#[test]
fn t166_an_idle_thread_is_enough_for_one_job_after_the_other() {
    let pool = pool(8, LONG);
    for _ in 0..10 {
        submit(&pool, || ());
        wait_for(&pool.shared, |desk| desk.queue.is_empty() && desk.idle == desk.present);
    }
    assert_eq!(pool.thread_count(), 1);
}

#[test]
fn t167_a_withdrawn_job_leaves_the_queue_at_once() {
    let pool = pool(1, LONG);
    let (release, released) = mpsc::channel::<()>();
    submit(&pool, move || {
        let _ = released.recv();
    });
    let tickets: Vec<_> = (0..3).map(|_| submit(&pool, || ())).collect();
    pool.withdraw(tickets[1]);
    pool.withdraw(tickets[2]);
    let waiting = |pool: &Pool| {
        let desk = pool.shared.desk.lock();
        desk.queue.keys().copied().filter(|ticket| tickets.contains(ticket)).collect::<Vec<_>>()
    };
    assert_eq!(waiting(&pool), [tickets[0]]);
    drop(release);
    wait_for(&pool.shared, |desk| desk.queue.is_empty() && desk.idle == 1);
}

#[test]
fn t166_a_thread_that_ends_for_want_of_work_leaves_nothing_behind() {
    let pool = pool(4, Duration::from_millis(1));
    for _ in 0..4 {
        submit(&pool, || ());
    }
    wait_for(&pool.shared, |desk| desk.present == 0);
    assert!(pool.shared.desk.lock().threads.is_empty());
    // And it was not the last one that ever ran.
    let (ran, has_run) = mpsc::channel();
    submit(&pool, move || ran.send(()).unwrap());
    assert_eq!(has_run.recv_timeout(LONG), Ok(()));
}

#[test]
fn t6_a_pool_that_is_dropped_lets_its_threads_end_and_waits_for_none() {
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let pool = pool(1, LONG);
    submit(&pool, move || {
        begun.send(()).unwrap();
        let _ = released.recv();
    });
    has_begun.recv_timeout(LONG).unwrap();
    let (dropped, is_dropped) = mpsc::channel::<()>();
    submit(&pool, move || drop(dropped));
    let shared = Arc::clone(&pool.shared);
    drop(pool);
    let refused = is_dropped.recv_timeout(LONG);
    assert_eq!(refused, Err(mpsc::RecvTimeoutError::Disconnected), "dropped without having run");
    assert_eq!(shared.desk.lock().present, 1);
    drop(release);
    wait_for(&shared, |desk| desk.present == 0);
}
