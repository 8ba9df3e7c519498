//! Random programs of spawn, cancel, catch_cancel, timeout, group, gather and shield on the virtual clock,
//! checked against what holds for every program: each task ends, no group leaves a child behind, each guard
//! runs once, counts are balanced, no wake-up is lost.
//!
//! `CORELANE_SEEDS` is how many programs are run (3,000 unless told otherwise), `CORELANE_SEED` runs one again.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use corelane::sync::{Lock, Queue};
use corelane::{
    Error, Result, Runner, Task, TaskGroup, catch_cancel, create_task, gather, shield, sleep,
    task_group, timeout, wait_for, yield_now,
};
use futures_util::future::{join, select};

/// What a program is made of. Every piece ends by itself, so that a program that hangs lost a wake-up.
#[derive(Debug, Clone)]
enum Piece {
    Sleep(u64),
    Yield,
    Fail,
    Panic,
    /// Cancels some task that was registered before, perhaps one that is done, or the own one.
    Cancel(u64),
    CancelSelf,
    /// Takes the one lock that all share, with the piece inside.
    Locked(Box<Piece>),
    /// Puts an item into the queue that all share and takes one out.
    PutGet,
    Sequence(Vec<Piece>),
    Spawn(Box<Piece>),
    SpawnAwait(Box<Piece>),
    AwaitSome(u64),
    Catch {
        body: Box<Piece>,
        clean_up: Box<Piece>,
        resume: bool,
    },
    Timeout(u64, Box<Piece>),
    WaitFor(u64, Box<Piece>),
    Group {
        members: Vec<Piece>,
        body: Box<Piece>,
    },
    Gather {
        children: Vec<Piece>,
        all: bool,
    },
    Shield(Box<Piece>),
    Join(Box<Piece>, Box<Piece>),
    Select(Box<Piece>, Box<Piece>),
}

/// Small numbers out of a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn boxed(&mut self, depth: u32) -> Box<Piece> {
        Box::new(self.piece(depth))
    }

    fn pieces(&mut self, depth: u32) -> Vec<Piece> {
        (0..self.roll(4)).map(|_| self.piece(depth)).collect()
    }

    fn piece(&mut self, depth: u32) -> Piece {
        if depth == 0 {
            return match self.roll(12) {
                0..4 => Piece::Sleep(self.roll(30)),
                4..6 => Piece::Yield,
                6 => Piece::Fail,
                7 if self.roll(4) == 0 => Piece::Panic,
                7 => Piece::PutGet,
                8 => Piece::CancelSelf,
                9 => Piece::AwaitSome(self.roll(1000)),
                _ => Piece::Cancel(self.roll(1000)),
            };
        }
        let below = depth - 1;
        match self.roll(20) {
            0..4 => Piece::Sequence(self.pieces(below)),
            4 => Piece::Spawn(self.boxed(below)),
            5 | 6 => Piece::SpawnAwait(self.boxed(below)),
            7..10 => Piece::Catch {
                body: self.boxed(below),
                clean_up: self.boxed(below),
                resume: self.roll(2) == 0,
            },
            10 | 11 => Piece::Timeout(self.roll(40), self.boxed(below)),
            12 => Piece::WaitFor(self.roll(40), self.boxed(below)),
            13 | 14 => Piece::Group { members: self.pieces(below), body: self.boxed(below) },
            15 => Piece::Gather { children: self.pieces(below), all: self.roll(2) == 0 },
            16 => Piece::Shield(self.boxed(below)),
            17 => Piece::Join(self.boxed(below), self.boxed(below)),
            18 => Piece::Select(self.boxed(below), self.boxed(below)),
            _ => Piece::Locked(self.boxed(below)),
        }
    }
}

/// What all pieces of one program share.
struct World {
    tasks: RefCell<Vec<Rc<Task<()>>>>,
    lock: Lock<()>,
    queue: Queue<u64>,
    guards_made: Cell<u64>,
    guards_run: Cell<u64>,
    groups_left: Cell<u64>,
}

impl World {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            tasks: RefCell::default(),
            lock: Lock::new(()),
            queue: Queue::new(0),
            guards_made: Cell::new(0),
            guards_run: Cell::new(0),
            groups_left: Cell::new(0),
        })
    }
}

