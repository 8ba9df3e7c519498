//! How a run of shards begins and ends.

mod support;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use corelane::sync::oneshot;
use corelane::{Error, Result, StreamWriter, catch_cancel_plain, open_connection, sleep};
use corelane_shards::{
    AllowedCores, CallError, Phase, Placement, PlacementError, Shard, ShardId, Shards,
};
use support::{RUN_COUNT, run_everywhere, shards};

#[test]
fn each_main_runs_on_a_thread_named_for_its_shard_and_results_come_in_order() {
    let names = shards(3).run(async |shard: Shard| {
        assert_eq!(Shard::current().map(|current| current.id()), Some(shard.id()));
        Ok(std::thread::current().name().map(str::to_owned))
    });
    let expected = (0..3).map(|n| Some(format!("shard-{n}"))).collect::<Vec<_>>();
    assert_eq!(names.unwrap(), expected);
    assert!(Shard::current().is_none(), "the calling thread is no shard");
}

#[test]
fn runs_can_follow_each_other() {
    for round in 0..3 {
        let sums = run_everywhere(shards(2), async move |shard: Shard| {
            let peer = ShardId::new(1 - shard.id().index() as u16);
            shard.invoke(peer, move || round).await
        });
        assert_eq!(sums.unwrap(), [round, round]);
    }
}

#[test]
fn a_pinned_shard_runs_on_its_core_and_the_report_says_so() {
    let core = AllowedCores::of_process().unwrap().cores()[0];
    let builder = Shards::builder().placement(Placement::Cores(vec![core])).handle_signals(false);
    let reports = builder.run(async |shard: Shard| {
        let report = shard.report();
        assert_eq!(report.shards()[0].core, Some(report.pinned_cores()[0]));
        let mask = std::fs::read_to_string("/proc/thread-self/status")?;
        let line = mask.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        Ok((report.to_string(), line.map(|list| list.trim().to_owned())))
    });
    let (report, mask) = reports.unwrap().remove(0);
    assert!(
        report.starts_with(&format!("1 shard on cores {core}, as listed (may use ")),
        "{report}"
    );
    assert_eq!(mask, Some(core.to_string()));
}

#[test]
fn a_placement_that_cannot_be_had_is_an_error_before_anything_starts() {
    static RAN: AtomicBool = AtomicBool::new(false);
    let main = async |_: Shard| {
        RAN.store(true, Ordering::SeqCst);
        Ok(())
    };
    let allowed = AllowedCores::of_process().unwrap().cores();
    let cases = [
        (Placement::Unpinned(0), PlacementError::NoShards),
        (
            Placement::Cores(vec![1_000]),
            PlacementError::NotAllowed { core: 1_000, allowed: allowed.to_vec() },
        ),
        (
            Placement::Count(allowed.len() + 1),
            PlacementError::MoreThanCores { asked: allowed.len() + 1, allowed: allowed.to_vec() },
        ),
    ];
    for (placement, expected) in cases {
        let error = Shards::builder().placement(placement).run(main).unwrap_err();
        assert_eq!(error.downcast_ref::<PlacementError>(), Some(&expected));
    }
    assert!(!RAN.load(Ordering::SeqCst));
}

#[test]
fn settings_out_of_range_are_refused() {
    assert!(shards(1).lane_capacity(0).run(async |_| Ok(())).unwrap_err().is_value());
    assert!(shards(1).permits(0).run(async |_| Ok(())).unwrap_err().is_value());
}

#[test]
fn a_shard_answers_after_its_main_has_returned() {
    let sums = run_everywhere(shards(2), async |shard: Shard| {
        if shard.id().index() == 1 {
            return Ok(0);
        }
        sleep(Duration::from_millis(20)).await;
        let call = shard.call(ShardId::new(1), || async {
            sleep(Duration::from_millis(1)).await;
            Ok(5)
        });
        call.await
    });
    assert_eq!(sums.unwrap(), [5, 0]);
}

#[test]
fn the_first_error_wins_and_the_others_are_cancelled_with_clean_up() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    let run = run_everywhere(shards(3), async |shard: Shard| {
        let _guard = Guard;
        if shard.id().index() == 1 {
            sleep(Duration::from_millis(5)).await;
            return Err(std::io::Error::from(std::io::ErrorKind::AddrInUse).into());
        }
        std::future::pending::<Result<()>>().await
    });
    assert_eq!(run.unwrap_err().io_kind(), Some(std::io::ErrorKind::AddrInUse));
    assert_eq!(DROPPED.load(Ordering::SeqCst), 3 * RUN_COUNT);
}

#[test]
fn a_main_that_panics_ends_the_run_with_its_panic() {
    let run = run_everywhere(shards(2), async |shard: Shard| {
        assert_ne!(shard.id().index(), 0, "on purpose");
        std::future::pending::<Result<()>>().await
    });
    let error = run.unwrap_err();
    assert!(error.is_panic() && error.to_string().contains("on purpose"), "{error}");
}

