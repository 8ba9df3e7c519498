//! When nothing can happen any more on a virtual clock.
//!
//! On such a loop there are no sockets, so what may still come comes from another thread: the pool, whoever holds a
//! `RemoteLoop`, or a waker that somebody has taken along. Wakers are not counted. So a task that waits for
//! what is not known to be of this loop is taken to be waiting for another thread.

use std::io;

use super::core::LoopCore;
use crate::error::Error;
use crate::task::{TaskInfo, TaskState, draw};
use crate::util::wait_kind::WaitKind;

impl LoopCore {
    /// Why the loop, which has said that it sleeps, must not do so without a deadline: nobody would ever wake it.
    #[cold]
    pub(super) fn stuck(&self) -> Option<io::Error> {
        let is_sure = self.is_virtual && self.chance().is_none() && self.outside_waits.get() == 0;
        // In this order: who had a handle has sent before dropping it.
        if !is_sure || !self.remote.is_alone() || self.has_mail() {
            return None;
        }
        if !self.pollers.borrow().is_empty() {
            return None;
        }
        let tasks = self.home.describe(self.seen.get(), self.timers.borrow().waiting());
        if tasks.is_empty() || !tasks.iter().all(waits_for_another) {
            return None;
        }
        let text = format!("nothing can happen any more\n{}", draw(&tasks));
        Some(Error::msg(text.trim_end().to_owned()).into())
    }
}

/// Whether only another task could end what it waits for.
fn waits_for_another(task: &TaskInfo) -> bool {
    let waits = &task.waits_for;
    task.state == TaskState::Waiting && !waits.is_empty() && waits.iter().all(is_of_this_loop)
}

fn is_of_this_loop(kind: &WaitKind) -> bool {
    use WaitKind as Kind;
    match kind {
        Kind::Sleep
        | Kind::Task
        | Kind::Gather
        | Kind::Wait
        | Kind::AsCompleted
        | Kind::Shield
        | Kind::TaskGroup
        | Kind::Lock
        | Kind::RwLock
        | Kind::Event
        | Kind::Condition
        | Kind::Semaphore
        | Kind::Barrier
        | Kind::Gate
        | Kind::OnceCell
        | Kind::QueueGet
        | Kind::QueuePut
        | Kind::QueueJoin
        | Kind::Oneshot
        | Kind::Watch
        | Kind::Broadcast
        | Kind::Read
        | Kind::Write
        | Kind::Sent
        | Kind::Closed => true,
        // Several may have something of another thread among them.
        Kind::Several
        | Kind::Turn
        | Kind::Accept
        | Kind::Connect
        | Kind::Handshake
        | Kind::Datagram
        | Kind::Server
        | Kind::Process
        | Kind::Signal
        | Kind::Thread
        | Kind::Call
        | Kind::Shutdown => false,
    }
}
