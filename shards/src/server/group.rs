//! What the shards of one server share: how connections come to them, and the order of their listeners.

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use corelane::lowlevel::CpuSteering;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};

use super::accept::Accept;
use super::seats::Seats;
use super::steering;
use crate::atomic::{Mutex, MutexGuard, lock};
use crate::id::ShardId;
use crate::report::StartReport;
use crate::seam;

/// Connections after which one shard that got nearly all of them shows that the CPU says nothing.
const LOPSIDED_AFTER: u64 = 256;

/// One server on all shards that serve its addresses.
pub(crate) struct Group {
    /// Each with its port.
    addrs: Vec<SocketAddr>,
    pub(super) seats: Seats,
    /// Held for a system call or two, when a shard begins or ends to serve.
    state: Mutex<State>,
    /// For some of the addresses the system chose the port.
    is_chosen: bool,
}

#[derive(Default)]
struct State {
    /// Keep ports that the system chose, as long as somebody serves or is about to.
    reserved: Vec<OwnedFd>,
    /// Shards that are about to serve.
    comers: usize,
    /// As asked for; nothing while no shard serves.
    asked: Option<Accept>,
    /// Steering was refused or is of no use.
    fell_back: bool,
    /// The shards that serve, in the order of their listeners.
    members: Vec<ShardId>,
    /// Who accepts for all.
    acceptor: Option<ShardId>,
    /// What the others had accepted when each looked last.
    seen_elsewhere: Vec<u64>,
}

/// What a member that leaves has to do.
pub(super) enum Farewell {
    /// Nothing for others.
    Alone,
    /// Close the door of the shard that accepts: nobody is left behind it.
    CloseDoorOf(ShardId),
}

impl Group {
    /// One for these addresses, as far as this machine has them; the system chooses for a port that is 0.
    pub(super) fn new(addrs: &[SocketAddr], shard_count: usize) -> io::Result<Self> {
        let (mut addrs, mut reserved) = (available(addrs)?, Vec::new());
        let is_chosen = addrs.iter().any(|addr| addr.port() == 0);
        for addr in addrs.iter_mut().filter(|addr| addr.port() == 0) {
            let (socket, bound) = reserve(*addr)?;
            addr.set_port(bound.port());
            reserved.extend(socket);
        }
        let state = State { reserved, seen_elsewhere: vec![0; shard_count], ..State::default() };
        let seats = Seats::new(shard_count);
        Ok(Self { addrs, seats, state: Mutex::new(state), is_chosen })
    }

    /// A shard is about to serve, until [`has_come`](Self::has_come). If nobody has kept the ports that the
    /// system chose, they are taken again.
    fn comes(&self) -> io::Result<()> {
        let mut state = self.state();
        // In a simulation nothing is kept: who serves there keeps the port.
        if self.is_chosen && state.reserved.is_empty() && state.is_deserted() {
            let reserved = self.addrs.iter().map(|addr| Ok(reserve(*addr)?.0));
            let reserved = reserved.collect::<io::Result<Vec<_>>>()?;
            state.reserved = reserved.into_iter().flatten().collect();
        }
        state.comers += 1;
        Ok(())
    }

    /// It serves, or has given up.
    fn has_come(&self) {
        let mut state = self.state();
        state.comers -= 1;
        state.release();
    }

    /// Whether nobody serves or is about to.
    fn is_deserted(&self) -> bool {
        self.state().is_deserted()
    }

    pub(super) fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// How connections come, with what was fallen back to.
    pub(super) fn in_force(&self) -> Accept {
        let state = self.state();
        match state.asked {
            Some(Accept::ByCpu) if state.fell_back => Accept::ReusePort,
            asked => asked.unwrap_or_default(),
        }
    }

    /// The first shard says how; the others agree.
    pub(super) fn agree(&self, accept: Accept, id: ShardId) -> io::Result<()> {
        self.state().agree(accept, id)
    }

    /// A shard whose listener is there already serves.
    pub(super) fn join(&self, accept: Accept, id: ShardId) -> io::Result<()> {
        let mut state = self.state();
        state.agree(accept, id)?;
        state.members.push(id);
        Ok(())
    }

