//! Calls between shards: what comes back, in which order, and what does not hang.

mod support;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use corelane::{
    Error, Idle, LocalKey, Result, WaitKind, describe_tasks, sleep, spawn, task, yield_now,
};
use corelane_shards::{CallError, Shard, ShardId};
use support::{FAR, call_error, everywhere, on_first, shards};

#[test]
fn a_value_comes_back_from_a_closure_and_from_a_task() {
    let answers = on_first(shards(2), async |shard| {
        let here = std::thread::current().id();
        let (there, sum) = shard.invoke(FAR, || (std::thread::current().id(), 2 + 3)).await?;
        assert_ne!(here, there);
        let slept = shard.call(FAR, || async {
            sleep(Duration::from_millis(1)).await;
            Ok(Shard::current().map(|shard| shard.id()))
        });
        assert_eq!(slept.await?, Some(FAR));
        Ok(sum)
    });
    assert_eq!(answers, 5);
}

#[test]
fn the_future_of_a_call_need_not_be_send() {
    let answer = everywhere(shards(2), async |shard| {
        let call = shard.call(FAR, || async {
            let local = Rc::new(Cell::new(1));
            yield_now().await;
            local.set(local.get() + 1);
            Ok(local.get())
        });
        call.await
    });
    assert_eq!(answer, 2);
}

#[test]
fn a_call_to_the_own_shard_runs_inline() {
    everywhere(shards(1), async |shard| {
        let ran = Rc::new(Cell::new(false));
        thread_local!(static RAN: Cell<bool> = const { Cell::new(false) });
        let answer = shard.invoke(shard.id(), || RAN.set(true));
        assert!(RAN.get(), "an invoked closure runs at once");
        answer.await?;
        let main = corelane::current_task()?.map(|task| task.id());
        let inside = shard.call(shard.id(), || async {
            Ok(corelane::current_task()?.map(|task| task.id().to_string()))
        });
        assert_eq!(inside.await?, main.map(|id| id.to_string()), "no task is made");
        ran.set(true);
        Ok(())
    });
}

#[test]
fn an_error_comes_back_as_the_type_it_was() {
    everywhere(shards(2), async |shard| {
        let call = shard
            .call(FAR, || async { Err::<(), _>(io::Error::from(io::ErrorKind::AddrInUse).into()) });
        assert_eq!(call.await.unwrap_err().io_kind(), Some(io::ErrorKind::AddrInUse));
        let plain = shard.invoke(FAR, || Err::<(), _>("no".to_owned()));
        assert_eq!(plain.await?, Err("no".to_owned()));
        Ok(())
    });
}

#[test]
fn a_panic_comes_back_typed_and_the_shard_lives_on() {
    everywhere(shards(2), async |shard| {
        for to in [FAR, shard.id()] {
            let panicked = |text: &str| CallError::Panicked(text.to_owned());
            let plain = shard.invoke(to, || -> u32 { panic!("plain {}", 1) }).await;
            assert_eq!(call_error(&plain.unwrap_err()), &panicked("plain 1"));
            let making = shard.call(to, || -> std::future::Ready<Result<()>> { panic!("making") });
            assert_eq!(call_error(&making.await.unwrap_err()), &panicked("making"));
            let polling = shard.call(to, || async {
                yield_now().await;
                if true {
                    panic!("polling");
                }
                Ok(())
            });
            assert_eq!(call_error(&polling.await.unwrap_err()), &panicked("polling"));
            assert_eq!(shard.invoke(to, || 7).await?, 7);
        }
        Ok(())
    });
}

#[test]
fn a_shard_that_does_not_exist_is_named() {
    everywhere(shards(2), async |shard| {
        let error = shard.invoke(ShardId::new(2), || ()).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no shard 2, only 0 to 1");
        let error = shard.call(ShardId::new(9), || async { Ok(()) }).await.unwrap_err();
        let expected = CallError::NoSuchShard { asked: ShardId::new(9), count: 2 };
        assert_eq!(call_error(&error), &expected);
        Ok(())
    });
}

