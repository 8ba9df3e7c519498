//! `Task`, cancellation, `sleep`, `current_task`.

use corelane::create_task;

use crate::support::{check_run, outcome, passes};

#[test]
fn cancel_before_start() {
    check_run("cancel_before_start", async || {
        let mut t = create_task(async {
            ev!("must not run");
            Ok(())
        });
        ev!("cancel", t.cancel(), done = t.done());
        passes(1).await;
        ev!("after its turn", outcome(&mut t));
        Ok(())
    });
}
