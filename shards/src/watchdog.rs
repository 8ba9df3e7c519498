//! Looks from the supervisor's thread whether all shards go on, and names the task that holds one that does not.

use std::time::{Duration, Instant};

use corelane::lowlevel::{LoopPulse, Stall, StallWatch};
use crossbeam_channel::Sender;

use crate::id::ShardId;
use crate::supervisor::Event;

/// Looks at the loops from time to time. A look is a few loads for each shard; no shard is asked or woken. While all
/// of them rest it does not look, and a process of idle shards does nothing at all: the first that goes on says so.
pub(crate) struct Watchdog {
    watch: Option<StallWatch>,
    looked: Option<Instant>,
    sleeps: bool,
    events: Sender<Event>,
}

impl Watchdog {
    /// One that reports a shard which does not go on for `limit`, or none. Whoever hears [`Event::WentOn`] has to
    /// [`wake`](Self::wake) it.
    pub(crate) fn new(limit: Option<Duration>, events: Sender<Event>) -> Self {
        Self { watch: limit.map(StallWatch::new), looked: None, sleeps: false, events }
    }

    /// Watches the loop of one more shard, the next in their order.
    pub(crate) fn add(&mut self, pulse: LoopPulse) {
        if let Some(watch) = &mut self.watch {
            watch.add(pulse);
        }
    }

    /// A shard has gone on.
    pub(crate) fn wake(&mut self, now: Instant) {
        if std::mem::take(&mut self.sleeps) {
            self.looked = Some(now);
        }
    }

    /// When the next look is due. `None` if there is none.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Instant> {
        if self.sleeps {
            return None;
        }
        let interval = self.watch.as_ref()?.interval();
        self.looked.get_or_insert(now).checked_add(interval)
    }

    /// Looks, if it is time, and reports stalls through `tracing`.
    pub(crate) fn look(&mut self, now: Instant) {
        let (Some(watch), Some(looked)) = (&mut self.watch, self.looked) else { return };
        let passed = now - looked;
        if self.sleeps || passed < watch.interval() {
            return;
        }
        self.looked = Some(now);
        watch.look(passed).iter().for_each(report);
        let events = self.events.clone();
        // Refused means that nobody supervises any more.
        self.sleeps = watch.may_pause(move || _ = events.send(Event::WentOn));
    }
}

fn report(stall: &Stall) {
    let Stall { index, holder, lasted, is_over, .. } = stall;
    let shard = ShardId::at(*index);
    if *is_over {
        corelane::__report!(
            WARN,
            shard = index,
            "shard {shard} goes on: it was held for {lasted:?} by {holder}"
        );
    } else {
        corelane::__report!(
            WARN,
            shard = index,
            "shard {shard} is held for {lasted:?} by {holder}"
        );
    }
}

#[cfg(test)]
mod tests;