#[test]
fn a_request_from_any_shard_ends_all() {
    let heard = Arc::new(AtomicUsize::new(0));
    let hear = Arc::clone(&heard);
    let run = run_everywhere(shards(3), async move |shard: Shard| {
        let shutdown = shard.shutdown();
        if shard.id().index() == 2 {
            assert!(!shutdown.is_requested());
            shutdown.request();
            shutdown.request();
        }
        shutdown.requested().await;
        assert!(shutdown.is_requested());
        hear.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    run.unwrap();
    assert_eq!(heard.load(Ordering::SeqCst), 3 * RUN_COUNT);
}

#[test]
fn a_main_that_does_not_end_by_the_deadline_is_cancelled() {
    let run = run_everywhere(shards(2).drain(Duration::from_millis(30)), async |shard: Shard| {
        if shard.id().index() == 0 {
            shard.shutdown().request();
            return Ok(());
        }
        std::future::pending().await
    });
    let error = run.unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(
        error.to_string(),
        "cancelled: shard 1: its main did not end within the time to drain"
    );
}

#[test]
fn a_main_may_use_the_time_to_drain() {
    let run = run_everywhere(shards(2), async |shard: Shard| {
        let shutdown = shard.shutdown();
        if shard.id().index() == 0 {
            shutdown.request();
            return Ok(0);
        }
        shutdown.requested().await;
        sleep(Duration::from_millis(20)).await;
        // Shard 0 still answers, although its main has long returned.
        shard.invoke(ShardId::new(0), || 3).await
    });
    assert_eq!(run.unwrap(), [0, 3]);
}

#[test]
fn what_waits_for_a_shard_that_failed_is_cancelled_or_told() {
    let run = run_everywhere(shards(2), async |shard: Shard| {
        if shard.id().index() == 1 {
            sleep(Duration::from_millis(5)).await;
            return Err(Error::msg("shard 1 gives up"));
        }
        shard.call(ShardId::new(1), std::future::pending::<Result<()>>).await
    });
    assert_eq!(run.unwrap_err().to_string(), "shard 1 gives up");
}

#[test]
fn calls_made_while_everything_ends_do_not_hang() {
    thread_local!(static COUNT: Cell<usize> = const { Cell::new(0) });
    /// Calls its peer again when it is dropped, in the middle of the clean-up.
    struct LastWord(Shard, ShardId);
    impl Drop for LastWord {
        fn drop(&mut self) {
            drop(self.0.invoke(self.1, || COUNT.set(COUNT.get() + 1)));
        }
    }
    let run = run_everywhere(shards(4).drain(Duration::from_millis(10)), async |shard: Shard| {
        let _words: Vec<_> = shard.all().map(|to| LastWord(shard.clone(), to)).collect();
        shard.shutdown().request();
        let far = ShardId::new((shard.id().index() as u16 + 1) % 4);
        let error = shard.call(far, std::future::pending::<Result<()>>).await.unwrap_err();
        assert!(error.is_cancelled() || error.downcast_ref::<CallError>().is_some());
        Err::<(), _>(error)
    });
    assert!(run.is_err());
}

/// Ends for nobody.
async fn resist() {
    loop {
        let _ = catch_cancel_plain(std::future::pending::<()>()).await;
    }
}

#[test]
fn what_resists_its_cancellation_is_dropped_at_the_last_deadline() {
    static BEGUN: AtomicUsize = AtomicUsize::new(0);
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    let limit = Duration::from_millis(20);
    let run = run_everywhere(shards(2).drain(limit).clean_up(limit), async |shard: Shard| {
        let guard = Guard;
        drop(corelane::spawn(async move {
            let _guard = guard;
            resist().await;
        }));
        let _guard = Guard;
        // When both have come here.
        if BEGUN.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
            shard.shutdown().request();
        }
        if shard.id().index() == 1 {
            resist().await;
        }
        Ok(())
    });
    assert!(run.unwrap_err().is_cancelled());
    assert_eq!(DROPPED.load(Ordering::SeqCst), 4 * RUN_COUNT);
}

#[test]
fn a_thread_that_is_blocked_is_left_behind_and_what_holds_it_is_named() {
    static RELEASED: AtomicUsize = AtomicUsize::new(0);
    let limit = Duration::from_millis(20);
    let run = shards(2).drain(limit).clean_up(limit).run_to_end(async |shard: Shard| {
        if shard.id().index() == 1 {
            let shutdown = shard.shutdown();
            let hog = corelane::task().name("hog").spawn(async move {
                shutdown.request();
                while RELEASED.load(Ordering::SeqCst) == 0 {
                    #[expect(clippy::disallowed_methods, reason = "the shard is to be stalled")]
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            hog.await?;
        }
        Ok(())
    });
    let ending = run.unwrap();
    assert!(ending.mains[0].is_ok());
    assert!(ending.mains[1].as_ref().is_err_and(Error::is_runtime), "it is not known");
    let last = ending.late.last().unwrap();
    assert_eq!((last.phase, last.id), (Phase::End, ShardId::new(1)));
    assert!(last.holder.as_ref().is_some_and(|holder| holder.to_string().contains("task hog")));
    let error = ending.into_result().unwrap_err().to_string();
    assert!(error.contains("shard 1 (held by task hog, created at "), "{error}");
    RELEASED.store(1, Ordering::SeqCst);
}

#[test]
fn connections_that_keep_a_run_from_ending_are_counted_though_no_task_is_left() {
    thread_local!(static KEPT: RefCell<Vec<StreamWriter>> = const { RefCell::new(Vec::new()) });
    let keep = |writer| KEPT.with_borrow_mut(|kept| kept.push(writer));
    let builder = shards(1).drain(Duration::from_millis(50));
    let ending = builder.run_to_end(async move |shard: Shard| {
        let (come, comes) = oneshot::channel();
        let come = Cell::new(Some(come));
        let handler = async move |_reader, writer| {
            keep(writer);
            if let Some(come) = come.take() {
                _ = come.send(());
            }
            Ok(())
        };
        let server = shard.serve("127.0.0.1:0", handler).await?;
        let (_, writer) = open_connection(server.local_addrs()[0]).await?;
        keep(writer);
        comes.await?;
        Ok(())
    });
    let ending = ending.unwrap();
    let [late] = &ending.late[..] else { panic!("{:?}", ending.late) };
    assert_eq!((late.phase, late.connection_count, late.tasks.len()), (Phase::Drain, 1, 0));
    assert_eq!(late.to_string(), "shard 0 is late draining: 1 connection is open");
    ending.into_result().unwrap();
}
