//! A simulated world: several loops, the net between them and the clock, on one thread and under a seed.
//!
//! A program of several hosts is run as it is, but for the addresses: what it awaits takes virtual time, what it
//! sends arrives late, in pieces, and in the order in which it was sent, and which loop turns next, which of the
//! tasks that are ready runs first, how much a receive gives, whether a task is woken for nothing, all that is
//! drawn from one generator. Two runs with one seed do the same; other seeds find other ways through the
//! program. A run in which nothing can happen any more fails, and says who waits for what.
//!
//! ```
//! use corelane::sim::{self, Simulation};
//!
//! sim::check(20, |sim| {
//!     let (server, client) = (sim.host("server")?, sim.host("client")?);
//!     let serving = sim.spawn(server, async move || {
//!         let echo = async |mut reader: corelane::StreamReader, writer: corelane::StreamWriter| {
//!             writer.write_bytes(reader.read_line().await?)?;
//!             Ok(())
//!         };
//!         Ok(corelane::start_server(echo, server.addr(7)).await?)
//!     });
//!     sim.run_until(|| serving.done())?;
//!     sim.run(client, async move || {
//!         let (mut reader, writer) = corelane::open_connection(server.addr(7)).await?;
//!         writer.write(b"anybody?\n")?;
//!         assert_eq!(reader.read_line().await?, "anybody?\n");
//!         Ok(())
//!     })
//! });
//! ```
//!
//! A test that fails names its seed, and `CORELANE_SEED=41 cargo test its_name` runs that one again.
//!
//! # What is simulated
//!
//! - The clock: [`now`](crate::now) and all that sleeps. It jumps when every loop waits, and moves a little with
//!   each turn.
//! - TCP: listeners, connections with a time on their way and a limit on what is unread, half-close, reset, refusal.
//!   A host has one address, its loopback, and sees the other hosts. Of several listeners that share a port one is
//!   chosen as Linux does it, by a hash of both addresses: some get more than others, a client comes to the same one
//!   again while its queue is full and another's is not, and one that goes resets who waits there.
//! - Unix sockets within a host, with a path or an abstract name. Their files are the world's, one set a host, and
//!   go with their listeners, but for those of a process that is killed.
//! - UDP: datagrams have a time of their own on their way, so they overtake each other between hosts. They are lost
//!   when a buffer is full, a partition in their way, or a fault says so.
//! - [Signals](crate::signal()) of the process that a host is, when the test [sends](Simulation::signal) them.
//! - [`to_thread`](crate::to_thread) runs its function on the thread of the simulation, after a drawn time.
//! - The order of the tasks that are ready, unless [`fifo`](Builder::fifo) keeps it. Callbacks and timers keep
//!   theirs always.
//!
//! # What goes wrong
//!
//! A test says so in [`faults`](Simulation::faults): late messages, resets, connections that are half open, slow
//! ways, partitions, hosts without descriptors, clocks that differ, loops that stall, tasks that panic, processes
//! that are killed and hosts that crash, with what they [stored](Simulation::start) or without. [`Fault`] says one
//! of them in a line; [`Faults::any`] draws some from the seed. A test can also do it by hand:
//! [partition](Simulation::partition), [stall](Simulation::stall), [restart](Simulation::restart).
//!
//! ```
//! use std::time::Duration;
//!
//! use corelane::sim::{self, Fault, Faults};
//!
//! sim::check(20, |sim| {
//!     let (server, client) = (sim.host("server")?, sim.host("client")?);
//!     sim.start(server, || (), async move |_| {
//!         let echo = async |mut reader: corelane::StreamReader, writer: corelane::StreamWriter| {
//!             Ok(writer.write_bytes(reader.read_line().await?)?)
//!         };
//!         corelane::start_server(echo, server.addr(7)).await?.serve_forever().await
//!     })?;
//!     let second = Duration::from_secs(1);
//!     let crash = Fault::crash("server", 10 * second).at(5 * second);
//!     sim.faults(Faults::any().among(&["server"]).within(Duration::ZERO..60 * second).and(crash));
//!     sim.run(client, async move || {
//!         // Whatever happens, it gets its answer some time.
//!         loop {
//!             let attempt = corelane::timeout(second, async move |_| {
//!                 let (mut reader, writer) = corelane::open_connection(server.addr(7)).await?;
//!                 writer.write(b"anybody?\n")?;
//!                 Ok(reader.read_line().await?)
//!             });
//!             if attempt.await.is_ok_and(|line| line == "anybody?\n") {
//!                 return Ok(());
//!             }
//!             corelane::sleep(second).await;
//!         }
//!     })
//! });
//! ```
//!
//! A failure prints the faults of its run as the code that makes them, and [`check()`](fn@check) looks for fewer
//! and smaller ones with which it still fails. [`Check`] runs many seeds on several threads.
//!
//! Child processes, standard streams and sockets that were made elsewhere are not there: to open one is an error of
//! kind `Unsupported`, as all of them are descriptors of the system, which no seed governs. Host names are looked up by
//! the system, so use addresses. Files are the system's.
//!
//! A child process is another program, which runs on this machine, by its clock, and does there what it does: a seed
//! that fails would not fail again. What a program has to do with its child it asks of something that a test can replace
//! by a task, which sleeps, answers and ends as the child would.
//!
//! How fast it is on a machine says `cargo run --release -p corelane --features sim --example sim_speed`: hours of an
//! idle cluster in a minute, and requests in a second.
//!
//! # What breaks it
//!
//! What the program takes from elsewhere: the system's clock, a thread of its own, the order of a hash map of the
//! standard library, an address in memory, the random numbers of TLS. [`check_twice`] finds out: it runs each seed
//! twice and compares what has happened.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::time::Duration;

