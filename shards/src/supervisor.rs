//! Watching over the shards of a run: who has come how far, and what all do next.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use corelane::lowlevel::LoopPulse;
use corelane::{Error, RemoteLoop};
use crossbeam_channel::Receiver;
use rustix::thread::Pid;

use crate::call::ShardsHandle;
use crate::clock;
use crate::drift::DriftWatch;
use crate::dump;
use crate::ending::{LateShard, Phase};
use crate::foreign::text_of;
use crate::id::ShardId;
use crate::panics::PanicPolicy;
use crate::report::{ShardStart, StartReport};
use crate::shard;
use crate::shutdown::Stage;
use crate::watchdog::Watchdog;

/// How long a shard has to end when nothing is waited for any more.
const GRACE: Duration = Duration::from_millis(500);

/// What shards, signals and user code tell the supervisor.
#[derive(Debug)]
pub(crate) enum Event {
    /// The loop has been made; whether the thread is where it should be.
    Started { id: ShardId, remote: RemoteLoop, pulse: LoopPulse, pinned: bool, thread: Pid },
    /// Something that runs on it has panicked, and the policy is not to isolate that.
    Panicked(ShardId, String),
    /// It has tasks that did not end in time.
    Late(LateShard),
    /// A shard goes on after all have rested for a while.
    WentOn,
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

/// A shard that ends alone.
struct Lost {
    id: ShardId,
    panic: Error,
    /// When what was cancelled on it has had its time, until that has passed.
    abort_at: Option<Instant>,
}

/// How a run is to end.
pub(crate) struct EndRules {
    pub(crate) drain: Duration,
    pub(crate) clean_up: Duration,
    pub(crate) on_panic: PanicPolicy,
}

/// What there is to say about the end of a run, but for what its mains returned.
#[derive(Default)]
pub(crate) struct EndNotes {
    pub(crate) failure: Option<Error>,
    pub(crate) late: Vec<LateShard>,
    pub(crate) lost: Vec<(ShardId, Error)>,
}

/// The calling thread of `run`: it hears the shards and tells them the stages.
pub(crate) struct Supervisor {
    stage: Stage,
    rules: EndRules,
    /// When the present stage has lasted too long.
    deadline: Option<Instant>,
    /// When what was cancelled has had its time.
    abort_at: Option<Instant>,
    /// Threads that have not ended will not be waited for.
    has_given_up: bool,
    progress: Vec<Progress>,
    remotes: Vec<RemoteLoop>,
    failure: Option<Error>,
    late: Vec<LateShard>,
    lost: Vec<Lost>,
    drift: DriftWatch,
    watchdog: Watchdog,
}

impl Supervisor {
    /// One for this many shards.
    pub(crate) fn new(
        shard_count: usize,
        rules: EndRules,
        drift: DriftWatch,
        watchdog: Watchdog,
    ) -> Self {
        Self {
            stage: Stage::Running,
            rules,
            deadline: None,
            abort_at: None,
            has_given_up: false,
            progress: vec![Progress::Running; shard_count],
            remotes: Vec::new(),
            failure: None,
            late: Vec::new(),
            lost: Vec::new(),
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
                Ok(Event::DumpRequested | Event::WentOn) => {}
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
        report.warnings().iter().for_each(|warning| corelane::__report!(WARN, "{warning}"));
        if stop_requested {
            self.request_stop();
        }
        Some((loops, Arc::new(report)))
    }

    /// Watches over the shards until all have ended.
    pub(crate) fn watch(&mut self, heard: &Receiver<Event>, shards: &ShardsHandle) {
        while !self.is_over() {
            let first = match self.next_look() {
                Some(moment) => heard.recv_deadline(moment).ok(),
                None => heard.recv().ok(),
            };
            // What comes from now on puts no deadline off.
            let others = heard.try_iter().take(heard.len());
            self.go_on(first.into_iter().chain(others), shards);
        }
    }

    /// Whether every shard has ended, or is not waited for any more.
    pub(crate) fn is_over(&self) -> bool {
        self.has_given_up || self.behind(Progress::Ended).next().is_none()
    }

    /// Whether the end was asked for, or has come by itself.
    #[cfg(feature = "sim")]
    pub(crate) fn is_ending(&self) -> bool {
        self.stage > Stage::Running
    }

    /// When there is something to do even if nothing is heard.
    pub(crate) fn next_look(&mut self) -> Option<Instant> {
        let now = clock::instant();
        let looks = [self.drift.next(now), self.watchdog.next(now), self.deadline];
        let of_the_lost = self.lost.iter().filter_map(|lost| lost.abort_at);
        looks.into_iter().flatten().chain(of_the_lost).min()
    }

    /// Does what is to be done at this moment, having heard `events`, all of which have come.
    pub(crate) fn go_on(&mut self, events: impl IntoIterator<Item = Event>, shards: &ShardsHandle) {
        let now = clock::instant();
        self.drift.look(now);
        self.watchdog.look(now);
        for event in events {
            match event {
                Event::DumpRequested => print_tasks(shards),
                Event::WentOn => self.watchdog.wake(now),
                event => self.hear(event),
            }
            self.advance();
        }
        // Whatever came: a queue that never empties must not keep a run from its end.
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.pass_deadline(shards);
        }
        self.abort_the_lost(now, shards);
        self.advance();
    }

