//! How a child is started.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::Pid;

use super::child::Unwatched;
use super::{Process, before_exec, exit};
use crate::driver::{SourceKind, SourceSpec};
use crate::executor::{IoHandle, current_io};
use crate::io::stream::{DEFAULT_LIMIT_BYTES, Stream, Way};
use crate::io::{StreamReader, StreamWriter};
use crate::util::affinity;

/// A program and its arguments, to be started without a shell: each argument arrives as it is (rule P1).
///
/// ```
/// # corelane::run(async || {
/// let child = corelane::create_subprocess_exec("true", [] as [&str; 0]).spawn().await?;
/// assert_eq!(child.wait().await, 0);
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
pub fn create_subprocess_exec<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = A>,
) -> ProcessBuilder {
    let mut command = Command::new(program);
    command.args(args);
    ProcessBuilder::new(command)
}

/// A command line, to be run by `/bin/sh -c` (rule P2). Words that come from elsewhere belong into
/// [`shell_quote`](super::shell_quote).
pub fn create_subprocess_shell(command_line: impl AsRef<OsStr>) -> ProcessBuilder {
    create_subprocess_exec("/bin/sh", [OsStr::new("-c"), command_line.as_ref()])
}

/// Where a standard stream of a child goes (rule P3).
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Stdio {
    /// Where ours goes.
    #[default]
    Inherit,
    /// Into a pipe, whose other end is a field of the [`Process`].
    Pipe,
    /// Nowhere: `/dev/null`.
    Null,
    /// Wherever standard output goes; for standard error only.
    Stdout,
    /// To this descriptor, for instance an open file.
    Descriptor(OwnedFd),
}

/// How a child is started: what [`create_subprocess_exec`] and [`create_subprocess_shell`] give.
///
/// Unless told otherwise it has our standard streams, environment and working directory, and no other of our
/// descriptors.
#[must_use = "a builder starts nothing by itself"]
pub struct ProcessBuilder {
    command: Command,
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
    limit_bytes: usize,
    current_dir: Option<PathBuf>,
    descriptors: Vec<FdMapping>,
    new_session: bool,
    kill_on_drop: bool,
}

impl ProcessBuilder {
    fn new(command: Command) -> Self {
        Self {
            command,
            stdin: Stdio::Inherit,
            stdout: Stdio::Inherit,
            stderr: Stdio::Inherit,
            limit_bytes: DEFAULT_LIMIT_BYTES,
            current_dir: None,
            descriptors: Vec::new(),
            new_session: false,
            kill_on_drop: false,
        }
    }

    /// Where its standard input comes from.
    pub fn stdin(mut self, stdin: Stdio) -> Self {
        self.stdin = stdin;
        self
    }

    /// Where its standard output goes.
    pub fn stdout(mut self, stdout: Stdio) -> Self {
        self.stdout = stdout;
        self
    }

    /// Where its standard error goes.
    pub fn stderr(mut self, stderr: Stdio) -> Self {
        self.stderr = stderr;
        self
    }

    /// The limit of the readers of its output, in bytes (rule P7): 64 KiB unless given, and not 0.
    pub fn limit_bytes(mut self, limit_bytes: usize) -> Self {
        self.limit_bytes = limit_bytes;
        self
    }

