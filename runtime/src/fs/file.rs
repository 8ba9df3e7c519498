//! A file that is open.

use std::fmt;
use std::fs::{Metadata, OpenOptions};
use std::future::Future;
use std::io::{self, Read, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use super::on_thread;

/// A file that is open.
///
/// It keeps its own position, and moves it when a read or a write has ended well. So a read that was given up
/// moves nothing, and clones of one file do not disturb each other.
///
/// ```
/// # corelane::run(async || {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("log");
/// use corelane::fs::File;
///
/// let mut file = File::create(&path).await?;
/// file.write_all("one\ntwo\n").await?;
/// file.sync_all().await?;
///
/// let mut file = File::open(&path).await?;
/// assert_eq!(&file.read(4).await?[..], b"one\n");
/// assert_eq!(&file.read(100).await?[..], b"two\n");
/// assert!(file.read(100).await?.is_empty());
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
#[derive(Clone)]
pub struct File {
    pub(super) file: Arc<std::fs::File>,
    position: u64,
}

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// See the [module](super).
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open_with(OpenOptions::new().read(true), path).await
    }

    /// Makes a file for writing, or empties the one that there is.
    ///
    /// # Errors
    /// See the [module](super).
    pub async fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open_with(OpenOptions::new().write(true).create(true).truncate(true), path).await
    }

    /// Opens a file as `options` say.
    ///
    /// # Errors
    /// See the [module](super).
    pub async fn open_with(options: &OpenOptions, path: impl AsRef<Path>) -> io::Result<Self> {
        let (options, path) = (options.clone(), path.as_ref().to_path_buf());
        on_thread(move || options.open(path)).await.map(Self::from)
    }

    /// Reads up to `max_bytes` bytes from the position on: nothing at the end of the file, or if `max_bytes`
    /// is 0. What is no regular file may give fewer.
    ///
    /// # Errors
    /// See the [module](super).
    ///
    /// # Cancel safety
    /// Safe for files that have positions: the next read begins at the same one. Of others, as FIFOs, the bytes
    /// are lost that were being read.
    pub async fn read(&mut self, max_bytes: usize) -> io::Result<Bytes> {
        let bytes = self.read_at(self.position, max_bytes).await?;
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    /// Reads up to `max_bytes` bytes from `offset` on, in bytes, and leaves the position where it is.
    ///
    /// # Errors
    /// See the [module](super).
    ///
    /// # Cancel safety
    /// As [`read`](Self::read).
    pub async fn read_at(&self, offset: u64, max_bytes: usize) -> io::Result<Bytes> {
        let file = Arc::clone(&self.file);
        on_thread(move || read_some(&file, offset, max_bytes)).await
    }

    /// Reads everything from the position on.
    ///
    /// # Errors
    /// See the [module](super).
    ///
    /// # Cancel safety
    /// As [`read`](Self::read).
    pub async fn read_to_end(&mut self) -> io::Result<Bytes> {
        let (file, start) = (Arc::clone(&self.file), self.position);
        let bytes = on_thread(move || {
            let mut all = Vec::new();
            loop {
                let chunk = read_some(&file, start + all.len() as u64, CHUNK_BYTES)?;
                if chunk.is_empty() {
                    return Ok(Bytes::from(all));
                }
                all.extend_from_slice(&chunk);
            }
        })
        .await?;
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    /// Writes all of `bytes` at the position. A file that was opened for appending takes them at its end.
    ///
    /// # Errors
    /// See the [module](super). A part may have been written; the position stays.
    ///
    /// # Cancel safety
    /// The bytes may be written or not; the position stays.
    pub async fn write_all(&mut self, bytes: impl Into<Bytes>) -> io::Result<()> {
        let bytes = bytes.into();
        let count = bytes.len() as u64;
        self.write_all_at(self.position, bytes).await?;
        self.position += count;
        Ok(())
    }

    /// Writes all of `bytes` at `offset`, in bytes, and leaves the position where it is.
    ///
    /// # Errors
    /// See the [module](super). A part may have been written.
    ///
    /// # Cancel safety
    /// The bytes may be written or not.
    pub async fn write_all_at(&self, offset: u64, bytes: impl Into<Bytes>) -> io::Result<()> {
        let (file, bytes) = (Arc::clone(&self.file), bytes.into());
        on_thread(move || match file.write_all_at(&bytes, offset) {
            Err(error) if has_no_positions(&error) => (&*file).write_all(&bytes),
            written => written,
        })
        .await
    }

    /// Where the next read or write takes place, in bytes from the beginning.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Moves the position, and gives the new one. Beyond the end is allowed.
    ///
    /// # Errors
    /// `InvalidInput` for one before the beginning; what the system says of a file whose end is asked for.
    pub async fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let moved = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.metadata().await?.len().checked_add_signed(by),
        };
        let outside =
            || io::Error::new(io::ErrorKind::InvalidInput, "a position outside of any file");
        self.position = moved.ok_or_else(outside)?;
        Ok(self.position)
    }

    /// Waits until everything that was written is on the disk.
    ///
    /// # Errors
    /// What the system says; then it is not known what is on the disk.
    pub async fn sync_all(&self) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        on_thread(move || file.sync_all()).await
    }

    /// The same for the bytes, and not for times and permissions.
    ///
    /// # Errors
    /// As [`sync_all`](Self::sync_all).
    pub async fn sync_data(&self) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        on_thread(move || file.sync_data()).await
    }

    /// Cuts the file off, or extends it by zeros.
    ///
    /// # Errors
    /// See the [module](super).
    pub async fn set_len(&self, bytes: u64) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        on_thread(move || file.set_len(bytes)).await
    }

    /// What the system knows of it.
    ///
    /// # Errors
    /// See the [module](super).
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let file = Arc::clone(&self.file);
        on_thread(move || file.metadata()).await
    }

    /// The rest of the file from the position on, as a stream of pieces of `chunk_bytes` bytes, the last of them
    /// perhaps smaller. One piece is read ahead, so that the disk works while the program does, and no more than
    /// two are in memory.
    ///
    /// # Panics
    /// If `chunk_bytes` is 0.
    pub fn chunks(self, chunk_bytes: usize) -> Chunks {
        assert!(chunk_bytes > 0, "pieces of no bytes would never end");
        Chunks { file: self.file, offset: self.position, chunk_bytes, ahead: None, ended: false }
    }

    /// The standard library's file, once no call of this one is under way.
    #[must_use]
    pub fn into_std(self) -> Option<std::fs::File> {
        Arc::into_inner(self.file)
    }
}

