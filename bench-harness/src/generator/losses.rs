//! Why connections broke or never were, each kind apart.

use std::io;

use rustix::io::Errno;

/// Counts of connections that did not last as long as they should.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// All of them.
    pub(crate) all: u64,
    /// Nobody listened there, or had room for one more who waits.
    pub(crate) refused: u64,
    /// The server broke it off.
    pub(crate) reset: u64,
    /// The server closed it before it had answered.
    pub(crate) closed: u64,
    /// What the server sent is no reply to the request.
    pub(crate) wrong_replies: u64,
    /// This side had no port or descriptor left for it.
    pub(crate) unopened: u64,
    /// Why the first one was lost.
    pub(crate) reason: Option<String>,
}

impl Losses {
    /// Counts one, which `error` ended.
    pub(super) fn note(&mut self, error: &io::Error) {
        self.all += 1;
        if let Some(kind) = self.kind(error) {
            *kind += 1;
        }
        self.reason.get_or_insert_with(|| error.to_string());
    }

    fn kind(&mut self, error: &io::Error) -> Option<&mut u64> {
        use io::ErrorKind::{
            AddrNotAvailable, BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset,
            InvalidData, UnexpectedEof,
        };
        let is_local = matches!(
            Errno::from_io_error(error),
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
        );
        match error.kind() {
            ConnectionRefused => Some(&mut self.refused),
            ConnectionReset | ConnectionAborted | BrokenPipe => Some(&mut self.reset),
            UnexpectedEof => Some(&mut self.closed),
            InvalidData => Some(&mut self.wrong_replies),
            AddrNotAvailable => Some(&mut self.unopened),
            _ if is_local => Some(&mut self.unopened),
            _ => None,
        }
    }

    /// Adds another thread's.
    pub(super) fn add(&mut self, other: Losses) {
        self.all += other.all;
        self.refused += other.refused;
        self.reset += other.reset;
        self.closed += other.closed;
        self.wrong_replies += other.wrong_replies;
        self.unopened += other.unopened;
        self.reason = self.reason.take().or(other.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_is_of_one_kind_and_the_first_is_told() {
        let mut losses = Losses::default();
        for errno in [
            Errno::CONNREFUSED,
            Errno::CONNRESET,
            Errno::PIPE,
            Errno::ADDRNOTAVAIL,
            Errno::MFILE,
            Errno::HOSTUNREACH,
        ] {
            losses.note(&errno.into());
        }
        losses.note(&io::ErrorKind::UnexpectedEof.into());
        losses.note(&io::ErrorKind::InvalidData.into());
        let counts =
            (losses.refused, losses.reset, losses.closed, losses.wrong_replies, losses.unopened);
        assert_eq!((losses.all, counts), (8, (1, 2, 1, 1, 2)));
        assert!(losses.reason.as_deref().unwrap().contains("refused"), "{losses:?}");
        let mut sum = Losses::default();
        sum.add(losses.clone());
        sum.add(losses);
        let counts = (sum.refused, sum.reset, sum.closed, sum.wrong_replies, sum.unopened);
        assert_eq!((sum.all, counts), (16, (2, 4, 2, 2, 4)));
        assert!(sum.reason.unwrap().contains("refused"));
    }
}
