//! What a child does to itself before it becomes the program. The one room of this floor with `unsafe`: between
//! fork and exec next to nothing may be done, and the compiler does not see to that.
#![allow(unsafe_code, reason = "the standard library has no safe call for these")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

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
