//! What the thread of a shard does, for a loop that a simulation turns.

use std::cell::Cell;
use std::rc::Rc;

use corelane::Result;
use corelane::lowlevel::{EventLoop, PanicWatch};
use corelane::sim::Keeper;
use crossbeam_channel::Sender;

use crate::id::ShardId;
use crate::shard::life::{Life, end};
use crate::shard::thread::Farewell;
use crate::shard::{Go, Shard};
use crate::supervisor::Event;

/// What the mains have returned so far.
pub(super) type Outcomes<T> = Rc<[Cell<Option<Result<T>>>]>;

/// Keeps the loop of one shard.
pub(super) struct ShardKeeper<T, F> {
    body: Body<T, F>,
    presence: Presence,
    outcomes: Outcomes<T>,
    /// Said last.
    farewell: Farewell,
}

enum Body<T, F> {
    /// It has not had a turn. `None` until all loops are there.
    Waiting(Rc<Cell<Option<Go>>>, F),
    Living(Life<T>),
    Over,
}

/// What a thread of its own would have set for itself.
struct Presence {
    shard: Option<Shard>,
    watch: Option<PanicWatch>,
}

/// While it lives, the thread of the simulation is that of a shard.
struct Present<'a>(&'a Presence);

impl Presence {
    fn enter(&self) -> Present<'_> {
        Shard::enter(self.shard.clone());
        if let Some(watch) = &self.watch {
            watch.resume();
        }
        Present(self)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        if let Some(watch) = &self.0.watch {
            watch.pause();
        }
        drop(Shard::enter(None));
    }
}

impl<T: 'static, F> ShardKeeper<T, F>
where
    F: AsyncFnOnce(Shard) -> Result<T> + 'static,
{
    pub(super) fn new(
        id: ShardId,
        events: Sender<Event>,
        start: Rc<Cell<Option<Go>>>,
        main: F,
        watch: Option<PanicWatch>,
        outcomes: Outcomes<T>,
    ) -> Self {
        if let Some(watch) = &watch {
            watch.pause();
        }
        let presence = Presence { shard: None, watch };
        let farewell = Farewell(events, id);
        Self { body: Body::Waiting(start, main), presence, outcomes, farewell }
    }

    /// The first turn: it takes its place among the others.
    fn begin(&mut self, event_loop: &mut EventLoop) -> Result<()> {
        let Body::Waiting(start, main) = std::mem::replace(&mut self.body, Body::Over) else {
            return Ok(());
        };
        let Some(go) = start.take() else { return Ok(()) };
        let events = self.farewell.0.clone();
        let shard = event_loop.enter(|| Shard::settle(go, events))??;
        self.presence.shard = Some(shard.clone());
        self.body = Body::Living(Life::begin(event_loop, &shard, main)?);
        Ok(())
    }

    /// A turn, and what comes between two. True when it was the last.
    fn go_on(&mut self, event_loop: &mut EventLoop) -> Result<bool> {
        if let Body::Waiting(..) = self.body {
            self.begin(event_loop)?;
        }
        let _present = self.presence.enter();
        let Body::Living(life) = &mut self.body else { return Ok(true) };
        event_loop.turn(true)?;
        while life.is_due() && !life.is_over() {
            life.go_on(event_loop)?;
        }
        Ok(life.is_over())
    }
}

impl<T: 'static, F> Keeper for ShardKeeper<T, F>
where
    F: AsyncFnOnce(Shard) -> Result<T> + 'static,
{
    fn turn(&mut self, event_loop: &mut EventLoop) -> Result<bool> {
        let failed = match self.go_on(event_loop) {
            Ok(false) => return Ok(true),
            Ok(true) => None,
            Err(error) => Some(error),
        };
        let _present = self.presence.enter();
        let outcome = match (failed, std::mem::replace(&mut self.body, Body::Over)) {
            (None, Body::Living(life)) => life.into_outcome(),
            (Some(error), _) => Err(error),
            (None, _) => Err(corelane::Error::cancelled()),
        };
        let outcome = match &self.presence.shard {
            Some(shard) => end(event_loop, shard, outcome),
            None => outcome,
        };
        self.outcomes[self.farewell.1.index()].set(Some(outcome));
        Ok(false)
    }

    fn attend(&mut self, f: &mut dyn FnMut()) {
        let _present = self.presence.enter();
        f();
    }
}
