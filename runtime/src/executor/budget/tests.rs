use std::rc::Rc;

use super::*;
use crate::{Runner, advance, create_task, yield_now};

const LIMIT: Duration = Duration::from_micros(500);

#[test]
fn the_clock_is_looked_at_twice_and_then_at_every_sixteenth_question() {
    let budget = Budget::new(LIMIT);
    let looks: Vec<u32> = (0..40)
        .filter(|_| {
            let looked = Cell::new(false);
            budget.is_spent((1, 1), || {
                looked.set(true);
                Instant::ZERO
            });
            looked.get()
        })
        .collect();
    assert_eq!(looks, [0, 1, 17, 33]);
}

#[test]
fn every_step_has_its_own_time() {
    let budget = Budget::new(LIMIT);
    let at = |micros| move || Instant::ZERO + Duration::from_micros(micros);
    assert!(!budget.is_spent((1, 1), at(0)));
    assert!(budget.is_spent((1, 1), at(500)));
    assert!(!budget.is_spent((1, 2), at(500)), "another task in the same turn");
    assert!(!budget.is_spent((1, 2), at(999)));
    assert!(!budget.is_spent((2, 2), at(2_000)), "the next turn");
    assert!(budget.is_spent((2, 2), at(2_500)));
}

/// Asks so often, and counts what another task can do meanwhile.
async fn turns_of_others(question_count: u32, each: Duration) -> u32 {
    let others = Rc::new(Cell::new(0));
    let theirs = Rc::clone(&others);
    let other = create_task(async move {
        loop {
            theirs.set(theirs.get() + 1);
            yield_now().await;
        }
        #[allow(unreachable_code, reason = "it says what the task would return")]
        Ok(())
    });
    for _ in 0..question_count {
        advance(each);
        yield_if_needed().await;
    }
    other.cancel();
    others.get()
}

fn on_a_virtual_clock(question_count: u32, each: Duration) -> u32 {
    let mut runner = Runner::builder().virtual_clock().step_budget(LIMIT).build();
    runner.run(async move || Ok(turns_of_others(question_count, each).await)).unwrap()
}

#[test]
fn a_task_within_its_budget_is_not_held_up() {
    assert_eq!(on_a_virtual_clock(100, Duration::ZERO), 0);
}

#[test]
fn a_task_beyond_its_budget_lets_each_other_run_once() {
    // The first question of a step begins its time, and the second is half a millisecond later.
    assert_eq!(on_a_virtual_clock(2, LIMIT), 1);
    assert_eq!(on_a_virtual_clock(8, LIMIT), 4);
}

#[test]
fn off_a_loop_it_never_waits() {
    let mut future = yield_if_needed();
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(&mut future).poll(&mut context).is_ready());
    assert!(Pin::new(&mut future).poll(&mut context).is_ready());
}

#[test]
fn a_loop_that_only_asks_is_cancelled_like_any_other() {
    let mut runner = Runner::builder().step_budget(Duration::ZERO).build();
    let outcome = runner.run(async || {
        let busy = create_task(async {
            loop {
                yield_if_needed().await;
            }
            #[allow(unreachable_code, reason = "it says what the task would return")]
            Ok(())
        });
        yield_now().await;
        busy.cancel();
        Ok(busy.await.is_err_and(|error: crate::Error| error.is_cancelled()))
    });
    assert!(outcome.unwrap());
}