pub use self::boot::Boot;
pub use self::builder::Builder;
pub use self::check::{Check, check, check_twice};
pub use self::failure::{Failure, Reason};
pub use self::fault::Fault;
pub use self::keeper::Keeper;
pub use self::plan::{FaultKind, Faults};
pub use self::within::{bind_listener, claim_addr, draw, draw_part, world_time};

use self::boot::Site;
use self::faults::Action;
use self::keeper::Machine;
use self::shrink::Planned;
use self::signals::Interrupt;
use crate::driver::sim::{HostId, World};
use crate::error::{Error, Result};
use crate::executor::{self, Cancelled, EventLoop};
use crate::runner::Main;
use crate::task::Task;
use crate::util::instant::Instant;

mod boot;
mod builder;
mod check;
mod failure;
mod fault;
mod faults;
mod keeper;
mod plan;
mod shrink;
mod signals;
mod within;

/// A simulated world and the loops in it. The [module](self) says what it is for.
///
/// Dropping it ends its loops; [`shut_down`](Self::shut_down) lets their tasks clean up before.
pub struct Simulation {
    seed: u64,
    world: World,
    machines: Vec<Machine>,
    /// Of which machine each loop of the world is, by its number.
    seated: Vec<usize>,
    step_limit: u64,
    step_count: Cell<u64>,
    time_limit: Instant,
    /// The faults that it was given, and in how many calls.
    plan: Vec<Planned>,
    plan_count: usize,
    /// Those that it takes instead of what it is given: somebody looks for fewer with which the run fails too.
    instead: Option<Vec<Planned>>,
    /// Somebody else says how to run it again.
    is_checked: bool,
    /// What is to happen to hosts and loops, by time and then in the order in which it was said.
    actions: BTreeMap<(Instant, u64), Action>,
    action_count: u64,
    /// Names of tasks that are to panic, and until when.
    panics: Vec<(String, Instant)>,
    /// What runs on hosts whenever they begin.
    sites: BTreeMap<HostId, Site>,
    /// Where mains may have ended since the last look at them.
    unchecked: Vec<HostId>,
    /// Where the main of a `run` is, and how it stands with SIGINT.
    running: Option<(HostId, Interrupt)>,
}

/// A loop on a host of a [`Simulation`], to run something on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    index: usize,
    ip: IpAddr,
}

impl Place {
    /// The address of the host.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.ip
    }

    /// The same with a port.
    #[must_use]
    pub fn addr(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, port)
    }
}

