//! What a simulated driver knows of one of its sources: what it is, and the ops that wait for it.

use std::os::fd::OwnedFd;

use super::net::{Link, Received};
use super::world::State;
use crate::driver::buf::{BUF_BYTES, BufPool};
use crate::driver::op::{Addressed, Completion, OpId, Outcome, Unsent, WriteData};
use crate::util::chance::Chance;
use crate::util::slab::Key;

/// One source.
pub(super) struct Source {
    pub(super) what: What,
    /// It came from another loop, and ends with the last copy of this.
    pub(super) descriptor: Option<OwnedFd>,
    read: Option<(OpId, ReadWork)>,
    write: Option<(OpId, WriteWork)>,
}

/// What a source is, in the world.
#[derive(Clone, Copy)]
pub(super) enum What {
    End(Key),
    Listener(Key),
    Socket(Key),
    Signal(Key),
}

impl State {
    /// Ends what was a source.
    pub(super) fn end(&mut self, what: What) {
        match what {
            What::End(key) => self.close(key),
            What::Listener(key) => self.unbind(key),
            What::Socket(key) => drop(self.sockets.remove(key)),
            What::Signal(key) => drop(self.ears.remove(key)),
        }
    }
}

/// Whether an op that need not wait does so all the same.
pub(super) fn waits_for_nothing(state: &State) -> bool {
    state.draws.happens("wait for nothing", state.settings.parks)
}

/// What is to be done when something has come.
#[derive(Clone, Copy)]
pub(super) enum ReadWork {
    Accept,
    /// Receive no more than this.
    Bytes(usize),
    /// Receive the datagrams that are there.
    Datagrams,
    /// Nothing: somebody else will try.
    Look,
}

/// What is to be done when there is room.
pub(super) enum WriteWork {
    /// See whether the connection was made.
    Connect,
    /// Send what follows the first `sent` bytes.
    Send {
        data: WriteData,
        sent: usize,
    },
    Datagram(Box<Addressed>),
    /// Nothing: somebody else will try.
    Room,
}

/// How a read or an accept ended.
pub(super) enum ReadEnd {
    Outcome(Outcome),
    /// An accept got a connection, which has no source yet.
    Accepted(Key),
}

impl Source {
    pub(super) fn new(what: What) -> Self {
        Self { what, descriptor: None, read: None, write: None }
    }

    fn is_socket(&self) -> bool {
        matches!(self.what, What::Socket(_))
    }

    /// Whether a read or an accept waits.
    pub(super) fn reads(&self) -> bool {
        self.read.is_some()
    }

    /// Whether a write or a connect waits.
    pub(super) fn writes(&self) -> bool {
        self.write.is_some()
    }

    pub(super) fn park_read(&mut self, id: OpId, work: ReadWork) {
        self.read = Some((id, work));
    }

    pub(super) fn park_write(&mut self, id: OpId, work: WriteWork) {
        self.write = Some((id, work));
    }

    /// Tries a read. `None` if it has to wait.
    pub(super) fn try_read(
        &self,
        state: &mut State,
        pool: &BufPool,
        work: ReadWork,
    ) -> Option<ReadEnd> {
        match (self.what, work) {
            (What::Listener(key), ReadWork::Accept) => match state.accept(key) {
                Ok(taken) => taken.map(ReadEnd::Accepted),
                Err(error) => Some(ReadEnd::Outcome(Outcome::Failed(error, None))),
            },
            (What::End(key), ReadWork::Bytes(limit)) => {
                receive(state, pool, key, limit).map(ReadEnd::Outcome)
            }
            (What::Socket(key), ReadWork::Datagrams) => state
                .receive_datagrams(key)
                .map(|received| ReadEnd::Outcome(Outcome::Datagrams(received))),
            (What::Signal(key), ReadWork::Bytes(_)) => {
                // The stream of a signal counts no bytes.
                let come = state.take_signal(key).then(|| Outcome::Filled(pool.take()));
                come.map(ReadEnd::Outcome)
            }
            (What::Signal(key), ReadWork::Look) if !state.may_take_signal(key) => None,
            (What::End(key), ReadWork::Look) if !state.may_receive(key) => None,
            (What::Listener(key), ReadWork::Look) if !state.may_accept(key) => None,
            (What::Socket(key), ReadWork::Look) if !state.may_receive_datagram(key) => None,
            (_, ReadWork::Look) => Some(ReadEnd::Outcome(Outcome::Ready)),
            (_, ReadWork::Bytes(_) | ReadWork::Accept | ReadWork::Datagrams) => {
                let error = std::io::ErrorKind::InvalidInput.into();
                Some(ReadEnd::Outcome(Outcome::Failed(error, None)))
            }
        }
    }

