//! Shards in simulation: a whole sharded server, or several with their clients, on one thread and under a seed.
//!
//! [`Builder::simulate`] starts on a simulated host what [`Builder::run`] starts on this machine: the same `main` on
//! each shard, the same calls, servers and orderly end, in a world of [`corelane::sim`]. What such a world is, how
//! many seeds are run, how one is run again and what breaks it is told there; a first test is this:
//!
//! ```
//! use corelane::sim;
//! use corelane_shards::{Placement, Shards};
//!
//! sim::check(20, |sim| {
//!     let host = sim.host("server")?;
//!     let shards = Shards::builder().placement(Placement::Unpinned(3));
//!     let site = shards.simulate(sim, host, async |shard| {
//!         let next = shard.all().nth((shard.id().index() + 1) % 3).expect("there are three");
//!         shard.call(next, async move || Ok(next.index())).await
//!     })?;
//!     assert_eq!(site.join(sim)?, [1, 2, 0]);
//!     Ok(())
//! });
//! ```
//!
//! # What is simulated
//!
//! - Each shard is a loop beside the others on its host, and which of them turns next is drawn. They start in any
//!   order, and call each other over the very lanes that threads have: a message is taken when its receiver turns, how
//!   many are taken at a time is drawn, and a shard that sleeps turns only if somebody has rung for it.
//! - [`Shard::serve`](crate::Shard::serve) listens on the simulated net. With [`Accept::ReusePort`](crate::Accept) a
//!   hash of the addresses says which shard gets a connection, so that some have many and some none, as it is with few
//!   connections on a real net; with [`Accept::ByCpu`](crate::Accept) packets come in on all cores of the host, spread
//!   by another hash. Connections that one shard deals out travel to their shards as they do between threads.
//! - The [first SIGINT or SIGTERM](Simulation::signal) to the host asks for the orderly end, the second ends all at once,
//!   and SIGUSR1 prints what the tasks are doing, unless the run does not
//!   [handle signals](crate::Builder::handle_signals).
//! - A fault or a report that names one shard calls it by its host: `server, shard 0`.
//! - Time limits and deadlines, those of the end of a run included, are in the time of the world.
//! - [`Site::crash`] ends all shards of a host at once, as a machine does that loses its power.
//!
//! A simulated host has four cores, or as many as the placement asks for; nothing is pinned, and stalls are not watched
//! for. What runs at each start of a host that faults end is said with
//! [`Simulation::on_boot`], which calls [`Builder::simulate`] anew.
//!
//! # What it finds
//!
//! Defects were planted one by one, and the tests of this crate that run in simulation (`tests/sim_ways.rs`,
//! `tests/sim_corners.rs` and `tests/sim_ends.rs`, 21 programs with 60 seeds) were asked. How many seeds the first of them took to fail:
//!
//! | planted | seeds |
//! |---|--:|
//! | a shard says that it is awake while it sleeps, so nobody rings | 1 |
//! | a sleeping shard is not rung for | at most 60 |
//! | a lane that was full makes no announcement when it has room | at most 60 |
//! | what a turn leaves unread in a lane is forgotten | 1 |
//! | what did not fit into a lane is not tried again | 1 |
//! | an outlet whose lane was full is not flushed any more | 1 |
//! | a packet that did not fit is put back in another order | 1 |
//! | messages of a packet are taken from its end | 1 |
//! | the permit of a call that was given up does not come back | 1 |
//! | fewer permits come home than posts have run | 1 |
//! | a call that waits for a permit does not leave when one is free | 1 |
//! | the mark of a call that was given up stays, for the next with its permit | 1 |
//! | the permits of one scheduling group's posts go home as another's | 1 |
//! | of several posts that may leave at once the last leaves first | 2 |
//! | a post from outside counts as under way for ever | 1 |
//! | a stop of a service that is under way is cancelled with everything else | 1 |
//!
//! | calls to a peer that has ended do not fail | at most 60 |
//! | calls that wait for a permit of a peer that has ended are not told | 4 |
//! | what a turn has no time for in the lanes of several peers is forgotten | 7 |
//! | what a lost shard had asked others to do goes on | 1 |
//! | a call that was given up is not cancelled over there | 1 |
//! | the lowest priority leaves first | 1 |
//! | a call that waits is forgotten when the queue is tidied | 1 |
//! | permits of all scheduling groups have the numbers of one | 1 |
//! | the permit of one group's call goes home as another's | 1 |
//! | a call runs in the group of whom it comes to | 1 |
//! | the shard that accepts is not rung when there is room again | 1 |
//! | it goes on to accept when all are full | 1 |
//! | a connection that was dealt to a shard that closes is dropped | 1 |
//! | servers accept while they drain | 1 |
//! | the drain is over when all mains are | 1 |
//! | the drain has no deadline | 1 |
//! | a lost shard has no deadline of its own | 1 |
//! | who waits for the end is not told when a main fails | 1 |
//! | a shard that has cleaned up answers no more | 1 |
//! | the end does not wait for who cleans up | 1 |
//! | services are stopped before all tasks have ended | 6 |
//! | services are stopped in the order in which they began | 1 |
//! | a stop that had begun is not waited for | 1 |
//! | a service whose last handle is dropped is not stopped | 1 |
//! | the last key that is dropped elsewhere sends no word home | 1 |
//! | of two tasks that see to a stop only one hears of its end | 43 |
//!
//! The last one nobody had planted: it came with these programs. So did that a main which waits for the end was cancelled
//! at times, when another one failed, before it could end by itself (after 6 seeds).
//!
//! Four were found only when there were programs for them: mains that have returned while connections are open, a main
//! that fails, a shard that closes with connections on their way to it, and one that is lost with calls under way.
//! One was not found: a connection that never reached its shard stays counted there, of which only a picture of the load
//! would tell.
//!
//! The key-value server of the examples is tried out in the same way, with what its clients saw decided upon by a checker:
//! `examples/tests/kv_simulated`.
//!
//! # How fast it is
//!
//! On one of two virtual AMD EPYC cores that nobody else used, a release build, the median of three runs (least to most):
//!
//! - Four shards of the key-value server, calm, with the world that is made and the history that is checked: 74,000 answers
//!   in a second (64,000 to 75,000).
//! - A client and a server on one connection: 766,000 requests in a second (766,000 to 789,000), and with mishaps
//!   325,000 (322,000 to 329,000).
//! - Eight idle hosts, each with a timer that strikes once a second: 4,970 hours in a minute (4,890 to 4,970), and with
//!   mishaps 4,080 (4,000 to 4,130). Hosts on which no timer strikes cost nothing, however long.
//!
//! ```sh
//! cargo test --release -p corelane-examples --test kv_simulated -- --nocapture --test-threads 1 four_shards idle
//! cargo run --release -p corelane --features sim --example sim_speed
//! ```
//!
//! # What it does not find
//!
//! What depends on how two threads meet inside of one turn: shards are turned one after the other, so no two look at the
//! same word at the same time. That is what the models under loom are for.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use corelane::lowlevel::{DriverKind, LoopConfig};
use corelane::sim::{Failure, Place, Reason, Simulation};
use corelane::{Error, Result};
use crossbeam_channel::{Sender, unbounded};
use rustix::thread::gettid;