    /// Its working directory (rule P5).
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(&directory);
        self.current_dir = Some(directory.as_ref().to_path_buf());
        self
    }

    /// One more variable in its environment, or another value for one.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Its whole environment, in place of ours (rule P5).
    pub fn environment<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.command.env_clear();
        for (name, value) in variables {
            self.command.env(name.into(), value.into());
        }
        self
    }

    /// Its process group (rule P5): 0 for one of its own, else the number of one that exists.
    pub fn process_group(mut self, group: i32) -> Self {
        self.command.process_group(group);
        self
    }

    /// Has it lead a session of its own, without a terminal (`setsid`, rule P5).
    pub fn new_session(mut self) -> Self {
        self.new_session = true;
        self
    }

    /// Gives it `descriptor` under `number` (rule P5). No other of our descriptors is inherited.
    pub fn descriptor(mut self, number: i32, descriptor: OwnedFd) -> Self {
        self.descriptors.push(FdMapping { parent_fd: descriptor, child_fd: number });
        self
    }

    /// Whether it is killed when its [`Process`] is dropped before it has ended (rule P28).
    pub fn kill_on_drop(mut self, kill_on_drop: bool) -> Self {
        self.kill_on_drop = kill_on_drop;
        self
    }

    /// Starts it. The loop does nothing else until the system has loaded the program, mostly less than a
    /// millisecond.
    ///
    /// # Errors
    /// What the system says of the program, for instance `NotFound` (rule P4): it is named. What a shell does not
    /// find is no error here, but its return code 127. `InvalidInput` for [`Stdio::Stdout`] in the wrong place,
    /// two descriptors under one number, a limit of 0, or a zero byte in a word; `Unsupported` on a virtual clock and in
    /// a simulation.
    ///
    /// # Cancel safety
    /// Safe: it does not suspend. If it fails, no child is left (rule P9).
    pub async fn spawn(self) -> io::Result<Process> {
        let io = current_io()?;
        if self.limit_bytes == 0 {
            return Err(refused("a reader's limit must not be 0"));
        }
        if io.chance().is_some() {
            // It would run on this machine, in no time of the world's, and do there what it does.
            let text = "a simulation starts no programs of the system";
            return Err(self.name(&io::Error::new(io::ErrorKind::Unsupported, text)));
        }
        exit::reap_orphans();
        self.start(&io)
    }

    fn start(mut self, io: &IoHandle) -> io::Result<Process> {
        let merged = self.redirect()?;
        let numbers = before_exec::Numbers::watch(&mut self.command, &self.descriptors)?;
        if !self.descriptors.is_empty() {
            let descriptors = std::mem::take(&mut self.descriptors);
            let mapped = self.command.fd_mappings(descriptors);
            mapped.map_err(|_| refused("two descriptors under one number"))?;
        }
        if self.new_session {
            before_exec::begin_session(&mut self.command);
        }
        if let Some(cpus) = &io.pool_config().cpus {
            before_exec::run_on(&mut self.command, affinity::set_of(cpus));
        }
        let started = match &numbers {
            Some(numbers) => numbers.start(&mut self.command),
            None => self.command.spawn(),
        };
        let mut started = started.map_err(|error| self.name(&error))?;
        drop(numbers);
        // The sending ends of pipes are in it: as long as it lives, no pipe ends.
        let Self { command, limit_bytes, kill_on_drop, .. } = self;
        drop(command);
        let pid = i32::try_from(started.id()).ok().and_then(Pid::from_raw);
        let unwatched = Unwatched(pid.expect("the system numbers processes from 1, in 32 bits"));

        let stdout = merged.or_else(|| started.stdout.take().map(OwnedFd::from));
        let stderr = started.stderr.take().map(OwnedFd::from);
        let stdin = started.stdin.take().map(OwnedFd::from);
        let reader = |pipe| reader(io, pipe, limit_bytes);
        Ok(Process {
            stdin: stdin.map(|pipe| writer(io, pipe)).transpose()?,
            stdout: stdout.map(reader).transpose()?,
            stderr: stderr.map(reader).transpose()?,
            child: unwatched.watch(io.clone())?,
            kill_on_drop,
        })
    }

    /// Gives the command its standard streams. The reading end comes back of a pipe that two of them share.
    fn redirect(&mut self) -> io::Result<Option<OwnedFd>> {
        let stdin = std::mem::take(&mut self.stdin);
        let stdout = std::mem::take(&mut self.stdout);
        let stderr = std::mem::take(&mut self.stderr);
        if matches!(stdin, Stdio::Stdout) || matches!(stdout, Stdio::Stdout) {
            return Err(refused("only standard error can go where standard output goes"));
        }
        self.command.stdin(plain(stdin));
        if !matches!(stderr, Stdio::Stdout) {
            self.command.stdout(plain(stdout));
            self.command.stderr(plain(stderr));
            return Ok(None);
        }
        let (to, merged) = match stdout {
            Stdio::Pipe => {
                let (reading, sending) = io::pipe()?;
                (OwnedFd::from(sending), Some(OwnedFd::from(reading)))
            }
            Stdio::Descriptor(descriptor) => (descriptor, None),
            Stdio::Null => {
                self.command.stdout(std::process::Stdio::null());
                self.command.stderr(std::process::Stdio::null());
                return Ok(None);
            }
            Stdio::Inherit | Stdio::Stdout => (io::stdout().as_fd().try_clone_to_owned()?, None),
        };
        self.command.stderr(to.try_clone()?);
        self.command.stdout(to);
        Ok(merged)
    }

    /// Says which program could not be started, and where.
    fn name(&self, cause: &io::Error) -> io::Error {
        let program = self.command.get_program().display();
        let text = match &self.current_dir {
            None => format!("cannot start {program}: {cause}"),
            Some(directory) => {
                format!("cannot start {program} in {}: {cause}", directory.display())
            }
        };
        io::Error::new(cause.kind(), text)
    }
}

impl fmt::Debug for ProcessBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessBuilder").field("command", &self.command).finish_non_exhaustive()
    }
}

fn plain(stdio: Stdio) -> std::process::Stdio {
    match stdio {
        Stdio::Inherit | Stdio::Stdout => std::process::Stdio::inherit(),
        Stdio::Pipe => std::process::Stdio::piped(),
        Stdio::Null => std::process::Stdio::null(),
        Stdio::Descriptor(descriptor) => descriptor.into(),
    }
}

fn reader(io: &IoHandle, descriptor: OwnedFd, limit_bytes: usize) -> io::Result<StreamReader> {
    let source = io.open(SourceSpec::Adopt { descriptor, kind: SourceKind::Pipe })?;
    Ok(StreamReader::new(Stream::one_way(io.clone(), source, limit_bytes, Way::In)))
}

fn writer(io: &IoHandle, descriptor: OwnedFd) -> io::Result<StreamWriter> {
    let source = io.open(SourceSpec::Adopt { descriptor, kind: SourceKind::PipeEnd })?;
    let stream = Stream::one_way(io.clone(), source, DEFAULT_LIMIT_BYTES, Way::Out);
    Ok(StreamWriter::new(stream))
}

fn refused(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
