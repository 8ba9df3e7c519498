//! A shard that panics, in every phase of its life: the run ends, and everybody else is told.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corelane::{Error, Result, catch_cancel, create_task};
use corelane_shards::{CallError, Foreign, PanicPolicy, Shard, ShardId, Sharded};
use support::{ends_everywhere, shards};

/// The shard that panics, in runs of three.
const BAD: ShardId = ShardId::new(1);

/// Panics when it is dropped, unless something panics already.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a guard panics");
    }
}

/// Runs `bad` on the shard that panics, under each policy that lets the process live, on threads and in simulation. The
/// others call it until they are told that it is over, one way or the other, and then end. What comes of the run if the
/// panic is isolated, `check` looks at.
fn others_end(
    bad: impl AsyncFnOnce(Shard) -> Result<()> + Clone + Send + 'static,
    check: impl Fn(Result<()>),
) {
    for policy in [PanicPolicy::ShutShard, PanicPolicy::ShutAll] {
        end_under(policy, bad.clone(), |run| {
            assert!(run.is_ok() || run.is_err_and(|error| error.is_panic()), "{policy:?}");
        });
    }
    end_under(PanicPolicy::Isolate, bad, check);
}

fn end_under(
    policy: PanicPolicy,
    bad: impl AsyncFnOnce(Shard) -> Result<()> + Clone + Send + 'static,
    check: impl Fn(Result<()>),
) {
    let ended = Arc::new(AtomicUsize::new(0));
    let builder = shards(3).permits(1).lane_capacity(1).drain(Duration::from_millis(200));
    let make = || {
        let (ends, bad) = (Arc::clone(&ended), bad.clone());
        async move |shard: Shard| {
            if shard.id() == BAD {
                return bad(shard).await;
            }
            let calling = async {
                while !shard.shutdown().is_requested() {
                    shard.call(BAD, || async { Ok(()) }).await?;
                }
                Ok::<(), Error>(())
            };
            // Cancelled, told, or asked to end: each is an end.
            let _ = catch_cancel(calling).await;
            ends.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    };
    ends_everywhere(&builder.panic_policy(policy), make, |ending| {
        assert_eq!(ended.swap(0, Ordering::SeqCst), 2, "{policy:?}");
        check(ending.into_result().map(drop));
    });
}

#[test]
fn in_its_main() {
    others_end(async |_| panic!("main panics"), |run| assert!(run.unwrap_err().is_panic()));
}

#[test]
fn in_a_task_while_everything_runs() {
    others_end(
        async |shard| {
            let task = create_task(async { panic!("a task panics") as Result<()> });
            assert!(task.await.unwrap_err().is_panic());
            shard.shutdown().request();
            Ok(())
        },
        |run| assert!(run.is_ok()),
    );
}

#[test]
fn in_calls_that_others_make() {
    others_end(
        async |shard| {
            let near = shard.clone();
            let call =
                |to: ShardId| near.call(to, || async { panic!("a call panics") as Result<()> });
            let called = shard.call(ShardId::new(0), || async {
                let here = Shard::current().expect("it runs on a shard");
                // Under a policy that shuts the shard there is no answer.
                let panics = || -> () { panic!("an invocation panics") };
                let error = here.invoke(BAD, panics).await.unwrap_err();
                assert!(error.downcast_ref::<CallError>().is_some(), "{error}");
                Ok(())
            });
            let _ = called.await;
            assert!(call(BAD).await.is_err());
            shard.shutdown().request();
            Ok(())
        },
        |run| assert!(run.is_ok()),
    );
}

#[test]
fn while_it_drains() {
    others_end(
        async |shard| {
            shard.shutdown().request();
            shard.shutdown().requested().await;
            panic!("the drain panics")
        },
        |run| assert!(run.unwrap_err().is_panic()),
    );
}

#[test]
fn when_its_main_is_cancelled() {
    others_end(
        async |shard| {
            let _guard = Guard;
            shard.shutdown().request();
            std::future::pending().await
        },
        |run| assert!(run.is_err()),
    );
}

#[test]
fn in_its_clean_up() {
    others_end(
        async |shard| {
            shard.shutdown().request();
            let cancelled = catch_cancel(std::future::pending::<Result<()>>()).await;
            assert!(cancelled.is_ok(), "clean-up panics");
            Ok(())
        },
        |run| assert!(run.is_err()),
    );
}

#[test]
fn in_a_task_that_is_left_when_main_has_returned() {
    others_end(
        async |shard| {
            drop(create_task(async {
                let _guard = Guard;
                std::future::pending::<Result<()>>().await
            }));
            shard.shutdown().request();
            Ok(())
        },
        |run| assert!(run.is_ok(), "the panic of a task is its own"),
    );
}

#[test]
fn when_it_drops_what_it_keeps() {
    // The keys outlive the shard, so that it is the shard that drops what they are to.
    let keys = Arc::default();
    let held: Arc<Mutex<Vec<Foreign<Guard>>>> = Arc::clone(&keys);
    others_end(
        async move |shard| {
            held.lock().unwrap().extend([shard.keep(Guard), shard.keep(Guard)]);
            shard.shutdown().request();
            Ok(())
        },
        |run| assert!(run.is_ok()),
    );
}

#[test]
fn in_the_start_the_use_and_the_stop_of_a_service() {
    // The last one is still there when its shards end.
    let services = Arc::default();
    let held: Arc<Mutex<Vec<Sharded<i32>>>> = Arc::clone(&services);
    others_end(
        async move |shard| {
            let panics_here = async |here: Shard| {
                assert_ne!(here.id(), BAD, "no instance here");
                Ok(Guard)
            };
            let error = Sharded::start(&shard, panics_here).await.unwrap_err();
            assert!(matches!(error.downcast_ref(), Some(CallError::Panicked(_))), "{error}");
            let stop = async |_| panic!("stop panics");
            let service = Sharded::start_with(&shard, async |_| Ok(5), stop).await?;
            for to in shard.all() {
                let error =
                    service.invoke_on(to, |_| -> () { panic!("use panics") }).await.unwrap_err();
                assert_eq!(
                    error.downcast_ref(),
                    Some(&CallError::Panicked("use panics".to_owned()))
                );
            }
            assert!(service.clone().stop().await.is_err());
            assert!(service.local().is_err(), "it is gone all the same");
            let left = Sharded::start_with(&shard, async |_| Ok(5), stop).await?;
            held.lock().unwrap().push(left);
            shard.shutdown().request();
            Ok(())
        },
        |run| assert!(run.is_ok()),
    );
}
