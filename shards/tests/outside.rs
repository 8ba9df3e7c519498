//! Shards as threads and runtimes outside of them meet them.
#![allow(clippy::disallowed_methods, reason = "threads that are no shards are the subject")]

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use corelane::{Error, LocalKey, Result, sleep, yield_now};
use corelane_shards::{Builder, CallError, Running, Shard, ShardId, ShardsHandle, TryPostError};
use support::{FAR, call_error, shards};

/// Two shards that serve until the end is asked for.
fn serving() -> (Running<()>, ShardsHandle) {
    start(shards(2))
}

fn start(builder: Builder) -> (Running<()>, ShardsHandle) {
    let running = builder.start(async |shard: Shard| {
        shard.shutdown().requested().await;
        Ok(())
    });
    let running = running.expect("the shards start");
    let handle = running.handle();
    (running, handle)
}

fn end(running: Running<()>) {
    running.handle().request_shutdown();
    running.join().expect("no main fails");
}

fn own_number() -> Option<ShardId> {
    Shard::current().map(|shard| shard.id())
}

#[test]
fn a_thread_blocks_on_an_answer_and_the_future_there_need_not_be_send() {
    let (running, handle) = serving();
    assert_eq!(handle.invoke(FAR, own_number).wait(None).unwrap(), Some(FAR));
    let called = handle.call(FAR, || async {
        let local = Rc::new(Cell::new(1));
        yield_now().await;
        Ok((local.get(), own_number()))
    });
    assert_eq!(called.wait(None).unwrap(), (1, Some(FAR)));
    assert_eq!(handle.report().shards().len(), 2);
    let turns: Vec<_> = (0..4).map(|_| handle.next().index()).collect();
    assert_eq!(turns, [0, 1, 0, 1]);
    end(running);
}

#[test]
fn another_runtime_awaits_an_answer() {
    let (running, handle) = serving();
    // A loop of its own on this thread stands for any runtime.
    let there = handle.clone();
    let answer = corelane::run(async move || {
        let called = there.call(FAR, || async {
            sleep(Duration::from_millis(1)).await;
            Ok(own_number())
        });
        called.await
    });
    assert_eq!(answer.unwrap(), Some(FAR));
    end(running);
}

#[test]
fn errors_and_panics_come_back_typed() {
    let (running, handle) = serving();
    let failed = handle.call(FAR, || async { Err::<(), _>(Error::msg("no")) });
    assert_eq!(failed.wait(None).unwrap_err().to_string(), "no");
    let panicked = CallError::Panicked("on purpose".to_owned());
    let plain = handle.invoke(FAR, || -> () { panic!("on purpose") }).wait(None).unwrap_err();
    assert_eq!(call_error(&plain), &panicked);
    let making = handle.call(FAR, || -> std::future::Ready<Result<()>> { panic!("on purpose") });
    assert_eq!(call_error(&making.wait(None).unwrap_err()), &panicked);
    let none = handle.invoke(ShardId::new(2), || ());
    assert!(none.is_done());
    let expected = CallError::NoSuchShard { asked: ShardId::new(2), count: 2 };
    assert_eq!(call_error(&none.wait(None).unwrap_err()), &expected);
    end(running);
}

#[test]
fn closures_of_one_thread_run_in_the_order_in_which_they_were_sent() {
    thread_local!(static LAST: Cell<u32> = const { Cell::new(0) });
    let (running, handle) = serving();
    let next = |number| move || LAST.replace(number) + 1 == number;
    let answers: Vec<_> = (1..=500).map(|number| handle.invoke(FAR, next(number))).collect();
    assert!(answers.into_iter().all(|answer| answer.wait(None).unwrap()));
    end(running);
}

#[test]
fn a_wait_with_a_limit_can_be_repeated_and_a_dropped_answer_cancels_its_task() {
    let (running, handle) = serving();
    let (tell, told) = mpsc::channel::<()>();
    let call = handle.call(FAR, move || async move {
        let _held = tell;
        std::future::pending::<Result<()>>().await
    });
    for _ in 0..2 {
        assert!(call.wait(Duration::from_millis(1)).unwrap_err().is_timeout());
    }
    drop(call);
    assert_eq!(told.recv(), Err(mpsc::RecvError), "its task was dropped");
    end(running);
}

