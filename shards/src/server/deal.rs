//! One shard accepts for all: its door, and the way of a connection to the shard that gets it.
//!
//! ```text
//!  the acceptor                                   the shard that was chosen
//!   a connection comes in by the door
//!   Seats::choose: counted there at once
//!   a post with the socket ─────────────────────▶ its server takes it in: a stream and a task
//!   no room anywhere? the door rests ◀── a ring ── a connection ends
//! ```
//!
//! The socket travels once, before a byte is read from it, and never again. If the acceptor's shard is lost, its
//! listeners travel as they are, with what waits in their backlog, to a shard that still serves.

use std::cell::Cell;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;

use corelane::{LocalContext, SchedulingGroup, Server, ServerBuilder, spawn};

use super::accept::Accept;
use super::group::Group;
use crate::call::{ShardsHandle, TryPostError};
use crate::id::ShardId;
use crate::shard::Shard;

/// The listeners of a shard that accepts for all.
pub(super) struct Door {
    group: Arc<Group>,
    servers: Vec<Server>,
    spare: Spare,
}

/// What another shard opens the same door with.
struct Spare {
    limits: ServerBuilder,
    accept: Accept,
    listeners: Vec<TcpListener>,
}

impl Door {
    pub(super) fn open(
        limits: &ServerBuilder,
        accept: Accept,
        group: &Arc<Group>,
        listeners: Vec<TcpListener>,
    ) -> io::Result<Self> {
        let spare = listeners.iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?;
        let spare = Spare { limits: limits.clone(), accept, listeners: spare };
        let last = Rc::new(Cell::new(usize::MAX));
        let open = |listener| {
            let (group, last) = (Arc::clone(group), Rc::clone(&last));
            let server = limits.adopt(listener)?.start_raw(move |socket| {
                if let Some(shard) = Shard::current() {
                    deal(&shard, &group, accept, &last, socket);
                }
            })?;
            Ok(server)
        };
        let open_all = || listeners.into_iter().map(open).collect::<corelane::Result<_>>();
        // With nothing of who serves first: what handlers inherit comes from their own shard.
        let of_nobody = || LocalContext::default().enter(open_all);
        let servers = SchedulingGroup::default().enter(of_nobody)??;
        Ok(Self { group: Arc::clone(group), servers, spare })
    }

    pub(super) fn is_of(&self, group: &Arc<Group>) -> bool {
        Arc::ptr_eq(&self.group, group)
    }

    /// Has a shard that still serves accept for all, because this one is lost to them.
    pub(super) fn hand_over(self, shard: &Shard) {
        let Self { group, servers, spare } = self;
        // Before the other begins, so that each connection is accepted by one of them.
        drop(servers);
        Passed { group, spare: Some(spare), lost: vec![shard.id()], shards: shard.handle() }.send();
    }

    fn rest_if_full(&self) {
        if self.group.seats.is_full() {
            self.servers.iter().for_each(Server::pause);
        }
    }

    pub(super) fn go_on(&self) {
        self.servers.iter().for_each(Server::resume);
    }
}

/// A door on its way to another shard. That may end before it gets there: then it goes on to the next.
struct Passed {
    group: Arc<Group>,
    /// There until it has arrived.
    spare: Option<Spare>,
    /// Shards that cannot open it, the last one being the acceptor of now.
    lost: Vec<ShardId>,
    shards: ShardsHandle,
}

impl Passed {
    /// Sends it to a shard that serves, if there is one: else the run is over.
    fn send(mut self) {
        let Some(to) = self.group.pass_door(&self.lost) else {
            self.spare = None;
            return;
        };
        self.lost.push(to);
        let remote = self.shards.remote(to).clone();
        // Refused it is dropped, and so is sent on.
        let _ = remote.submit(move || self.arrive());
    }

