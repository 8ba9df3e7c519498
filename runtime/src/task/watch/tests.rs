use std::future::pending;

use crate::{Result, Runner, create_task, spawn, yield_now};

fn virtual_run(main: impl AsyncFnOnce() -> Result<()> + 'static) {
    Runner::builder().virtual_clock().build().run(main).unwrap();
}

#[test]
fn a_watch_that_outlives_the_handle_finds_nothing_in_the_place_of_the_task() {
    virtual_run(async || {
        let first = create_task(async { Err::<(), _>(crate::Error::msg("first")) });
        let watch = first.watch();
        assert!(watch.error().is_none());
        assert!(first.await.is_err());
        let second = create_task(async { Err::<(), _>(crate::Error::msg("second")) });
        let slot = second.slot();
        assert_eq!(watch.slot, slot, "the slot has been given to the next task");
        assert!(!watch.cancel(&None));
        watch.mark_retrieved();
        yield_now().await;
        assert!(second.done() && !second.cancelled() && second.watch().error().is_some());
        assert!(watch.error().is_none());
        drop(second);
        Ok(())
    });
}

#[test]
fn a_watch_tells_how_its_task_ended_and_passes_requests_on_until_then() {
    virtual_run(async || {
        let value = spawn(async { 7 });
        let lost = create_task(pending::<Result<()>>());
        let (on_value, on_lost) = (value.watch(), lost.watch());
        assert!(on_lost.cancel(&None));
        yield_now().await;
        assert!(on_value.error().is_none() && !on_value.cancel(&None));
        assert!(on_lost.error().is_some_and(|error| error.is_cancelled()));
        assert!(!on_lost.cancel(&None));
        assert_eq!(value.await?, 7);
        Ok(())
    });
}