#[test]
fn calls_of_one_pair_run_in_the_order_in_which_they_were_made() {
    thread_local!(static SEEN: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) });
    // Few permits and one packet, so that calls wait for both.
    everywhere(shards(2).permits(3).lane_capacity(1), async |shard| {
        let mut answers = Vec::new();
        for number in 0..500 {
            answers.push(shard.invoke(FAR, move || SEEN.with_borrow_mut(|s| s.push(number))));
            if number % 7 == 0 {
                yield_now().await;
            }
        }
        for answer in answers {
            answer.await?;
        }
        let seen = shard.invoke(FAR, || SEEN.take()).await?;
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn calls_of_one_turn_travel_together_in_packets_of_sixteen() {
    everywhere(shards(2), async |shard| {
        shard.invoke(FAR, || ()).await?;
        let before = shard.lane_stats(FAR);
        let answers: Vec<_> = (0..100).map(|n| shard.invoke(FAR, move || n)).collect();
        for (n, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.await?, n);
        }
        let after = shard.lane_stats(FAR);
        assert_eq!(after.message_count - before.message_count, 100);
        assert_eq!(after.packet_count - before.packet_count, 7);
        Ok(())
    });
}

#[test]
fn permits_bound_the_calls_in_flight() {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    everywhere(shards(2).permits(4), async |shard| {
        let calls: Vec<_> = (0..40)
            .map(|_| {
                spawn(shard.call(FAR, || async {
                    let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
                    MOST.fetch_max(running, Ordering::SeqCst);
                    sleep(Duration::from_millis(1)).await;
                    RUNNING.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                }))
            })
            .collect();
        for call in calls {
            call.await??;
        }
        assert_eq!(shard.lane_stats(FAR).wait_count, 36);
        Ok(())
    });
    assert_eq!(MOST.load(Ordering::SeqCst), 4);
}

/// Says when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..5_000 {
        if condition() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("it never came to be that {what}");
}

#[test]
fn dropping_the_call_cancels_the_task_over_there_and_returns_the_permit() {
    everywhere(shards(2).permits(1), async |shard| {
        let started = Arc::new(AtomicBool::new(false));
        let ended = Arc::new(AtomicBool::new(false));
        let (start, end) = (Arc::clone(&started), Dropped(Arc::clone(&ended)));
        let call = spawn(shard.call(FAR, move || async move {
            let _end = end;
            start.store(true, Ordering::SeqCst);
            std::future::pending::<Result<()>>().await
        }));
        until("the task runs", || started.load(Ordering::SeqCst)).await;
        call.cancel();
        until("the task was dropped", || ended.load(Ordering::SeqCst)).await;
        // With one permit this runs only if the cancelled call gave it back.
        assert_eq!(shard.invoke(FAR, || 1).await?, 1);
        Ok(())
    });
}

#[test]
fn a_call_that_was_given_up_before_it_arrived_does_not_run() {
    everywhere(shards(2), async |shard| {
        let ran = Arc::new(AtomicBool::new(false));
        let dropped = Arc::new(AtomicBool::new(false));
        let (run, guard) = (Arc::clone(&ran), Dropped(Arc::clone(&dropped)));
        drop(shard.invoke(FAR, move || {
            let _guard = guard;
            run.store(true, Ordering::SeqCst);
        }));
        let run = Arc::clone(&ran);
        drop(shard.call(FAR, move || async move {
            run.store(true, Ordering::SeqCst);
            Ok(())
        }));
        shard.invoke(FAR, || ()).await?;
        assert!(dropped.load(Ordering::SeqCst), "the closure is dropped all the same");
        assert!(!ran.load(Ordering::SeqCst));
        Ok(())
    });
}

#[test]
fn a_call_that_waits_for_a_permit_and_is_dropped_leaves_the_queue() {
    everywhere(shards(2).permits(1), async |shard| {
        let first = shard.invoke(FAR, || 1);
        let second = shard.invoke(FAR, || 2);
        let third = shard.invoke(FAR, || 3);
        drop(second);
        assert_eq!(third.await?, 3);
        assert_eq!(first.await?, 1);
        Ok(())
    });
}