/// What a read of unknown size reads at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// FIFOs, terminals and the like.
fn has_no_positions(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESPIPE)
}

/// Fills `max_bytes` bytes, unless the file ends before.
fn read_some(mut file: &std::fs::File, offset: u64, max_bytes: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; max_bytes];
    let mut filled = 0;
    while filled < max_bytes {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if has_no_positions(&error) => {
                // What is there is enough: the next byte may be long in coming.
                filled = file.read(&mut bytes)?;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes.into())
}

impl From<std::fs::File> for File {
    /// At the beginning of the file, wherever the standard library's position is.
    fn from(file: std::fs::File) -> Self {
        Self { file: Arc::new(file), position: 0 }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("file", &self.file).field("position", &self.position).finish()
    }
}

type Reading = Pin<Box<dyn Future<Output = io::Result<Bytes>>>>;

/// The pieces of a file: what [`File::chunks`] gives.
///
/// After an error the stream ends.
#[must_use = "streams do nothing unless they are polled"]
pub struct Chunks {
    file: Arc<std::fs::File>,
    offset: u64,
    chunk_bytes: usize,
    ahead: Option<Reading>,
    ended: bool,
}

impl Chunks {
    fn read(&mut self) -> Reading {
        let (file, offset, count) = (Arc::clone(&self.file), self.offset, self.chunk_bytes);
        Box::pin(on_thread(move || read_some(&file, offset, count)))
    }
}

impl Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut reading = match self.ahead.take() {
            Some(reading) => reading,
            None => self.read(),
        };
        match reading.as_mut().poll(context) {
            Poll::Pending => {
                self.ahead = Some(reading);
                Poll::Pending
            }
            Poll::Ready(Ok(chunk)) if !chunk.is_empty() => {
                self.offset += chunk.len() as u64;
                let mut next = self.read();
                // The first poll hands it to a thread.
                if let Poll::Ready(done) = next.as_mut().poll(context) {
                    next = Box::pin(async { done });
                }
                self.ahead = Some(next);
                Poll::Ready(Some(Ok(chunk)))
            }
            Poll::Ready(outcome) => {
                self.ended = true;
                Poll::Ready(outcome.err().map(Err))
            }
        }
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks")
            .field("offset", &self.offset)
            .field("chunk_bytes", &self.chunk_bytes)
            .finish_non_exhaustive()
    }
}