    /// What there is to say about the end.
    pub(crate) fn into_notes(self) -> EndNotes {
        let lost: Vec<_> = self.lost.into_iter().map(|lost| (lost.id, lost.panic)).collect();
        let panic = || lost.first().map(|(_, panic)| panic.clone());
        EndNotes { failure: self.failure.or_else(panic), late: self.late, lost }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Started { .. } | Event::DumpRequested | Event::WentOn => {}
            Event::StopRequested => self.request_stop(),
            Event::MainEnded(id, error) => {
                self.note(id, Progress::MainEnded);
                // A main that ends with an error because it was cancelled is no failure of its own.
                let is_cancelled = self.stage >= Stage::Cancelling || self.is_lost(id);
                if let Some(error) = error.filter(|_| !is_cancelled) {
                    self.fail(id, error);
                }
            }
            Event::Drained(id) => self.note(id, Progress::Drained),
            Event::CleanedUp(id) => {
                self.note(id, Progress::CleanedUp);
                if let Some(lost) = self.lost.iter_mut().find(|lost| lost.id == id) {
                    lost.abort_at = None;
                    shard::send_on(&self.remotes[id.index()], Stage::Ended, false);
                }
            }
            Event::Panicked(id, message) => self.hear_panic(id, message),
            Event::Late(late) => late.note(&mut self.late),
            Event::Ended(id) => {
                if self.stage < Stage::Ended && !self.is_lost(id) {
                    self.fail(id, Error::runtime("a shard ended before the run did"));
                }
                self.note(id, Progress::Ended);
            }
        }
    }

    /// The present stage has lasted too long.
    fn pass_deadline(&mut self, shards: &ShardsHandle) {
        self.deadline = None;
        let (next, wanted) = match self.stage {
            Stage::Running => return,
            Stage::Draining => (Stage::Cancelling, Progress::Drained),
            Stage::Cancelling => (Stage::Aborting, Progress::CleanedUp),
            Stage::Aborting => (Stage::Ended, Progress::CleanedUp),
            Stage::Ended => return self.give_up(shards),
        };
        let behind: Vec<ShardId> = self.behind(wanted).collect();
        behind.into_iter().for_each(|id| self.note_holder(id, self.stage, shards));
        self.enter_late(next, true);
    }

    /// Writes down what holds a shard that is late, if something does: it cannot say so itself.
    fn note_holder(&mut self, id: ShardId, stage: Stage, shards: &ShardsHandle) {
        if let (Some(holder), Some(phase)) = (shards.holder(id), Phase::of(stage)) {
            let (tasks, holder) = (Vec::new(), Some(holder));
            let late = LateShard { phase, id, tasks, connection_count: 0, holder };
            corelane::__report!(WARN, shard = id.index(), "{late}");
            late.note(&mut self.late);
        }
    }

    /// Something on a shard has panicked, and that is not to be its own matter.
    fn hear_panic(&mut self, id: ShardId, message: String) {
        // Where it was caught it has its own payload; here it is a text.
        let panic = Error::panicked(Box::new(message));
        match self.rules.on_panic {
            PanicPolicy::Isolate | PanicPolicy::Abort => {}
            PanicPolicy::ShutAll => self.fail(id, panic),
            // When all are being cancelled it is as well.
            PanicPolicy::ShutShard if self.stage >= Stage::Cancelling || self.is_lost(id) => {}
            PanicPolicy::ShutShard => {
                corelane::__report!(
                    ERROR,
                    shard = id.index(),
                    "shard {id} is shut, the others go on: {panic}"
                );
                let abort_at = clock::instant().checked_add(self.rules.clean_up);
                self.lost.push(Lost { id, panic, abort_at });
                shard::shut(&self.remotes[id.index()]);
            }
        }
    }

    fn is_lost(&self, id: ShardId) -> bool {
        self.lost.iter().any(|lost| lost.id == id)
    }

    /// Shards that end alone have a deadline of their own.
    fn abort_the_lost(&mut self, now: Instant, shards: &ShardsHandle) {
        let due = self
            .lost
            .iter_mut()
            .filter_map(|lost| lost.abort_at.take_if(|moment| *moment <= now).map(|_| lost.id));
        let due: Vec<ShardId> = due.collect();
        for id in due {
            self.note_holder(id, Stage::Cancelling, shards);
            shard::send_on(&self.remotes[id.index()], Stage::Aborting, true);
        }
    }

