//! A child that leads a session of its own. The one room of this floor with `unsafe`: what runs between fork
//! and exec may do next to nothing, and the compiler does not see to that.
#![allow(unsafe_code, reason = "the standard library has no safe call for a new session")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has the child begin a session.
pub(super) fn begin(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. `setsid` is one; neither it nor the
    // conversion of its error number allocates, locks or panics.
    unsafe {
        command.pre_exec(|| rustix::process::setsid().map(drop).map_err(io::Error::from));
    }
}
