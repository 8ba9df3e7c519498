//! Starting shards, watching over them, and ending them.

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use corelane::lowlevel::LoopConfig;
use corelane::{Error, Idle, RemoteLoop, Result};
use crossbeam_channel::{Receiver, bounded, unbounded};

use crate::call;
use crate::cores::AllowedCores;
use crate::id::ShardId;
use crate::placement::Placement;
use crate::report::{ShardStart, StartReport};
use crate::server::SharedPorts;
use crate::shard::{self, Go, Seat, Shard};
use crate::shutdown::Stage;
use crate::shutdown::signals::SignalWatch;

/// Packets that a lane holds; its sender makes one a turn.
const DEFAULT_LANE_CAPACITY: usize = 16;
/// Calls in flight from one shard to another.
const DEFAULT_PERMIT_COUNT: u32 = 1024;
/// The most permits a lane may have.
const MAX_PERMIT_COUNT: u32 = 1 << 20;
/// How long a run drains before what is left is cancelled.
const DEFAULT_DRAIN: Duration = Duration::from_secs(10);

/// A run of shards. Begin with [`builder`](Self::builder).
#[derive(Debug)]
#[non_exhaustive]
pub struct Shards;

impl Shards {
    /// Settings for a run: one pinned shard per allowed core, unless told otherwise.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// Settings of a run of shards.
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until `run`"]
pub struct Builder {
    placement: Placement,
    allow_oversubscription: bool,
    idle: Idle,
    lane_capacity: usize,
    permit_count: u32,
    drain: Duration,
    handle_signals: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            placement: Placement::default(),
            allow_oversubscription: false,
            idle: Idle::default(),
            lane_capacity: DEFAULT_LANE_CAPACITY,
            permit_count: DEFAULT_PERMIT_COUNT,
            drain: DEFAULT_DRAIN,
            handle_signals: true,
        }
    }
}

impl Builder {
    /// How many shards, and where; [`Placement::PerCore`] unless told otherwise.
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Allows more pinned shards than there are cores.
    pub fn allow_oversubscription(mut self, allow: bool) -> Self {
        self.allow_oversubscription = allow;
        self
    }

    /// What a shard does when it has nothing to do; [`Idle::Park`] unless told otherwise.
    pub fn idle(mut self, idle: Idle) -> Self {
        self.idle = idle;
        self
    }

    /// How many packets a lane holds, at least 1; 16 unless told otherwise. A packet holds
    /// sixteen messages or more, or what a turn had left over at its end; what does not fit waits at
    /// the sender.
    pub fn lane_capacity(mut self, packet_count: usize) -> Self {
        self.lane_capacity = packet_count;
        self
    }

    /// How many calls may be in flight from one shard to another, at least 1; 1024 unless told
    /// otherwise. Further calls wait in order at the caller. Answers need no permit. `call`s are one
    /// set; invocations and posts together are another of the same size.
    pub fn permits(mut self, call_count: u32) -> Self {
        self.permit_count = call_count;
        self
    }

    /// How long, from the moment the end is asked for, mains may run on and connections stay open
    /// before they are cancelled; 10 s unless told otherwise.
    pub fn drain(mut self, limit: Duration) -> Self {
        self.drain = limit;
        self
    }

    /// Whether SIGINT and SIGTERM ask for the orderly end, and a second one ends the process at
    /// once with status 130 or 143. They do unless told otherwise. They are the process's, so one
    /// run at a time should have them.
    pub fn handle_signals(mut self, handle: bool) -> Self {
        self.handle_signals = handle;
        self
    }

    /// Runs `main` on every shard, each on a thread of its own named `shard-N`, and blocks until
    /// all have ended. Gives what the mains returned, in the order of the shards.
    ///
    /// A shard whose main has returned goes on answering calls until every main has returned. The
    /// first main that fails or panics ends the run: the others are cancelled, and may clean up.
    ///
    /// # Errors
    /// A [`PlacementError`](crate::PlacementError), by `downcast_ref`; a setting out of
    /// its range; an I/O error if a thread or a loop cannot be made; the error of the first main
    /// that failed; cancelled, if a main had to be because it did not end in time. A core that
    /// cannot be pinned is no error: see [`Shard::report`].
    pub fn run<T, F>(self, main: F) -> Result<Vec<T>>
    where
        F: AsyncFnOnce(Shard) -> Result<T> + Clone + Send + 'static,
        T: Send + 'static,
    {
        self.run_on(|seat| spawn(seat, main.clone()))
    }

