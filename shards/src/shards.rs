//! Starting shards, and joining them.

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use corelane::lowlevel::LoopConfig;
use corelane::{Error, Idle, Result, SchedulingGroup};
use crossbeam_channel::{Sender, bounded, unbounded};

use crate::call::{self, Limits, MAX_PERMIT_COUNT, Seed, ShardsHandle, refuse_to_block};
use crate::cores::AllowedCores;
use crate::drift::DriftWatch;
use crate::ending::Ending;
use crate::id::ShardId;
use crate::panics::PanicPolicy;
use crate::placement::Placement;
use crate::report::StartReport;
use crate::running::Running;
use crate::server::Groups;
use crate::shard::thread::{Seat, run};
use crate::shard::{Go, Shard};
use crate::shutdown::signals::SignalWatch;
use crate::supervisor::{EndNotes, EndRules, Event, Loops, Supervisor};
use crate::watchdog::Watchdog;

/// Packets that a lane holds; its sender makes one a turn.
const DEFAULT_LANE_CAPACITY: usize = 16;
/// Calls in flight from one shard to another.
const DEFAULT_PERMIT_COUNT: u32 = 1024;
/// How deep calls may be made inside of calls.
const DEFAULT_CALL_DEPTH: u8 = 16;
/// How long a run drains before what is left is cancelled.
const DEFAULT_DRAIN: Duration = Duration::from_secs(10);
/// How long what was cancelled may take to clean up.
const DEFAULT_CLEAN_UP: Duration = Duration::from_secs(10);
/// A shard that does not go on for so long is reported.
const DEFAULT_STALL_LIMIT: Duration = Duration::from_millis(200);
/// How often the supervisor looks whether shards may run where they were put.
const DEFAULT_PLACEMENT_CHECK: Duration = Duration::from_secs(30);

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
    pub(crate) placement: Placement,
    allow_oversubscription: bool,
    idle: Idle,
    timer_slack: Duration,
    step_budget: Duration,
    lane_capacity: usize,
    permit_count: u32,
    group_permit_count: Option<u32>,
    call_depth: u8,
    drain: Duration,
    clean_up: Duration,
    pub(crate) handle_signals: bool,
    placement_check: Option<Duration>,
    stall_limit: Option<Duration>,
    pub(crate) on_panic: PanicPolicy,
    inbound_group: Option<SchedulingGroup>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            placement: Placement::default(),
            allow_oversubscription: false,
            idle: Idle::default(),
            timer_slack: LoopConfig::default().timer_slack,
            step_budget: LoopConfig::default().step_budget,
            lane_capacity: DEFAULT_LANE_CAPACITY,
            permit_count: DEFAULT_PERMIT_COUNT,
            group_permit_count: None,
            call_depth: DEFAULT_CALL_DEPTH,
            drain: DEFAULT_DRAIN,
            clean_up: DEFAULT_CLEAN_UP,
            handle_signals: true,
            placement_check: Some(DEFAULT_PLACEMENT_CHECK),
            stall_limit: Some(DEFAULT_STALL_LIMIT),
            on_panic: PanicPolicy::default(),
            inbound_group: None,
        }
    }
}

/// What a run is about to begin with.
pub(crate) struct Plan {
    /// Of each shard.
    pub(crate) cores: Vec<Option<usize>>,
    pub(crate) config: LoopConfig,
    /// Without its shards, which have not started.
    pub(crate) report: StartReport,
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

    /// By how much a timer may be late so that a shard that sleeps wakes once for several; 100 µs unless told
    /// otherwise. What that means is said at [`timer_slack`](corelane::Builder::timer_slack) of a runner.
    pub fn timer_slack(mut self, slack: Duration) -> Self {
        self.timer_slack = slack;
        self
    }

