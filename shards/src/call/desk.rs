//! One shard's desk for calls: what came in by the lanes is run or handed in, what goes out is
//! written.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::iter;
use std::mem;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;

use corelane::lowlevel::{Flush, Poller, enlist_flush};
use corelane::stats::Durations;
use corelane::{Error, LocalContext, RemoteLoop, SchedulingGroup, call_soon, try_create_task};

use super::ambient::Priority;
use super::errand::Errand;
use super::many::Spread;
use super::peer::{Boards, GROUP_COUNT, GroupPlace, Line, Peer};
use super::post::Spent;
use super::table::{Departure, Left, Polled, Ticket};
use super::withdrawal::Withdrawals;
use crate::foreign::{drop_quietly, guarded, wake_all};
use crate::id::ShardId;
use crate::lane::LaneStats;
use crate::mesh::{self, Arrival, Ends, Post};

pub(crate) use super::peer::Limits;
pub(super) use super::peer::{Kind, Way};

/// What a lane carries.
pub(crate) enum Message {
    /// A call on its way out or home, a post, or the boxes of posts that were run.
    Errand(Box<dyn Errand>),
    /// The caller gave up the call with this ticket's permit; the task that runs it is to be cancelled.
    Cancel(Ticket),
}

/// Permits of posts go home by this part of all: often enough that who waits for one can go on while
/// the rest is still under way, and seldom enough that a few posts wake nobody.
const SETTLED_PART: u32 = 4;
/// The largest box of a post that is kept for the next one: with 256 permits a lane keeps 64 KiB at most.
const KEPT_BOX_BYTES: usize = 256;

// Two words, because the tag hides in the box's pointer: lanes move these by the million.
const _: () = assert!(size_of::<Message>() == 16);

/// One shard's part of the mesh, on its way to the shard's thread.
pub(crate) struct Seed {
    id: ShardId,
    ends: Ends<Message>,
    limits: Limits,
    /// For each peer: what we no longer want of it, and what it no longer wants of us.
    withdrawals: Vec<[Boards; 2]>,
    inbound: Option<SchedulingGroup>,
}

impl Seed {
    /// What comes without a scheduling group of its own is to run in this one.
    pub(crate) fn with_inbound(self, inbound: Option<SchedulingGroup>) -> Self {
        Self { inbound, ..self }
    }
}

/// Makes the mesh between the loops that `bells` ring at, and deals it out.
pub(crate) fn deal(bells: Vec<RemoteLoop>, limits: Limits) -> Vec<Seed> {
    let shard_count = bells.len();
    let board = || -> Boards {
        (0..=limits.call_depth).map(|_| Withdrawals::new(limits.all_permits())).collect()
    };
    let boards: Vec<Vec<Boards>> =
        (0..shard_count).map(|_| (0..shard_count).map(|_| board()).collect()).collect();
    let with_boards = |(own, ends)| Seed {
        id: ShardId::at(own),
        ends,
        limits,
        withdrawals: (0..shard_count)
            .map(|peer| [&boards[own][peer], &boards[peer][own]].map(Arc::clone))
            .collect(),
        inbound: None,
    };
    mesh::deal(bells, limits.lane_capacity).into_iter().enumerate().map(with_boards).collect()
}

/// One shard's desk.
pub(crate) struct Desk {
    id: ShardId,
    post: Post<Message>,
    limits: Limits,
    peers: Box<[Peer]>,
    /// Who is chosen when any shard will do.
    pub(super) spread: Spread,
    /// The scheduling groups, besides the default, that calls were made from.
    groups: RefCell<Vec<SchedulingGroup>>,
    /// Where what comes without a scheduling group runs; `None` for at once, in the mail phase.
    inbound: Option<SchedulingGroup>,
    /// Somebody was told that this loop has no room for a group.
    has_warned: Cell<bool>,
    has_left: Cell<bool>,
    this: Weak<Desk>,
}

