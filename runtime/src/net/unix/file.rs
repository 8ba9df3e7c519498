//! The file of a Unix socket: what stands in its way, and who removes it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::{Path, PathBuf};

use crate::driver::SourceSpec;
use crate::executor::IoHandle;

/// The file that a server has made for its socket.
#[derive(Debug)]
pub(in crate::net) struct SocketFile {
    /// Absolute: the process may go elsewhere meanwhile.
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// The file of a socket that was just bound; `None` for an abstract name, or if it is gone already.
    pub(in crate::net) fn at(addr: &UnixAddr) -> Option<Self> {
        let path = std::path::absolute(addr.as_pathname()?).ok()?;
        let found = fs::symlink_metadata(&path).ok()?;
        Some(Self { path, device: found.dev(), inode: found.ino() })
    }

    /// Removes the file if it is still the same (rule S102). The socket must still be open: until it is
    /// closed, no other file can get its number.
    pub(in crate::net) fn remove(self) {
        let is_ours = |found: Metadata| found.dev() == self.device && found.ino() == self.inode;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours)
            && let Err(error) = fs::remove_file(&self.path)
        {
            __report!(WARN, path = %self.path.display(), %error, "a socket file cannot be removed");
        }
    }
}

/// Removes a socket file on which nobody listens any more (rule S101). A server that is alive keeps its file,
/// and a file that is no socket stays; binding then fails.
///
/// # Errors
/// What the system says when it will not remove the file.
pub(in crate::net) fn clear_stale(io: &IoHandle, addr: &UnixAddr) -> io::Result<()> {
    let Some(path) = addr.as_pathname() else { return Ok(()) };
    let is_socket = |found: Metadata| found.file_type().is_socket();
    if !fs::symlink_metadata(path).is_ok_and(is_socket) {
        return Ok(());
    }
    match io.open(SourceSpec::ConnectUnix { addr: addr.clone() }) {
        Ok(source) => io.close(source),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => remove(path)?,
        // A full queue, a socket of another kind, no permission: somebody's, and alive for all we know.
        Err(_) => {}
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("cannot remove the stale socket {}: {error}", path.display()),
        )),
        Ok(()) => Ok(()),
    }
}