    /// How long a task may go on in one turn before [`yield_if_needed`](corelane::yield_if_needed) yields; 500 µs
    /// unless told otherwise.
    pub fn step_budget(mut self, budget: Duration) -> Self {
        self.step_budget = budget;
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
    /// otherwise; from other scheduling groups than the default [`group_permits`](Self::group_permits). Further
    /// calls wait in order at the caller. Answers need no permit. `call`s are one
    /// set for each depth of calls inside of calls; invocations and posts together are another of the same size.
    pub fn permits(mut self, call_count: u32) -> Self {
        self.permit_count = call_count;
        self
    }

    /// How many calls may be in flight from one shard to another that come from a scheduling group other than the
    /// default, for each group by itself, at least 1; an eighth of [`permits`](Self::permits) unless told otherwise.
    /// They are besides those, so that calls that wait over there for a group with a small share keep nobody else
    /// waiting here.
    pub fn group_permits(mut self, call_count: u32) -> Self {
        self.group_permit_count = Some(call_count);
        self
    }

    /// How deep calls may be made inside of calls, at least 1; 16 unless told otherwise. One that is
    /// made deeper fails with [`CallError::TooDeep`](crate::CallError::TooDeep), which names the shards
    /// that the chain has gone through.
    pub fn call_depth(mut self, depth: u8) -> Self {
        self.call_depth = depth;
        self
    }

    /// How long, from the moment the end is asked for, mains may run on and connections stay open
    /// before they are cancelled; 10 s unless told otherwise.
    pub fn drain(mut self, limit: Duration) -> Self {
        self.drain = limit;
        self
    }

    /// How long what was cancelled may take to clean up, beyond the time to [`drain`](Self::drain); 10 s unless
    /// told otherwise. Both together are one deadline, counted from the moment the end is asked for, or from a
    /// failure. When it has passed, tasks that have not ended are dropped, and a shard whose thread does not
    /// end even then, because something blocks it, is left behind: [`run`](Self::run) then fails, and names what
    /// holds the thread. At each deadline a warning through `tracing` says what did not end in time.
    pub fn clean_up(mut self, limit: Duration) -> Self {
        self.clean_up = limit;
        self
    }

    /// Whether SIGINT and SIGTERM ask for the orderly end, and a second one ends the process at
    /// once with status 130 or 143. They do unless told otherwise. They are the process's, so one
    /// run at a time should have them. SIGUSR1 prints what all tasks are doing to the standard error
    /// output: see [`ShardsHandle::dump_tasks`](crate::ShardsHandle::dump_tasks).
    pub fn handle_signals(mut self, handle: bool) -> Self {
        self.handle_signals = handle;
        self
    }

    /// How often it is looked at whether the shards may still run on the cores that they were started
    /// on; every 30 s unless told otherwise, `None` for never. An affinity mask or a cpuset that somebody
    /// has changed is reported as a warning through `tracing`, and so is its return; the shards go on where
    /// the system lets them. It costs the calling thread of [`run`](Self::run) one system call for each
    /// shard. [`Shard::allowed_cores`] looks at once.
    pub fn placement_check(mut self, period: impl Into<Option<Duration>>) -> Self {
        self.placement_check = period.into();
        self
    }

    /// How long a shard may be held by one step of a task, or one closure, before that is reported; 200 ms
    /// unless told otherwise, `None` for never. A task that computes for so long, or blocks its thread, stops
    /// everything else on its shard. A warning through `tracing` names it and the place where it was created,
    /// while it lasts, and again each time that the length has doubled. The thread of
    /// [`run`](Self::run) looks four times in that time; no shard is asked, woken or slowed down by it. While all
    /// shards are idle it does not look at all.
    pub fn stall_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.stall_limit = limit.into();
        self
    }

    /// What a panic on a shard does beyond the task that it ends; [`PanicPolicy::Isolate`], nothing, unless told
    /// otherwise.
    pub fn panic_policy(mut self, policy: PanicPolicy) -> Self {
        self.on_panic = policy;
        self
    }

