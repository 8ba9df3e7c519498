//! A child as its loop sees it: watched until it has ended, then reaped.

use std::cell::Cell;
use std::io;
use std::mem;
use std::rc::Rc;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::exit::{self, Orphan};
use crate::driver::{Op, OpId, Outcome, SourceId, SourceKind, SourceSpec, Started};
use crate::executor::{IoHandle, OpOwner};
use crate::sync::Event;
use crate::util::wait_kind::WaitKind;

/// A child that was started and is watched by nobody yet: when this is dropped it is killed and reaped
/// (rule P9).
pub(super) struct Unwatched(pub(super) Pid);

impl Unwatched {
    /// Has the loop watch it.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn watch(self, io: IoHandle) -> io::Result<Rc<Child>> {
        let descriptor = exit::watch(self.0)?;
        self.watch_by(io, descriptor)
    }

    /// The same by a descriptor that becomes readable when it has ended.
    pub(super) fn watch_by(
        self,
        io: IoHandle,
        descriptor: std::os::fd::OwnedFd,
    ) -> io::Result<Rc<Child>> {
        let source = io.open(SourceSpec::Adopt { descriptor, kind: SourceKind::Process })?;
        let child = Rc::new(Child {
            io,
            pid: self.0,
            code: Cell::new(None),
            orphan: Cell::new(None),
            ended: Event::of_kind(WaitKind::Process),
            watched: Cell::new(None),
        });
        mem::forget(self);
        let op = child.io.register(Rc::clone(&child) as Rc<dyn OpOwner>, 0);
        child.watched.set(Some((source, op)));
        if let Started::Done(outcome) = child.io.start(op, Op::Watch { source }) {
            child.watch_ended(&outcome);
        }
        Ok(child)
    }
}

impl Drop for Unwatched {
    fn drop(&mut self) {
        // It can only have ended already.
        let _ = kill_process(self.0, Signal::KILL);
        exit::reap_at_end(self.0);
    }
}

/// A child of this process that nobody but its loop reaps, and when that has ended, any loop. As long as it is not
/// reaped its number is its own, so that no signal can reach anybody else (rule P26).
pub(super) struct Child {
    io: IoHandle,
    pid: Pid,
    code: Cell<Option<i32>>,
    /// Set once its loop has ended: from then on anybody reaps it.
    orphan: Cell<Option<Orphan>>,
    ended: Event,
    watched: Cell<Option<(SourceId, OpId)>>,
}

impl Child {
    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// The return code, once it has been reaped.
    pub(super) fn code(&self) -> Option<i32> {
        self.code.get()
    }

    /// Set once it has been reaped.
    pub(super) fn ended(&self) -> &Event {
        &self.ended
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// `ESRCH` once it has been reaped; what the system says.
    pub(super) fn send(&self, signal: Signal) -> io::Result<()> {
        if self.code.get().is_some() {
            return Err(Errno::SRCH.into());
        }
        match self.orphan.get() {
            Some(orphan) => exit::signal_orphan(orphan, signal),
            None => Ok(kill_process(self.pid, signal)?),
        }
    }

    /// The watch has ended, mostly because the child has.
    fn watch_ended(&self, outcome: &Outcome) {
        let code = match outcome {
            // This does not wait, as it has ended.
            Outcome::Happened => exit::reap_at_end(self.pid),
            _ => exit::reap(self.pid),
        };
        self.unwatch();
        match code {
            Some(code) => {
                self.code.set(Some(code));
                self.ended.set();
            }
            None => self.orphan.set(Some(exit::orphan(self.pid))),
        }
    }

    fn unwatch(&self) {
        if let Some((source, op)) = self.watched.take() {
            self.io.release(op);
            self.io.close(source);
        }
    }
}

impl OpOwner for Child {
    fn complete(self: Rc<Self>, _tag: u32, outcome: Outcome) {
        self.watch_ended(&outcome);
    }

    fn abandoned(self: Rc<Self>) {
        self.watch_ended(&Outcome::Cancelled(None));
    }
}
