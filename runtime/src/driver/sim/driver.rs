//! A loop's way into its world.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::rc::Rc;

use super::World;
use super::descriptors::not_simulated;
use super::draws::Draws;
use super::net::Received;
use super::source::{ReadEnd, ReadWork, Source, What, WriteWork, waits_for_nothing};
use super::world::SeatId;
use crate::driver::buf::BufPool;
use crate::driver::op::{Completion, Op, OpId, Outcome, Started, Unsent};
use crate::driver::source::{
    CpuSteering, End, PeerCredentials, SocketOption, SourceId, SourceSpec,
};
use crate::driver::{Driver, EVENTS_PER_TURN, Keep, Park};
use crate::util::chance::Chance;
use crate::util::instant::Instant;
use crate::util::slab::{Key, Slab};
use crate::util::unpark::Unparker;

/// The driver of one loop.
pub(crate) struct SimDriver {
    world: World,
    draws: Rc<Draws>,
    seat: SeatId,
    sources: Slab<Source>,
    pool: BufPool,
    /// Where each op that is in flight waits.
    parked_at: BTreeMap<usize, SourceId>,
    /// Ops that ended by `cancel` and `close`, for the next turn.
    ended: Vec<Completion>,
    /// Keeps its memory from turn to turn.
    hot: Vec<Key>,
}

impl SimDriver {
    /// The driver of the loop that is being made on this thread.
    ///
    /// # Errors
    /// `Unsupported` if no simulation is making one.
    pub(crate) fn new() -> io::Result<Self> {
        let (world, seat) = World::place()?;
        let draws = world.draws();
        Ok(Self {
            world,
            draws,
            seat,
            sources: Slab::new(),
            pool: BufPool::new(),
            parked_at: BTreeMap::new(),
            ended: Vec::new(),
            hot: Vec::new(),
        })
    }

    fn insert(&mut self, what: What) -> SourceId {
        let source = SourceId(self.sources.insert(Source::new(what)));
        let state = &mut *self.world.0.borrow_mut();
        let owner = match what {
            What::End(key) => state.ends.get_mut(key).map(|end| &mut end.owner),
            What::Listener(key) => state.listeners.get_mut(key).map(|listener| &mut listener.owner),
            What::Socket(key) => state.sockets.get_mut(key).map(|socket| &mut socket.owner),
            What::Signal(key) => state.ears.get_mut(key).map(|ear| &mut ear.owner),
        };
        if let Some(owner) = owner {
            *owner = (self.seat, source);
        }
        source
    }