    /// Threads that do not end are left behind.
    fn give_up(&mut self, shards: &ShardsHandle) {
        let name = |id| match shards.holder(id) {
            Some(holder) => format!("shard {id} (held by {holder})"),
            None => format!("shard {id}"),
        };
        let behind: Vec<ShardId> = self.behind(Progress::Ended).collect();
        behind.iter().for_each(|id| self.note_holder(*id, Stage::Ended, shards));
        let names: Vec<String> = behind.into_iter().map(name).collect();
        let text =
            format!("did not end in time, and its thread was left behind: {}", names.join(", "));
        corelane::__report!(ERROR, "{text}");
        self.failure.get_or_insert(Error::msg(text));
        self.has_given_up = true;
    }

    /// The shards that have not come so far.
    fn behind(&self, wanted: Progress) -> impl Iterator<Item = ShardId> {
        let late =
            self.progress.iter().enumerate().filter(move |(_, progress)| **progress < wanted);
        late.map(|(index, _)| ShardId::at(index))
    }

    /// The threads without those that are left behind, if there are any: joining them would block.
    pub(crate) fn let_go<T>(&self, threads: Vec<T>) -> Vec<Option<T>> {
        let has_ended = |index: usize| self.progress[index] == Progress::Ended;
        let keep = |(index, thread)| (!self.has_given_up || has_ended(index)).then_some(thread);
        threads.into_iter().enumerate().map(keep).collect()
    }

    /// Goes on to the next stage if every shard is ready for it.
    fn advance(&mut self) {
        // Those that end alone are waited for only with the end itself.
        let others = self.progress.iter().enumerate();
        let others = others.filter(|(index, _)| !self.is_lost(ShardId::at(*index)));
        let slowest = others.map(|(_, progress)| *progress).min().unwrap_or(Progress::Ended);
        if slowest >= Progress::MainEnded {
            self.request_stop();
        }
        if slowest >= Progress::Drained {
            self.enter(Stage::Cancelling);
        }
        if self.behind(Progress::CleanedUp).next().is_none() {
            self.enter(Stage::Ended);
        }
    }

    fn request_stop(&mut self) {
        if self.stage > Stage::Running {
            return;
        }
        // A time to drain beyond what a clock can hold is no limit.
        self.deadline = clock::instant().checked_add(self.rules.drain);
        self.abort_at =
            self.deadline.and_then(|deadline| deadline.checked_add(self.rules.clean_up));
        self.enter(Stage::Draining);
    }

    fn fail(&mut self, id: ShardId, error: Error) {
        if self.failure.is_none() {
            let text = text_of(&error);
            corelane::__report!(
                ERROR,
                shard = id.index(),
                "shard {id} failed, all are ended: {text}"
            );
            self.failure = Some(error);
        }
        self.enter(Stage::Cancelling);
    }

    fn enter(&mut self, stage: Stage) {
        self.enter_late(stage, false);
    }

    /// Goes on to `stage`; `is_overdue` if the one before took too long.
    fn enter_late(&mut self, stage: Stage, is_overdue: bool) {
        if stage <= self.stage {
            return;
        }
        self.stage = stage;
        shard::broadcast(&self.remotes, stage, is_overdue);
        let now = clock::instant();
        let soon = now.checked_add(GRACE);
        match stage {
            Stage::Running | Stage::Draining => {}
            Stage::Cancelling => {
                self.abort_at = self.abort_at.or_else(|| now.checked_add(self.rules.clean_up));
                self.deadline = self.abort_at;
            }
            Stage::Aborting => self.deadline = soon,
            // Functions that block threads of `to_thread` have what is left of the time, which has no end if
            // there was none.
            Stage::Ended => self.deadline = self.abort_at.and_then(|moment| Some(moment).max(soon)),
        }
    }

    fn note(&mut self, id: ShardId, progress: Progress) {
        let known = &mut self.progress[id.index()];
        *known = progress.max(*known);
    }
}

/// Has the tasks printed by a thread that may wait for a shard which does not answer: this one must not.
fn print_tasks(shards: &ShardsHandle) {
    let shards = shards.clone();
    #[expect(clippy::disallowed_methods, reason = "a stalled shard must not stop the supervisor")]
    let thread =
        thread::Builder::new().name("shards-dump".to_owned()).spawn(move || dump::print(&shards));
    if let Err(error) = thread {
        corelane::__report!(WARN, "the tasks cannot be printed: {error}");
    }
}

#[cfg(test)]
mod tests;