    /// The same on the threads that `spawn` makes.
    fn run_on<T>(
        self,
        mut spawn: impl FnMut(Seat) -> Result<JoinHandle<Result<T>>>,
    ) -> Result<Vec<T>> {
        self.check()?;
        if Shard::current().is_some() {
            return Err(Error::runtime("shards were run on a shard, which that would block"));
        }
        let allowed = AllowedCores::of_process()?;
        let cores = self.placement.plan(allowed, self.allow_oversubscription)?;
        let (events, heard) = unbounded();
        let signals = match self.handle_signals {
            true => Some(SignalWatch::start(events.clone())?),
            false => None,
        };
        let mut starts = Vec::new();
        let mut threads = Vec::new();
        let config = self.config(allowed.cores(), &cores);
        for (index, &core) in cores.iter().enumerate() {
            let (go, receiver) = bounded(1);
            let (id, config, events) = (ShardId::at(index), config.clone(), events.clone());
            let seat = Seat { id, core, config, events, go: receiver };
            starts.push(go);
            match spawn(seat) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    // Sends those that were made home.
                    drop(starts);
                    join(threads);
                    return Err(error);
                }
            }
        }
        drop(events);
        let mut supervisor = Supervisor::new(cores.len(), self.drain);
        let failed_start = match supervisor.await_start(&heard, &cores, allowed) {
            Some((remotes, report)) => {
                let ports = SharedPorts::default();
                let remotes: Arc<[_]> = remotes.into();
                let seeds = call::deal(remotes.to_vec(), self.lane_capacity, self.permit_count);
                for (go, seed) in starts.into_iter().zip(seeds) {
                    let (report, remotes) = (Arc::clone(&report), Arc::clone(&remotes));
                    // A shard that ended meanwhile says so itself.
                    let _ = go.send(Go { seed, report, ports: ports.clone(), remotes });
                }
                supervisor.watch(&heard);
                false
            }
            // Dropping the starts sends the shards that wait for theirs home.
            None => {
                drop(starts);
                true
            }
        };
        let outcomes = join(threads);
        drop(signals);
        conclude(outcomes, supervisor.failure, failed_start)
    }

    fn check(&self) -> Result<()> {
        if self.lane_capacity == 0 {
            return Err(Error::value("a lane must hold at least one packet"));
        }
        if !(1..=MAX_PERMIT_COUNT).contains(&self.permit_count) {
            return Err(Error::value("a lane must have between 1 and 1048576 permits"));
        }
        Ok(())
    }

    /// What the loops are made with. Their threads for what blocks, and child processes, keep off the cores of
    /// shards, as far as there are others.
    fn config(&self, allowed: &[usize], pinned: &[Option<usize>]) -> LoopConfig {
        let mut config = LoopConfig { idle: self.idle, ..LoopConfig::default() };
        if pinned.iter().any(Option::is_some) {
            let free = allowed.iter().filter(|&&core| !pinned.contains(&Some(core)));
            let free: Arc<[usize]> = free.copied().collect();
            config.pool.cpus = Some(if free.is_empty() { allowed.into() } else { free });
        }
        config
    }
}

/// What shards, signals and user code tell the supervisor.
#[derive(Debug)]
pub(crate) enum Event {
    /// The loop has been made; whether the thread is where it should be.
    Started { id: ShardId, remote: RemoteLoop, pinned: bool },
    /// Somebody asks for the orderly end.
    StopRequested,
    /// Main has returned, perhaps with an error.
    MainEnded(ShardId, Option<Error>),
    /// No connection is open any more.
    Drained(ShardId),
    /// Every task has ended.
    CleanedUp(ShardId),
    /// The thread ends.
    Ended(ShardId),
}

/// How far one shard has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Running,
    MainEnded,
    Drained,
    CleanedUp,
    Ended,
}

/// The calling thread of `run`: it hears the shards and tells them the stages.
struct Supervisor {
    stage: Stage,
    drain: Duration,
    deadline: Option<Instant>,
    progress: Vec<Progress>,
    remotes: Vec<RemoteLoop>,
    failure: Option<Error>,
}

impl Supervisor {
    fn new(shard_count: usize, drain: Duration) -> Self {
        Self {
            stage: Stage::Running,
            drain,
            deadline: None,
            progress: vec![Progress::Running; shard_count],
            remotes: Vec::new(),
            failure: None,
        }
    }