#[test]
fn a_task_that_is_cancelled_over_there_ends_the_call_cancelled() {
    everywhere(shards(2), async |shard| {
        let call = shard.call(FAR, || async { Err::<(), _>(Error::cancelled()) });
        assert!(call.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn floods_with_nested_calls_and_one_packet_a_lane_do_not_deadlock() {
    for (count, permits) in [(2, 2), (3, 1), (8, 2), (16, 1)] {
        let runs = shards(count).lane_capacity(1).permits(permits).run(async |shard: Shard| {
            let mut calls = Vec::new();
            for round in 0..60 {
                for to in shard.all().filter(|&to| to != shard.id()) {
                    let home = shard.id();
                    let shard_there =
                        move || Shard::current().ok_or_else(|| Error::msg("no shard"));
                    calls.push(spawn(shard.call(to, move || async move {
                        // A plain closure at the caller's, in the middle of a call of its own.
                        Ok(shard_there()?.invoke(home, move || round).await? + 1)
                    })));
                    calls.push(spawn(shard_invoke(&shard, to, round)));
                }
            }
            let mut sum = 0_usize;
            for call in calls {
                sum += call.await??;
            }
            Ok(sum)
        });
        let each = (count - 1) * (0..60_usize).map(|round| 2 * round + 1).sum::<usize>();
        assert_eq!(runs.unwrap(), vec![each; count], "{count} shards");
    }
}

fn shard_invoke(
    shard: &Shard,
    to: ShardId,
    round: usize,
) -> impl Future<Output = Result<usize>> + use<> {
    shard.invoke(to, move || round)
}

#[test]
fn a_sleeping_shard_is_woken_once_and_a_busy_one_not_at_all() {
    let idle = Idle::Spin;
    on_first(shards(2).idle(idle), async |shard| {
        for _ in 0..50 {
            shard.invoke(FAR, || ()).await?;
        }
        let stats = shard.lane_stats(FAR);
        assert_eq!(
            (stats.packet_count, stats.wake_count),
            (50, 0),
            "a spinning shard needs no wake"
        );
        assert_eq!(stats.suppressed_wake_count(), 50);
        Ok(())
    });
    on_first(shards(2), async |shard| {
        for _ in 0..20 {
            sleep(Duration::from_millis(2)).await;
            shard.invoke(FAR, || ()).await?;
        }
        let stats = shard.lane_stats(FAR);
        assert_eq!(stats.packet_count, 20);
        assert!(stats.wake_count >= 10, "a parked shard must be woken: {stats:?}");
        Ok(())
    });
}

#[test]
fn shards_that_spin_before_they_park_answer_both_while_they_do_and_when_they_sleep() {
    let brief = Duration::from_micros(50);
    for idle in [Idle::SpinThenPark(brief), Idle::Adaptive(brief)] {
        on_first(shards(2).idle(idle), async move |shard| {
            for number in 0..200 {
                if number % 20 == 0 {
                    sleep(brief * 20).await;
                }
                let there = move || async move {
                    yield_now().await;
                    Ok(number)
                };
                assert_eq!(shard.call(FAR, there).await?, number, "{idle:?}");
            }
            Ok(())
        });
    }
}

static REQUEST: LocalKey<u64> = LocalKey::sendable();
static AT_HOME: LocalKey<u64> = LocalKey::new();

#[test]
fn t168_what_is_sent_sees_clones_of_the_local_keys_that_may_travel() {
    everywhere(shards(2), async |shard| {
        assert_eq!(shard.invoke(FAR, || REQUEST.get()).await?, None);
        REQUEST.set(7);
        AT_HOME.set(1);
        let seen = shard.invoke(FAR, || (REQUEST.get(), AT_HOME.get())).await?;
        assert_eq!(seen, (Some(7), None));
        let call = shard.call(FAR, || {
            let made = REQUEST.get();
            async move {
                yield_now().await;
                let child = spawn(async { REQUEST.get() }).await?;
                REQUEST.set(8);
                yield_now().await;
                Ok((made, child, REQUEST.get(), AT_HOME.get()))
            }
        });
        // They were cloned when the call was made.
        REQUEST.set(9);
        assert_eq!(call.await?, (Some(7), Some(7), Some(8), None));
        let (told, tells) = std::sync::mpsc::channel();
        shard.post(FAR, move || told.send(REQUEST.get()).unwrap_or_default()).await?;
        // It ran before what is sent after it; nothing is left of what it saw.
        REQUEST.clear();
        assert_eq!(shard.invoke(FAR, || REQUEST.get()).await?, None);
        assert_eq!(tells.try_recv(), Ok(Some(9)));
        Ok(())
    });
}

#[test]
fn a_task_that_waits_for_an_answer_or_for_the_shutdown_says_so() {
    on_first(shards(2), async |shard| {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let there = shard.clone();
        // Another shard's thread may be held: that is what is waited for here.
        let call = task()
            .name("call")
            .create(async move { there.invoke(FAR, move || held.recv().is_err()).await });
        let end = task().name("end").spawn(shard.shutdown().requested());
        let waits_for = |name: &str| {
            let tasks = describe_tasks().unwrap_or_default();
            tasks.into_iter().find(|task| task.name == name).map(|task| task.waits_for)
        };
        while waits_for("call").is_some_and(|waits| waits.is_empty()) {
            yield_now().await;
        }
        assert_eq!(waits_for("call"), Some(vec![WaitKind::Call]));
        assert_eq!(waits_for("end"), Some(vec![WaitKind::Shutdown]));
        drop(release);
        assert!(call.await?);
        end.cancel();
        Ok(())
    });
}
