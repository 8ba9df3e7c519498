//! Files, on the threads for what blocks: the loop goes on meanwhile.
//!
//! The functions are those of [`std::fs`], with its errors, and each is one call of
//! [`to_thread`]. A disk can keep a call waiting for seconds, and the system has no way to be told
//! when it is done that works for all files.
//!
//! ```
//! # corelane::run(async || {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("greeting");
//! use corelane::fs;
//!
//! fs::write(&path, "hello").await?;
//! assert_eq!(fs::read_to_string(&path).await?, "hello");
//! # Ok(())
//! # })?;
//! # Ok::<(), corelane::Error>(())
//! ```
//!
//! # Errors
//! What the system says, as [`std::fs`] gives it; an error of the runtime off a loop, or while the loop is closing.
//!
//! # Cancel safety
//! A call that was begun runs to its end, also when nobody waits for it any more; one that was not begun never
//! runs (rule T167).

use std::fs::{Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use crate::blocking::to_thread;

mod dir;
mod file;
mod sendfile;
mod temporary;
#[cfg(test)]
mod tests;

pub use self::dir::{DirEntry, ReadDir, read_dir};
pub use self::file::{Chunks, File};
pub use self::sendfile::SendfileError;
pub use self::temporary::{TemporaryDir, temporary_dir, temporary_file};

/// Runs a call on a thread for what blocks, and keeps its error as it is.
async fn on_thread<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    to_thread(move || Ok(call())).await?
}

/// The whole of a file.
///
/// # Errors
/// See the [module](self).
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref().to_path_buf();
    on_thread(move || std::fs::read(path)).await
}

/// The whole of a file, which must be UTF-8.
///
/// # Errors
/// See the [module](self); `InvalidData` if it is not UTF-8.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref().to_path_buf();
    on_thread(move || std::fs::read_to_string(path)).await
}

/// Makes a file with these bytes, in place of what it held.
///
/// # Errors
/// See the [module](self). A part may have been written.
pub async fn write(
    path: impl AsRef<Path>,
    contents: impl AsRef<[u8]> + Send + 'static,
) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    on_thread(move || std::fs::write(path, contents)).await
}

/// Copies a file with its permissions, and gives the number of bytes.
///
/// # Errors
/// See the [module](self).
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let (from, to) = (from.as_ref().to_path_buf(), to.as_ref().to_path_buf());
    on_thread(move || std::fs::copy(from, to)).await
}

/// Gives a file or a directory another name, in place of what has that name.
///
/// # Errors
/// See the [module](self).
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (from.as_ref().to_path_buf(), to.as_ref().to_path_buf());
    on_thread(move || std::fs::rename(from, to)).await
}

/// Gives a file a further name.
///
/// # Errors
/// See the [module](self).
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_path_buf(), link.as_ref().to_path_buf());
    on_thread(move || std::fs::hard_link(original, link)).await
}

/// Makes a symbolic link to `original`.
///
/// # Errors
/// See the [module](self).
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_path_buf(), link.as_ref().to_path_buf());
    on_thread(move || std::os::unix::fs::symlink(original, link)).await
}

/// What a symbolic link points to.
///
/// # Errors
/// See the [module](self).
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_path_buf();
    on_thread(move || std::fs::read_link(path)).await
}

/// The absolute path, without links and dots.
///
/// # Errors
/// See the [module](self).
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_path_buf();
    on_thread(move || std::fs::canonicalize(path)).await
}

/// What the system knows of a file; of what a symbolic link points to.
///
/// # Errors
/// See the [module](self).
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref().to_path_buf();
    on_thread(move || std::fs::metadata(path)).await
}

/// What the system knows of a file; of a symbolic link itself.
///
/// # Errors
/// See the [module](self).
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref().to_path_buf();
    on_thread(move || std::fs::symlink_metadata(path)).await
}

/// Whether there is such a file, followed through links.
///
/// # Errors
/// See the [module](self): that it cannot be known, for instance for want of permission.
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    let path = path.as_ref().to_path_buf();
    on_thread(move || std::fs::exists(path)).await
}

/// Changes who may do what with a file.
///
/// # Errors
/// See the [module](self).
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    on_thread(move || std::fs::set_permissions(path, permissions)).await
}

/// Makes a directory in one that exists.
///
/// # Errors
/// See the [module](self); `AlreadyExists`.
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    on_thread(move || std::fs::create_dir(path)).await
}

/// Makes a directory and those above it, as far as they are missing.
///
/// # Errors
/// See the [module](self).
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    on_thread(move || std::fs::create_dir_all(path)).await
}

/// Removes a file, or a symbolic link.
///
/// # Errors
/// See the [module](self).
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    on_thread(move || std::fs::remove_file(path)).await
}

/// Removes a directory that is empty.
///
/// # Errors
/// See the [module](self).
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    on_thread(move || std::fs::remove_dir(path)).await
}

/// Removes a directory and all that is in it. Symbolic links are removed, not followed.
///
/// # Errors
/// See the [module](self). A part may have been removed.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    on_thread(move || std::fs::remove_dir_all(path)).await
}
