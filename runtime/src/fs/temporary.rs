//! Files and directories that go when nobody has them any more.

use std::io;
use std::path::Path;

use super::{File, on_thread};

/// A file without a name, for reading and writing, in the system's directory for temporary files. It is gone when
/// the last clone of it is, also if the process is killed.
///
/// # Errors
/// See the [module](super).
pub async fn temporary_file() -> io::Result<File> {
    on_thread(tempfile::tempfile).await.map(File::from)
}

/// Makes a directory with a name that nobody has, in the system's directory for temporary files, for its owner
/// alone.
///
/// ```
/// # corelane::run(async || {
/// use corelane::fs;
///
/// let folder = fs::temporary_dir().await?;
/// fs::write(folder.path().join("note"), "soon gone").await?;
/// let path = folder.path().to_owned();
/// folder.remove().await?;
/// assert!(!fs::try_exists(path).await?);
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Errors
/// See the [module](super).
pub async fn temporary_dir() -> io::Result<TemporaryDir> {
    on_thread(tempfile::tempdir).await.map(TemporaryDir)
}

/// A directory that is removed with all that is in it: what [`temporary_dir`] gives.
///
/// Dropping it removes it as [`remove`](Self::remove) does, but at once and on the loop, which waits for the disk
/// then; an error is not told.
#[derive(Debug)]
pub struct TemporaryDir(tempfile::TempDir);

impl TemporaryDir {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Removes it and all that is in it.
    ///
    /// # Errors
    /// What the system says; a part may have been removed.
    pub async fn remove(self) -> io::Result<()> {
        on_thread(move || self.0.close()).await
    }
}