#[test]
fn a_blocking_wait_on_a_shard_or_a_loop_is_refused() {
    let (running, handle) = serving();
    let there = handle.clone();
    let refused = handle.invoke(FAR, move || {
        let call = there.call(ShardId::new(0), std::future::pending::<Result<()>>);
        call.wait(None).unwrap_err()
    });
    let error = refused.wait(None).unwrap();
    assert!(error.is_runtime() && error.to_string().contains("await it instead"), "{error}");
    let there = handle.clone();
    let on_loop = corelane::run(async move || {
        there.call(FAR, std::future::pending::<Result<()>>).wait(Duration::ZERO)
    });
    assert!(on_loop.unwrap_err().is_runtime());
    let nested = handle.invoke(FAR, || shards(1).run(async |_| Ok(())).map(drop));
    assert!(nested.wait(None).unwrap().unwrap_err().is_runtime());
    end(running);
}

#[test]
fn after_the_end_every_way_in_says_so() {
    let (running, handle) = serving();
    end(running);
    let gone = CallError::ShardGone(FAR);
    assert_eq!(call_error(&handle.invoke(FAR, || ()).wait(None).unwrap_err()), &gone);
    let error = handle.call(FAR, || async { Ok(()) }).wait(None).unwrap_err();
    assert_eq!(call_error(&error), &gone);
    match handle.try_post(FAR, || ()) {
        Err(TryPostError::Unreachable(f, error)) => {
            f();
            assert_eq!(error, gone);
        }
        other => panic!("{other:?}"),
    }
    handle.request_shutdown();
}

#[test]
fn a_call_under_way_when_the_run_ends_is_cancelled() {
    let (running, handle) = serving();
    let (tell, told) = mpsc::channel();
    let call = handle.call(FAR, move || async move {
        tell.send(()).map_err(|_| Error::msg("nobody listens"))?;
        std::future::pending::<Result<()>>().await
    });
    told.recv().expect("it has begun");
    end(running);
    assert!(call.wait(None).unwrap_err().is_cancelled());
}

#[test]
fn posts_from_outside_are_limited_and_come_back_when_there_is_no_room() {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    let (running, handle) = start(shards(2).permits(3));
    let (open, gate) = mpsc::channel::<()>();
    // Keeps the shard from its inbox.
    let stopped = handle.invoke(FAR, move || gate.recv().is_err());
    let count = || _ = RAN.fetch_add(1, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(handle.try_post(FAR, count).is_ok());
    }
    let full = handle.try_post(FAR, count).unwrap_err();
    assert!(full.is_full());
    drop(open);
    assert!(stopped.wait(None).unwrap());
    handle.invoke(FAR, || ()).wait(None).unwrap();
    assert_eq!(RAN.load(Ordering::SeqCst), 3);
    assert!(handle.try_post(FAR, count).is_ok(), "there is room again");
    end(running);
}

#[test]
fn many_threads_use_one_handle() {
    static SUM: AtomicUsize = AtomicUsize::new(0);
    let (running, handle) = serving();
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let handle = handle.clone();
            thread::spawn(move || {
                for round in 0..100 {
                    let answer = handle.call(handle.next(), move || async move { Ok(round) });
                    SUM.fetch_add(answer.wait(None).unwrap() * number, Ordering::SeqCst);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(SUM.load(Ordering::SeqCst), 6 * 4950);
    end(running);
}

#[test]
fn t168_local_keys_that_may_travel_do_so_from_any_thread() {
    static REQUEST: LocalKey<u32> = LocalKey::sendable();
    let (running, handle) = serving();
    let seen = REQUEST.sync_scope(7, || {
        handle.call(FAR, || async {
            yield_now().await;
            Ok(REQUEST.get())
        })
    });
    assert_eq!(seen.wait(None).unwrap(), Some(7));
    end(running);
}

#[test]
fn a_start_that_fails_says_why_and_a_main_that_fails_is_told_by_join() {
    let failed = shards(0).start(async |_| Ok(()));
    assert_eq!(failed.unwrap_err().to_string(), "at least one shard is needed");
    let running = shards(2).start(async |shard: Shard| match shard.id().index() {
        0 => Err(Error::msg("shard 0 gives up")),
        _ => std::future::pending::<Result<()>>().await,
    });
    assert_eq!(running.unwrap().join().unwrap_err().to_string(), "shard 0 gives up");
}