use self::keeper::{Outcomes, ShardKeeper};
use self::signals::Ears;
use self::watch::{Course, WatchKeeper};
use crate::call::ShardsHandle;
use crate::cores::AllowedCores;
use crate::drift::DriftWatch;
use crate::ending::Ending;
use crate::id::ShardId;
use crate::placement::Placement;
use crate::shard::{Go, Shard};
use crate::shards::{Builder, Plan};
use crate::supervisor::{EndNotes, Event};
use crate::watchdog::Watchdog;

mod keeper;
mod signals;
mod watch;

/// A simulated host has so many cores at least.
const CORE_COUNT: usize = 4;

/// A run of shards on a simulated host, from [`Builder::simulate`]. Dropped, it lets the run go on.
#[must_use = "a run that nobody joins tells nobody what its mains returned"]
pub struct Site<T> {
    handle: ShardsHandle,
    shards: Vec<Place>,
    supervisor: Place,
    outcomes: Outcomes<T>,
    course: Rc<RefCell<Course>>,
}

impl Builder {
    /// Starts the shards on the host of `place`, each on a loop of its own beside that of `place`, and runs `main` on
    /// every one. They go on whenever the simulation is run.
    ///
    /// What is about threads and cores does not matter: see [`sim`](crate::sim).
    ///
    /// # Errors
    /// As [`run`](Self::run), for what goes wrong before the mains begin.
    pub fn simulate<T, F>(self, sim: &mut Simulation, place: Place, main: F) -> Result<Site<T>>
    where
        F: AsyncFnOnce(Shard) -> Result<T> + Clone + 'static,
        T: 'static,
    {
        let Plan { cores, config, mut report } =
            self.plan(&AllowedCores::fixed(&self.made_up()))?;
        report.driver = DriverKind::Simulated;
        let (events, heard) = unbounded();
        let outcomes: Outcomes<T> = cores.iter().map(|_| Cell::new(None)).collect();
        let (mut shards, mut starts) = (Vec::new(), Vec::new());
        for index in 0..cores.len() {
            let seat = Seat { id: ShardId::at(index), config: &config, events: &events };
            let (main, outcomes) = (main.clone(), Rc::clone(&outcomes));
            let start = Rc::new(Cell::new(None));
            let made = self.seat(sim, place, &seat, Rc::clone(&start), main, outcomes);
            match made {
                Ok(made) => shards.push(made),
                Err(error) => {
                    shards.into_iter().for_each(|made| sim.kill(made));
                    return Err(error);
                }
            }
            starts.push(start);
        }
        let watchdog = Watchdog::new(None, events.clone());
        let mut supervisor = self.supervisor(cores.len(), DriftWatch::new(None), watchdog);
        let started = supervisor.await_start(&heard, &cores, report);
        let (loops, report) =
            started.ok_or_else(|| Error::runtime("a simulated shard could not start"))?;
        let heard_by = events.clone();
        let (handle, dealt) = self.deal(loops, report, events);
        starts.iter().zip(dealt).for_each(|(start, go)| start.set(Some(go)));
        let course = Rc::default();
        let keeper = WatchKeeper::new(supervisor, heard, handle.clone(), Rc::clone(&course));
        let (config, shards_handle) = (LoopConfig::default(), handle.clone());
        let supervisor = sim.keep(place, "supervisor of shards", &config, |event_loop| {
            if self.handle_signals {
                let ears = event_loop.enter(Ears::open)??;
                let heeds = event_loop.create_task(ears.heed(heard_by, shards_handle))?;
                drop(heeds.named("signals of the shards"));
            }
            Ok(keeper)
        })?;
        Ok(Site { handle, shards, supervisor, outcomes, course })
    }

