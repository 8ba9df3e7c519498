//! Locks, events and queues for the tasks of one thread.
//!
//! All are cheap handles: a clone is the same object. None of them knows the executor, so they work
//! in any loop of their thread; none is `Send`. Waiting is fair: first come, first served. Nothing
//! that was handed over (a lock, an item, room in a queue) is lost when its receiver is cancelled
//! or dropped: it goes to the next in line.
//!
//! A waiter that was cancelled counts as gone from that moment for everybody else, although its
//! future is dropped only when its task's turn comes (rule G21). Under a foreign executor there is
//! no such moment, and only the drop of the future counts (rule G30).

mod barrier;
mod condition;
mod event;
mod lock;
mod queue;
mod semaphore;
pub(crate) mod wait_list;

pub use barrier::{Barrier, BarrierWait, BrokenBarrierError};
pub use condition::{Condition, ConditionWait, ConditionWaitCaught};
pub use event::{Event, EventWait};
pub use lock::{Lock, LockAcquire, LockGuard};
pub use queue::{
    AnyQueue, Discipline, Fifo, Lifo, LifoQueue, PriorityQueue, Queue, QueueEmpty, QueueFull,
    QueueGet, QueueJoin, QueuePut, QueueShutDown, QueueStream, Smallest, TryGetError, TryPutError,
};
pub use semaphore::{
    BoundedSemaphore, Permit, Semaphore, SemaphoreAcquire, SemaphoreClosed, TryAcquireError,
};

#[cfg(test)]
mod support;
