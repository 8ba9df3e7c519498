//! One shard's desk for calls: what came in by the lanes is run or handed in, what goes out is
//! written.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;

use corelane::lowlevel::{Flush, Poller, enlist_flush};
use corelane::{RemoteLoop, Task, try_create_task};

use super::errand::Errand;
use super::many::Spread;
use super::post::Spent;
use super::table::{CallTable, Departure, Left, Polled, Ticket};
use super::withdrawal::Withdrawals;
use crate::foreign::{drop_quietly, guarded, wake_all};
use crate::id::ShardId;
use crate::lane::LaneStats;
use crate::mesh::{self, Arrival, Ends, Post};

/// What a lane carries.
pub(crate) enum Message {
    /// A call on its way out or home, a post, or the boxes of posts that were run.
    Errand(Box<dyn Errand>),
    /// The caller gave up the call with this permit; the task that runs it is to be cancelled.
    Cancel(u32),
}

/// Permits of posts go home by this part of all: often enough that who waits for one can go on while
/// the rest is still under way, and seldom enough that a few posts wake nobody.
const SETTLED_PART: u32 = 4;
/// The largest box of a post that is kept for the next one: with 256 permits a lane keeps 64 KiB at most.
const KEPT_BOX_BYTES: usize = 256;

/// The two kinds of calls, each with permits of its own. A plain closure never waits, so its
/// permits always come back, and a task that runs for one shard may invoke closures on any without
/// a circle of permits coming about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A closure.
    Invoke = 0,
    /// A closure whose future becomes a task.
    Call = 1,
}

// Two words, because the tag hides in the box's pointer: lanes move these by the million.
const _: () = assert!(size_of::<Message>() == 16);

/// One shard's part of the mesh, on its way to the shard's thread.
pub(crate) struct Seed {
    id: ShardId,
    ends: Ends<Message>,
    permit_limit: u32,
    /// For each peer and kind: what we no longer want of it, and what it no longer wants of us.
    withdrawals: Vec<[[Arc<Withdrawals>; 2]; 2]>,
}

/// Makes the mesh between the loops that `bells` ring at, and deals it out.
pub(crate) fn deal(bells: Vec<RemoteLoop>, lane_capacity: usize, permit_limit: u32) -> Vec<Seed> {
    let shard_count = bells.len();
    let pair = || [(); 2].map(|()| Arc::new(Withdrawals::new(permit_limit)));
    let boards: Vec<Vec<[Arc<Withdrawals>; 2]>> =
        (0..shard_count).map(|_| (0..shard_count).map(|_| pair()).collect()).collect();
    let with_boards = |(own, ends)| Seed {
        id: ShardId::at(own),
        ends,
        permit_limit,
        withdrawals: (0..shard_count)
            .map(|peer| {
                [Kind::Invoke, Kind::Call].map(|kind| {
                    [&boards[own][peer], &boards[peer][own]]
                        .map(|board| Arc::clone(&board[kind as usize]))
                })
            })
            .collect(),
    };
    mesh::deal(bells, lane_capacity).into_iter().enumerate().map(with_boards).collect()
}

/// One shard's desk.
pub(crate) struct Desk {
    id: ShardId,
    post: Post<Message>,
    /// So many posts are run before their permits go home.
    settled_count: usize,
    peers: Box<[Peer]>,
    /// Who is chosen when any shard will do.
    pub(super) spread: Spread,
    this: Weak<Desk>,
}

struct Peer {
    lines: [Line; 2],
    /// Its calls to us that became tasks, by permit.
    running: RefCell<Vec<Option<Task<()>>>>,
    /// The boxes of its posts that we have run: their permits have not gone home.
    unsettled: RefCell<Vec<Box<dyn Errand>>>,
    /// Boxes of our posts that have come home, the oldest first: no more than there are permits.
    kept_boxes: RefCell<VecDeque<Box<dyn Errand>>>,
}

/// The calls of one kind between this shard and one peer.
struct Line {
    /// Ours to it.
    calls: RefCell<CallTable<Box<dyn Errand>>>,
    ours_withdrawn: Arc<Withdrawals>,
    theirs_withdrawn: Arc<Withdrawals>,
}

impl Desk {
    pub(crate) fn new(seed: Seed) -> Rc<Self> {
        let permit_limit = seed.permit_limit;
        let line = |[ours_withdrawn, theirs_withdrawn]: [Arc<Withdrawals>; 2]| Line {
            calls: RefCell::new(CallTable::new(permit_limit)),
            ours_withdrawn,
            theirs_withdrawn,
        };
        let peer = |withdrawals: [_; 2]| Peer {
            lines: withdrawals.map(line),
            running: RefCell::new(Vec::new()),
            unsettled: RefCell::default(),
            kept_boxes: RefCell::default(),
        };
        Rc::new_cyclic(|this| Self {
            id: seed.id,
            post: Post::new(seed.ends),
            settled_count: (permit_limit / SETTLED_PART).max(1) as usize,
            peers: seed.withdrawals.into_iter().map(peer).collect(),
            spread: Spread::default(),
            this: Weak::clone(this),
        })
    }

