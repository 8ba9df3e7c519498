//! Watching over the shards of a run: who has come how far, and what all do next.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use corelane::lowlevel::LoopPulse;
use corelane::{Error, RemoteLoop};
use crossbeam_channel::Receiver;
use rustix::thread::Pid;

use crate::call::ShardsHandle;
use crate::drift::DriftWatch;
use crate::dump;
use crate::id::ShardId;
use crate::report::{ShardStart, StartReport};
use crate::shard;
use crate::shutdown::Stage;
use crate::watchdog::Watchdog;

/// What shards, signals and user code tell the supervisor.
#[derive(Debug)]
pub(crate) enum Event {
    /// The loop has been made; whether the thread is where it should be.
    Started { id: ShardId, remote: RemoteLoop, pulse: LoopPulse, pinned: bool, thread: Pid },
    /// Somebody asks what all tasks are doing.
    DumpRequested,
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

/// For each shard the way to its loop, and what that is doing.
pub(crate) type Loops = Vec<(RemoteLoop, LoopPulse)>;

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
pub(crate) struct Supervisor {
    stage: Stage,
    drain: Duration,
    deadline: Option<Instant>,
    progress: Vec<Progress>,
    remotes: Vec<RemoteLoop>,
    failure: Option<Error>,
    drift: DriftWatch,
    watchdog: Watchdog,
}

impl Supervisor {
    /// One for this many shards, which gives them `drain` to end.
    pub(crate) fn new(
        shard_count: usize,
        drain: Duration,
        drift: DriftWatch,
        watchdog: Watchdog,
    ) -> Self {
        Self {
            stage: Stage::Running,
            drain,
            deadline: None,
            progress: vec![Progress::Running; shard_count],
            remotes: Vec::new(),
            failure: None,
            drift,
            watchdog,
        }
    }

    /// Waits until every loop has been made, and tells how it went. `None` if one could not be.
    pub(crate) fn await_start(
        &mut self,
        heard: &Receiver<Event>,
        cores: &[Option<usize>],
        mut report: StartReport,
    ) -> Option<(Loops, Arc<StartReport>)> {
        let mut started: Vec<Option<_>> = cores.iter().map(|_| None).collect();
        let mut stop_requested = false;
        while started.iter().any(Option::is_none) {
            match heard.recv() {
                Ok(Event::Started { id, remote, pulse, pinned, thread }) => {
                    started[id.index()] = Some(((remote, pulse), pinned));
                    self.drift.add(id, thread);
                }
                Ok(Event::StopRequested) => stop_requested = true,
                // There are no tasks yet.
                Ok(Event::DumpRequested) => {}
                Ok(_) | Err(_) => return None,
            }
        }
        let mut loops = Vec::new();
        for (index, ((remote, pulse), is_placed)) in started.into_iter().flatten().enumerate() {
            self.remotes.push(remote.clone());
            self.watchdog.add(pulse.clone());
            loops.push((remote, pulse));
            let id = ShardId::at(index);
            report.shards.push(ShardStart { id, core: cores[index], is_placed });
        }
        tracing::info!("{report}");
        report.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
        if stop_requested {
            self.request_stop();
        }
        Some((loops, Arc::new(report)))
    }

    /// Watches over the shards until all have ended.
    pub(crate) fn watch(&mut self, heard: &Receiver<Event>, shards: &ShardsHandle) {
        while self.progress.iter().any(|&progress| progress < Progress::Ended) {
            let looks = [self.drift.next(now()), self.watchdog.next(now())];
            let event = match self.deadline.into_iter().chain(looks.into_iter().flatten()).min() {
                Some(moment) => heard.recv_deadline(moment).ok(),
                None => heard.recv().ok(),
            };
            let now = now();
            self.drift.look(now);
            self.watchdog.look(now);
            match event {
                Some(Event::DumpRequested) => print_tasks(shards),
                Some(event) => self.hear(event),
                None if self.deadline.is_some_and(|deadline| deadline <= now) => {
                    self.deadline = None;
                    self.enter(Stage::Cancelling);
                }
                None => {}
            }
            self.advance();
        }
    }

    /// Why the run failed, if it did.
    pub(crate) fn into_failure(self) -> Option<Error> {
        self.failure
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Started { .. } | Event::DumpRequested => {}
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
        // A time to drain beyond what a clock can hold is no limit.
        self.deadline = now().checked_add(self.drain);
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

#[expect(clippy::disallowed_methods, reason = "one time for all loops, whose clocks differ")]
fn now() -> Instant {
    Instant::now()
}

/// Has the tasks printed by a thread that may wait for a shard which does not answer: this one must not.
fn print_tasks(shards: &ShardsHandle) {
    let shards = shards.clone();
    #[expect(clippy::disallowed_methods, reason = "a stalled shard must not stop the supervisor")]
    let thread =
        thread::Builder::new().name("shards-dump".to_owned()).spawn(move || dump::print(&shards));
    if let Err(error) = thread {
        tracing::warn!("the tasks cannot be printed: {error}");
    }
}
