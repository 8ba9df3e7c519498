//! One lane: messages from one shard to another, in order, in batches.
//!
//! ```text
//!  sender's turn                                       receiver's turn
//!   push, push, push ─▶ outbox                          mail phase: next, next, next
//!   worth a packet, or flush phase: one packet ───────▶ packet ─▶ batch
//!                emptied batches ◀───────────────────── comes home when the last message is out
//! ```
//!
//! The channel's price is paid once a packet and not once a message. A packet leaves when it is worth
//! its price, so that the receiver works while the sender goes on, and at the end of the turn at the
//! latest; a message that is alone travels without a batch around it. Nothing here ever waits: a packet that finds the channel full goes
//! back to the outbox, whose size is bounded by the permits of the calls that fill it. The sender
//! then leaves a note, and the receiver, when it has made room, announces itself to the sender.
//! Both write, pass a fence, and read what the other wrote, so one of them sees the other:
//!
//! ```text
//!  sender                                  receiver
//!   full: leave the note, fence             take a packet, fence
//!   try once more                           note there? take it down, announce
//! ```

mod channel;
mod mailbox;
#[cfg(test)]
#[cfg(loom)]
mod models;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use corelane::RemoteLoop;

use crate::atomic::{AtomicBool, Ordering, full_fence};
use crate::clock::{self, Moment};

pub(crate) use channel::{Channel, Crossbeam, Nothing, Refused};
pub(crate) use mailbox::{Mailbox, Ring, bit_of};

/// A batch that has grown beyond this many messages is freed and not sent home for reuse.
const REUSED_BATCH_LIMIT: usize = 1024;
/// An outbox with so many messages is worth a packet of its own. With fewer the packet's price, two
/// cache lines and a fence, shows in each; with more the receiver starts late for nothing.
const PACKET_MESSAGES: usize = 16;

/// Of so many packets of a lane one says when it was sent: each costs two looks at a clock and an allocation.
const TIMED_PACKETS: u64 = 64;

/// What one channel slot carries.
enum Packet<M> {
    One(M),
    Many(VecDeque<M>),
    /// Another, and when it was sent. Boxed, so that the usual one is no larger for it.
    Timed(Box<(Moment, Self)>),
}

impl<M> Packet<M> {
    fn message_count(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Many(batch) => batch.len() as u64,
            Self::Timed(timed) => timed.1.message_count(),
        }
    }
}

/// A note on the lane that says that the sender waits for room.
#[derive(Debug)]
struct Note(AtomicBool);

/// What became of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// The outbox is empty: its messages are in the channel, or it had none.
    Sent,
    /// The channel is full; the receiver will announce itself when it has made room.
    Full,
    /// The receiver has ended; the messages are still in the outbox.
    Gone,
}

/// What a lane has done so far. Counted by the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Messages that left: calls and posts out, answers home, cancellations, permits of posts.
    pub message_count: u64,
    /// Packets that carried them: those that were full before their turn ended, and one per turn for
    /// the rest.
    pub packet_count: u64,
    /// Packets for which the receiver had to be woken, at the price of a system call.
    pub wake_count: u64,
    /// Flushes that found the lane full.
    pub full_count: u64,
    /// Calls and posts that had to wait for a permit.
    pub wait_count: u64,
}

impl LaneStats {
    /// Packets for which the receiver was awake, so that no system call was made.
    #[must_use]
    pub fn suppressed_wake_count(&self) -> u64 {
        self.packet_count - self.wake_count
    }
}

/// The sending end of a lane.
pub(crate) struct LaneSender<M: Send, C: Channel = Crossbeam, R = RemoteLoop> {
    outbox: VecDeque<M>,
    spare: VecDeque<M>,
    packets: C::Tx<Packet<M>>,
    empties: C::Rx<VecDeque<M>>,
    note: Arc<Note>,
    own_id: usize,
    receiver: Arc<Mailbox<R>>,
    stats: LaneStats,
}