    /// Adds the loop of one shard.
    fn seat<T, F>(
        &self,
        sim: &mut Simulation,
        place: Place,
        seat: &Seat<'_>,
        start: Rc<Cell<Option<Go>>>,
        main: F,
        outcomes: Outcomes<T>,
    ) -> Result<Place>
    where
        F: AsyncFnOnce(Shard) -> Result<T> + 'static,
        T: 'static,
    {
        let (id, events) = (seat.id, seat.events);
        sim.keep(place, &format!("shard {id}"), seat.config, |event_loop| {
            let (remote, pulse) = (event_loop.remote(), event_loop.pulse());
            let watch = self.on_panic.watch(id, pulse.clone(), events.clone());
            let keeper = ShardKeeper::new(id, events.clone(), start, main, watch, outcomes);
            // Nothing is pinned; the thread is that of all.
            let started = Event::Started { id, remote, pulse, pinned: true, thread: gettid() };
            events.send(started).map_err(|_| Error::runtime("nobody watches over the shards"))?;
            Ok(keeper)
        })
    }

    /// The cores of the host.
    fn made_up(&self) -> Vec<usize> {
        let wanted = match &self.placement {
            Placement::Count(count) | Placement::Spread(count) | Placement::Pack(count) => *count,
            Placement::Cores(list) => list.iter().max().map_or(0, |last| last + 1),
            Placement::PerCore | Placement::PerPhysicalCore | Placement::Unpinned(_) => 0,
        };
        (0..wanted.max(CORE_COUNT)).collect()
    }
}

