//! Random programs of children that end, fail, and take a cancellation in their own way, against a plain
//! account of what the aggregate has to give and when.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use corelane::{
    Error, Instant, Result, ReturnWhen, Task, as_completed, catch_cancel_plain, create_task,
    gather, now, sleep_until, wait,
};
use proptest::prelude::*;
use task_support::{Bad, Log, fails, settle, virtual_run};

/// How a child ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Value,
    Failure,
    Cancelled,
}

/// A child: when and how it ends if it is let alone, and how long after a request and how if it is not.
/// Times are in milliseconds, and no two things happen at the same time.
#[derive(Debug, Clone, Copy)]
struct Plan {
    ends: u64,
    end: End,
    reaction: u64,
    reacts: End,
}

#[derive(Debug, Clone)]
struct Program {
    children: Vec<Plan>,
    /// When the one who waits is cancelled.
    cancelled: Option<u64>,
}

fn an_end() -> impl Strategy<Value = End> {
    prop_oneof![4 => Just(End::Value), 1 => Just(End::Failure), 1 => Just(End::Cancelled)]
}

fn program() -> impl Strategy<Value = Program> {
    let order = |count: usize| Just((1..=count as u64).collect::<Vec<_>>()).prop_shuffle();
    let children = (1_usize..8).prop_flat_map(move |count| {
        let ends = prop::collection::vec((an_end(), an_end()), count);
        (order(count), order(count), ends).prop_map(|(at, reactions, ends)| {
            let parts = at.into_iter().zip(reactions).zip(ends);
            parts
                .map(|((at, reaction), (end, reacts))| Plan {
                    ends: at * 10,
                    end,
                    reaction: reaction * 10,
                    reacts,
                })
                .collect()
        })
    });
    (children, prop::option::of(0_u64..8)).prop_map(|(children, cancelled)| Program {
        children,
        cancelled: cancelled.map(|at| at * 10 + 5),
    })
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Counts the guards that are left, and lives in each child.
struct Alive(Rc<Cell<usize>>);

impl Alive {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn finish(end: End, number: usize) -> Result<usize> {
    match end {
        End::Value => Ok(number),
        End::Failure => {
            fails(["bad 0", "bad 1", "bad 2", "bad 3", "bad 4", "bad 5", "bad 6"][number])
        }
        End::Cancelled => Err(Error::cancelled()),
    }
}

/// Starts the children of a program; the number of those that live stands in `alive`.
fn start(program: &Program, begun: Instant, alive: &Rc<Cell<usize>>) -> Vec<Task<usize>> {
    let numbered = program.children.iter().copied().enumerate();
    let tasks = numbered.map(|(number, plan)| {
        let guard = Alive::new(alive);
        create_task(async move {
            let _guard = guard;
            let undisturbed = catch_cancel_plain(sleep_until(begun + millis(plan.ends))).await;
            let end = match undisturbed {
                Ok(()) => plan.end,
                Err(_) => {
                    sleep_until(now() + millis(plan.reaction)).await;
                    plan.reacts
                }
            };
            finish(end, number)
        })
    });
    tasks.collect()
}

/// What an aggregate gave, in words, and when.
type Given = (String, u64);

fn words<T: std::fmt::Debug>(outcome: &Result<T>) -> String {
    match outcome {
        Ok(value) => format!("{value:?}"),
        Err(error) if error.is_cancelled() => "cancelled".into(),
        Err(error) => error.downcast_ref::<Bad>().map_or("another error", |bad| bad.0).into(),
    }
}

/// The children's ends in their order, if the ones that live at `asked` are asked to stop then.
fn ends(program: &Program, asked: Option<u64>) -> Vec<(u64, usize, End)> {
    let numbered = program.children.iter().enumerate();
    let mut ends: Vec<_> = numbered
        .map(|(number, plan)| match asked {
            Some(asked) if plan.ends > asked => (asked + plan.reaction, number, plan.reacts),
            _ => (plan.ends, number, plan.end),
        })
        .collect();
    ends.sort_unstable_by_key(|(at, ..)| *at);
    ends
}

fn in_places(ends: &[(u64, usize, End)]) -> Vec<String> {
    let mut outcomes = vec![String::new(); ends.len()];
    for (_, number, end) in ends {
        outcomes[*number] = words(&finish(*end, *number));
    }
    outcomes
}

/// What rules T60 to T68 say that a gather gives.
fn gathers(program: &Program, all: bool) -> Given {
    let decided = |ends: &[(u64, usize, End)]| {
        let decides = |(.., end): &&(u64, usize, End)| !all && *end != End::Value;
        ends.iter().find(decides).or(ends.last()).copied().unwrap()
    };
    let undisturbed = ends(program, None);
    let asked = program.cancelled.filter(|asked| decided(&undisturbed).0 > *asked);
    let ends = ends(program, asked);
    let (at, number, end) = decided(&ends);
    let given = match (all, end, asked) {
        (false, End::Failure | End::Cancelled, _) => words(&finish(end, number)),
        (_, _, Some(_)) => "cancelled".into(),
        _ => format!("[{}]", in_places(&ends).join(", ")),
    };
    (given, at)
}

/// Runs a collector over the program, cancels it at the time that the program says, and checks what holds
/// whatever it gives: all children end, and nothing is left to be reported.
fn run<F: Future<Output = Result<String>> + 'static>(
    program: &Program,
    collect: impl FnOnce(Vec<Task<usize>>, Instant) -> F + 'static,
) -> Given {
    let program = program.clone();
    virtual_run(async move || {
        let reports = Log::reports();
        let alive = Rc::new(Cell::new(0));
        let begun = now();
        let children = start(&program, begun, &alive);
        let collected = collect(children, begun);
        let collector = create_task(async move {
            let given = collected.await;
            Ok((words_of(given), (now() - begun).as_millis() as u64))
        });
        if let Some(at) = program.cancelled {
            sleep_until(begun + millis(at)).await;
            collector.cancel();
        }
        let given = match collector.await {
            Ok(given) => given,
            Err(error) => (words::<()>(&Err(error)), (now() - begun).as_millis() as u64),
        };
        sleep_until(begun + millis(10_000)).await;
        settle().await;
        assert_eq!(alive.get(), 0, "a child has not ended");
        assert_eq!(reports.take(), [] as [String; 0]);
        Ok(given)
    })
}

fn words_of(given: Result<String>) -> String {
    given.unwrap_or_else(|error| words::<()>(&Err(error)))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn t60_to_t68_a_gather_gives_what_the_rules_say_when_they_say(program in program()) {
        let given = run(&program, |children, _| async move {
            Ok(format!("{:?}", gather(children).await?))
        });
        prop_assert_eq!(given, gathers(&program, false));
    }

    #[test]
    fn t64_t66_with_all_outcomes_too(program in program()) {
        let given = run(&program, |children, _| async move {
            let outcomes = gather(children).return_exceptions().await?;
            Ok(format!("[{}]", outcomes.iter().map(words).collect::<Vec<_>>().join(", ")))
        });
        prop_assert_eq!(given, gathers(&program, true));
    }

    #[test]
    fn t155_to_t158_as_completed_gives_in_order_until_its_timeout(
        program in program(),
        limit in 0_u64..8,
    ) {
        let program = Program { cancelled: None, ..program };
        let limit = limit * 10 + 5;
        let given = run(&program, move |children, _| async move {
            let mut given = Vec::new();
            for item in as_completed(&children, millis(limit)) {
                let outcome = item.await;
                let is_late = outcome.as_ref().is_err_and(Error::is_timeout);
                given.push(if is_late { "late".into() } else { words(&outcome) });
            }
            // Nobody was cancelled, and what was not given is still to be had.
            for task in &children {
                assert_not_asked(task);
                drop(task.await);
            }
            Ok(given.join(", "))
        });
        let ends = ends(&program, None);
        let expected: Vec<_> = ends
            .iter()
            .map(|(at, number, end)| {
                if *at < limit { words(&finish(*end, *number)) } else { "late".into() }
            })
            .collect();
        prop_assert_eq!(given.0, expected.join(", "));
    }

    #[test]
    fn t85_to_t89_wait_splits_at_the_moment_that_its_mode_says(
        program in program(),
        mode in prop::sample::select(vec![
            ReturnWhen::AllCompleted, ReturnWhen::FirstCompleted, ReturnWhen::FirstException,
        ]),
        limit in prop::option::of(0_u64..8),
    ) {
        let program = Program { cancelled: None, ..program };
        let limit = limit.map(|limit| limit * 10 + 5);
        let given = run(&program, move |children, begun| async move {
            let (done, pending) = wait(&children, mode, limit.map(millis)).await?;
            let at = (now() - begun).as_millis();
            let ids = |tasks: Vec<&Task<usize>>| -> Vec<usize> {
                let place = |task: &Task<usize>| children.iter().position(|c| c.id() == task.id());
                tasks.into_iter().filter_map(place).collect()
            };
            let given = format!("{:?} {:?} {at}", ids(done), ids(pending));
            for task in &children {
                assert_not_asked(task);
                drop(task.await);
            }
            Ok(given)
        });
        let ends = ends(&program, None);
        let decides = |(.., end): &&(u64, usize, End)| match mode {
            ReturnWhen::AllCompleted => false,
            ReturnWhen::FirstCompleted => true,
            ReturnWhen::FirstException => *end == End::Failure,
        };
        let decided = ends.iter().find(decides).or(ends.last()).unwrap().0;
        let at = limit.map_or(decided, |limit| limit.min(decided));
        let mut numbers: Vec<_> = ends.iter().map(|(ended, number, _)| (*number, *ended)).collect();
        numbers.sort_unstable();
        let done = |is_done: bool| -> Vec<usize> {
            numbers.iter().filter(|(_, ended)| (*ended <= at) == is_done).map(|n| n.0).collect()
        };
        prop_assert_eq!(given.0, format!("{:?} {:?} {at}", done(true), done(false)));
    }
}

fn assert_not_asked(task: &Task<usize>) {
    assert_eq!(task.cancelling(), 0);
}