/// Counts itself in and out.
struct Guard(Rc<World>);

impl Guard {
    fn new(world: &Rc<World>) -> Self {
        world.guards_made.set(world.guards_made.get() + 1);
        Self(Rc::clone(world))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.guards_run.set(self.0.guards_run.get() + 1);
    }
}

/// Says whether the body of a member is still there.
struct Inside(Rc<Cell<u64>>);

impl Inside {
    fn new(count: &Rc<Cell<u64>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

type Running = Pin<Box<dyn Future<Output = Result<()>>>>;

fn start(world: &Rc<World>, piece: Piece) -> Rc<Task<()>> {
    let task = Rc::new(create_task(execute(Rc::clone(world), piece)));
    world.tasks.borrow_mut().push(Rc::clone(&task));
    task
}

fn some_task(world: &World, number: u64) -> Option<Rc<Task<()>>> {
    let tasks = world.tasks.borrow();
    let index = number.checked_rem(tasks.len() as u64)?;
    Some(Rc::clone(&tasks[index as usize]))
}

fn execute(world: Rc<World>, piece: Piece) -> Running {
    Box::pin(async move {
        let _guard = Guard::new(&world);
        match piece {
            Piece::Sleep(millis) => sleep(Duration::from_millis(millis)).await,
            Piece::Yield => yield_now().await,
            Piece::Fail => return Err(Error::msg("failed")),
            Piece::Panic => std::panic::resume_unwind(Box::new("panicked")),
            Piece::Cancel(number) => {
                if let Some(task) = some_task(&world, number) {
                    task.cancel();
                }
            }
            Piece::CancelSelf => {
                corelane::current_task()?.unwrap().cancel();
            }
            Piece::Locked(inner) => {
                // A nested attempt would wait for itself.
                let Some(_held) = world.lock.try_acquire() else { return Ok(()) };
                return execute(Rc::clone(&world), *inner).await;
            }
            Piece::PutGet => {
                world.queue.put(1).await?;
                yield_now().await;
                let _ = world.queue.get_nowait();
            }
            Piece::Sequence(pieces) => {
                for piece in pieces {
                    execute(Rc::clone(&world), piece).await?;
                }
            }
            Piece::Spawn(inner) => {
                start(&world, *inner);
            }
            Piece::SpawnAwait(inner) => return (&*start(&world, *inner)).await,
            Piece::AwaitSome(number) => return await_some(&world, number).await,
            other => return compound(world, other).await,
        }
        Ok(())
    })
}

/// The pieces that have others inside, beyond sequences and tasks.
fn compound(world: Rc<World>, piece: Piece) -> Running {
    Box::pin(async move {
        match piece {
            Piece::Catch { body, clean_up, resume } => {
                return catch(world, *body, *clean_up, resume).await;
            }
            Piece::Timeout(millis, inner) => {
                let body = async |_: &_| execute(Rc::clone(&world), *inner).await;
                return timeout(Duration::from_millis(millis), body).await;
            }
            Piece::WaitFor(millis, inner) => {
                let task = start(&world, *inner);
                let wait = async { (&*task).await };
                return wait_for(wait, Duration::from_millis(millis)).await;
            }
            Piece::Group { members, body } => return group(world, members, *body).await,
            Piece::Gather { children, all } => {
                let children: Vec<_> =
                    children.into_iter().map(|child| execute(Rc::clone(&world), child)).collect();
                if all {
                    gather(children).return_exceptions().await?;
                } else {
                    gather(children).await?;
                }
            }
            Piece::Shield(inner) => return shield(execute(Rc::clone(&world), *inner)).await,
            Piece::Join(first, second) => {
                let first = execute(Rc::clone(&world), *first);
                let (first, second) = join(first, execute(Rc::clone(&world), *second)).await;
                return first.and(second);
            }
            Piece::Select(first, second) => {
                let first = execute(Rc::clone(&world), *first);
                let won = select(first, execute(Rc::clone(&world), *second)).await;
                return won.factor_first().0;
            }
            _ => unreachable!("the other pieces are simple"),
        }
        Ok(())
    })
}

/// Awaits a task that was made before, perhaps one that waits for this one. Requests that went round such a
/// ring would end nothing, in asyncio neither, so it is shielded from them, and waited for only for a while.
async fn await_some(world: &World, number: u64) -> Result<()> {
    match some_task(world, number) {
        Some(task) => wait_for(async { shield(&*task).await }, Duration::from_millis(50)).await,
        None => Ok(()),
    }
}

async fn catch(world: Rc<World>, body: Piece, clean_up: Piece, resume: bool) -> Result<()> {
    match catch_cancel(execute(Rc::clone(&world), body)).await {
        Ok(outcome) => outcome,
        Err(cancelled) => {
            execute(world, clean_up).await?;
            if resume { cancelled.resume().await } else { Ok(()) }
        }
    }
}

async fn group(world: Rc<World>, members: Vec<Piece>, body: Piece) -> Result<()> {
    let inside = Rc::new(Cell::new(0));
    let counted = Rc::clone(&inside);
    let outcome = task_group(async |group: &TaskGroup| {
        for member in members {
            let inside = Inside::new(&counted);
            let world = Rc::clone(&world);
            // Refused while the group shuts down, then the future is dropped with its count.
            let _ = group.add(async move {
                let _inside = inside;
                execute(world, member).await
            });
        }
        execute(Rc::clone(&world), body).await
    })
    .await;
    assert_eq!(inside.get(), 0, "a group has left a child behind");
    world.groups_left.set(world.groups_left.get() + 1);
    outcome
}

/// The program of a seed.
fn program(seed: u64) -> Piece {
    let mut dice = Dice(seed);
    let depth = 2 + dice.roll(4) as u32;
    Piece::Sequence((0..4).map(|_| dice.piece(depth)).collect())
}

/// Runs the program of a seed and checks what holds for every one.
fn check(seed: u64) {
    let program = program(seed);
    let world = World::new();
    let shared = Rc::clone(&world);
    let mut runner = Runner::builder().virtual_clock().build();
    runner
        .run(async move || {
            corelane::set_report_handler(|_| {});
            let task = start(&shared, program);
            // Longer than any program can take: it fires only if a wake-up was lost.
            let ended = wait_for(wait_all(&shared, &task), Duration::from_secs(300)).await;
            assert!(!ended.is_err_and(|error| error.is_timeout()), "a task never ended");
            let me = corelane::current_task()?.unwrap();
            assert_eq!(me.cancelling(), 0, "the count of main is not balanced");
            assert!(!shared.lock.locked(), "the lock is held by nobody");
            Ok(())
        })
        .unwrap();
    for task in world.tasks.borrow().iter() {
        assert!(task.done(), "{task:?} has not ended");
    }
    world.tasks.borrow_mut().clear();
    drop(runner);
    assert_eq!(
        world.guards_made.get(),
        world.guards_run.get(),
        "a guard did not run, or ran twice"
    );
    assert_eq!(Rc::strong_count(&world), 1, "a future was leaked");
}

/// Waits until every task has ended, also those that are made meanwhile, looking on rather than awaiting: a
/// request must never be forwarded from here.
async fn wait_all(world: &World, first: &Task<()>) -> Result<()> {
    loop {
        let unfinished = world.tasks.borrow().iter().any(|task| !task.done());
        if !unfinished && first.done() {
            return Ok(());
        }
        sleep(Duration::from_millis(500)).await;
    }
}

#[test]
fn random_programs_end_clean_up_and_lose_nothing() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let Some(seed) = number("CORELANE_SEED") {
        eprintln!("{:#?}", program(seed));
        return check(seed);
    }
    std::panic::set_hook(Box::new(|_| {}));
    for seed in 0..number("CORELANE_SEEDS").unwrap_or(3_000) {
        if let Err(panic) = std::panic::catch_unwind(|| check(seed)) {
            let _ = std::panic::take_hook();
            eprintln!("the program of seed {seed} failed; CORELANE_SEED={seed} runs it again");
            std::panic::resume_unwind(panic);
        }
    }
    let _ = std::panic::take_hook();
}