    pub(crate) fn id(&self) -> ShardId {
        self.id
    }

    pub(crate) fn shard_count(&self) -> usize {
        self.peers.len()
    }

    /// What the lane to `to` has done so far.
    pub(crate) fn lane_stats(&self, to: ShardId) -> LaneStats {
        let mut stats = self.post.lane_stats(to.index());
        let lines = &self.peers[to.index()].lines;
        stats.wait_count = lines.iter().map(|line| line.calls.borrow().wait_count()).sum();
        stats
    }

    /// How many calls, and posts, of one kind are at `to` or wait to leave for it. `None` if it has
    /// ended.
    pub(super) fn unanswered(&self, to: usize, kind: Kind) -> Option<usize> {
        let calls = || self.line(to, kind).calls.borrow().unanswered();
        (!self.post.has_ended(to)).then(calls)
    }

    /// Begins a call: it leaves with this turn's flush, or when a permit is free. `None` if the
    /// peer has ended.
    pub(super) fn begin(&self, to: usize, kind: Kind, errand: Box<dyn Errand>) -> Option<u32> {
        if self.post.has_ended(to) {
            return None;
        }
        let (slot, departure) = self.line(to, kind).calls.borrow_mut().admit(errand);
        self.depart(to, departure);
        Some(slot)
    }

    /// Takes a permit for a post, which is to be sent at once: whether there was one. `None` if the
    /// peer has ended.
    pub(super) fn take_post_permit(&self, to: usize) -> Option<bool> {
        if self.post.has_ended(to) {
            return None;
        }
        Some(self.line(to, Kind::Invoke).calls.borrow_mut().try_take_permit())
    }

    /// Begins a post that found no permit: it leaves when one is free.
    pub(super) fn queue_post(&self, to: usize, errand: Box<dyn Errand>) -> u32 {
        self.line(to, Kind::Invoke).calls.borrow_mut().queue_post(errand)
    }

    /// The box of a post that came home longest ago, to be filled again.
    pub(super) fn kept_box(&self, to: usize) -> Option<Box<dyn Errand>> {
        self.peers[to].kept_boxes.borrow_mut().pop_front()
    }

    /// Where the kept boxes are.
    #[cfg(test)]
    #[cfg(not(loom))]
    pub(super) fn kept_places(&self, to: usize) -> Vec<*const ()> {
        self.peers[to].kept_boxes.borrow().iter().map(|kept| (&raw const **kept).cast()).collect()
    }

    /// A post from `from` is run; this was its box. The last few stay here until more posts come: a peer
    /// that waits for a permit has so many under way that their turn comes.
    pub(super) fn settle_later(&self, from: usize, spent: Box<dyn Errand>) {
        let mut unsettled = self.peers[from].unsettled.borrow_mut();
        unsettled.push(spent);
        if unsettled.len() < self.settled_count {
            return;
        }
        let settled = mem::replace(&mut *unsettled, Vec::with_capacity(self.settled_count));
        drop(unsettled);
        self.send(from, Spent::new(settled));
    }

    /// Asks for the answer of a call, or whether a post has left; or leaves a waker for it.
    pub(super) fn poll(
        &self,
        to: usize,
        kind: Kind,
        slot: u32,
        waker: &Waker,
    ) -> Polled<Box<dyn Errand>> {
        let calls = &self.line(to, kind).calls;
        let polled = calls.borrow_mut().poll(slot, waker);
        if let Polled::NewWaker = polled {
            // A foreign waker runs foreign code when it is cloned, and when it is dropped.
            let clone = waker.clone();
            let known = calls.borrow_mut().leave_waker(slot, clone);
            drop(known);
        }
        polled
    }

    /// The future of a call, or of a post, was dropped.
    pub(super) fn abandon(&self, to: usize, kind: Kind, slot: u32) {
        let line = self.line(to, kind);
        let (left, waker) = line.calls.borrow_mut().abandon(slot);
        match left {
            Left::Nothing => {}
            Left::Errand(errand) => drop(errand),
            Left::Flying(permit) => {
                line.ours_withdrawn.set(permit);
                if kind == Kind::Call {
                    self.post(to, Message::Cancel(permit));
                }
            }
        }
        drop_quietly(waker);
    }

    /// Sends an answer home, or a post that has its permit.
    pub(super) fn send(&self, to: usize, errand: Box<dyn Errand>) {
        self.post(to, Message::Errand(errand));
    }

