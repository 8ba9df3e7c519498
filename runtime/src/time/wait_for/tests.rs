use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::{RemoteTask, Runner, as_completed, create_task, gather, shield, sleep};

fn virtual_run(main: impl AsyncFnOnce() -> Result<()> + 'static) {
    Runner::builder().virtual_clock().build().run(main).unwrap();
}

fn of<F: IntoFuture>(_: &F) -> bool {
    runs_by_itself::<F::IntoFuture>()
}

#[test]
fn t99_handles_are_told_from_bare_futures() {
    virtual_run(async || {
        let mut task = create_task(async { Ok(1) });
        assert!(of(&task) && of(&&mut task) && of(&&task));
        assert!(of(&gather([&task])) && of(&gather((&task, &task)).return_exceptions()));
        assert!(of(&shield(&task)) && runs_by_itself::<RemoteTask<u8>>());
        assert!(as_completed([&task], None).into_iter().all(|item| of(&item)));
        assert!(!of(&async {}) && !of(&yield_now()) && !of(&sleep(Duration::ZERO)));
        assert!(!of(&wait_for(&task, None)));
        Ok(())
    });
}

#[test]
fn t99_without_time_a_bare_future_is_not_begun() {
    virtual_run(async || {
        let begun = Rc::new(Cell::new(false));
        let flag = Rc::clone(&begun);
        let bare = async move {
            flag.set(true);
            Ok::<_, Error>(())
        };
        assert!(wait_for(bare, Duration::ZERO).await.unwrap_err().is_timeout());
        assert!(!begun.get());
        Ok(())
    });
}

#[test]
fn t99_without_time_an_ended_task_gives_its_outcome_and_another_one_is_asked_to_end() {
    virtual_run(async || {
        let ended = create_task(async { Ok(7) });
        let running = create_task(async {
            sleep(Duration::from_secs(1_000)).await;
            Ok(())
        });
        yield_now().await;
        assert_eq!(wait_for(&ended, Duration::ZERO).await?, 7);
        assert!(wait_for(&running, Duration::ZERO).await.unwrap_err().is_timeout());
        assert!(running.cancelled());
        Ok(())
    });
}