    /// Has calls, invocations and posts of other shards that come from no scheduling group of their own, which is
    /// to say from the default one, and those that come through a [`ShardsHandle`], run in `group`, with a share of
    /// each shard's time that is apart from the shard's own work. Unless this is set they run in the default group:
    /// closures at once, in the mail phase, which is the fastest.
    ///
    /// ```
    /// use corelane::SchedulingGroup;
    /// use corelane_shards::{Placement, ShardId, Shards};
    ///
    /// let inbound = SchedulingGroup::new("inbound", 500)?;
    /// let shards = Shards::builder().placement(Placement::Unpinned(2)).inbound_group(inbound);
    /// let names = shards.run(async |shard| {
    ///     let peer = ShardId::new(if shard.id() == ShardId::new(0) { 1 } else { 0 });
    ///     shard.invoke(peer, || SchedulingGroup::current().name().to_owned()).await
    /// })?;
    /// assert_eq!(names, ["inbound", "inbound"]);
    /// # Ok::<(), corelane::Error>(())
    /// ```
    pub fn inbound_group(mut self, group: SchedulingGroup) -> Self {
        self.inbound_group = Some(group);
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
    /// that failed; cancelled, if a main had to be because it did not end in time; an error that names
    /// the shard, and what holds it, if a thread had to be left behind. A core that
    /// cannot be pinned is no error: see [`Shard::report`].
    pub fn run<T, F>(self, main: F) -> Result<Vec<T>>
    where
        F: AsyncFnOnce(Shard) -> Result<T> + Clone + Send + 'static,
        T: Send + 'static,
    {
        self.run_to_end(main)?.into_result()
    }

    /// Runs `main` on every shard, as [`run`](Self::run) does, and gives all that there is to say about the end:
    /// what each main returned, what did not end in time, and why the run failed, if it did.
    ///
    /// # Errors
    /// As [`run`](Self::run), for what goes wrong before the mains begin; the rest is in the [`Ending`].
    pub fn run_to_end<T, F>(self, main: F) -> Result<Ending<T>>
    where
        F: AsyncFnOnce(Shard) -> Result<T> + Clone + Send + 'static,
        T: Send + 'static,
    {
        refuse_to_block()?;
        self.run_on(|seat| spawn(seat, main.clone()), drop)
    }

    /// Runs `main` on every shard, as [`run`](Self::run) does, and returns when they have started: the
    /// run is watched over by a thread of its own, and this one goes on with something else.
    ///
    /// ```
    /// use corelane_shards::{Placement, Shards};
    ///
    /// let running = Shards::builder().placement(Placement::Unpinned(2)).start(async |shard| {
    ///     shard.shutdown().requested().await;
    ///     Ok(shard.id().index())
    /// })?;
    /// running.handle().request_shutdown();
    /// assert_eq!(running.join()?, [0, 1]);
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`run`](Self::run), for what goes wrong before the mains begin; the rest
    /// [`join`](Running::join) gives.
    pub fn start<T, F>(self, main: F) -> Result<Running<T>>
    where
        F: AsyncFnOnce(Shard) -> Result<T> + Clone + Send + 'static,
        T: Send + 'static,
    {
        refuse_to_block()?;
        let (tell, told) = bounded(1);
        // Refused means that nobody has waited for the start.
        let on_start = move |handle| _ = tell.send(handle);
        let run = move || self.run_on(|seat| spawn(seat, main.clone()), on_start);
        #[expect(clippy::disallowed_methods, reason = "somebody has to watch over the shards")]
        let supervisor = thread::Builder::new().name("shards".to_owned()).spawn(run)?;
        match told.recv() {
            Ok(handle) => Ok(Running::new(handle, supervisor)),
            Err(_) => {
                Err(join(vec![Some(supervisor)]).remove(0).err().unwrap_or_else(never_started))
            }
        }
    }