    /// A shard begins to listen, by `listen`, in a group whose listeners are known by their order; the last to
    /// come has all steered anew.
    pub(super) fn join_steered<T>(
        &self,
        id: ShardId,
        report: &StartReport,
        listen: impl FnOnce() -> io::Result<T>,
        steer: impl FnOnce(&T, &CpuSteering) -> io::Result<()>,
    ) -> io::Result<T> {
        let mut state = self.state();
        state.agree(Accept::ByCpu, id)?;
        let listener = listen()?;
        state.members.push(id);
        state.seen_elsewhere[id.index()] = self.seats.accepted_elsewhere(id);
        if !state.fell_back
            && let Err(error) = steer(&listener, &state.steering(report))
        {
            state.fell_back = true;
            drop(state);
            corelane::__report!(
                WARN,
                "connections on {:?} cannot be steered by CPU, the system spreads them by its hash: {error}",
                self.addrs
            );
        }
        Ok(listener)
    }

    /// A shard serves behind the door of one that accepts for all, by `open` its own if there is none.
    pub(super) fn join_dealt(
        &self,
        accept: Accept,
        id: ShardId,
        open: impl FnOnce(Vec<TcpListener>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.state();
        state.agree(accept, id)?;
        if state.acceptor.is_none() {
            // The socket that keeps a chosen port shares it; other ports are to be nobody else's.
            let shares = self.is_chosen;
            let bind = |addr| {
                let socket = seam::bind(addr).unwrap_or_else(|| Ok(bind_to(addr, shares)?.0));
                socket.map(TcpListener::from)
            };
            let bound = self.addrs.iter().map(|addr| bind(*addr));
            open(bound.collect::<io::Result<_>>()?)?;
            state.acceptor = Some(id);
        }
        state.members.push(id);
        Ok(())
    }

    /// A shard ends to serve: `steer` says to the others' listeners what holds without it, before `close`
    /// closes its own, both under the lock, because the order of the listeners is theirs. So `close` must not run
    /// anybody else's code.
    pub(super) fn leave(
        &self,
        id: ShardId,
        report: &StartReport,
        steer: impl FnOnce(&CpuSteering) -> io::Result<()>,
        close: impl FnOnce(),
    ) -> Farewell {
        let mut state = self.state();
        if let Some(index) = state.members.iter().position(|member| *member == id) {
            // As the system does it: the last listener takes the number of the one that goes.
            state.members.swap_remove(index);
        }
        if state.asked == Some(Accept::ByCpu) && !state.members.is_empty() {
            // What was given up goes with whoever was to take it off and has not done it.
            let steering =
                if state.fell_back { CpuSteering::new() } else { state.steering(report) };
            // Refused, some connections come to another shard than they might.
            let _ = steer(&steering);
        }
        close();
        if !state.members.is_empty() {
            return Farewell::Alone;
        }
        state.release();
        (state.asked, state.fell_back) = (None, false);
        state.acceptor.take().map_or(Farewell::Alone, Farewell::CloseDoorOf)
    }

    /// Of these shards the last one accepts for all, and cannot go on with it: who of the others is to, if anybody
    /// serves.
    pub(super) fn pass_door(&self, lost: &[ShardId]) -> Option<ShardId> {
        let mut state = self.state();
        if state.acceptor.as_ref() != lost.last() {
            return None;
        }
        state.acceptor = state.members.iter().find(|member| !lost.contains(member)).copied();
        state.acceptor
    }

    /// Who accepts for all.
    pub(super) fn acceptor(&self) -> Option<ShardId> {
        self.state().acceptor
    }

    /// Looks whether one shard gets nearly all connections, when it has got so many. True once: then its
    /// listener ends the steering.
    pub(super) fn falls_back(&self, id: ShardId, accepted: u64) -> bool {
        if !accepted.is_multiple_of(LOPSIDED_AFTER) {
            return false;
        }
        let elsewhere = self.seats.accepted_elsewhere(id);
        let mut state = self.state();
        let before = std::mem::replace(&mut state.seen_elsewhere[id.index()], elsewhere);
        let is_lopsided = elsewhere.saturating_sub(before) < LOPSIDED_AFTER / 16;
        if state.fell_back || state.members.len() < 2 || !is_lopsided {
            return false;
        }
        state.fell_back = true;
        drop(state);
        corelane::__report!(
            WARN,
            "shard {id} got nearly all connections on {:?}, whose packets come in on one CPU: from now on \
             the system spreads them by its hash",
            self.addrs
        );
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn is_deserted(&self) -> bool {
        self.members.is_empty() && self.comers == 0
    }

    /// Gives the ports back that nobody needs any more.
    fn release(&mut self) {
        if self.is_deserted() {
            self.reserved.clear();
        }
    }

    fn agree(&mut self, accept: Accept, id: ShardId) -> io::Result<()> {
        if self.members.is_empty() {
            self.asked = Some(accept);
        }
        match self.asked {
            Some(asked) if asked != accept => {
                let text = format!("other shards serve there {asked}, this one would {accept}");
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
            _ if accept != Accept::ReusePort && self.members.contains(&id) => {
                let text = format!("shard {id} serves there already");
                Err(io::Error::new(io::ErrorKind::AddrInUse, text))
            }
            _ => Ok(()),
        }
    }

    fn steering(&self, report: &StartReport) -> CpuSteering {
        let placed =
            |id: &ShardId| report.shards().get(id.index()).filter(|shard| shard.is_placed)?.core;
        let cores: Vec<Option<usize>> = self.members.iter().map(placed).collect();
        steering::nearest(report.allowed().topology(), &cores)
    }
}

/// The addresses without those that are none of this machine's, or of a family that it does not have. The shards
/// have to agree, so this is found out once for all, as a server of one loop does it for itself.
fn available(addrs: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
    let (mut found, mut missing) = (Vec::new(), None);
    for addr in addrs {
        // On any port: whether this one is free is asked by who listens.
        let mut on_any_port = *addr;
        on_any_port.set_port(0);
        match why_missing(on_any_port) {
            None => found.push(*addr),
            error => missing = error,
        }
    }
    match missing {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// Why nobody can listen at this address, whatever the port.
fn why_missing(addr: SocketAddr) -> Option<io::Error> {
    if let Some(claimed) = seam::claim(addr) {
        return claimed.err();
    }
    match bound(addr, false) {
        Err(error @ (Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT)) => Some(cannot_listen(addr, error)),
        _ => None,
    }
}

/// Has the system choose a port if there is none, and keeps it while the socket lives.
fn reserve(addr: SocketAddr) -> io::Result<(Option<OwnedFd>, SocketAddr)> {
    if let Some(claimed) = seam::claim(addr) {
        // No port is given out again in a simulation.
        return Ok((None, claimed?));
    }
    // A socket that does not listen gets no connection, and nobody else gets its port.
    let (socket, bound) = bind_to(addr, true)?;
    Ok((Some(socket), bound))
}

/// Binds a socket, and says to what.
fn bind_to(addr: SocketAddr, shares: bool) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = bound(addr, shares).map_err(|error| cannot_listen(addr, error))?;
    let bound = SocketAddr::try_from(getsockname(&socket)?)?;
    Ok((socket, bound))
}

fn bound(addr: SocketAddr, shares: bool) -> Result<OwnedFd, Errno> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if addr.is_ipv6() {
        // One listener, one family: so that the same port can be had for both.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if shares {
        sockopt::set_socket_reuseport(&socket, true)?;
    } else {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &addr)?;
    Ok(socket)
}

fn cannot_listen(addr: SocketAddr, error: Errno) -> io::Error {
    let error = io::Error::from(error);
    io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}"))
}

/// The groups of one run.
#[derive(Clone, Default)]
pub(crate) struct Groups(Arc<Mutex<BTreeMap<GroupKey, Arc<Group>>>>);

/// A group by its addresses and by how often a shard had asked for a port of the system's choice.
type GroupKey = (Vec<SocketAddr>, usize);

/// A shard that is about to serve with a group.
pub(super) struct Comer {
    pub(super) group: Arc<Group>,
    groups: Groups,
}

impl Groups {
    /// The group for a shard's `nth` request for these addresses.
    pub(super) fn find(
        &self,
        addrs: &[SocketAddr],
        nth: usize,
        shard_count: usize,
    ) -> io::Result<Comer> {
        // A resolver may give the addresses of a name in any order.
        let mut key = (addrs.to_vec(), nth);
        key.0.sort_unstable();
        let mut groups = lock(&self.0);
        let group = match groups.get(&key) {
            Some(group) => Arc::clone(group),
            None => Arc::new(Group::new(addrs, shard_count)?),
        };
        group.comes()?;
        groups.insert(key, Arc::clone(&group));
        Ok(Comer { group, groups: self.clone() })
    }

    /// Forgets the groups that nobody serves with or is about to. Those whose ports the system chose are kept: a
    /// shard that has not asked as often as the others still will.
    pub(super) fn tidy(&self) {
        lock(&self.0).retain(|_, group| group.is_chosen || !group.is_deserted());
    }
}

impl Drop for Comer {
    fn drop(&mut self) {
        self.group.has_come();
        self.groups.tidy();
    }
}
