//! The parent's side: starts a server, asks it, freezes it, ends it.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use serde::de::DeserializeOwned;

use super::{Counters, Gaps, PATIENCE, Ready, ServerSpec};
use crate::threads;

/// A running server in a child process; dropping it ends the process.
pub(crate) struct Server {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<io::Result<String>>,
    ready: Ready,
}

impl Server {
    /// Starts this binary as a server and waits until it accepts connections.
    ///
    /// # Errors
    /// If the process cannot be started, ends early, or is not ready in time; what it printed on
    /// its standard error has gone to ours.
    pub(crate) fn start(spec: &ServerSpec) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(spec.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A ^C on the terminal is for the parent, which still needs its server to wind up.
            .process_group(0)
            .spawn()?;
        let input = child.stdin.take();
        let output =
            child.stdout.take().ok_or_else(|| io::Error::other("no pipe to the server"))?;
        // A thread reads the pipe, so that a server that hangs cannot hang its parent.
        let (sender, lines) = channel();
        threads::spawn("server-output", None, move || {
            for line in BufReader::new(output).lines() {
                if sender.send(line).is_err() {
                    return;
                }
            }
        })?;
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let ready = Ready { addr: nowhere, pid: child.id(), shards: Vec::new() };
        let mut server = Server { child, input, lines, ready };
        server.ready = server.next_line()?;
        Ok(server)
    }

    /// Where it listens and what its shards are.
    pub(crate) fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Asks what it has counted.
    ///
    /// # Errors
    /// If the process has ended or does not answer.
    pub(crate) fn counters(&mut self) -> io::Result<Counters> {
        self.ask("count")
    }

    /// Asks when it had no CPU; a server that sleeps by itself cannot tell.
    ///
    /// # Errors
    /// If the process has ended or does not answer.
    pub(crate) fn gaps(&mut self) -> io::Result<Gaps> {
        self.ask("gaps")
    }

    fn ask<T: DeserializeOwned>(&mut self, word: &str) -> io::Result<T> {
        let input = self.input.as_mut().ok_or_else(|| io::Error::other("the pipe is closed"))?;
        writeln!(input, "{word}")?;
        input.flush()?;
        self.next_line()
    }

    fn next_line<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                // A server may print lines of its own; ours are JSON objects.
                Ok(Ok(line)) if !line.starts_with('{') => {}
                Ok(line) => return Ok(serde_json::from_str(&line?)?),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the server does not answer",
                    ));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait()?;
                    return Err(io::Error::other(format!("the server ended early: {status}")));
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server may be stopped, stuck or gone: only KILL ends it in each case, and it has
        // nothing to clean up.
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