    /// The same on the threads that `spawn` makes.
    fn run_on<T>(
        self,
        mut spawn: impl FnMut(Seat) -> Result<JoinHandle<Result<T>>>,
        on_start: impl FnOnce(ShardsHandle),
    ) -> Result<Ending<T>> {
        let Plan { cores, config, report } = self.plan(AllowedCores::of_process()?)?;
        let (events, heard) = unbounded();
        let signals = match self.handle_signals {
            true => Some(SignalWatch::start(events.clone())?),
            false => None,
        };
        let mut starts = Vec::new();
        let mut threads = Vec::new();
        for (index, &core) in cores.iter().enumerate() {
            let (go, receiver) = bounded(1);
            let (id, config, events) = (ShardId::at(index), config.clone(), events.clone());
            let seat = Seat { id, core, config, on_panic: self.on_panic, events, go: receiver };
            starts.push(go);
            match spawn(seat) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    // Sends those that were made home.
                    drop(starts);
                    join(threads.into_iter().map(Some).collect());
                    return Err(error);
                }
            }
        }
        let drift = DriftWatch::new(self.placement_check);
        let watchdog = Watchdog::new(self.stall_limit, events.clone());
        let mut supervisor = self.supervisor(cores.len(), drift, watchdog);
        let failed_start = match supervisor.await_start(&heard, &cores, report) {
            Some((loops, report)) => {
                let (outside, dealt) = self.deal(loops, report, events);
                for (start, go) in starts.into_iter().zip(dealt) {
                    // A shard that ended meanwhile says so itself.
                    let _ = start.send(go);
                }
                on_start(outside.clone());
                supervisor.watch(&heard, &outside);
                false
            }
            // Dropping the starts sends the shards that wait for theirs home.
            None => {
                drop(starts);
                true
            }
        };
        let mains = join(supervisor.let_go(threads));
        drop(signals);
        if failed_start {
            return Err(why_not_started(mains));
        }
        let EndNotes { failure, late, lost } = supervisor.into_notes();
        Ok(Ending { mains, failure, late, lost })
    }

    /// Which of the allowed cores the shards get, and what their loops are made with.
    pub(crate) fn plan(&self, allowed: &AllowedCores) -> Result<Plan> {
        self.check()?;
        let cores = self.placement.plan(allowed, self.allow_oversubscription)?;
        let config = self.config(allowed.cores(), &cores);
        let (placement, allowed) = (self.placement.clone(), allowed.clone());
        let report = StartReport { placement, allowed, shards: Vec::new(), driver: config.driver };
        Ok(Plan { cores, config, report })
    }

    /// Who is to watch over the shards.
    pub(crate) fn supervisor(
        &self,
        shard_count: usize,
        drift: DriftWatch,
        watchdog: Watchdog,
    ) -> Supervisor {
        let rules =
            EndRules { drain: self.drain, clean_up: self.clean_up, on_panic: self.on_panic };
        Supervisor::new(shard_count, rules, drift, watchdog)
    }

    /// What each shard is given when all loops are there, and the way to them.
    pub(crate) fn deal(
        &self,
        loops: Loops,
        report: Arc<StartReport>,
        events: Sender<Event>,
    ) -> (ShardsHandle, Vec<Go>) {
        let groups = Groups::default();
        let outside = ShardsHandle::new(&loops, self.permit_count, report, events);
        let bells = loops.into_iter().map(|(remote, _)| remote).collect();
        let go = |seed: Seed| {
            let seed = seed.with_inbound(self.inbound_group.clone());
            Go { seed, groups: groups.clone(), outside: outside.clone() }
        };
        let dealt = call::deal(bells, self.limits()).into_iter().map(go).collect();
        (outside, dealt)
    }

    fn check(&self) -> Result<()> {
        if self.lane_capacity == 0 {
            return Err(Error::value("a lane must hold at least one packet"));
        }
        let mut permits = [Some(self.permit_count), self.group_permit_count].into_iter().flatten();
        if !permits.all(|count| (1..=MAX_PERMIT_COUNT).contains(&count)) {
            return Err(Error::value("a lane must have between 1 and 1048576 permits"));
        }
        if self.call_depth == 0 {
            return Err(Error::value("calls must be at least one deep"));
        }
        if self.stall_limit.is_some_and(|limit| limit.is_zero()) {
            return Err(Error::value("a shard must be allowed to be held for some time"));
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits {
            lane_capacity: self.lane_capacity,
            permit_count: self.permit_count,
            group_permit_count: self.group_permit_count.unwrap_or(self.permit_count / 8).max(1),
            call_depth: self.call_depth,
        }
    }

    /// What the loops are made with. Their threads for what blocks, and child processes, keep off the cores of
    /// shards, as far as there are others.
    fn config(&self, allowed: &[usize], pinned: &[Option<usize>]) -> LoopConfig {
        let Self { idle, timer_slack, step_budget, .. } = *self;
        let mut config = LoopConfig { idle, timer_slack, step_budget, ..LoopConfig::default() };
        if pinned.iter().any(Option::is_some) {
            let free = allowed.iter().filter(|&&core| !pinned.contains(&Some(core)));
            let free: Arc<[usize]> = free.copied().collect();
            config.pool.cpus = Some(if free.is_empty() { allowed.into() } else { free });
        }
        config
    }
}

fn spawn<T, F>(seat: Seat, main: F) -> Result<JoinHandle<Result<T>>>
where
    F: AsyncFnOnce(Shard) -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    let name = format!("shard-{}", seat.id);
    #[expect(clippy::disallowed_methods, reason = "a shard is a thread")]
    let thread = thread::Builder::new().name(name).spawn(move || run(seat, main))?;
    Ok(thread)
}

/// Waits for all threads; a panic of one, which would be a bug of ours, goes on here when all have
/// ended. One that is left behind is not waited for.
pub(crate) fn join<T>(threads: Vec<Option<JoinHandle<Result<T>>>>) -> Vec<Result<T>> {
    let ended: Vec<_> = threads.into_iter().map(|thread| thread.map(JoinHandle::join)).collect();
    let left_behind = || Ok(Err(Error::runtime("the thread of the shard was left behind")));
    ended
        .into_iter()
        .map(|outcome| {
            outcome.unwrap_or_else(left_behind).unwrap_or_else(|payload| resume_unwind(payload))
        })
        .collect()
}

/// A start that failed gives the error of the loop that could not be made.
fn why_not_started<T>(outcomes: Vec<Result<T>>) -> Error {
    let mut errors = outcomes.into_iter().filter_map(Result::err);
    errors.find(|error| !error.is_runtime()).unwrap_or_else(never_started)
}

fn never_started() -> Error {
    Error::runtime("a shard could not start")
}
