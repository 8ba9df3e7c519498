//! What a child does to itself before it becomes the program. The one room of this floor with `unsafe`: between
//! fork and exec next to nothing may be done, and the compiler does not see to that.
#![allow(unsafe_code, reason = "the standard library has no safe call for these")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use command_fds::FdMapping;
use rustix::fs::fstat;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::thread::CpuSet;

use crate::util::affinity;

/// Has the child begin a session of its own.
pub(super) fn begin_session(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. `setsid` is one; neither it nor the
    // conversion of its error number allocates, locks or panics.
    unsafe {
        command.pre_exec(|| rustix::process::setsid().map(drop).map_err(io::Error::from));
    }
}

/// What a child ends with that would have lost its way to say why it cannot start.
const OVERWRITTEN: Errno = Errno::REMCHG;
/// Starts that are tried before a process in which descriptors come and go so fast is given up.
const START_COUNT: usize = 100;

/// The numbers under which a child gets descriptors. The standard library tells by a pipe why a program could not be
/// started, and that pipe may have any of them in the child: it would be overwritten, the start would count as a
/// success, and the error's bytes would go to whoever reads from the other end of what the child was given.
///
/// So what is free of them is taken while the child is started, and the child, before anything is overwritten, looks
/// whether there is anything else under them than there was.
pub(super) struct Numbers {
    /// What takes them.
    source: OwnedFd,
    seen: Arc<[Seen]>,
}

/// What was there under a number: its device and file, which no other file has meanwhile.
struct Seen {
    number: i32,
    device: AtomicU64,
    inode: AtomicU64,
}

impl Numbers {
    /// Has the child look. It must be asked for before the descriptors are given to the command.
    ///
    /// # Errors
    /// What the system says if there are no descriptors left.
    pub(super) fn watch(command: &mut Command, mappings: &[FdMapping]) -> io::Result<Option<Self>> {
        let Some(first) = mappings.first() else { return Ok(None) };
        let source = first.parent_fd.try_clone()?;
        let number = |mapping: &FdMapping| mapping.child_fd;
        let seen = mappings.iter().map(number).map(|number| Seen {
            number,
            device: AtomicU64::new(0),
            inode: AtomicU64::new(0),
        });
        let seen: Arc<[Seen]> = seen.collect();
        let looked_at = Arc::clone(&seen);
        // SAFETY: as above. `fstat` is one system call into memory on the stack; the list was made before, and is
        // only read.
        unsafe {
            command.pre_exec(move || {
                let is_other = |seen: &Seen| seen.now().is_some_and(|now| now != seen.before());
                if looked_at.iter().any(is_other) { Err(OVERWRITTEN.into()) } else { Ok(()) }
            });
        }
        Ok(Some(Self { source, seen }))
    }

    /// Starts the command.
    ///
    /// # Errors
    /// What the system says of the program.
    pub(super) fn start(&self, command: &mut Command) -> io::Result<Child> {
        let mut left = START_COUNT;
        loop {
            let _taken = self.take();
            let started = command.spawn();
            left -= 1;
            let lost = started
                .as_ref()
                .is_err_and(|error| error.raw_os_error() == Some(OVERWRITTEN.raw_os_error()));
            // Another thread has closed what was there under one of the numbers just now.
            if !lost || left == 0 {
                return started;
            }
        }
    }

    /// Takes those of the numbers that are free, and looks what is there under the others.
    fn take(&self) -> Vec<OwnedFd> {
        let mut taken = Vec::new();
        for seen in &*self.seen {
            // A number that the system does not have is told of by the child.
            if let Ok(copy) = fcntl_dupfd_cloexec(self.source.as_fd(), seen.number)
                && copy.as_raw_fd() == seen.number
            {
                taken.push(copy);
            }
            let (device, inode) = seen.now().unwrap_or_default();
            // The child has a copy of all memory as it is when it begins: no order matters.
            seen.device.store(device, Ordering::Relaxed);
            seen.inode.store(inode, Ordering::Relaxed);
        }
        taken
    }
}

impl Seen {
    fn before(&self) -> (u64, u64) {
        (self.device.load(Ordering::Relaxed), self.inode.load(Ordering::Relaxed))
    }

    /// What is there now, if something is.
    fn now(&self) -> Option<(u64, u64)> {
        if self.number < 0 {
            return None;
        }
        // SAFETY: it is not -1. Whether it is open, and whose it is, makes no difference to `fstat`, which says so if
        // it is not, and changes nothing.
        let borrowed = unsafe { BorrowedFd::borrow_raw(self.number) };
        let status = fstat(borrowed).ok()?;
        Some((status.st_dev, status.st_ino))
    }
}

/// Has the child run on these CPUs, as far as it may: it would be bound to those of our thread otherwise.
pub(super) fn run_on(command: &mut Command, cpus: CpuSet) {
    // SAFETY: as above. The set is a plain array that was filled before; the call is one bare system call, and
    // its error, which makes no difference, owns nothing.
    unsafe {
        command.pre_exec(move || {
            let _ = affinity::run_on(&cpus);
            Ok(())
        });
    }
}