    fn what(&self, source: SourceId) -> io::Result<What> {
        let source = self.sources.get(source.0);
        source.map(|source| source.what).ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// The end of a connection that a source stands for.
    fn end(&self, source: SourceId) -> io::Result<Key> {
        match self.what(source)? {
            What::End(key) => Ok(key),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// The UDP socket that a source stands for.
    fn socket(&self, source: SourceId) -> io::Result<Key> {
        match self.what(source)? {
            What::Socket(key) => Ok(key),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    /// Takes in what came from another loop.
    fn adopt(&mut self, what: What, descriptor: OwnedFd) -> SourceId {
        let source = self.insert(what);
        if let Some(adopted) = self.sources.get_mut(source.0) {
            adopted.descriptor = Some(descriptor);
        }
        // What came on the way told nobody.
        self.world.0.borrow_mut().heat((self.seat, source));
        source
    }

    /// The outcome of a read or an accept; an accepted connection gets its source first.
    fn finish(&mut self, end: ReadEnd) -> Outcome {
        match end {
            ReadEnd::Outcome(outcome) => outcome,
            ReadEnd::Accepted(key) => {
                let source = self.insert(What::End(key));
                // What came before it was accepted told nobody.
                self.world.0.borrow_mut().heat((self.seat, source));
                Outcome::Accepted { source }
            }
        }
    }

    fn start_read(&mut self, id: OpId, source_id: SourceId, work: ReadWork) -> Started {
        let Some(source) = self.sources.get_mut(source_id.0) else { return no_source(None) };
        assert!(!source.reads(), "a source has at most one read in flight");
        let mut state = self.world.0.borrow_mut();
        // Who tries for a datagram and is told that none is there may rely on it.
        let is_certain = matches!(work, ReadWork::Datagrams);
        if (is_certain || !waits_for_nothing(&state))
            && let Some(end) = source.try_read(&mut state, &self.pool, work)
        {
            drop(state);
            return self.done_at_once(end);
        }
        source.park_read(id, work);
        state.heat((self.seat, source_id));
        self.parked_at.insert(id.index(), source_id);
        Started::Parked
    }

    /// A read that did not wait: nothing stands anywhere that could go on.
    fn done_at_once(&mut self, end: ReadEnd) -> Started {
        Started::Done(match self.finish(end) {
            Outcome::Read(buf) => Outcome::Filled(buf),
            outcome => outcome,
        })
    }

    fn start_write(&mut self, id: OpId, source_id: SourceId, work: WriteWork) -> Started {
        let Some(source) = self.sources.get_mut(source_id.0) else {
            return no_source(work.unsent());
        };
        assert!(!source.writes(), "a source has at most one write in flight");
        let state = &mut *self.world.0.borrow_mut();
        let work = if waits_for_nothing(state) {
            work
        } else {
            match source.try_write(state, work) {
                Ok(outcome) => return Started::Done(outcome),
                Err(work) => work,
            }
        };
        source.park_write(id, work);
        state.heat((self.seat, source_id));
        self.parked_at.insert(id.index(), source_id);
        Started::Parked
    }

    /// Tries what waits at a source, and says what came of it.
    fn serve(&mut self, id: SourceId, done: &mut Vec<Completion>) {
        let Some(source) = self.sources.get_mut(id.0) else { return };
        let mut state = self.world.0.borrow_mut();
        let read = source.retry_read(&mut state, &self.pool);
        let write = source.retry_write(&mut state);
        if source.may_go_on(&state) {
            // What is left is for another turn.
            state.heat((self.seat, id));
        }
        drop(state);
        let read = read.map(|(id, end)| Completion { id, outcome: self.finish(end) });
        for completion in read.into_iter().chain(write) {
            if completion.outcome.is_end() {
                self.parked_at.remove(&completion.id.index());
            }
            done.push(completion);
        }
    }

    /// Ends what waits at a source and is meant; the next turn says so.
    fn end_ops(&mut self, source: SourceId, is_meant: impl Fn(OpId) -> bool) {
        let Some(source) = self.sources.get_mut(source.0) else { return };
        for completion in source.cancel(is_meant) {
            self.parked_at.remove(&completion.id.index());
            self.ended.push(completion);
        }
        self.world.0.borrow_mut().stir(self.seat);
    }
}

fn no_source(unsent: Unsent) -> Started {
    Started::Done(Outcome::Failed(ErrorKind::NotConnected.into(), unsent))
}

impl Driver for SimDriver {
    fn now(&self) -> Instant {
        self.world.0.borrow().time_of(self.seat)
    }

    fn open(&mut self, spec: SourceSpec) -> io::Result<SourceId> {
        let mut state = self.world.0.borrow_mut();
        let what = match spec {
            SourceSpec::Listen { addr, backlog, reuse_port } => {
                let key = state.bind(self.seat, addr, reuse_port)?;
                if let Some(backlog) = backlog {
                    // Nobody has begun to listen there since it was bound.
                    state.listen(key, backlog)?;
                }
                What::Listener(key)
            }
            SourceSpec::Connect { addr, local } => {
                What::End(state.connect(self.seat, addr, local)?)
            }
            SourceSpec::ListenUnix { addr, backlog } => {
                let key = state.bind_unix(self.seat, &addr)?;
                if let Some(backlog) = backlog {
                    state.listen(key, backlog)?;
                }
                What::Listener(key)
            }
            SourceSpec::ConnectUnix { addr } => What::End(state.connect_unix(self.seat, &addr)?),
            SourceSpec::Datagrams { addr, reuse_port } => {
                What::Socket(state.bind_datagrams(self.seat, addr, reuse_port)?)
            }
            SourceSpec::Signal { number } => What::Signal(state.hear(self.seat, number)?),
            SourceSpec::Adopt { descriptor, .. } => {
                let what = state.given(&descriptor)?;
                drop(state);
                return Ok(self.adopt(what, descriptor));
            }
        };
        drop(state);
        Ok(self.insert(what))
    }

    fn close(&mut self, id: SourceId) {
        self.end_ops(id, |_| true);
        let Some(source) = self.sources.remove(id.0) else { return };
        self.world.0.borrow_mut().let_go(source);
    }

    fn start(&mut self, id: OpId, op: Op) -> Started {
        match op {
            Op::Read { source, max_bytes } => {
                assert!(max_bytes > 0, "a read of nothing cannot be told from the end");
                self.start_read(id, source, ReadWork::Bytes(max_bytes))
            }
            Op::Accept { source } => self.start_read(id, source, ReadWork::Accept),
            Op::Readable { source } => self.start_read(id, source, ReadWork::Look),
            Op::Writable { source } => self.start_write(id, source, WriteWork::Room),
            Op::Write { source, data } => {
                self.start_write(id, source, WriteWork::Send { data, sent: 0 })
            }
            Op::Connected { source } => self.start_write(id, source, WriteWork::Connect),
            Op::ReceiveFrom { source } => self.start_read(id, source, ReadWork::Datagrams),
            Op::SendTo { source, datagram } => {
                self.start_write(id, source, WriteWork::Datagram(datagram))
            }
            Op::Watch { source } => {
                let error = self.what(source).err();
                let error = error.unwrap_or_else(|| ErrorKind::InvalidInput.into());
                Started::Done(Outcome::Failed(error, None))
            }
        }
    }

    fn try_send(&mut self, source: SourceId, bytes: &[u8]) -> io::Result<usize> {
        let key = self.end(source)?;
        self.world.0.borrow_mut().transmit(key, bytes)
    }

    fn try_send_vectored(&mut self, source: SourceId, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let key = self.end(source)?;
        let first = slices.iter().find(|slice| !slice.is_empty());
        first.map_or(Ok(0), |slice| self.world.0.borrow_mut().transmit(key, slice))
    }

    fn try_receive(
        &mut self,
        source: SourceId,
        into: &mut [u8],
        keep: Keep,
    ) -> io::Result<Option<usize>> {
        let key = self.end(source)?;
        let limit = into.len();
        let mut filled = 0;
        let received =
            self.world.0.borrow_mut().receive(key, limit, keep == Keep::Yes, |piece| {
                into[filled..filled + piece.len()].copy_from_slice(piece);
                filled += piece.len();
            })?;
        Ok(match received {
            Received::Bytes(count, _) => Some(count),
            Received::End => Some(0),
            Received::Nothing => None,
        })
    }

    fn share(&self, source: SourceId) -> io::Result<OwnedFd> {
        self.what(source)?;
        Err(not_simulated("descriptors of the system"))
    }

    fn forget_room(&mut self, _source: SourceId) {}

    fn found_room(&mut self, _source: SourceId) {}

    fn take(&mut self, id: SourceId) -> io::Result<OwnedFd> {
        self.what(id)?;
        self.end_ops(id, |_| true);
        let source = self.sources.remove(id.0).ok_or(ErrorKind::NotConnected)?;
        self.world.0.borrow_mut().give(source)
    }

    fn try_send_to(
        &mut self,
        source: SourceId,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> io::Result<bool> {
        let key = self.socket(source)?;
        self.world.0.borrow_mut().send_datagram(key, bytes, to).map(|()| true)
    }

    fn set_peer(&mut self, source: SourceId, peer: SocketAddr) -> io::Result<()> {
        let key = self.socket(source)?;
        self.world.0.borrow_mut().set_datagram_peer(key, peer);
        Ok(())
    }

    fn cancel(&mut self, id: OpId) {
        if let Some(source) = self.parked_at.get(&id.index()).copied() {
            self.end_ops(source, |parked| parked == id);
        }
    }

    fn turn(&mut self, park: Park, done: &mut Vec<Completion>) -> io::Result<()> {
        let mut hot = std::mem::take(&mut self.hot);
        let mut state = self.world.0.borrow_mut();
        let is_rung = state.seats[self.seat.0].bell.take();
        state.take_hot(self.seat, EVENTS_PER_TURN, &mut hot);
        drop(state);
        done.append(&mut self.ended);
        for source in hot.drain(..) {
            self.serve(SourceId(source), done);
        }
        self.hot = hot;
        if !done.is_empty() || is_rung {
            return Ok(());
        }
        let mut state = self.world.0.borrow_mut();
        let alarm = match park {
            Park::No => return Ok(()),
            Park::Until(deadline) if deadline <= state.time_of(self.seat) => return Ok(()),
            Park::Until(deadline) => Some(deadline),
            Park::Forever => None,
        };
        let is_early = state.draws.happens("early turn", state.settings.early_turns);
        if !is_early && !state.is_hot(self.seat) {
            state.sleep(self.seat, alarm);
        }
        Ok(())
    }

    fn unparker(&self) -> Unparker {
        Unparker::new(self.world.0.borrow().seats[self.seat.0].bell.clone())
    }

    fn shutdown(&mut self, source: SourceId, how: Shutdown) -> io::Result<()> {
        let key = self.end(source)?;
        let mut state = self.world.0.borrow_mut();
        if how != Shutdown::Read {
            state.half_close(key)?;
        }
        if how != Shutdown::Write {
            state.deafen(key);
            state.heat((self.seat, source));
        }
        Ok(())
    }

    fn local_addr(&self, source: SourceId) -> io::Result<SocketAddr> {
        self.world.0.borrow().local_addr(self.what(source)?)
    }

    fn peer_addr(&self, source: SourceId) -> io::Result<SocketAddr> {
        self.world.0.borrow().peer_addr(self.what(source)?)
    }

    fn unix_addr(&self, source: SourceId, end: End) -> io::Result<UnixAddr> {
        self.world.0.borrow().unix_addr(self.what(source)?, end)
    }

    fn peer_credentials(&self, source: SourceId) -> io::Result<PeerCredentials> {
        self.world.0.borrow().peer_credentials(self.what(source)?)
    }

    fn listen(&mut self, source: SourceId, backlog: u32) -> io::Result<()> {
        match self.what(source)? {
            What::Listener(key) => self.world.0.borrow_mut().listen(key, backlog),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    fn set_option(&mut self, source: SourceId, option: SocketOption) -> io::Result<()> {
        let What::End(key) = self.what(source)? else { return Ok(()) };
        let mut state = self.world.0.borrow_mut();
        match option {
            SocketOption::SendBufferBytes(bytes) => state.set_buffer(key, bytes),
            SocketOption::Linger(limit) => {
                if let Some(end) = state.ends.get_mut(key) {
                    end.resets = limit.is_some();
                }
            }
            SocketOption::KeepAlive(idle) => state.set_keep_alive(key, idle),
            // They change nothing that is simulated.
            SocketOption::NoDelay(_)
            | SocketOption::TimeToLive(_)
            | SocketOption::Broadcast(_)
            | SocketOption::ReceiveBufferBytes(_) => {}
        }
        Ok(())
    }

    fn steer(&mut self, source: SourceId, steering: &CpuSteering) -> io::Result<()> {
        match self.what(source)? {
            What::Listener(key) => self.world.0.borrow_mut().steer(key, steering),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    fn chance(&self) -> Option<Rc<dyn Chance>> {
        Some(Rc::clone(&self.draws) as Rc<dyn Chance>)
    }
}

impl Drop for SimDriver {
    /// What a process leaves open its system closes.
    fn drop(&mut self) {
        let sources: Vec<_> = self.sources.iter().map(|(key, _)| SourceId(key)).collect();
        sources.into_iter().for_each(|source| self.close(source));
        self.world.0.borrow_mut().leave(self.seat);
    }
}
