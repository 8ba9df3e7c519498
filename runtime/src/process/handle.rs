//! The handle of a child.

use std::fmt;
use std::io;
use std::rc::Rc;

use rustix::process::Signal;

use super::child::Child;
use crate::io::{StreamReader, StreamWriter};

/// A child process: what [`ProcessBuilder::spawn`](super::ProcessBuilder::spawn) gives.
///
/// The child runs on when this is dropped, and its loop reaps it all the same (rule P28); a dropped end of a
/// pipe is closed. [`kill_on_drop`](super::ProcessBuilder::kill_on_drop) kills it instead.
///
/// Who waits for a child and does not read its pipes waits forever once a pipe is full (rule P23):
/// [`communicate`](Self::communicate) does both.
#[must_use = "dropping it closes the pipes of the child"]
pub struct Process {
    /// Writes to the child's standard input, if that is a pipe (rule P3).
    pub stdin: Option<StreamWriter>,
    /// Reads the child's standard output, if that is a pipe (rule P3).
    pub stdout: Option<StreamReader>,
    /// Reads the child's standard error, if that is a pipe of its own (rule P3).
    pub stderr: Option<StreamReader>,
    pub(super) child: Rc<Child>,
    pub(super) kill_on_drop: bool,
}

impl Process {
    /// Its number, also after it has ended (rule P20).
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Its return code: `None` while it runs, then the exit status, or minus the number of the signal that ended
    /// it (rule P21). 255 if something else in this process reaped the child and nobody knows.
    #[must_use]
    pub fn returncode(&self) -> Option<i32> {
        self.child.code()
    }

    /// Waits for its end and gives the return code (rules P22, P24). Any number of tasks may wait, also
    /// afterwards.
    ///
    /// # Cancel safety
    /// Safe: the child runs on, and can be waited for again (rule P27).
    pub async fn wait(&self) -> i32 {
        loop {
            if let Some(code) = self.child.code() {
                return code;
            }
            self.child.ended().wait().await;
        }
    }

    /// Sends it a signal, by its number (rule P25). Its own children get none.
    ///
    /// # Errors
    /// `ESRCH` if it has ended and that was reported (rule P26); `InvalidInput` for what is no signal, and for
    /// realtime signals; what the system says.
    pub fn send_signal(&self, signal: i32) -> io::Result<()> {
        let Some(known) = Signal::from_named_raw(signal) else {
            let text = format!("{signal} is no signal that can be sent");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        self.child.send(known)
    }

    /// Asks it to end: SIGTERM (rule P25).
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal).
    pub fn terminate(&self) -> io::Result<()> {
        self.child.send(Signal::TERM)
    }

    /// Ends it: SIGKILL (rule P25).
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal).
    pub fn kill(&self) -> io::Result<()> {
        self.child.send(Signal::KILL)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.kill_on_drop {
            // It has ended already, or will.
            let _ = self.kill();
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("pid", &self.pid())
            .field("returncode", &self.returncode())
            .finish_non_exhaustive()
    }
}
