//! `shield`: rules T75 to T81.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use corelane::{create_task, gather, shield, spawn, wait_for};
use task_support::{Log, badness, fails, job, passes, settle, virtual_run, wakes_when_dropped};

#[test]
fn t75_a_shield_gives_what_the_inner_task_ends_with() {
    virtual_run(async || {
        let (a, bad) = (job("a"), job("bad"));
        a.gate.set();
        bad.gate.set();
        assert_eq!(shield(&a.task).await?, "a");
        assert_eq!(shield(a.task).await?, "a");
        assert_eq!(badness(shield(bad.task).await), "bad");
        assert_eq!(badness(shield(async { fails::<()>("bare") }).await), "bare");
        Ok(())
    });
}

#[test]
fn t76_cancelling_the_waiting_task_leaves_the_inner_one_running() {
    virtual_run(async || {
        let a = job("a");
        let inner = Rc::new(a.task);
        let shielded = Rc::clone(&inner);
        let waiter = create_task(async move { shield(&*shielded).await });
        settle().await;
        assert!(waiter.cancel());
        passes(1).await;
        assert!(waiter.cancelled(), "one hop");
        assert!(!inner.done());
        a.gate.set();
        assert_eq!(shield(&*inner).await?, "a");
        Ok(())
    });
}

#[test]
fn t76_a_dropped_shield_wakes_nobody() {
    virtual_run(async || {
        let a = job("a");
        assert_eq!(wakes_when_dropped(shield(&a.task)).await, 0);
        Ok(())
    });
}

#[test]
fn t77_a_cancelled_inner_task_ends_the_shield() {
    virtual_run(async || {
        let a = job("a");
        let inner = Rc::new(a.task);
        let shielded = Rc::clone(&inner);
        let waiter = create_task(async move { shield(&*shielded).await });
        settle().await;
        inner.cancel_with("enough");
        settle().await;
        assert!(waiter.cancelled());
        assert_eq!(waiter.await.unwrap_err().to_string(), "cancelled: enough");
        Ok(())
    });
}

#[test]
fn t78_a_finished_task_is_used_without_a_hop() {
    virtual_run(async || {
        let a = job("a");
        a.gate.set();
        settle().await;
        let ran = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ran);
        drop(spawn(async move { flag.set(true) }));
        assert_eq!(shield(&a.task).await?, "a");
        assert_eq!(shield(a.task).await?, "a");
        assert!(!ran.get(), "no turn went by");
        Ok(())
    });
}

#[test]
fn g5_two_hops_lie_between_the_inner_task_and_the_waiting_one() {
    virtual_run(async || {
        let (a, log) = (job("a"), Log::default());
        let told = log.clone();
        let waiter = create_task(async move {
            shield(a.task).await?;
            told.say("resumed");
            Ok(())
        });
        passes(3).await;
        a.gate.set();
        for turn in ["1", "2", "3", "4"] {
            log.say(turn);
            passes(1).await;
        }
        assert_eq!(log.take(), ["1", "2", "3", "resumed", "4"]);
        waiter.await
    });
}

#[test]
fn t79_an_error_after_the_waiter_was_cancelled_is_reported() {
    virtual_run(async || {
        let reports = Log::reports();
        let bad = job("bad");
        let waiter = create_task(async move { shield(bad.task).await });
        settle().await;
        waiter.cancel();
        settle().await;
        bad.gate.set();
        settle().await;
        assert_eq!(reports.take(), ["never-retrieved bad bad"]);
        Ok(())
    });
}

#[test]
fn t79_an_error_that_somebody_else_asks_for_is_not_reported() {
    virtual_run(async || {
        let reports = Log::reports();
        let bad = job("bad");
        let limit = Duration::from_secs(1);
        assert!(wait_for(shield(&bad.task), limit).await.unwrap_err().is_timeout());
        bad.gate.set();
        assert_eq!(badness(bad.task.await), "bad");
        settle().await;
        assert!(reports.take().is_empty());
        Ok(())
    });
}

#[test]
fn t80_wait_for_times_out_and_the_shielded_task_goes_on() {
    virtual_run(async || {
        let a = job("a");
        let limit = Duration::from_secs(1);
        assert!(wait_for(shield(&a.task), limit).await.unwrap_err().is_timeout());
        assert!(!a.task.done());
        a.gate.set();
        assert_eq!(a.task.await?, "a");
        Ok(())
    });
}

#[test]
fn t81_a_shield_protects_all_children_of_a_gather() {
    virtual_run(async || {
        let (a, b) = (job("a"), job("b"));
        let (a_gate, b_gate) = (a.gate, b.gate);
        let log = Log::default();
        let ended = log.clone();
        let both = async move {
            let names = gather([a.task, b.task]).await?;
            ended.say(names.join(" "));
            Ok(())
        };
        let waiter = create_task(shield(both));
        settle().await;
        waiter.cancel();
        settle().await;
        assert!(waiter.cancelled() && log.take().is_empty());
        a_gate.set();
        b_gate.set();
        settle().await;
        assert_eq!(log.take(), ["a b"]);

        let (a, b) = (job("a"), job("b"));
        a.gate.set();
        b.gate.set();
        assert_eq!(shield(gather([a.task, b.task])).await?, ["a", "b"]);
        Ok(())
    });
}

#[test]
fn t81_cancelling_a_gather_of_shields_does_not_reach_the_shielded() {
    virtual_run(async || {
        let (a, b) = (Rc::new(job("a")), Rc::new(job("b")));
        let shields = [&a, &b].map(|job| {
            let job = Rc::clone(job);
            async move { shield(&job.task).await }
        });
        let all = gather(shields);
        settle().await;
        assert!(all.cancel());
        assert!(all.await.unwrap_err().is_cancelled());
        assert!(!a.task.done() && !b.task.done());
        Ok(())
    });
}
