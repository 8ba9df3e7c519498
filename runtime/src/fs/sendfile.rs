//! Files into connections, without a copy in this process.
//!
//! The call of the system reads the file, which may wait for a disk, so it runs on a thread for what blocks, a piece at
//! a time. That thread never waits for the peer: a full socket ends the piece, and the loop waits until there is
//! room again. So a slow peer costs no thread.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;

use rustix::io::Errno;

use super::{File, on_thread};
use crate::error::Error;
use crate::executor::try_create_task;
use crate::io::StreamWriter;
use crate::io::stream::Hold;

/// What one call of the system sends at most: a thread is back soon, and a loop that ends has not to wait.
const PIECE_BYTES: u64 = 1 << 20;

/// What is read at a time where the system cannot send by itself.
const COPY_BYTES: u64 = 256 * 1024;

impl StreamWriter {
    /// Sends `count` bytes of `file` from `offset` on, or with `None` all up to its end, and says how many those
    /// were: fewer if the file ends before. asyncio's `loop.sendfile`, with the fallback (rule E6).
    ///
    /// The bytes go after everything that was written before the first poll, and before everything that is written
    /// later, which waits meanwhile (rule S83). The system sends them from where it has them; over TLS, and where
    /// the system refuses, they are read and written, a quarter of a MiB at a time. When it returns the system has
    /// them all. The file's position stays. Nothing blocks the loop: see [`fs`](crate::fs).
    ///
    /// ```
    /// # corelane::run(async || {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("page");
    /// # std::fs::write(&path, "<p>hello</p>\n")?;
    /// use corelane::fs::File;
    ///
    /// let serve = async move |_reader, writer: corelane::StreamWriter| {
    ///     let page = File::open(&path).await?;
    ///     let length = page.metadata().await?.len();
    ///     writeln!(writer, "{length} bytes")?;
    ///     assert_eq!(writer.sendfile(&page, 0, None).await?, length);
    ///     Ok(())
    /// };
    /// let server = corelane::start_server(serve, "127.0.0.1:0").await?;
    /// let (mut reader, _writer) = corelane::open_connection(server.local_addrs()[0]).await?;
    /// assert_eq!(reader.read_to_end().await?, "13 bytes\n<p>hello</p>\n");
    /// # Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// What ended the connection; `BrokenPipe` when this end was closed or half-closed before; `ResourceBusy` while
    /// another file is sent on this connection; what the system says of the file. Each with how many bytes were sent
    /// before.
    ///
    /// # Cancel safety
    /// A part may have been sent, up to one MiB more than was acknowledged so far; what was written later follows
    /// then. The connection is still in order, but only who counts on the other side knows where.
    pub async fn sendfile(
        &self,
        file: &File,
        offset: u64,
        count: Option<u64>,
    ) -> Result<u64, SendfileError> {
        self.send_by(file, offset, count, Fallback::Copy).await
    }

    /// The same without the fallback: asyncio's `sendfile` with `fallback=False` (rule E6).
    ///
    /// # Errors
    /// As [`sendfile`](Self::sendfile); one that [is not available](SendfileError::is_not_available) over TLS, and
    /// where the system cannot send this file on this connection. The connection goes on.
    ///
    /// # Cancel safety
    /// As [`sendfile`](Self::sendfile).
    pub async fn sendfile_by_system(
        &self,
        file: &File,
        offset: u64,
        count: Option<u64>,
    ) -> Result<u64, SendfileError> {
        self.send_by(file, offset, count, Fallback::None).await
    }

    async fn send_by(
        &self,
        file: &File,
        offset: u64,
        count: Option<u64>,
        fallback: Fallback,
    ) -> Result<u64, SendfileError> {
        let hold = self.stream().hold()?;
        hold.cleared().await?;
        let mut transfer = Transfer {
            hold: Some(hold),
            piece: None,
            file: file.clone(),
            offset,
            left: count.unwrap_or(u64::MAX),
            fallback,
        };
        let outcome = transfer.run().await;
        let sent_bytes = transfer.offset - offset;
        outcome.map(|()| sent_bytes).map_err(|error| SendfileError { sent_bytes, error })
    }
}

/// Why a file was not sent to its end, and how far it got. It converts with `?` into
/// [`Error`] and into [`io::Error`].
#[derive(Debug)]
pub struct SendfileError {
    /// How many bytes of the file the system has taken. They are exact as long as the connection goes on, as it does
    /// where the file is at fault; of one that has failed, the last quarter of a MiB that was copied may have been
    /// sent as well, in part. What of it all the peer has got, nobody here knows.
    pub sent_bytes: u64,
    /// What happened.
    pub error: io::Error,
}

impl SendfileError {
    /// Whether the system cannot send this file on this connection by itself, and nothing else was to be tried:
    /// asyncio's `SendfileNotAvailableError`.
    #[must_use]
    pub fn is_not_available(&self) -> bool {
        self.error.get_ref().is_some_and(|inner| inner.is::<NotAvailable>())
    }

