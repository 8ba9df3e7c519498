//! How many connections each shard has, in numbers that all shards may read: what the shard that accepts
//! for all goes by.
//!
//! A number is raised by whoever gives a connection, and lowered where the connection ends. When no shard
//! has room the acceptor stops, and whoever makes room tells it to go on:
//!
//! ```text
//!  acceptor                              a shard
//!   last room taken                       a connection ends: one less
//!   says "full"          ── fence ──▶◀── fence ──
//!   looks again: room? goes on            "full"? takes it back and rings the acceptor
//!   none: stops
//! ```
//!
//! Of the two looks at least one sees what the other has written, so no room is missed.

#[cfg(test)]
#[cfg(loom)]
mod models;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::iter;

use super::accept::Accept;
use crate::atomic::{AtomicBool, AtomicU64, Ordering, full_fence};
use crate::balance::Balance;
use crate::id::ShardId;

/// The seats of all shards at one server.
pub(crate) struct Seats {
    seats: Box<[Seat]>,
    /// The acceptor has found no room, and has stopped or is about to.
    is_full: AtomicBool,
}

/// One shard's, on a cache line of its own: its shard writes it with every connection.
#[derive(Default)]
#[repr(align(128))]
struct Seat {
    /// Connections that it has or has been promised.
    open: AtomicU64,
    /// The most that it may have; 0 if it does not serve.
    limit: AtomicU64,
    /// Connections that it ever had.
    accepted: AtomicU64,
}

impl Seats {
    pub(crate) fn new(shard_count: usize) -> Self {
        let seats = iter::repeat_with(Seat::default).take(shard_count).collect();
        Self { seats, is_full: AtomicBool::new(false) }
    }

    /// A shard serves from now on, with this many connections at a time; with 0 it serves no more.
    /// True if the acceptor has to be rung.
    #[must_use]
    pub(crate) fn set_limit(&self, id: ShardId, connection_count: usize) -> bool {
        self.seats[id.index()].limit.store(connection_count as u64, Ordering::Relaxed);
        self.made_room()
    }

    /// A shard has accepted a connection itself. Gives how many it ever had.
    pub(crate) fn opened(&self, id: ShardId) -> u64 {
        let seat = &self.seats[id.index()];
        seat.open.fetch_add(1, Ordering::Relaxed);
        // Its shard alone writes it.
        let accepted = seat.accepted.load(Ordering::Relaxed) + 1;
        seat.accepted.store(accepted, Ordering::Relaxed);
        accepted
    }

    /// A connection of a shard is gone, or did not get there. True if the acceptor has to be rung.
    #[must_use]
    pub(crate) fn ended(&self, id: ShardId) -> bool {
        self.seats[id.index()].open.fetch_sub(1, Ordering::Relaxed);
        self.made_room()
    }

    fn made_room(&self) -> bool {
        // Pairs with the fence in `is_full`: either the acceptor sees the room, or this sees that it waits.
        full_fence();
        self.is_full.load(Ordering::Relaxed) && self.is_full.swap(false, Ordering::Relaxed)
    }

    /// Says whether no shard has room, and if so, that the acceptor wants to be rung. For the acceptor.
    pub(crate) fn is_full(&self) -> bool {
        if self.seats.iter().any(Seat::has_room) {
            return false;
        }
        self.is_full.store(true, Ordering::Relaxed);
        // Pairs with the fence in `made_room`.
        full_fence();
        if self.seats.iter().any(Seat::has_room) {
            self.is_full.store(false, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Chooses the shard for a connection, and counts it there. `last` is the one that was chosen before.
    /// A connection that comes when all are full goes to the one with the fewest. `None` if no shard serves.
    /// For the acceptor.
    pub(crate) fn choose(&self, accept: Accept, last: usize) -> Option<ShardId> {
        let count = self.seats.len();
        let after_last = || (1..=count).map(|step| (last + step) % count);
        let fewest = |seats: &mut dyn Iterator<Item = usize>| {
            seats.min_by_key(|&index| self.seats[index].open.load(Ordering::Relaxed))
        };
        let mut with_room = after_last().filter(|&index| self.seats[index].has_room());
        let chosen = match accept {
            Accept::LeastLoaded => fewest(&mut with_room),
            _ => with_room.next(),
        };
        let serving = |index: &usize| self.seats[*index].limit.load(Ordering::Relaxed) > 0;
        let chosen = chosen.or_else(|| fewest(&mut after_last().filter(serving)))?;
        self.seats[chosen].open.fetch_add(1, Ordering::Relaxed);
        Some(ShardId::at(chosen))
    }

    /// How many connections all shards but one have ever had.
    pub(crate) fn accepted_elsewhere(&self, id: ShardId) -> u64 {
        let others = self.seats.iter().enumerate().filter(|(index, _)| *index != id.index());
        others.map(|(_, seat)| seat.accepted.load(Ordering::Relaxed)).sum()
    }

    /// How many connections each shard that serves has, in their order.
    pub(crate) fn balance(&self) -> Balance {
        let serving = self.seats.iter().filter(|seat| seat.limit.load(Ordering::Relaxed) > 0);
        Balance::new(serving.map(|seat| seat.open.load(Ordering::Relaxed) as f64).collect())
    }
}

impl Seat {
    fn has_room(&self) -> bool {
        self.open.load(Ordering::Relaxed) < self.limit.load(Ordering::Relaxed)
    }
}
