//! The threads of one loop, and the queue before them.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::thread::CpuSet;

use crate::error::{Error, Result};
use crate::executor::PoolConfig;
use crate::util::affinity;
use crate::util::monitor::Monitor;

#[cfg(test)]
mod tests;

/// asyncio's limit: so many threads more than CPUs, and …
const THREADS_BESIDE_CPUS: usize = 4;
/// … no more than this.
const MAX_DEFAULT_THREADS: usize = 32;

/// What a thread of the pool does. It never unwinds.
pub(super) trait Job: Send + Sync {
    /// Runs it, unless it was withdrawn.
    fn run(&self);

    /// Ends it without having run it.
    fn refuse(&self, error: Error);
}

/// The place of a job in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// The threads of one loop. Dropping it lets them end when they have nothing left to do, and waits for none.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    thread_limit: usize,
}

struct Shared {
    desk: Monitor<Desk>,
    idle_timeout: Duration,
    cpus: Option<CpuSet>,
}

/// What is under the lock.
#[derive(Default)]
struct Desk {
    /// Jobs that no thread has begun, by ticket: first in, first out. No limit of its own, as each entry
    /// belongs to a task that waits for it and is taken out when that wait is dropped.
    queue: BTreeMap<Ticket, Arc<dyn Job>>,
    last_ticket: u64,
    /// Threads that have not ended, by number. One that ends for want of work takes itself out.
    threads: BTreeMap<usize, JoinHandle<()>>,
    last_thread: usize,
    /// Threads that have not left, which is what shutting down waits for.
    present: usize,
    /// Of those, the ones that wait for a job.
    idle: usize,
    refuses: bool,
    /// Woken when the last thread leaves.
    waits_for_end: Option<Waker>,
}

/// What is said to who asks for a thread too late (rule T169).
pub(super) fn refusal() -> Error {
    Error::runtime("the threads of this loop have been shut down")
}

impl Pool {
    /// A pool without threads.
    pub(super) fn new(config: &PoolConfig) -> Self {
        let desk = Monitor::new(Desk::default());
        let cpus = config.cpus.as_deref().map(affinity::set_of);
        let shared = Shared { desk, idle_timeout: config.idle_timeout, cpus };
        let thread_limit = config.thread_limit.unwrap_or_else(default_thread_limit);
        Self { shared: Arc::new(shared), thread_limit }
    }

    /// Puts a job at the end of the queue and sees to it that a thread will take it.
    ///
    /// # Errors
    /// Runtime once the pool refuses; what the system says if there is no thread and none can be started.
    pub(super) fn submit(&self, job: Arc<dyn Job>) -> Result<Ticket> {
        let mut desk = self.shared.desk.lock();
        if desk.refuses {
            return Err(refusal());
        }
        desk.last_ticket += 1;
        let ticket = Ticket(desk.last_ticket);
        desk.queue.insert(ticket, job);
        if desk.idle >= desk.queue.len() {
            self.shared.desk.notify_one();
        } else if desk.present < self.thread_limit
            && let Err(error) = self.start_thread(&mut desk)
        {
            if desk.present == 0 {
                let job = desk.queue.remove(&ticket);
                drop(desk);
                drop(job);
                return Err(error.into());
            }
            drop(desk);
            // Those that are there will come to it.
            __report!(WARN, %error, "another thread for to_thread cannot be started");
        }
        Ok(ticket)
    }

    /// Takes a job out of the queue, if it is still there.
    pub(super) fn withdraw(&self, ticket: Ticket) {
        let job = self.shared.desk.lock().queue.remove(&ticket);
        drop(job);
    }

    /// Refuses new jobs, and those that no thread has begun. The threads end when they are done.
    pub(super) fn refuse(&self) {
        let mut desk = self.shared.desk.lock();
        desk.refuses = true;
        let queue = std::mem::take(&mut desk.queue);
        drop(desk);
        self.shared.desk.notify_all();
        for job in queue.into_values() {
            job.refuse(refusal());
        }
    }

    /// Whether it takes no job any more.
    pub(super) fn refuses(&self) -> bool {
        self.shared.desk.lock().refuses
    }

    /// Threads that have not left.
    pub(super) fn thread_count(&self) -> usize {
        self.shared.desk.lock().present
    }

    #[cfg(test)]
    pub(super) fn queue_len(&self) -> usize {
        self.shared.desk.lock().queue.len()
    }

    /// Whether all threads have left, now that the pool refuses; the context is woken when they have.
    pub(super) fn poll_ended(&self, context: &Context<'_>) -> Poll<()> {
        let waker = context.waker().clone();
        let mut desk = self.shared.desk.lock();
        if desk.present == 0 {
            return Poll::Ready(());
        }
        let replaced = desk.waits_for_end.replace(waker);
        drop(desk);
        drop(replaced);
        Poll::Pending
    }

    /// Joins the threads, all of which have left: that takes no time to speak of.
    pub(super) fn join(&self) {
        let threads = std::mem::take(&mut self.shared.desk.lock().threads);
        for thread in threads.into_values() {
            // A job never unwinds, so a thread does not either.
            let _ = thread.join();
        }
    }

    fn start_thread(&self, desk: &mut MutexGuard<'_, Desk>) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let number = desk.last_thread + 1;
        let builder = thread::Builder::new().name(format!("blocking-{number}"));
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the room for threads that may block"
        )]
        let thread = builder.spawn(move || shared.serve(number))?;
        desk.last_thread = number;
        desk.present += 1;
        desk.threads.insert(number, thread);
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.refuse();
    }
}

impl Shared {
    /// The life of a thread: jobs, until there was none for long enough or the pool refuses.
    fn serve(&self, number: usize) {
        if let Some(Err(error)) = self.cpus.as_ref().map(affinity::run_on) {
            __report!(WARN, %error, "a thread for to_thread stays on the CPUs of its loop");
        }
        let mut desk = self.desk.lock();
        loop {
            if let Some((_, job)) = desk.queue.pop_first() {
                drop(desk);
                job.run();
                drop(job);
                desk = self.desk.lock();
                continue;
            }
            if desk.refuses {
                break;
            }
            desk.idle += 1;
            desk = self.desk.wait_while(desk, Some(self.idle_timeout), |desk| {
                desk.queue.is_empty() && !desk.refuses
            });
            desk.idle -= 1;
            if desk.queue.is_empty() && !desk.refuses {
                // It ends for want of work: nobody is going to join it.
                desk.threads.remove(&number);
                break;
            }
        }
        desk.present -= 1;
        let waker = if desk.present == 0 { desk.waits_for_end.take() } else { None };
        drop(desk);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn default_thread_limit() -> usize {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    (cpus + THREADS_BESIDE_CPUS).min(MAX_DEFAULT_THREADS)
}
