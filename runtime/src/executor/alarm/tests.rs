use std::rc::Rc;
use std::time::Duration;

use crate::executor::{self, LoopCore};
use crate::runner::Runner;

/// A loop that is shut, as what outlives it still has it.
fn shut_loop() -> Rc<LoopCore> {
    let mut runner = Runner::builder().virtual_clock().build();
    let core = runner.run(async || Ok(executor::current().expect("it runs on a loop")));
    core.expect("nothing fails")
}

#[test]
fn a_loop_that_is_shut_drops_a_call_at_once() {
    let core = shut_loop();
    assert!(core.is_shut());
    let held = Rc::new(());
    let kept = Rc::clone(&held);
    let alarm = core.call_at(core.now() + Duration::from_secs(1), Box::new(move || drop(kept)));
    assert_eq!(Rc::strong_count(&held), 1, "nobody will ever call it");
    drop(alarm);
}

#[test]
fn a_call_may_set_another_alarm_while_a_shut_loop_drops_it() {
    struct Again(Rc<LoopCore>);
    impl Drop for Again {
        fn drop(&mut self) {
            drop(self.0.call_at(self.0.now(), Box::new(|| ())));
        }
    }
    let core = shut_loop();
    let again = Again(Rc::clone(&core));
    drop(core.call_at(core.now(), Box::new(move || drop(again))));
    assert_eq!(Rc::strong_count(&core), 1, "no alarm keeps it");
}