/// Said of a run that does not end.
const NOBODY_ASKED: &str =
    "nobody has asked for the end of the shards: `site.handle().request_shutdown()` does";

/// What one shard is made with.
struct Seat<'a> {
    id: ShardId,
    config: &'a LoopConfig,
    events: &'a Sender<Event>,
}

impl<T: 'static> Site<T> {
    /// The way to the shards, for tasks elsewhere in the world. To block on an answer is an error there.
    #[must_use]
    pub fn handle(&self) -> ShardsHandle {
        self.handle.clone()
    }

    /// Where a shard lives: to [stall](Simulation::stall) it, or to spawn a task there.
    ///
    /// # Panics
    /// If there is no such shard.
    #[must_use]
    pub fn place(&self, id: ShardId) -> Place {
        self.shards[id.index()]
    }

    /// Whether every shard has ended: in order, or because the [host was killed](Self::was_killed).
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(*self.course.borrow(), Course::Going | Course::Ending)
    }

    /// Whether the host has ended before its shards had: by a [kill](corelane::sim::Fault::kill), a
    /// [crash](corelane::sim::Fault::crash), or a signal that the run did not handle. Nobody knows then what the mains
    /// would have returned, and what begins anew on the host is another run.
    #[must_use]
    pub fn was_killed(&self) -> bool {
        matches!(*self.course.borrow(), Course::Killed)
    }

    /// Runs the world until every shard has ended, and gives what the mains returned in the order of the shards. It
    /// does not ask for the end.
    ///
    /// # Errors
    /// As [`run`](Builder::run), and as [`join_to_end`](Self::join_to_end).
    pub fn join(self, sim: &mut Simulation) -> Result<Vec<T>, Failure> {
        let ending = self.join_to_end(sim)?;
        ending.into_result().map_err(|error| sim.fail(error))
    }

    /// The same, with all that there is to say about the end.
    ///
    /// # Errors
    /// What fails a simulation: that nothing can happen any more, for instance. Runtime, if the host
    /// [was killed](Self::was_killed).
    pub fn join_to_end(self, sim: &mut Simulation) -> Result<Ending<T>, Failure> {
        let ended = sim.run_until(|| self.is_over());
        ended.map_err(|failure| match failure.reason() {
            Reason::Stuck | Reason::StepLimit(_) | Reason::TimeLimit(_)
                if matches!(*self.course.borrow(), Course::Going) =>
            {
                failure.with_hint(NOBODY_ASKED)
            }
            _ => failure,
        })?;
        let Course::Over(notes) = self.course.take() else {
            let killed = "the host was killed before its shards had ended";
            return Err(sim.fail(Error::runtime(killed)));
        };
        let left_behind = || Err(Error::runtime("the shard was left behind"));
        let mains = self.outcomes.iter().map(|main| main.take().unwrap_or_else(left_behind));
        let EndNotes { failure, late, lost } = notes;
        Ok(Ending { mains: mains.collect(), failure, late, lost })
    }

    /// Ends all shards at once, as a machine does that loses its power: nothing is cancelled or waits, what they had
    /// not sent is lost, their connections end or are reset. [`Builder::simulate`] starts new ones.
    pub fn crash(self, sim: &mut Simulation) {
        sim.kill(self.supervisor);
        self.shards.iter().for_each(|place| sim.kill(*place));
    }
}

impl<T> fmt::Debug for Site<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("handle", &self.handle).finish_non_exhaustive()
    }
}
