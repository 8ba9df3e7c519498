//! Standard input, output and error of this process as streams.
//!
//! A stream needs a descriptor that never blocks, and whether one blocks is a property of the open file, which we
//! share with whoever else has it: our own `println!`, the shell, the other end of a pipeline. So pipes and
//! terminals are opened a second time by their name in `/proc`, and only that second file is changed. Files on a
//! disk never block in this sense. Sockets, and what may not be opened again, are the exceptions: these become
//! non-blocking for everybody who has them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};

use crate::driver::{SourceKind, SourceSpec};
use crate::executor::current_io;
use crate::io::stream::{DEFAULT_LIMIT_BYTES, Stream, Way};
use crate::io::{StreamReader, StreamWriter};

/// Standard input as a stream: a terminal, a pipe, a file or a socket.
///
/// Bytes that the standard library has read into its own buffer are not seen here, so use one or the other.
/// Dropping the reader leaves standard input open; bytes that it had read ahead are gone with it.
///
/// ```no_run
/// # corelane::run(async || {
/// let mut input = corelane::stdin()?;
/// while let Some(line) = input.next_line().await? {
///     println!("{} bytes", line.len());
/// }
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Errors
/// What the system says, for instance that standard input is closed; `Unsupported` on a virtual clock; an error
/// of the runtime off a loop.
pub fn stdin() -> io::Result<StreamReader> {
    let io = current_io()?;
    let (descriptor, kind) = reopen(io::stdin().as_fd(), OFlags::RDONLY)?;
    let source = io.open(SourceSpec::Adopt { descriptor, kind })?;
    Ok(StreamReader::new(Stream::one_way(io, source, DEFAULT_LIMIT_BYTES, Way::In)))
}

/// Standard output as a stream. What is written leaves at the end of the turn; before the program ends, await
/// [`drain`](StreamWriter::drain) with a high water mark of 0, or close the writer and await
/// [`wait_closed`](StreamWriter::wait_closed).
///
/// Closing the writer leaves standard output open for the rest of the program.
///
/// # Errors
/// As [`stdin`].
pub fn stdout() -> io::Result<StreamWriter> {
    writer(io::stdout().as_fd())
}

/// Standard error as a stream, as [`stdout`].
///
/// # Errors
/// As [`stdin`].
pub fn stderr() -> io::Result<StreamWriter> {
    writer(io::stderr().as_fd())
}

fn writer(shared: BorrowedFd<'_>) -> io::Result<StreamWriter> {
    let io = current_io()?;
    let (descriptor, kind) = reopen(shared, OFlags::WRONLY)?;
    let kind = if kind == SourceKind::Pipe { SourceKind::PipeEnd } else { kind };
    let source = io.open(SourceSpec::Adopt { descriptor, kind })?;
    Ok(StreamWriter::new(Stream::one_way(io, source, DEFAULT_LIMIT_BYTES, Way::Out)))
}

/// A descriptor of our own for the same thing, and what it is.
fn reopen(shared: BorrowedFd<'_>, mode: OFlags) -> io::Result<(OwnedFd, SourceKind)> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(shared)?.st_mode);
    match kind {
        FileType::Socket => return Ok((shared.try_clone_to_owned()?, SourceKind::Stream)),
        // A second opening would have a position of its own.
        FileType::RegularFile => {}
        _ => {
            let flags = mode | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&shared));
            if let Ok(own) = rustix::fs::open(path, flags, Mode::empty()) {
                return Ok((own, SourceKind::Pipe));
            }
        }
    }
    Ok((shared.try_clone_to_owned()?, SourceKind::Pipe))
}
