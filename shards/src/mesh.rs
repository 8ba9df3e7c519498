//! The mesh: a lane for every ordered pair of shards, made once and dealt out.
//!
//! Each shard holds a [`Post`]: an outlet to every peer and an inlet from every peer. In its mail
//! phase it takes what has arrived, lane by lane in turn and up to a budget, so that neither a busy
//! peer nor busy peers together can keep it from its own work. What it writes leaves in packets: as
//! soon as there is enough for one, and the rest in the flush phase. What does not fit stays in the outlet until the receiver says that there is room.

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::cell::{Cell, RefCell};
use std::hint::spin_loop;
use std::mem;
use std::ops::RangeInclusive;
use std::sync::Arc;

use corelane::RemoteLoop;
use corelane::stats::Durations;

use crate::lane::{
    Channel, Crossbeam, End, Flushed, LaneReceiver, LaneSender, LaneStats, Mailbox, Nothing, Ring,
    bit_of, lane,
};
use crate::seam;

/// The most messages taken from one lane in one turn.
const LANE_SHARE: usize = 128;
/// The most messages taken from all lanes in one turn.
const TURN_BUDGET: usize = 512;
/// How often a shard that had mail looks for more before it sleeps, at least and at most: what it
/// found, or did not find, the last time doubles or halves it. The most is some microseconds' worth,
/// about what the sleep and the wake-up would cost both sides.
const LINGER_LOOKS: RangeInclusive<u32> = 8..=256;

/// One shard's ends of the mesh, on their way to its thread.
pub(crate) struct Ends<M: Send, C: Channel = Crossbeam, R = RemoteLoop> {
    id: usize,
    mailbox: Arc<Mailbox<R>>,
    senders: Vec<Option<LaneSender<M, C, R>>>,
    receivers: Vec<Option<LaneReceiver<M, C, R>>>,
}

/// Makes the lanes between as many shards as there are bells, each for `capacity` packets.
pub(crate) fn deal<M: Send, C: Channel, R: Ring>(
    bells: Vec<R>,
    capacity: usize,
) -> Vec<Ends<M, C, R>> {
    let shard_count = bells.len();
    let mailboxes: Vec<_> = bells.into_iter().map(|bell| Arc::new(Mailbox::new(bell))).collect();
    let mut all: Vec<Ends<M, C, R>> = mailboxes
        .iter()
        .enumerate()
        .map(|(id, mailbox)| Ends {
            id,
            mailbox: Arc::clone(mailbox),
            senders: (0..shard_count).map(|_| None).collect(),
            receivers: (0..shard_count).map(|_| None).collect(),
        })
        .collect();
    for from in 0..shard_count {
        for to in (0..shard_count).filter(|&to| to != from) {
            let (sender, receiver) = lane(
                &End { id: from, mailbox: &mailboxes[from] },
                &End { id: to, mailbox: &mailboxes[to] },
                capacity,
            );
            all[from].senders[to] = Some(sender);
            all[to].receivers[from] = Some(receiver);
        }
    }
    all
}

/// What a lane brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival<M> {
    /// A message.
    Message(M),
    /// The peer has ended. It is the last thing that comes from it.
    Gone,
}

/// A message could not be posted because its receiver has ended; it comes back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PeerGone<M>(pub(crate) M);

/// One shard's ends of the mesh, in use.
pub(crate) struct Post<M: Send, C: Channel = Crossbeam, R: Ring = RemoteLoop> {
    mailbox: Arc<Mailbox<R>>,
    outlets: Box<[RefCell<Outlet<M, C, R>>]>,
    inlets: Box<[Inlet<M, C, R>]>,
    /// Outlets that were written to since the last flush.
    dirty: RefCell<Vec<usize>>,
    /// Bits of the peers whose inlets held more than their share.
    unread: Cell<u64>,
    /// The bit that the next mail phase begins with.
    first_bit: Cell<u32>,
    /// Mail came since the shard last lingered, so more may follow.
    expectant: Cell<bool>,
    /// How often it looks the next time.
    linger_looks: Cell<u32>,
    /// How long packets from all peers were on their way, for a sample of them.
    hops: RefCell<Durations>,
}