/// The receiving end of a lane.
pub(crate) struct LaneReceiver<M: Send, C: Channel = Crossbeam, R = RemoteLoop> {
    batch: VecDeque<M>,
    packets: C::Rx<Packet<M>>,
    empties: C::Tx<VecDeque<M>>,
    note: Arc<Note>,
    capacity: usize,
    taken: usize,
    own_id: usize,
    sender: Arc<Mailbox<R>>,
}

/// One end's place in the mesh: a shard's number and its mailbox.
pub(crate) struct End<'a, R> {
    pub(crate) id: usize,
    pub(crate) mailbox: &'a Arc<Mailbox<R>>,
}

/// A lane from one shard to another that holds `capacity` packets, at least one.
pub(crate) fn lane<M: Send, C: Channel, R: Ring>(
    from: &End<'_, R>,
    to: &End<'_, R>,
    capacity: usize,
) -> (LaneSender<M, C, R>, LaneReceiver<M, C, R>) {
    let (packets_in, packets_out) = C::bounded(capacity);
    let (empties_in, empties_out) = C::bounded(capacity);
    let note = Arc::new(Note(AtomicBool::new(false)));
    let sender = LaneSender {
        outbox: VecDeque::new(),
        spare: VecDeque::new(),
        packets: packets_in,
        empties: empties_out,
        note: Arc::clone(&note),
        own_id: from.id,
        receiver: Arc::clone(to.mailbox),
        stats: LaneStats::default(),
    };
    let receiver = LaneReceiver {
        batch: VecDeque::new(),
        packets: packets_out,
        empties: empties_in,
        note,
        capacity,
        taken: 0,
        own_id: to.id,
        sender: Arc::clone(from.mailbox),
    };
    (sender, receiver)
}

impl<M: Send, C: Channel, R: Ring> LaneSender<M, C, R> {
    /// Appends a message to the outbox; the next flush sends it.
    pub(crate) fn push(&mut self, message: M) {
        self.outbox.push_back(message);
    }

    /// Whether the outbox is worth a packet, and a flush before the end of the turn.
    pub(crate) fn has_full_packet(&self) -> bool {
        self.outbox.len() >= PACKET_MESSAGES
    }

    /// Sends the outbox as one packet, and wakes the receiver if it sleeps.
    pub(crate) fn flush(&mut self) -> Flushed {
        let Some(mut packet) = self.pack() else { return Flushed::Sent };
        if self.stats.packet_count.is_multiple_of(TIMED_PACKETS) {
            packet = Packet::Timed(Box::new((clock::now(), packet)));
        }
        let outcome = self.send(packet).or_else(|refused| match refused {
            Refused::Full(packet) => {
                self.note.0.store(true, Ordering::Relaxed);
                // Pairs with the fence in `LaneReceiver::count_packet`: either it sees the note, or
                // this second attempt sees the room it made.
                full_fence();
                self.send(packet)
            }
            gone => Err(gone),
        });
        match outcome {
            Ok(()) => Flushed::Sent,
            Err(Refused::Full(packet)) => {
                self.unpack(packet);
                self.stats.full_count += 1;
                Flushed::Full
            }
            Err(Refused::Gone(packet)) => {
                // Kept, so that the caller drops the messages with this lane, when nothing is
                // borrowed.
                self.unpack(packet);
                Flushed::Gone
            }
        }
    }

    /// What this lane has done so far.
    pub(crate) fn stats(&self) -> LaneStats {
        self.stats
    }

    /// Tells the receiver that this end has been dropped: `self` consumed, the channel closed, then
    /// the bell.
    pub(crate) fn close(self) {
        struct Announce<R: Ring>(Arc<Mailbox<R>>, usize);
        impl<R: Ring> Drop for Announce<R> {
            fn drop(&mut self) {
                self.0.announce(self.1);
            }
        }
        // A guard, so that a message that panics when it is dropped does not leave the receiver
        // asleep.
        let _announce = Announce(Arc::clone(&self.receiver), self.own_id);
        drop(self);
    }

