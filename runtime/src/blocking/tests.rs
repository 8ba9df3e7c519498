#![expect(clippy::disallowed_methods, reason = "threads that block are the subject")]

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::{Runner, create_task, run, sleep, spawn, timeout, yield_now};

/// A time that is up only if something has gone wrong.
const LONG: Duration = Duration::from_secs(60);

fn names(count: usize) -> Vec<crate::Task<String>> {
    let name = || Ok(std::thread::current().name().unwrap().to_owned());
    (0..count).map(|_| create_task(to_thread(name))).collect()
}

#[test]
fn t165_the_value_comes_back_to_the_task_that_waits() {
    assert_eq!(run(async || to_thread(|| Ok(40 + 2)).await).unwrap(), 42);
}

#[test]
fn t165_an_error_comes_back_to_the_task_that_waits() {
    let error = run(async || to_thread(|| Ok("x".parse::<u32>()?)).await).unwrap_err();
    assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
}

#[test]
fn t165_a_panic_over_there_is_an_error_here_and_the_thread_lives_on() {
    let mut runner = Runner::builder().blocking_threads(1).build();
    let outcome = runner.run(async || {
        let error = to_thread(|| -> Result<u32> { panic!("over there") }).await.unwrap_err();
        let name = names(1).pop().unwrap().await?;
        Ok((error.panic_message().map(str::to_owned), name))
    });
    assert_eq!(outcome.unwrap(), (Some("over there".into()), "blocking-1".into()));
}

#[test]
fn t166_the_loop_goes_on_meanwhile() {
    let (release, released) = mpsc::channel();
    run(async move || {
        let work = create_task(to_thread(move || Ok(released.recv()?)));
        yield_now().await;
        // Sent by a task of the loop, while the thread waits for it.
        release.send(7).unwrap();
        assert_eq!(work.await?, 7);
        Ok(())
    })
    .unwrap();
}

#[test]
fn t166_as_many_run_at_a_time_as_there_are_threads() {
    let runner = Runner::builder().blocking_threads(3);
    let barrier = Arc::new(std::sync::Barrier::new(3));
    runner
        .build()
        .run(async move || {
            let meet = |_| {
                let barrier = Arc::clone(&barrier);
                create_task(to_thread(move || Ok(barrier.wait().is_leader())))
            };
            let mut leaders = 0;
            for task in (0..6).map(meet).collect::<Vec<_>>() {
                leaders += u32::from(task.await?);
            }
            assert_eq!(leaders, 2, "three met, twice");
            Ok(())
        })
        .unwrap();
}