/// None for the shard itself and for a peer that has ended.
type Inlet<M, C, R> = RefCell<Option<LaneReceiver<M, C, R>>>;

struct Outlet<M: Send, C: Channel, R: Ring> {
    /// None for the shard itself and for a peer that has ended.
    sender: Option<LaneSender<M, C, R>>,
    state: OutletState,
    final_stats: LaneStats,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OutletState {
    /// Nothing waits in it.
    Idle,
    /// It is listed for the next flush; full packets leave before.
    Listed,
    /// The lane is full; the receiver will announce room.
    Blocked,
}

impl<M: Send, C: Channel, R: Ring> Post<M, C, R> {
    pub(crate) fn new(ends: Ends<M, C, R>) -> Self {
        let outlet = |sender| {
            RefCell::new(Outlet {
                sender,
                state: OutletState::Idle,
                final_stats: LaneStats::default(),
            })
        };
        debug_assert!(ends.senders[ends.id].is_none(), "a shard has no lane to itself");
        Self {
            mailbox: ends.mailbox,
            outlets: ends.senders.into_iter().map(outlet).collect(),
            inlets: ends.receivers.into_iter().map(RefCell::new).collect(),
            dirty: RefCell::new(Vec::new()),
            unread: Cell::new(0),
            first_bit: Cell::new(0),
            expectant: Cell::new(false),
            linger_looks: Cell::new(*LINGER_LOOKS.start()),
            hops: RefCell::default(),
        }
    }

    /// How many shards the mesh joins.
    pub(crate) fn shard_count(&self) -> usize {
        self.outlets.len()
    }

    /// Puts a message into the outlet to `to`, and sends what is in it if that is worth a packet.
    /// Returns whether a flush is now due that was not due before.
    ///
    /// # Errors
    /// The peer has ended, or is this shard itself.
    pub(crate) fn push(&self, to: usize, message: M) -> Result<bool, PeerGone<M>> {
        let outlet = &mut *self.outlets[to].borrow_mut();
        let Some(sender) = outlet.sender.as_mut() else { return Err(PeerGone(message)) };
        sender.push(message);
        match outlet.state {
            OutletState::Idle => outlet.state = OutletState::Listed,
            OutletState::Listed => {
                // A peer that has ended is left to the flush that is due: its messages must not be
                // dropped while the outlet is borrowed.
                if sender.has_full_packet() && sender.flush() == Flushed::Full {
                    outlet.state = OutletState::Blocked;
                }
                return Ok(false);
            }
            OutletState::Blocked => return Ok(false),
        }
        let mut dirty = self.dirty.borrow_mut();
        dirty.push(to);
        Ok(dirty.len() == 1)
    }

    /// Whether nothing can be posted to `to`: it has ended, or is this shard itself.
    pub(crate) fn has_ended(&self, to: usize) -> bool {
        self.outlets[to].borrow().sender.is_none()
    }

    /// Sends what was pushed since the last flush.
    pub(crate) fn flush(&self) {
        let mut dirty = self.dirty.take();
        for to in dirty.drain(..) {
            self.flush_outlet(to);
        }
        let mut newly_dirty = self.dirty.borrow_mut();
        dirty.append(&mut newly_dirty);
        *newly_dirty = dirty;
    }

    /// Whether [`collect`](Self::collect) would find something to look at.
    pub(crate) fn has_mail(&self) -> bool {
        self.unread.get() != 0 || self.mailbox.has_news()
    }

    /// Looks for mail a little longer if some came since the last time: a peer in the middle of its
    /// work sends packet after packet. Returns whether there is news. An idle shard does not linger,
    /// and one whose peers are slower than it can wait for does so less and less.
    pub(crate) fn linger(&self) -> bool {
        if !self.expectant.take() {
            return false;
        }
        let looks = self.linger_looks.get();
        let found = (0..looks).any(|_| {
            spin_loop();
            self.mailbox.has_news()
        });
        let next = if found { looks * 2 } else { looks / 2 };
        self.linger_looks.set(next.clamp(*LINGER_LOOKS.start(), *LINGER_LOOKS.end()));
        found
    }

