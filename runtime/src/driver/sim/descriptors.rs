//! Connections and listeners on their way from one loop to another, as descriptors.
//!
//! Between threads they travel so, and so they do here: each descriptor is a socket of the system that carries nothing.
//! The world keeps its other end, by which it knows what was meant when a loop adopts the descriptor, and hears that the
//! last copy of it was closed.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::source::{Source, What};
use super::world::State;

/// What a descriptor stands for.
pub(super) struct Deed {
    what: What,
    /// Of the socket: copies of a descriptor have it too.
    number: u64,
    /// How many sources have a copy.
    holder_count: usize,
    /// It ends when the last copy is closed.
    other_end: UnixStream,
}

impl State {
    /// A descriptor that stands for what was a source, which is closed with it.
    pub(super) fn give(&mut self, source: Source) -> io::Result<OwnedFd> {
        let Source { what, descriptor, .. } = source;
        if let Some(descriptor) = descriptor {
            self.count_holders(&descriptor, |count| count - 1);
            return Ok(descriptor);
        }
        let (descriptor, other_end) = UnixStream::pair()?;
        other_end.set_nonblocking(true)?;
        let number = number_of(descriptor.as_fd())?;
        self.deeds.push(Deed { what, number, holder_count: 0, other_end });
        Ok(descriptor.into())
    }

    /// What a descriptor stands for, which a source is to have from now on.
    ///
    /// # Errors
    /// `Unsupported` if it is the system's.
    pub(super) fn given(&mut self, descriptor: &OwnedFd) -> io::Result<What> {
        let what = self.count_holders(descriptor, |count| count + 1);
        what.ok_or_else(|| not_simulated("descriptors of the system"))
    }

    /// Changes how many sources have a copy of a descriptor, and says what it stands for.
    fn count_holders(
        &mut self,
        descriptor: &OwnedFd,
        change: impl FnOnce(usize) -> usize,
    ) -> Option<What> {
        let number = number_of(descriptor.as_fd()).ok()?;
        let deed = self.deeds.iter_mut().find(|deed| deed.number == number)?;
        deed.holder_count = change(deed.holder_count);
        Some(deed.what)
    }

    /// A source is closed: with it ends what it stands for, unless there are copies of its descriptor.
    pub(super) fn let_go(&mut self, source: Source) {
        match source.descriptor {
            None => self.end(source.what),
            Some(descriptor) => {
                self.count_holders(&descriptor, |count| count - 1);
                drop(descriptor);
                self.collect_given();
            }
        }
    }

    /// Closes what nobody has a descriptor of any more. Only the system knows that, and is asked about those that no
    /// source has a copy of: they are on their way, or were thrown away there.
    pub(super) fn collect_given(&mut self) {
        let is_over = |deed: &mut Deed| {
            deed.holder_count == 0
                && !matches!(
                    deed.other_end.read(&mut [0]),
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
                )
        };
        let over: Vec<Deed> = self.deeds.extract_if(.., is_over).collect();
        for deed in over {
            self.end(deed.what);
        }
    }
}

fn number_of(descriptor: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(rustix::fs::fstat(descriptor)?.st_ino)
}

pub(super) fn not_simulated(what: &str) -> io::Error {
    unsupported(&format!("a simulation has no {what}"))
}

pub(super) fn unsupported(why: &str) -> io::Error {
    io::Error::new(ErrorKind::Unsupported, why)
}