#[test]
fn t166_no_more_run_at_a_time_than_the_limit_and_in_order() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    Runner::builder()
        .blocking_threads(1)
        .build()
        .run(async move || {
            let (release, released) = mpsc::channel::<()>();
            let first = create_task(to_thread(move || Ok(released.recv()?)));
            let note = |number| {
                let order = Arc::clone(&order);
                create_task(to_thread(move || {
                    order.lock().unwrap().push(number);
                    Ok(())
                }))
            };
            let rest: Vec<_> = (0..5).map(note).collect();
            yield_now().await;
            assert!(order.lock().unwrap().is_empty(), "the one thread is taken");
            release.send(()).unwrap();
            first.await?;
            for task in rest {
                task.await?;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(*seen.lock().unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn t166_an_idle_thread_is_used_again_and_ends_after_its_time() {
    let mut runner = Runner::builder().blocking_idle(Duration::from_millis(20)).build();
    let (first, second, count) = runner
        .run(async || {
            let first = names(1).pop().unwrap().await?;
            let pool = pool_of(&*executor::current()?)?;
            while pool.thread_count() > 0 {
                sleep(Duration::from_millis(5)).await;
            }
            let second = names(1).pop().unwrap().await?;
            Ok((first, second, pool.thread_count()))
        })
        .unwrap();
    assert_eq!((&*first, &*second, count), ("blocking-1", "blocking-2", 1));
}

#[test]
fn t166_a_pool_without_threads_is_refused() {
    let outcome = Runner::builder().blocking_threads(0).build().run(async || Ok(()));
    assert!(outcome.unwrap_err().is_value());
}

#[test]
fn t166_threads_have_names_of_their_own() {
    let distinct = run(async || {
        let barrier = Arc::new(std::sync::Barrier::new(2));
        let other = Arc::clone(&barrier);
        let name = |barrier: Arc<std::sync::Barrier>| {
            create_task(to_thread(move || {
                barrier.wait();
                Ok(std::thread::current().name().unwrap().to_owned())
            }))
        };
        let (one, two) = (name(barrier), name(other));
        Ok(BTreeSet::from([one.await?, two.await?]))
    });
    let expected = ["blocking-1", "blocking-2"].map(String::from);
    assert_eq!(distinct.unwrap(), BTreeSet::from(expected));
}

#[test]
fn t167_a_function_that_runs_is_not_interrupted_and_its_result_is_thrown_away() {
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let (finished, finish) = mpsc::channel();
    run(async move || {
        let task = create_task(to_thread(move || {
            begun.send(())?;
            finished.send(released.recv().is_ok())?;
            Ok(())
        }));
        yield_now().await;
        has_begun.recv()?;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        // From here on the thread is what the closing loop waits for (rule T6).
        release.send(()).unwrap();
        Ok(())
    })
    .unwrap();
    assert_eq!(finish.try_recv(), Ok(true));
}

#[test]
fn t167_a_function_that_was_not_begun_is_withdrawn() {
    struct TellsThread(mpsc::Sender<std::thread::ThreadId>);
    impl Drop for TellsThread {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).unwrap();
        }
    }
    let (dropped, drop_seen) = mpsc::channel();
    let mut runner = Runner::builder().blocking_threads(1).build();
    runner
        .run(async move || {
            let (release, released) = mpsc::channel::<()>();
            let (begun, has_begun) = mpsc::channel();
            let first = create_task(to_thread(move || {
                begun.send(())?;
                Ok(released.recv()?)
            }));
            let guard = TellsThread(dropped);
            let second = create_task(to_thread(move || {
                let _guard = guard;
                panic!("it was withdrawn");
            }));
            yield_now().await;
            has_begun.recv()?;
            second.cancel();
            let outcome: Result<()> = second.await;
            assert!(outcome.unwrap_err().is_cancelled());
            assert_eq!(
                drop_seen.try_recv(),
                Ok(std::thread::current().id()),
                "dropped at once, here"
            );
            assert_eq!(pool_of(&*executor::current()?)?.queue_len(), 0);
            release.send(()).unwrap();
            first.await?;
            to_thread(|| Ok(())).await
        })
        .unwrap();
}

/// A task that drops `held` when main has ended and the loop shuts down, and not before.
fn held_by_a_leftover(held: mpsc::Sender<()>) -> crate::Task<()> {
    spawn(async move {
        let _held = held;
        std::future::pending().await
    })
}

#[test]
fn t6_run_waits_for_functions_that_were_begun_and_leaves_no_thread() {
    let (begun, has_begun) = mpsc::channel();
    let ended = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    let (held, released) = mpsc::channel::<()>();
    run(async move || {
        drop(create_task(to_thread(move || {
            begun.send(())?;
            let _ = released.recv_timeout(LONG);
            // As late as that can be without a clock: others may run first.
            (0..1_000).for_each(|_| std::thread::yield_now());
            flag.store(true, std::sync::atomic::Ordering::SeqCst);
            Ok(())
        })));
        drop(held_by_a_leftover(held));
        yield_now().await;
        has_begun.recv()?;
        Ok(())
    })
    .unwrap();
    assert!(ended.load(std::sync::atomic::Ordering::SeqCst));
}

#[test]
fn t6_the_loop_turns_while_it_waits_so_that_a_function_may_still_ask_it() {
    let mut runner = Runner::new();
    let remote = runner.remote().unwrap();
    let (begun, has_begun) = mpsc::channel();
    let (answered, answer) = mpsc::channel();
    let (held, released) = mpsc::channel::<()>();
    runner
        .run(async move || {
            drop(create_task(to_thread(move || {
                begun.send(())?;
                let _ = released.recv_timeout(LONG);
                let (reply, replied) = mpsc::channel();
                remote.submit(move || reply.send(7).unwrap())?;
                answered.send(replied.recv()?)?;
                Ok(())
            })));
            drop(held_by_a_leftover(held));
            yield_now().await;
            Ok(has_begun.recv()?)
        })
        .unwrap();
    runner.close().unwrap();
    assert_eq!(answer.try_recv(), Ok(7));
}

#[test]
fn t6_a_function_that_does_not_end_is_left_behind_after_the_limit() {
    let mut event_loop = EventLoop::new(&crate::lowlevel::LoopConfig::default()).unwrap();
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let (finished, finish) = mpsc::channel();
    let task = event_loop.create_task(to_thread(move || {
        begun.send(())?;
        finished.send(released.recv().is_ok())?;
        Ok(())
    }));
    event_loop.turn(false).unwrap();
    has_begun.recv().unwrap();
    shut_down(&mut event_loop, Duration::from_millis(20)).unwrap();
    assert!(!task.unwrap().done());
    event_loop.close();
    release.send(()).unwrap();
    assert_eq!(finish.recv_timeout(LONG), Ok(true), "it ends by itself");
}

#[test]
fn t169_after_the_pool_was_shut_down_functions_are_refused() {
    let mut event_loop = EventLoop::new(&crate::lowlevel::LoopConfig::default()).unwrap();
    let outcome = |event_loop: &mut EventLoop| {
        let task = event_loop.create_task(to_thread(|| Ok(5))).unwrap();
        event_loop.turn_until(|| task.done()).unwrap();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match pin!(task).poll(&mut context) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => panic!("the task is done"),
        }
    };
    assert_eq!(outcome(&mut event_loop).unwrap(), 5);
    shut_down(&mut event_loop, LONG).unwrap();
    assert!(outcome(&mut event_loop).unwrap_err().is_runtime());
}

#[test]
fn t169_functions_that_were_not_begun_are_refused_by_a_pool_that_shuts_down() {
    let config = crate::lowlevel::PoolConfig { thread_limit: Some(1), ..Default::default() };
    let config = crate::lowlevel::LoopConfig { pool: config, ..Default::default() };
    let mut event_loop = EventLoop::new(&config).unwrap();
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let first = event_loop.create_task(to_thread(move || {
        begun.send(())?;
        Ok(released.recv()?)
    }));
    let second = event_loop.create_task(async move {
        let error = to_thread(|| Ok(())).await.unwrap_err();
        release.send(())?;
        assert!(error.is_runtime());
        Ok(())
    });
    event_loop.turn(false).unwrap();
    has_begun.recv().unwrap();
    shut_down(&mut event_loop, LONG).unwrap();
    assert!(first.unwrap().done() && second.unwrap().done());
}

#[test]
fn t169_off_a_loop_it_is_refused() {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(outcome) = pin!(to_thread(|| Ok(()))).poll(&mut context) else {
        panic!("there is nothing to wait for");
    };
    assert!(outcome.unwrap_err().is_runtime());
}

#[test]
fn a_virtual_clock_stands_still_while_a_function_is_waited_for() {
    let passed = Runner::builder().virtual_clock().build().run(async || {
        let start = crate::now();
        let slow = async |_: &crate::Timeout| {
            to_thread(|| {
                std::thread::sleep(Duration::from_millis(10));
                Ok(())
            })
            .await
        };
        timeout(Duration::from_millis(1), slow).await?;
        let passed = crate::now() - start;
        // It goes on again afterwards.
        sleep(LONG).await;
        Ok(passed)
    });
    assert_eq!(passed.unwrap(), Duration::ZERO);
}

#[test]
fn a_thousand_calls_cancelled_at_random_moments_all_end() {
    let mut runner = Runner::builder().blocking_threads(4).build();
    runner
        .run(async || {
            for round in 0..1_000_u32 {
                let call = create_task(to_thread(move || Ok(round)));
                for _ in 0..round % 7 {
                    yield_now().await;
                }
                if round % 3 == 0 {
                    call.cancel();
                }
                let ended = call.await;
                assert!(ended.is_ok_and(|value| value == round) || round % 3 == 0);
            }
            drop(spawn(async {}));
            Ok(())
        })
        .unwrap();
}