    /// Waits until every loop has been made. `None` if one could not be.
    fn await_start(
        &mut self,
        heard: &Receiver<Event>,
        cores: &[Option<usize>],
        allowed: &AllowedCores,
    ) -> Option<(Vec<RemoteLoop>, Arc<StartReport>)> {
        let mut started: Vec<Option<(RemoteLoop, bool)>> = cores.iter().map(|_| None).collect();
        let mut stop_requested = false;
        while started.iter().any(Option::is_none) {
            match heard.recv() {
                Ok(Event::Started { id, remote, pinned }) => {
                    started[id.index()] = Some((remote, pinned));
                }
                Ok(Event::StopRequested) => stop_requested = true,
                Ok(_) | Err(_) => return None,
            }
        }
        let mut shards = Vec::new();
        for (index, (remote, is_placed)) in started.into_iter().flatten().enumerate() {
            self.remotes.push(remote);
            shards.push(ShardStart { id: ShardId::at(index), core: cores[index], is_placed });
        }
        let report = StartReport { allowed: allowed.clone(), shards };
        report.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
        if stop_requested {
            self.request_stop();
        }
        Some((self.remotes.clone(), Arc::new(report)))
    }

    /// Watches over the shards until all have ended.
    fn watch(&mut self, heard: &Receiver<Event>) {
        while self.progress.iter().any(|&progress| progress < Progress::Ended) {
            let event = match self.deadline {
                Some(deadline) => heard.recv_deadline(deadline).ok(),
                None => heard.recv().ok(),
            };
            match event {
                Some(event) => self.hear(event),
                None => {
                    self.deadline = None;
                    self.enter(Stage::Cancelling);
                }
            }
            self.advance();
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Started { .. } => {}
            Event::StopRequested => self.request_stop(),
            Event::MainEnded(id, error) => {
                self.note(id, Progress::MainEnded);
                // A main that ends with an error because it was cancelled is no failure of its own.
                if let Some(error) = error.filter(|_| self.stage < Stage::Cancelling) {
                    self.fail(id, error);
                }
            }
            Event::Drained(id) => self.note(id, Progress::Drained),
            Event::CleanedUp(id) => self.note(id, Progress::CleanedUp),
            Event::Ended(id) => {
                if self.stage < Stage::Ended {
                    self.fail(id, Error::runtime("a shard ended before the run did"));
                }
                self.note(id, Progress::Ended);
            }
        }
    }

    /// Goes on to the next stage if every shard is ready for it.
    fn advance(&mut self) {
        let slowest = self.progress.iter().copied().min().unwrap_or(Progress::Ended);
        if slowest >= Progress::MainEnded {
            self.request_stop();
        }
        if slowest >= Progress::Drained {
            self.enter(Stage::Cancelling);
        }
        if slowest >= Progress::CleanedUp {
            self.enter(Stage::Ended);
        }
    }

    fn request_stop(&mut self) {
        if self.stage > Stage::Running {
            return;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "one deadline for all loops, whose clocks differ"
        )]
        let now = Instant::now();
        // A time to drain beyond what a clock can hold is no limit.
        self.deadline = now.checked_add(self.drain);
        self.enter(Stage::Draining);
    }

    fn fail(&mut self, id: ShardId, error: Error) {
        if self.failure.is_none() {
            tracing::error!(shard = id.index(), "a shard failed, all are ended: {error}");
            self.failure = Some(error);
        }
        self.enter(Stage::Cancelling);
    }

    fn enter(&mut self, stage: Stage) {
        if stage > self.stage {
            self.stage = stage;
            shard::broadcast(&self.remotes, stage);
        }
        if stage >= Stage::Cancelling {
            self.deadline = None;
        }
    }

    fn note(&mut self, id: ShardId, progress: Progress) {
        let known = &mut self.progress[id.index()];
        *known = progress.max(*known);
    }
}

fn spawn<T, F>(seat: Seat, main: F) -> Result<JoinHandle<Result<T>>>
where
    F: AsyncFnOnce(Shard) -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    let name = format!("shard-{}", seat.id);
    #[expect(clippy::disallowed_methods, reason = "a shard is a thread")]
    let thread = thread::Builder::new().name(name).spawn(move || shard::run(seat, main))?;
    Ok(thread)
}

/// Waits for all threads; a panic of one, which would be a bug of ours, goes on here when all have
/// ended.
fn join<T>(threads: Vec<JoinHandle<Result<T>>>) -> Vec<Result<T>> {
    let ended: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
    ended
        .into_iter()
        .map(|outcome| outcome.unwrap_or_else(|payload| resume_unwind(payload)))
        .collect()
}

/// The first failure wins; a start that failed gives the error of the loop that could not be made.
fn conclude<T>(
    outcomes: Vec<Result<T>>,
    failure: Option<Error>,
    failed_start: bool,
) -> Result<Vec<T>> {
    if let Some(error) = failure {
        return Err(error);
    }
    if failed_start {
        let mut errors = outcomes.into_iter().filter_map(Result::err);
        let cause = errors.find(|error| !error.is_runtime());
        return Err(cause.unwrap_or_else(|| Error::runtime("a shard could not start")));
    }
    outcomes.into_iter().collect()
}