    /// Tries a write. Its work comes back as the error if it has to wait.
    pub(super) fn try_write(
        &self,
        state: &mut State,
        work: WriteWork,
    ) -> Result<Outcome, WriteWork> {
        let (What::End(key) | What::Socket(key) | What::Listener(key) | What::Signal(key)) =
            self.what;
        match work {
            WriteWork::Datagram(datagram) if self.is_socket() => {
                Ok(match state.send_datagram(key, &datagram.bytes, datagram.to) {
                    Ok(()) => Outcome::Sent,
                    Err(error) => Outcome::Failed(error, None),
                })
            }
            work if !matches!((self.what, &work), (What::End(_), _)) => {
                let error = std::io::ErrorKind::NotConnected.into();
                Ok(Outcome::Failed(error, work.unsent()))
            }
            WriteWork::Datagram(_) => {
                Ok(Outcome::Failed(std::io::ErrorKind::InvalidInput.into(), None))
            }
            WriteWork::Connect => match state.ends.get(key).map(|end| end.link) {
                Some(Link::Connecting) => Err(work),
                Some(Link::Made) => Ok(Outcome::Connected),
                Some(Link::Failed(why)) => Ok(Outcome::Failed(why.into(), None)),
                None => Ok(Outcome::Failed(std::io::ErrorKind::NotConnected.into(), None)),
            },
            WriteWork::Room if state.may_send(key) => Ok(Outcome::Ready),
            WriteWork::Room => Err(work),
            WriteWork::Send { data, sent } => send(state, key, data, sent),
        }
    }

    /// Tries the read that waits, and says how it went on or ended if it did.
    pub(super) fn retry_read(
        &mut self,
        state: &mut State,
        pool: &BufPool,
    ) -> Option<(OpId, ReadEnd)> {
        let (id, work) = self.read?;
        let end = self.try_read(state, pool, work)?;
        if !matches!(&end, ReadEnd::Outcome(outcome) if !outcome.is_end()) {
            self.read = None;
        }
        Some((id, end))
    }

    /// Tries the write that waits, and says how it ended if it did.
    pub(super) fn retry_write(&mut self, state: &mut State) -> Option<Completion> {
        let (id, work) = self.write.take()?;
        match self.try_write(state, work) {
            Ok(outcome) => Some(Completion { id, outcome }),
            Err(work) => {
                self.write = Some((id, work));
                None
            }
        }
    }

    /// Whether what waits could be tried again at once.
    pub(super) fn may_go_on(&self, state: &State) -> bool {
        let key = match self.what {
            What::End(key) => key,
            // More came than one op brings; the next op finds it.
            What::Socket(_) | What::Listener(_) | What::Signal(_) => return false,
        };
        let may_send = || match self.write {
            Some((_, WriteWork::Send { .. })) => state.may_send(key),
            _ => false,
        };
        self.read.is_some() && state.may_receive(key) || may_send()
    }

    /// Takes the ops out that wait and are meant, each as cancelled.
    pub(super) fn cancel(
        &mut self,
        is_meant: impl Fn(OpId) -> bool,
    ) -> impl Iterator<Item = Completion> {
        let read = self.read.take_if(|(id, _)| is_meant(*id));
        let write = self.write.take_if(|(id, _)| is_meant(*id));
        let cancelled = |id, unsent| Completion { id, outcome: Outcome::Cancelled(unsent) };
        let read = read.map(|(id, _)| cancelled(id, None));
        let write = write.map(|(id, work)| cancelled(id, work.unsent()));
        read.into_iter().chain(write)
    }
}

impl WriteWork {
    /// The bytes of a write.
    pub(super) fn unsent(self) -> Unsent {
        match self {
            Self::Connect | Self::Room | Self::Datagram(_) => None,
            Self::Send { data, .. } => Some(Box::new(data)),
        }
    }
}

/// Receives what is there; `None` if nothing is.
fn receive(state: &mut State, pool: &BufPool, key: Key, limit: usize) -> Option<Outcome> {
    if !state.may_receive(key) {
        return None;
    }
    let mut buf = pool.take();
    let storage = buf.storage_mut();
    let into = |piece: &[u8]| storage.extend_from_slice(piece);
    Some(match state.receive(key, limit.min(BUF_BYTES), false, into) {
        Ok(Received::Bytes(_, true)) => Outcome::Read(buf),
        Ok(Received::Bytes(_, false)) => Outcome::Filled(buf),
        Ok(Received::End) => Outcome::Eof,
        Ok(Received::Nothing) => return None,
        Err(error) => Outcome::Failed(error, None),
    })
}

/// Sends on. The work comes back as the error if there is no room for the rest.
fn send(
    state: &mut State,
    key: Key,
    data: WriteData,
    mut sent: usize,
) -> Result<Outcome, WriteWork> {
    while sent < data.len() {
        match state.transmit(key, data.after(sent)) {
            Ok(0) => return Err(WriteWork::Send { data, sent }),
            Ok(count) => sent += count,
            Err(error) => return Ok(Outcome::Failed(error, Some(Box::new(data)))),
        }
    }
    Ok(Outcome::Wrote(data))
}