    /// Takes what has arrived, up to the budget of a turn, and hands it to `deliver`; retries what
    /// was blocked.
    pub(crate) fn collect(&self, mut deliver: impl FnMut(usize, Arrival<M>)) {
        let bits = self.unread.take() | self.mailbox.collect();
        if bits == 0 {
            return;
        }
        self.expectant.set(true);
        let first_bit = self.first_bit.get();
        let mut rest = bits.rotate_right(first_bit);
        let (mut budget, lane_share) = (seam::part(TURN_BUDGET), seam::part(LANE_SHARE));
        while rest != 0 && budget > 0 {
            let bit = (rest.trailing_zeros() + first_bit) % 64;
            for peer in (bit as usize..self.shard_count()).step_by(64) {
                self.retry(peer);
                let share = budget.min(lane_share);
                let taken = self.take_from(peer, share, &mut deliver);
                budget -= taken;
                if taken == share {
                    self.unread.set(self.unread.get() | bit_of(peer));
                }
            }
            rest &= rest - 1;
            self.first_bit.set((bit + 1) % 64);
        }
        self.unread.set(self.unread.get() | rest.rotate_left(first_bit));
    }

    /// What the lane to `to` has done so far.
    pub(crate) fn lane_stats(&self, to: usize) -> LaneStats {
        let outlet = self.outlets[to].borrow();
        outlet.sender.as_ref().map_or(outlet.final_stats, LaneSender::stats)
    }

    /// How long packets to this shard were on their way, for a sample of them.
    pub(crate) fn hops(&self) -> Durations {
        self.hops.borrow().clone()
    }

    /// Takes at most `share` arrivals from one peer. No borrow is held while one is delivered.
    fn take_from(
        &self,
        peer: usize,
        share: usize,
        deliver: &mut impl FnMut(usize, Arrival<M>),
    ) -> usize {
        for taken in 0..share {
            let next = match self.inlets[peer].borrow_mut().as_mut() {
                Some(inlet) => inlet.next_timed(|length| self.hops.borrow_mut().record(length)),
                None => return taken,
            };
            match next {
                Ok(message) => deliver(peer, Arrival::Message(message)),
                Err(Nothing::Empty) => return taken,
                Err(Nothing::Gone) => {
                    let ended = self.inlets[peer].take();
                    drop(ended);
                    self.drop_outlet(peer);
                    deliver(peer, Arrival::Gone);
                    return taken;
                }
            }
        }
        share
    }

    fn retry(&self, peer: usize) {
        if self.outlets[peer].borrow().state == OutletState::Blocked {
            self.flush_outlet(peer);
        }
    }

    fn flush_outlet(&self, to: usize) {
        let mut outlet = self.outlets[to].borrow_mut();
        let Some(sender) = outlet.sender.as_mut() else { return };
        outlet.state = match sender.flush() {
            Flushed::Sent => OutletState::Idle,
            Flushed::Full => OutletState::Blocked,
            Flushed::Gone => {
                drop(outlet);
                return self.drop_outlet(to);
            }
        };
    }

    /// Leaves the mesh: for each side the other has ended, and peers are told at once.
    pub(crate) fn close(&self) {
        // Peers look at both lanes when the bell rings, so both must be closed by then.
        for inlet in &self.inlets {
            let inlet = inlet.take();
            drop(inlet);
        }
        for outlet in &self.outlets {
            let sender = outlet.borrow_mut().sender.take();
            if let Some(sender) = sender {
                outlet.borrow_mut().final_stats = sender.stats();
                sender.close();
            }
        }
    }

    /// Closes the outlet to a peer that has ended. Its messages are dropped when nothing is
    /// borrowed.
    fn drop_outlet(&self, to: usize) {
        let mut outlet = self.outlets[to].borrow_mut();
        outlet.final_stats = outlet.sender.as_ref().map_or(outlet.final_stats, LaneSender::stats);
        let ended = mem::take(&mut outlet.sender);
        drop(outlet);
        drop(ended);
    }
}

impl<M: Send, C: Channel, R: Ring> Drop for Post<M, C, R> {
    fn drop(&mut self) {
        self.close();
    }
}