    fn arrive(mut self) {
        let Some(shard) = Shard::current() else { return };
        if let Some(spare) = self.spare.take() {
            take_over(&shard, &self.group, spare);
        }
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        if let Some(spare) = self.spare.take() {
            let (group, shards) = (Arc::clone(&self.group), self.shards.clone());
            let lost = std::mem::take(&mut self.lost);
            Self { group, spare: Some(spare), lost, shards }.send();
        }
    }
}

fn take_over(shard: &Shard, group: &Arc<Group>, spare: Spare) {
    match Door::open(&spare.limits, spare.accept, group, spare.listeners) {
        // It has ended to serve meanwhile.
        Ok(door) if shard.servers().part_of(group).is_none() => door.hand_over(shard),
        Ok(door) => {
            shard.servers().keep_door(door);
            shard.servers().with_door(group, Door::rest_if_full);
        }
        Err(error) => {
            corelane::__report!(ERROR, "nobody accepts on {:?} any more: {error}", group.addrs())
        }
    }
}

/// Gives a connection that has come in by the door to a shard.
fn deal(shard: &Shard, group: &Arc<Group>, accept: Accept, last: &Cell<usize>, socket: TcpStream) {
    // Before the first one is the last shard.
    let before = last.get().min(shard.count() - 1);
    // Nobody: then the door is about to be closed, and so is the connection.
    let Some(to) = group.seats.choose(accept, before) else { return };
    last.set(to.index());
    Handed::new(group, accept, to, socket).send(shard);
    shard.servers().with_door(group, Door::rest_if_full);
}

/// A connection on its way, counted at the shard it goes to.
struct Handed {
    group: Arc<Group>,
    accept: Accept,
    to: ShardId,
    socket: Option<TcpStream>,
    has_arrived: bool,
}

impl Handed {
    fn new(group: &Arc<Group>, accept: Accept, to: ShardId, socket: TcpStream) -> Self {
        Self { group: Arc::clone(group), accept, to, socket: Some(socket), has_arrived: false }
    }

    fn send(self, shard: &Shard) {
        let to = self.to;
        if to == shard.id() {
            return self.arrive();
        }
        match shard.try_post(to, move || self.arrive()) {
            Ok(()) => {}
            // Dropping it closes the connection and takes it out of the count.
            Err(TryPostError::Unreachable(handed, _)) => drop(handed),
            Err(TryPostError::Full(handed)) => {
                let shard = shard.clone();
                drop(spawn(async move { shard.post(to, handed).await }));
            }
        }
    }

    fn arrive(mut self) {
        let (Some(shard), Some(socket)) = (Shard::current(), self.socket.take()) else { return };
        let Some(part) = shard.servers().part_of(&self.group) else {
            return self.go_elsewhere(&shard, socket);
        };
        match part.server.admit(socket) {
            // It stays in the count, and its end takes it out.
            Ok(()) => self.has_arrived = true,
            Err(error) => {
                corelane::__report!(WARN, "a connection that was accepted is lost: {error}")
            }
        }
    }

    /// The shard has ended to serve meanwhile: another one gets the connection.
    fn go_elsewhere(&self, shard: &Shard, socket: TcpStream) {
        let Some(to) = self.group.seats.choose(self.accept, self.to.index()) else { return };
        Self::new(&self.group, self.accept, to, socket).send(shard);
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if !self.has_arrived {
            ended(&self.group, self.to);
        }
    }
}

/// A connection of a shard is gone: the acceptor is rung if it waits for room.
pub(super) fn ended(group: &Arc<Group>, id: ShardId) {
    if group.seats.ended(id) {
        ring(group);
    }
}

/// Tells the acceptor that there is room.
pub(super) fn ring(group: &Arc<Group>) {
    let (Some(shard), Some(acceptor)) = (Shard::current(), group.acceptor()) else { return };
    let group = Arc::clone(group);
    // Refused means that the shard has ended, and accepts nothing more.
    let _ = shard.remote(acceptor).submit(move || {
        if let Some(shard) = Shard::current() {
            shard.servers().with_door(&group, Door::go_on);
        }
    });
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
