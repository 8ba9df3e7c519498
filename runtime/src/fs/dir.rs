//! What is in a directory.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{FileType, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::on_thread;

/// Entries that one visit to a thread brings.
const BATCH: usize = 128;

/// Lists a directory, in no order.
///
/// ```
/// # corelane::run(async || {
/// # let folder = tempfile::tempdir()?;
/// # corelane::fs::write(folder.path().join("one"), "").await?;
/// let mut entries = corelane::fs::read_dir(folder.path()).await?;
/// while let Some(entry) = entries.next_entry().await? {
///     println!("{}", entry.path().display());
/// }
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Errors
/// See the [module](super).
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref().to_path_buf();
    let entries = on_thread(move || std::fs::read_dir(path)).await?;
    Ok(ReadDir { rest: Some(entries), ready: VecDeque::new() })
}

/// A directory that is being listed: what [`read_dir`] gives.
#[derive(Debug)]
pub struct ReadDir {
    /// `None` at the end, and while a thread has it.
    rest: Option<std::fs::ReadDir>,
    ready: VecDeque<io::Result<DirEntry>>,
}

impl ReadDir {
    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// What the system says of this entry; those after it may still be had.
    ///
    /// # Cancel safety
    /// Not safe: entries that a thread is reading are lost, and then the listing ends.
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        if self.ready.is_empty()
            && let Some(mut rest) = self.rest.take()
        {
            let (rest, ready) = on_thread(move || {
                let batch: VecDeque<_> =
                    rest.by_ref().take(BATCH).map(|entry| entry.map(DirEntry::new)).collect();
                Ok((rest, batch))
            })
            .await?;
            self.rest = (ready.len() == BATCH).then_some(rest);
            self.ready = ready;
        }
        self.ready.pop_front().transpose()
    }
}

/// One entry of a directory.
#[derive(Debug)]
pub struct DirEntry {
    entry: std::fs::DirEntry,
    /// Mostly the listing says it.
    file_type: Option<FileType>,
}

impl DirEntry {
    /// Called on a thread for what blocks.
    fn new(entry: std::fs::DirEntry) -> Self {
        Self { file_type: entry.file_type().ok(), entry }
    }

    /// Its path: that of the directory, and its name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// Its name.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.entry.file_name()
    }

    /// Whether it is a file, a directory or something else. Links are not followed.
    ///
    /// # Errors
    /// What the system says.
    pub async fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => Ok(self.metadata().await?.file_type()),
        }
    }

    /// What the system knows of it. Links are not followed.
    ///
    /// # Errors
    /// What the system says.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let path = self.path();
        on_thread(move || std::fs::symlink_metadata(path)).await
    }
}
