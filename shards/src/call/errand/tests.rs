use super::*;

/// Panics when it is dropped.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[test]
fn boxes_in_one_batch_that_panic_when_they_are_dropped_take_nothing_along() {
    let home: Box<Plain<(), _>> =
        Box::new(Plain { ticket: Ticket::default(), stage: Stage::Home(Outcome::Value(Guard)) });
    let guards = [Guard, Guard];
    let mut batch: Vec<Box<dyn Any>> = vec![home];
    for guard in guards {
        batch.push(Plain::<_, ()>::new(move || drop(guard)));
    }
    let guard = Guard;
    batch.push(Deferred::<_, ()>::new(move || drop(guard)));
    // A second panic out of one drop of a batch would end the process.
    drop(batch);
}

#[test]
fn an_outcome_leaves_its_box_once() {
    let mut errand: Plain<(), u32> =
        Plain { ticket: Ticket::default(), stage: Stage::Home(Outcome::Value(5)) };
    let mut taken = None::<Outcome<u32>>;
    errand.stage.take_outcome(&mut taken);
    assert_eq!(taken.take(), Some(Outcome::Value(5)));
    errand.stage.take_outcome(&mut taken);
    assert_eq!(taken, None);
}
