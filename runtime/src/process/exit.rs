//! How the loop learns that a child has ended, and how it is reaped.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::thread;

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, waitid,
};

use crate::util::atomic::lock;

/// What asyncio reports of a child that somebody else has reaped.
const UNKNOWN_CODE: i32 = 255;

/// Children whose loop has ended before them. Whoever comes by next looks after them.
static ORPHANS: Mutex<Orphans> = Mutex::new(Orphans { last: 0, left: Vec::new() });

struct Orphans {
    last: u64,
    left: Vec<(Orphan, Pid)>,
}

/// One of them: its own number, as that of the system may be another's when it has been reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Orphan(u64);

/// A descriptor that becomes readable when the child has ended. The child must not have been reaped.
///
/// # Errors
/// What the system says, for instance that there are no descriptors left.
pub(super) fn watch(pid: Pid) -> io::Result<OwnedFd> {
    match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        // Not known to an old system, or not allowed in a sandbox.
        Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => watch_by_thread(pid),
        opened => Ok(opened?),
    }
}

/// The same by a thread that waits, for as long as the child lives, and then closes the other end of a pipe.
pub(super) fn watch_by_thread(pid: Pid) -> io::Result<OwnedFd> {
    let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let builder = thread::Builder::new().name(format!("waits for {}", pid.as_raw_nonzero()));
    #[expect(clippy::disallowed_methods, reason = "nothing else waits for one child and no other")]
    builder.spawn(move || {
        // It stays to be reaped by the loop. No error matters: there is nothing to wait for then.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(pid), options), Err(Errno::INTR)) {}
        drop(theirs);
    })?;
    Ok(ours)
}

/// The return code of a child that has ended, which is reaped now: its exit status, or minus the number of the
/// signal that ended it (rule P21). `None` while it runs.
pub(super) fn reap(pid: Pid) -> Option<i32> {
    wait(pid, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

/// The same, and waits for its end.
pub(super) fn reap_at_end(pid: Pid) -> Option<i32> {
    wait(pid, WaitIdOptions::EXITED)
}

fn wait(pid: Pid, options: WaitIdOptions) -> Option<i32> {
    look(pid, options).unwrap_or_else(|error| {
        report_lost(pid, error);
        Some(UNKNOWN_CODE)
    })
}

fn look(pid: Pid, options: WaitIdOptions) -> Result<Option<i32>, Errno> {
    loop {
        match waitid(WaitId::Pid(pid), options) {
            Err(Errno::INTR) => {}
            found => {
                return Ok(found?.map(|status| {
                    let signal = status.terminating_signal().map(|signal| -signal);
                    status.exit_status().or(signal).unwrap_or(UNKNOWN_CODE)
                }));
            }
        }
    }
}

fn report_lost(pid: Pid, error: Errno) {
    let pid = pid.as_raw_nonzero().get();
    __report!(WARN, pid, %error, "a child was reaped by somebody else: its code is lost");
}

/// Leaves a running child to whoever comes by.
pub(super) fn orphan(pid: Pid) -> Orphan {
    let mut orphans = lock(&ORPHANS);
    orphans.last += 1;
    let orphan = Orphan(orphans.last);
    orphans.left.push((orphan, pid));
    orphan
}

/// Reaps the orphans that have ended.
pub(super) fn reap_orphans() {
    let mut lost = Vec::new();
    lock(&ORPHANS).left.retain(|&(_, pid)| {
        let found = look(pid, WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        if let Err(error) = found {
            lost.push((pid, error));
        }
        matches!(found, Ok(None))
    });
    // Without the lock, as anybody may be told.
    lost.into_iter().for_each(|(pid, error)| report_lost(pid, error));
}

/// Sends an orphan a signal, under the lock, so that nobody reaps it meanwhile.
///
/// # Errors
/// `ESRCH` if it was reaped; what the system says.
pub(super) fn signal_orphan(orphan: Orphan, signal: Signal) -> io::Result<()> {
    let orphans = lock(&ORPHANS);
    let found = orphans.left.iter().find(|(left, _)| *left == orphan);
    let (_, pid) = found.ok_or(Errno::SRCH)?;
    Ok(kill_process(*pid, signal)?)
}

/// Has a child count as reaped, for a test.
#[cfg(test)]
pub(super) fn forget_orphan(pid: Pid) {
    lock(&ORPHANS).left.retain(|(_, orphan)| *orphan != pid);
}