impl Desk {
    pub(crate) fn new(seed: Seed) -> Rc<Self> {
        let limits = seed.limits;
        Rc::new_cyclic(|this| Self {
            id: seed.id,
            post: Post::new(seed.ends),
            limits,
            peers: seed.withdrawals.into_iter().map(|boards| Peer::new(boards, limits)).collect(),
            spread: Spread::default(),
            groups: RefCell::default(),
            inbound: seed.inbound,
            has_warned: Cell::new(false),
            has_left: Cell::new(false),
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
        let lines = self.peers[to.index()].lines();
        let tables = lines.flat_map(Line::all_calls);
        stats.wait_count = tables.map(|calls| calls.borrow().wait_count()).sum();
        stats
    }

    /// How long packets of other shards were on their way to this one, for a sample of them.
    pub(crate) fn hops(&self) -> Durations {
        self.post.hops()
    }

    /// How many calls, not closures, are at `to` or wait to leave for it. `None` if it has ended.
    pub(super) fn unanswered(&self, to: usize) -> Option<usize> {
        let tables = self.peers[to].call_lines().flat_map(Line::all_calls);
        (!self.post.has_ended(to)).then(|| tables.map(|calls| calls.borrow().unanswered()).sum())
    }

    /// The place of the scheduling group that a call comes from.
    #[inline]
    pub(super) fn place_of(&self, group: Option<&SchedulingGroup>) -> GroupPlace {
        group.map_or(0, |group| self.find_place(group))
    }

    #[cold]
    fn find_place(&self, group: &SchedulingGroup) -> GroupPlace {
        let mut groups = self.groups.borrow_mut();
        let known = groups.iter().position(|known| known == group);
        let index = known.unwrap_or_else(|| {
            groups.push(group.clone());
            groups.len() - 1
        });
        // A loop has no more groups than there are places; else the last would be for the rest.
        (index + 1).min(GROUP_COUNT - 1) as GroupPlace
    }

    /// How deep calls may be made inside of calls.
    pub(super) fn depth_limit(&self) -> usize {
        usize::from(self.limits.call_depth)
    }

    /// The context that a call from `from` begins with if it brought nothing; `make` makes it.
    pub(super) fn context_of(
        &self,
        from: usize,
        make: impl FnOnce() -> LocalContext,
    ) -> LocalContext {
        self.peers[from].context.get_or_init(make).clone()
    }

    /// Begins a call: it leaves with this turn's flush, or when a permit is free. `None` if the
    /// peer has ended.
    pub(super) fn begin(
        &self,
        to: usize,
        way: Way,
        priority: Priority,
        errand: Box<dyn Errand>,
    ) -> Option<u32> {
        if self.post.has_ended(to) {
            return None;
        }
        let calls = self.line(to, way.kind).calls(way.group);
        let (slot, departure) = calls.borrow_mut().admit(errand, priority);
        self.depart(to, way.kind, departure);
        Some(slot)
    }

    /// Takes a permit for a post, which is to be sent at once: whether there was one. `None` if the
    /// peer has ended.
    pub(super) fn take_post_permit(&self, to: usize, group: GroupPlace) -> Option<bool> {
        if self.post.has_ended(to) {
            return None;
        }
        Some(self.line(to, Kind::Invoke).calls(group).borrow_mut().try_take_permit())
    }

    /// Begins a post that found no permit: it leaves when one is free.
    pub(super) fn queue_post(
        &self,
        to: usize,
        group: GroupPlace,
        priority: Priority,
        errand: Box<dyn Errand>,
    ) -> u32 {
        self.line(to, Kind::Invoke).calls(group).borrow_mut().queue_post(errand, priority)
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
    pub(super) fn settle_later(&self, from: usize, group: GroupPlace, spent: Box<dyn Errand>) {
        let mut unsettled = self.peers[from].unsettled[usize::from(group)].borrow_mut();
        unsettled.push(spent);
        let permits = match group {
            0 => self.limits.permit_count,
            _ => self.limits.group_permit_count,
        };
        // So many posts are run before their permits go home.
        let settled_count = (permits / SETTLED_PART).max(1) as usize;
        if unsettled.len() < settled_count {
            return;
        }
        let settled = mem::replace(&mut *unsettled, Vec::with_capacity(settled_count));
        drop(unsettled);
        self.send(from, Spent::new(group, settled));
    }

    /// Asks for the answer of a call, or whether a post has left; or leaves a waker for it.
    pub(super) fn poll(
        &self,
        to: usize,
        way: Way,
        slot: u32,
        waker: &Waker,
    ) -> Polled<Box<dyn Errand>> {
        let calls = self.line(to, way.kind).calls(way.group);
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
    pub(super) fn abandon(&self, to: usize, Way { kind, group }: Way, slot: u32) {
        let calls = self.line(to, kind).calls(group);
        let (left, waker) = calls.borrow_mut().abandon(slot);
        match left {
            Left::Nothing => {}
            Left::Errand(errand) => drop(errand),
            Left::Flying(permit) => {
                self.peers[to].ours_withdrawn(kind).set(permit);
                if let Kind::Call(depth) = kind {
                    self.post(to, Message::Cancel(Ticket::of_permit(permit, depth)));
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
        let calls = self.line(from, kind).calls(self.limits.group_of(ticket.number()));
        let landing = calls.borrow_mut().land(ticket, answer);
        if landing.unwanted.is_some() {
            self.peers[from].ours_withdrawn(kind).clear(ticket.number());
        }
        self.depart(from, kind, landing.next);
        wake_all(landing.waker);
        drop(landing.unwanted);
    }

    /// Whether the caller of a call from `from` has given it up.
    pub(super) fn is_withdrawn(&self, from: usize, kind: Kind, ticket: Ticket) -> bool {
        self.peers[from].theirs_withdrawn(kind).contains(ticket.number())
    }

    /// The group in which what has arrived with `own` is to wait for its turn; `None` if it runs at once.
    #[inline]
    pub(super) fn group_of(&self, own: Option<&SchedulingGroup>) -> Option<SchedulingGroup> {
        own.or(self.inbound.as_ref()).cloned()
    }

    /// Where what comes from nobody's group runs, if this loop has room for it.
    pub(super) fn inbound_group(&self) -> Option<SchedulingGroup> {
        let group = self.inbound.as_ref()?;
        group.enter(|| ()).inspect_err(|error| self.warn(group, error)).ok()?;
        Some(group.clone())
    }

    /// Tells, once, that this loop has no room for a group.
    fn warn(&self, group: &SchedulingGroup, error: &Error) {
        if !self.has_warned.replace(true) {
            corelane::__report!(WARN, shard = self.id.index(), "{group:?} is left out: {error}");
        }
    }

    /// Has `run` called with what has arrived when it is the turn of its scheduling group. What waits so keeps
    /// its permit, and the order of what came from one shard for one group.
    #[cold]
    pub(super) fn run_in<E: 'static>(
        self: &Rc<Self>,
        group: &SchedulingGroup,
        from: usize,
        errand: Box<E>,
        run: impl FnOnce(Box<E>, usize, &Rc<Self>) + 'static,
    ) {
        let mut waiting = Some((errand, run));
        let outcome = group.enter(|| {
            let (desk, taken) = (Rc::clone(self), waiting.take());
            call_soon(move || {
                // A shard that has left the others runs nothing more of theirs.
                if let Some((errand, run)) = taken.filter(|_| !desk.has_left.get()) {
                    run(errand, from, &desk);
                }
            });
        });
        if let (Err(error), Some((errand, run))) = (outcome, waiting) {
            self.warn(group, &error);
            run(errand, from, self);
        }
    }

    /// Whether `from` has ended, or is lost to us.
    pub(super) fn has_lost(&self, from: usize) -> bool {
        self.post.has_ended(from)
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
            let index = ticket.number() as usize;
            let mut running = self.line(from, ticket.call_kind()).running.borrow_mut();
            if running.len() <= index {
                running.resize_with(index + 1, || None);
            }
            running[index] = Some(task);
        }
    }

    /// The task of a call from `from` ends.
    pub(super) fn ended(&self, from: usize, ticket: Ticket) {
        let mut running = self.line(from, ticket.call_kind()).running.borrow_mut();
        let task = running.get_mut(ticket.number() as usize).and_then(Option::take);
        drop(running);
        drop(task);
    }

    /// These boxes of our posts to `peer` have come home, and their permits with them: others may leave.
    pub(super) fn settle(&self, peer: usize, group: GroupPlace, spent: Vec<Box<dyn Errand>>) {
        let calls = self.line(peer, Kind::Invoke).calls(group);
        calls.borrow_mut().release(spent.len() as u32);
        // Spent boxes are empty, so dropping one runs nobody's code.
        let small = spent.into_iter().filter(|spent| size_of_val(&**spent) <= KEPT_BOX_BYTES);
        self.peers[peer].kept_boxes.borrow_mut().extend(small);
        // All are chosen before the first leaves and somebody is told, who could be quicker than those that wait.
        let next = iter::from_fn(|| calls.borrow_mut().next_departure());
        let departures: Vec<_> = next.collect();
        for departure in departures {
            self.depart(peer, Kind::Invoke, Some(departure));
        }
    }

    fn line(&self, peer: usize, kind: Kind) -> &Line {
        self.peers[peer].line(kind)
    }

    fn depart(&self, to: usize, kind: Kind, departure: Option<Departure<Box<dyn Errand>>>) {
        if let Some(Departure { mut errand, ticket, waker }) = departure {
            errand.stamp(kind.on(ticket));
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

    fn cancel_running(&self, from: usize, ticket: Ticket) {
        let (running, index) = (&self.line(from, ticket.call_kind()).running, ticket.number());
        let place = running.borrow_mut().get_mut(index as usize).and_then(Option::take);
        let Some(task) = place else { return };
        // It may wake a foreign waker, so nothing is borrowed.
        task.cancel();
        let replaced = running.borrow_mut()[index as usize].replace(task);
        debug_assert!(replaced.is_none(), "a number is used again when its task has ended");
        drop(replaced);
    }

    /// Leaves the mesh: for our peers we have ended, and for us they have.
    pub(crate) fn leave(&self) {
        self.has_left.set(true);
        self.post.close();
        (0..self.shard_count()).for_each(|peer| self.lose(peer));
    }

    /// A peer has ended: our calls to it fail, its calls to us are cancelled.
    fn lose(&self, from: usize) {
        for line in self.peers[from].lines() {
            for calls in line.all_calls() {
                let (wakers, errands) = calls.borrow_mut().fail_all();
                wake_all(wakers);
                drop(errands);
            }
            let running = line.running.take();
            for task in running.into_iter().flatten() {
                task.cancel();
            }
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
                Arrival::Message(Message::Cancel(ticket)) => desk.cancel_running(from, ticket),
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
