//! Queues, locks, events and channels for the tasks of one thread.
//!
//! All are cheap handles: a clone is the same object. None of them knows the executor, so they work
//! in any loop of their thread; none is `Send`. Waiting is fair: first come, first served. Nothing
//! that was handed over (a lock, an item, room in a queue) is lost when its receiver is cancelled
//! or dropped: it goes to the next in line.
//!
//! | to | there is |
//! |---|---|
//! | hand items on | [`Queue`], [`LifoQueue`], [`PriorityQueue`]; [`oneshot`], [`broadcast`] for messages |
//! | see the latest value | [`watch`] |
//! | keep others out | [`Lock`], [`RwLock`], and [`Semaphore`] for a number of tasks at once |
//! | wait for something | [`Event`], [`Condition`], [`OnceCell`] for a value that is made once |
//! | meet, or end, together | [`Barrier`], [`Gate`] |
//!
//! A waiter that was cancelled counts as gone from that moment for everybody else, although its
//! future is dropped only when its task's turn comes (rule G21). Under a foreign executor there is
//! no such moment, and only the drop of the future counts (rule G30).

mod barrier;
pub mod broadcast;
mod condition;
mod event;
mod gate;
mod lock;
mod once_cell;
pub mod oneshot;
mod queue;
mod rwlock;
mod semaphore;
mod signal;
pub(crate) mod wait_list;
pub mod watch;

pub use barrier::{Barrier, BarrierWait, BrokenBarrierError};
pub use condition::{Condition, ConditionWait, ConditionWaitCaught};
pub use event::{Event, EventWait};
pub use gate::{Gate, GateClosed, GateGuard};
pub use lock::{Lock, LockAcquire, LockGuard};
pub use once_cell::OnceCell;
pub use queue::{
    AnyQueue, Discipline, Fifo, Lifo, LifoQueue, PriorityQueue, Queue, QueueEmpty, QueueFull,
    QueueGet, QueueJoin, QueuePut, QueueShutDown, QueueStream, Smallest, TryGetError, TryPutError,
};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{
    BoundedSemaphore, Permit, Semaphore, SemaphoreAcquire, SemaphoreClosed, TryAcquireError,
};

#[cfg(test)]
mod support;