    /// The kind that this error has as an [`io::Error`].
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }
}

impl fmt::Display for SendfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a file was sent up to {} bytes: {}", self.sent_bytes, self.error)
    }
}

impl StdError for SendfileError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.error)
    }
}

impl From<io::Error> for SendfileError {
    fn from(error: io::Error) -> Self {
        Self { sent_bytes: 0, error }
    }
}

impl From<SendfileError> for io::Error {
    /// The error itself if nothing was sent, else one of its kind that keeps the number inside.
    fn from(error: SendfileError) -> Self {
        match error.sent_bytes {
            0 => error.error,
            _ => Self::new(error.kind(), error),
        }
    }
}

/// The system cannot send by itself.
#[derive(Debug)]
struct NotAvailable;

impl fmt::Display for NotAvailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system cannot send this file on this connection by itself: sendfile can")
    }
}

impl StdError for NotAvailable {}

/// What is done where the system cannot send by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fallback {
    /// Reading and writing.
    Copy,
    None,
}

/// A file on its way.
struct Transfer {
    /// Until it is dropped.
    hold: Option<Hold>,
    /// Is with a thread.
    piece: Option<Piece>,
    file: File,
    /// Of the next byte.
    offset: u64,
    /// Bytes, if the file has so many.
    left: u64,
    fallback: Fallback,
}

/// The socket comes back with what became of it.
type Piece = Pin<Box<dyn Future<Output = io::Result<(OwnedFd, Result<usize, Errno>)>>>>;

impl Transfer {
    fn hold(&self) -> &Hold {
        self.hold.as_ref().expect("only `drop` takes it")
    }

    async fn run(&mut self) -> io::Result<()> {
        if !self.hold().is_encrypted() && self.by_system().await? {
            return Ok(());
        }
        match self.fallback {
            Fallback::Copy => self.by_copying().await,
            Fallback::None => Err(io::Error::new(io::ErrorKind::Unsupported, NotAvailable)),
        }
    }

    /// Has the system send. False if it cannot: then the rest goes another way.
    async fn by_system(&mut self) -> io::Result<bool> {
        let mut socket = self.hold().share()?;
        while self.left > 0 {
            let (file, offset) = (Arc::clone(&self.file.file), self.offset);
            let count = self.left.min(PIECE_BYTES) as usize;
            self.hold().forget_room();
            let piece = self.piece.insert(Box::pin(on_thread(move || {
                let mut offset = offset;
                let sent = rustix::fs::sendfile(&socket, &file, Some(&mut offset), count);
                Ok((socket, sent))
            })));
            let outcome = piece.await;
            self.piece = None;
            let sent;
            (socket, sent) = outcome?;
            if sent != Err(Errno::AGAIN) {
                self.hold().found_room();
            }
            match sent {
                // The end of the file.
                Ok(0) => return Ok(true),
                Ok(count) => {
                    self.hold().note_sent(count);
                    self.sent(count as u64);
                }
                Err(Errno::AGAIN) => self.hold().room().await?,
                Err(Errno::INTR) => {}
                Err(
                    Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::SPIPE | Errno::OVERFLOW,
                ) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Reads and writes.
    async fn by_copying(&mut self) -> io::Result<()> {
        while self.left > 0 {
            let bytes = self.file.read_at(self.offset, self.left.min(COPY_BYTES) as usize).await?;
            if bytes.is_empty() {
                break;
            }
            let count = bytes.len() as u64;
            self.hold().send(bytes);
            self.hold().cleared().await?;
            self.sent(count);
        }
        Ok(())
    }

    fn sent(&mut self, count: u64) {
        self.offset += count;
        self.left -= count;
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let (Some(piece), Some(hold)) = (self.piece.take(), self.hold.take()) else { return };
        // The thread sends on: what was written since must not come between its bytes.
        let last = LastPiece { piece, hold: Some(hold) };
        drop(try_create_task(last.end()).map(|task| task.named("end of sendfile")));
    }
}

/// A piece that a thread has, of a file that nobody wants to send any more.
struct LastPiece {
    piece: Piece,
    hold: Option<Hold>,
}

impl LastPiece {
    async fn end(mut self) -> Result<(), Error> {
        let outcome = self.piece.as_mut().await;
        let Some(hold) = self.hold.take() else { return Ok(()) };
        if let Ok((_, Ok(count))) = outcome {
            hold.note_sent(count);
        }
        if !matches!(outcome, Ok((_, Err(Errno::AGAIN)))) {
            hold.found_room();
        }
        Ok(())
    }
}

impl Drop for LastPiece {
    fn drop(&mut self) {
        // The loop is closing, and nobody knows what the thread has still to send.
        if let Some(hold) = self.hold.take() {
            hold.abort();
        }
    }
}
