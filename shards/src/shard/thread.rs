//! The thread of a shard.

use corelane::lowlevel::{EventLoop, LoopConfig};
use corelane::{Error, Result};
use crossbeam_channel::{Receiver, Sender};
use rustix::thread::gettid;

use super::life::{self, Life};
use super::{Go, Shard};
use crate::id::ShardId;
use crate::panics::PanicPolicy;
use crate::supervisor::Event;

/// What a shard's thread is given before it starts.
pub(crate) struct Seat {
    pub(crate) id: ShardId,
    pub(crate) core: Option<usize>,
    pub(crate) config: LoopConfig,
    pub(crate) on_panic: PanicPolicy,
    pub(crate) events: Sender<Event>,
    pub(crate) go: Receiver<Go>,
}

/// Tells the supervisor that the thread ends, in whichever way.
pub(crate) struct Farewell(pub(crate) Sender<Event>, pub(crate) ShardId);

impl Drop for Farewell {
    fn drop(&mut self) {
        let _ = self.0.send(Event::Ended(self.1));
    }
}

/// Ends the thread's time as a shard, in whichever way, when its loop is closed: peers learn of it
/// while the thread is whole, and not from its last destructors.
pub(super) struct Presence;

impl Drop for Presence {
    fn drop(&mut self) {
        drop(Shard::enter(None));
    }
}

/// The body of a shard's thread.
pub(crate) fn run<T, F>(seat: Seat, main: F) -> Result<T>
where
    F: AsyncFnOnce(Shard) -> Result<T> + 'static,
    T: 'static,
{
    let _farewell = Farewell(seat.events.clone(), seat.id);
    let _presence = Presence;
    let pinned =
        seat.core.is_none_or(|id| core_affinity::set_for_current(core_affinity::CoreId { id }));
    let mut event_loop = EventLoop::new(&seat.config)?;
    let (remote, pulse) = (event_loop.remote(), event_loop.pulse());
    let _watch = seat.on_panic.watch(seat.id, pulse.clone(), seat.events.clone());
    let started = Event::Started { id: seat.id, remote, pulse, pinned, thread: gettid() };
    let supervised = seat.events.send(started).is_ok();
    let Some(go) = seat.go.recv().ok().filter(|_| supervised) else {
        return Err(Error::runtime("another shard could not start"));
    };
    let shard = event_loop.enter(|| Shard::settle(go, seat.events))??;
    Shard::enter(Some(shard.clone()));
    let outcome = live(&mut event_loop, &shard, main);
    life::end(&mut event_loop, &shard, outcome)
}

/// Turns the loop until the whole run has ended: this shard answers calls as long as any other may
/// make them.
fn live<T, F>(event_loop: &mut EventLoop, shard: &Shard, main: F) -> Result<T>
where
    F: AsyncFnOnce(Shard) -> Result<T> + 'static,
    T: 'static,
{
    let mut life = Life::begin(event_loop, shard, main)?;
    while !life.is_over() {
        event_loop.turn_until(|| life.is_due())?;
        life.go_on(event_loop)?;
    }
    life.into_outcome()
}