    /// The outbox as a packet; an emptied batch from home takes its place.
    fn pack(&mut self) -> Option<Packet<M>> {
        if self.outbox.len() < 2 {
            return self.outbox.pop_front().map(Packet::One);
        }
        let fresh = match mem::take(&mut self.spare) {
            spare if spare.capacity() > 0 => spare,
            _ => C::try_recv(&self.empties).unwrap_or_default(),
        };
        Some(Packet::Many(mem::replace(&mut self.outbox, fresh)))
    }

    /// Puts a refused packet back as the outbox, which nobody has touched since.
    fn unpack(&mut self, packet: Packet<M>) {
        match packet {
            Packet::One(message) => self.outbox.push_front(message),
            Packet::Many(batch) => self.spare = mem::replace(&mut self.outbox, batch),
            Packet::Timed(timed) => self.unpack(timed.1),
        }
    }

    fn send(&mut self, packet: Packet<M>) -> Result<(), Refused<Packet<M>>> {
        let message_count = packet.message_count();
        C::try_send(&self.packets, packet)?;
        let woken = self.receiver.announce(self.own_id);
        self.stats.message_count += message_count;
        self.stats.packet_count += 1;
        self.stats.wake_count += u64::from(woken);
        Ok(())
    }
}

impl<M: Send, C: Channel, R: Ring> LaneReceiver<M, C, R> {
    /// Takes the oldest message.
    #[cfg(test)]
    pub(crate) fn next(&mut self) -> Result<M, Nothing> {
        self.next_timed(|_| ())
    }

    /// Takes the oldest message. If it comes with a packet that says when it was sent, `on_hop` is told how long
    /// ago that was.
    pub(crate) fn next_timed(&mut self, on_hop: impl FnOnce(Duration)) -> Result<M, Nothing> {
        if self.batch.is_empty() {
            let packet = C::try_recv(&self.packets)?;
            self.count_packet();
            if let Some(message) = self.take_in(packet, on_hop) {
                return Ok(message);
            }
        }
        let message = self.batch.pop_front().ok_or(Nothing::Empty)?;
        if self.batch.is_empty() {
            self.return_batch();
        }
        Ok(message)
    }

    /// The message of a packet with one. Any other is the batch that messages are taken from now.
    fn take_in(&mut self, packet: Packet<M>, on_hop: impl FnOnce(Duration)) -> Option<M> {
        match packet {
            Packet::One(message) => return Some(message),
            Packet::Many(batch) => self.batch = batch,
            Packet::Timed(timed) => {
                let (sent, packet) = *timed;
                on_hop(clock::now().since(sent));
                return self.take_in(packet, drop);
            }
        }
        None
    }

    /// Makes sure that a sender that found the lane full learns of the room.
    ///
    /// A full lane holds `capacity` packets, so looking once in so many is enough: the look comes
    /// with the last of them at the latest. The sender goes on when there is plenty of room, and
    /// the fence is rare.
    fn count_packet(&mut self) {
        self.taken += 1;
        if self.taken < self.capacity {
            return;
        }
        self.taken = 0;
        // Pairs with the fence in `LaneSender::flush`: either we see the note, or its second
        // attempt sees the room.
        full_fence();
        if self.note.0.load(Ordering::Relaxed) {
            self.note.0.store(false, Ordering::Relaxed);
            self.sender.announce(self.own_id);
        }
    }

    /// Sends an emptied batch home for reuse. It is freed here if it is large, or if home has
    /// plenty.
    fn return_batch(&mut self) {
        let batch = mem::take(&mut self.batch);
        if batch.capacity() <= REUSED_BATCH_LIMIT {
            // Refused means full or gone: either way nobody misses an empty batch.
            let _ = C::try_send(&self.empties, batch);
        }
    }
}