    /// An answer has come home from `from`.
    pub(super) fn hand_in(&self, from: usize, kind: Kind, ticket: Ticket, answer: Box<dyn Errand>) {
        let line = self.line(from, kind);
        let landing = line.calls.borrow_mut().land(ticket, answer);
        if landing.unwanted.is_some() {
            line.ours_withdrawn.clear(ticket.permit);
        }
        self.depart(from, landing.next);
        wake_all(landing.waker);
        drop(landing.unwanted);
    }

    /// Whether the caller of a call from `from` has given it up.
    pub(super) fn is_withdrawn(&self, from: usize, kind: Kind, ticket: Ticket) -> bool {
        self.line(from, kind).theirs_withdrawn.contains(ticket.permit)
    }

    /// Makes a task of what a call from `from` returned. A loop that is closing drops it.
    pub(super) fn start(
        &self,
        from: usize,
        ticket: Ticket,
        body: impl Future<Output = ()> + 'static,
    ) {
        let created = try_create_task(async move {
            body.await;
            Ok(())
        });
        if let Ok(task) = created {
            let index = ticket.permit as usize;
            let mut running = self.peers[from].running.borrow_mut();
            if running.len() <= index {
                running.resize_with(index + 1, || None);
            }
            running[index] = Some(task);
        }
    }

    /// The task of a call from `from` ends.
    pub(super) fn ended(&self, from: usize, ticket: Ticket) {
        let mut running = self.peers[from].running.borrow_mut();
        let task = running.get_mut(ticket.permit as usize).and_then(Option::take);
        drop(running);
        drop(task);
    }

    /// These boxes of our posts to `peer` have come home, and their permits with them: others may leave.
    pub(super) fn settle(&self, peer: usize, spent: Vec<Box<dyn Errand>>) {
        let calls = &self.line(peer, Kind::Invoke).calls;
        calls.borrow_mut().release(spent.len() as u32);
        // Spent boxes are empty, so dropping one runs nobody's code.
        let small = spent.into_iter().filter(|spent| size_of_val(&**spent) <= KEPT_BOX_BYTES);
        self.peers[peer].kept_boxes.borrow_mut().extend(small);
        loop {
            let next = calls.borrow_mut().next_departure();
            if next.is_none() {
                return;
            }
            self.depart(peer, next);
        }
    }

    fn line(&self, peer: usize, kind: Kind) -> &Line {
        &self.peers[peer].lines[kind as usize]
    }

    fn depart(&self, to: usize, departure: Option<Departure<Box<dyn Errand>>>) {
        if let Some(Departure { mut errand, ticket, waker }) = departure {
            errand.stamp(ticket);
            self.post(to, Message::Errand(errand));
            wake_all(waker);
        }
    }

    fn post(&self, to: usize, message: Message) {
        match self.post.push(to, message) {
            Ok(false) => {}
            Ok(true) => {
                let enlisted = self.this.upgrade().map(|desk| enlist_flush(desk));
                if !matches!(enlisted, Some(Ok(()))) {
                    // There is no turn whose end could be waited for.
                    self.post.flush();
                }
            }
            // Our calls to a peer that has ended fail when its lane says so; its own calls nobody
            // misses.
            Err(refused) => drop(refused),
        }
    }

    fn cancel_running(&self, from: usize, permit: u32) {
        let running = self.peers[from].running.borrow();
        if let Some(Some(task)) = running.get(permit as usize) {
            task.cancel();
        }
    }

    /// A peer has ended: our calls to it fail, its calls to us are cancelled.
    fn lose(&self, from: usize) {
        for line in &self.peers[from].lines {
            let (wakers, errands) = line.calls.borrow_mut().fail_all();
            wake_all(wakers);
            drop(errands);
        }
        let running = self.peers[from].running.take();
        for task in running.into_iter().flatten() {
            task.cancel();
        }
    }
}

impl Poller for Desk {
    fn poll_mail(&self) -> bool {
        let Some(desk) = self.this.upgrade() else { return false };
        // A delivery that panics must not take those behind it along: their announcements are gone.
        self.post.collect(|from, arrival| {
            guarded(|| match arrival {
                Arrival::Message(Message::Errand(errand)) => errand.arrive(from, &desk),
                Arrival::Message(Message::Cancel(permit)) => desk.cancel_running(from, permit),
                Arrival::Gone => desk.lose(from),
            });
        });
        self.post.has_mail()
    }

    fn has_mail(&self) -> bool {
        // Asked when the loop has nothing to do, and again when its flag says asleep: only the first
        // may linger.
        self.post.has_mail() || self.post.linger()
    }
}

impl Flush for Desk {
    fn flush(self: Rc<Self>) {
        self.post.flush();
    }
}