impl Simulation {
    /// An empty world in which everything happens at times, by draws from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::builder(seed).build()
    }

    /// Settings of a world.
    pub fn builder(seed: u64) -> Builder {
        Builder::new(seed)
    }

    /// Adds a host with one loop. The name is for reports; the first host's address is 10.0.0.1, the second's
    /// 10.0.0.2, and so on.
    ///
    /// # Errors
    /// An I/O error if the loop cannot be made.
    pub fn host(&mut self, name: &str) -> Result<Place> {
        let host = self.world.add_host();
        self.add_loop(name.to_owned(), host)
    }

    /// Adds a loop to the host of `place`: it shares the address, and meets the others there only over the net.
    ///
    /// # Errors
    /// As [`host`](Self::host).
    pub fn beside(&mut self, place: Place) -> Result<Place> {
        let Machine { name, host, .. } = &self.machines[place.index];
        let (name, host) = (format!("{name}, loop {}", self.machines.len()), *host);
        self.add_loop(name, host)
    }

    fn add_loop(&mut self, name: String, host: HostId) -> Result<Place> {
        let machine = Machine::new(&self.world, host, name)?;
        Ok(self.add_machine(machine))
    }

    fn add_machine(&mut self, machine: Machine) -> Place {
        let ip = self.world.ip(machine.host);
        self.machines.push(machine);
        let index = self.machines.len() - 1;
        self.seat(index);
        Place { index, ip }
    }

    /// A machine has a loop, or another one.
    fn seat(&mut self, index: usize) {
        let number = self.machines[index].seat.number();
        self.seated.resize(self.seated.len().max(number + 1), usize::MAX);
        self.seated[number] = index;
    }

    /// Begins `main` as a task at `place`. It goes on whenever the simulation is run.
    ///
    /// # Panics
    /// If `place` is of another simulation that has more loops, or its loop has ended.
    #[track_caller]
    pub fn spawn<T: 'static>(&mut self, place: Place, main: impl Main<T> + 'static) -> Task<T> {
        self.spawn_at(place, main, Location::caller())
    }

    /// The same for a task that is said to be created at `caller`.
    fn spawn_at<T: 'static>(
        &mut self,
        place: Place,
        main: impl Main<T> + 'static,
        caller: &'static Location<'static>,
    ) -> Task<T> {
        let body = async move { main().await };
        let spawned =
            self.machines[place.index].attend(|event_loop| event_loop.create_task_at(body, caller));
        match spawned {
            Some(Ok(task)) => task,
            _ => panic!("the loop of {place:?} has ended"),
        }
    }

    /// Runs the world until `main`, as a task at `place`, has ended, and gives what it returns. What it leaves
    /// behind, there and elsewhere, goes on during the next run.
    ///
    /// # Errors
    /// What `main` returned, when nothing can happen any more, or when a limit was reached: with a report on the
    /// run.
    ///
    /// # Panics
    /// If `main` does.
    #[track_caller]
    pub fn run<T: 'static>(
        &mut self,
        place: Place,
        main: impl Main<T> + 'static,
    ) -> Result<T, Failure> {
        let mut task = self.spawn(place, main);
        let is_interrupted = self.run_main(place, &task)?;
        let outcome = match task.take_output().expect("a task that is done gives its output") {
            Err(error) if is_interrupted && error.is_cancelled() => Err(Error::interrupted()),
            outcome => outcome,
        };
        if let Some(payload) = outcome.as_ref().err().and_then(Error::take_panic) {
            if !self.is_checked {
                eprintln!("{}", self.panic_report());
            }
            resume_unwind(payload);
        }
        outcome.map_err(|error| self.failure(error.into()))
    }

    /// Runs the world until a main has ended, and interrupts it if a SIGINT comes that nobody hears: true then.
    fn run_main<T: 'static>(&mut self, place: Place, main: &Task<T>) -> Result<bool, Failure> {
        self.running = Some((self.machines[place.index].host, Interrupt::No));
        let mut stepped = Ok(());
        while stepped.is_ok() && !main.done() {
            if let Some((_, interrupt @ Interrupt::Due)) = &mut self.running {
                *interrupt = Interrupt::Done;
                self.machines[place.index].attend(|event_loop| event_loop.enter(|| main.cancel()));
            }
            stepped = self.step();
        }
        let is_interrupted = matches!(self.running.take(), Some((_, Interrupt::Done)));
        stepped.map_err(|reason| self.failure(reason)).map(|()| is_interrupted)
    }

    /// Runs the world until `stop`, asked before each turn of a loop, says so.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_until(&mut self, mut stop: impl FnMut() -> bool) -> Result<(), Failure> {
        while !stop() {
            self.step().map_err(|reason| self.failure(reason))?;
        }
        Ok(())
    }

    /// Runs the world for so much of its time.
    ///
    /// # Errors
    /// As [`run`](Self::run), but that nothing happens in that time is no failure.
    pub fn run_for(&mut self, duration: Duration) -> Result<(), Failure> {
        let end = self.world.now() + duration;
        while self.world.now() < end {
            self.step_towards(end).map_err(|reason| self.failure(reason))?;
        }
        Ok(())
    }

    /// Cancels every task and runs the world until all have ended, as [`run`](crate::run) does at its end. What
    /// their clean-up waits for takes its time. The world can be used further.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn shut_down(&mut self) -> Result<(), Failure> {
        let mut cancelled = Vec::new();
        for index in 0..self.machines.len() {
            let begun = self.machines[index].attend(EventLoop::begin_cancel_all);
            match begun.transpose() {
                Ok(begun) => cancelled.push(begun),
                Err(error) => return Err(self.failure(error.into())),
            }
        }
        self.run_until(|| cancelled.iter().flatten().all(|tasks| tasks.left() == 0))?;
        for (machine, tasks) in self.machines.iter_mut().zip(cancelled) {
            // A loop that has ended meanwhile has dropped the last of its tasks, whose errors nobody hears of.
            machine.attend(|event_loop| event_loop.enter(|| tasks.map(Cancelled::report)));
        }
        Ok(())
    }

    /// The seed that it was made with.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The time in the world, which began at zero.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.world.now()
    }

    /// All that has happened so far, in one number: every draw, every turn, every byte sent, and when. Two runs of
    /// one program with one seed come to the same one.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.world.draws().trace()
    }

    /// One turn of one loop, or a jump of the clock to what happens next.
    fn step(&mut self) -> Result<(), Reason> {
        if self.step_towards(Instant::MAX)? { Ok(()) } else { Err(Reason::Stuck) }
    }

    /// The same, but the clock jumps no farther than to `limit`, if there is one. False if nothing will happen and
    /// there is none.
    fn step_towards(&mut self, limit: Instant) -> Result<bool, Reason> {
        self.step_count.set(self.step_count.get() + 1);
        if self.step_count.get() > self.step_limit {
            return Err(Reason::StepLimit(self.step_limit));
        }
        self.act()?;
        self.check_mains()?;
        if let Some((_, Interrupt::Due)) = self.running {
            // First it is cancelled.
            return Ok(true);
        }
        for machine in self.machines.iter().filter(|machine| machine.has_work()) {
            self.world.stir(machine.seat);
        }
        let Some(seat) = self.world.draw_turn() else {
            let jumped = self.world.jump(self.next_action().map_or(limit, |at| at.min(limit)));
            let is_over = self.world.now() > self.time_limit;
            return if is_over { Err(Reason::TimeLimit(self.time_limit)) } else { Ok(jumped) };
        };
        let index = self.seated.get(seat.number()).copied();
        let machine = index.and_then(|index| self.machines.get_mut(index));
        if let Some(machine) = machine.filter(|machine| machine.seat == seat) {
            self.unchecked.push(machine.host);
            machine.turn()?;
        }
        Ok(true)
    }

    /// The failure of a run whose program has ended with `error`, with a report on it.
    pub fn fail(&mut self, error: Error) -> Failure {
        self.failure(error.into())
    }

    /// A failure, with what there is to say about the run.
    fn failure(&mut self, reason: Reason) -> Failure {
        Failure::new(reason, self.report())
    }

    /// What there is to say about a run that ends with a panic: the same, or less, should it have spoiled the world.
    fn panic_report(&mut self) -> String {
        let report = catch_unwind(AssertUnwindSafe(|| self.report()));
        let report = report.unwrap_or_else(|_| failure::replay(self.seed));
        format!("a simulation failed: the program panicked\n{report}")
    }

    fn report(&mut self) -> String {
        let now = self.world.now();
        let mut tasks = String::new();
        for machine in &mut self.machines {
            let drawn = machine.attend(|event_loop| event_loop.enter(executor::format_tasks));
            let Some(drawn) = drawn else { continue };
            let drawn = drawn.and_then(|drawn| drawn).unwrap_or_default();
            tasks += &format!("tasks of {}:\n{drawn}", machine.name);
        }
        if !self.plan.is_empty() {
            tasks += &format!("faults:\n{}\n", self.fault_plan());
        }
        failure::report(self.seed, now, &tasks, &self.world.draws())
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("seed", &self.seed)
            .field("now", &self.now())
            .field("loops", &self.machines.len())
            .finish_non_exhaustive()
    }
}
