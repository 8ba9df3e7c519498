//! A shard that panics, in every phase of its life: the run ends, and everybody else is told.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use corelane::{Error, Result, catch_cancel, create_task};
use corelane_shards::{CallError, Shard, ShardId, Sharded};
use support::shards;

/// The shard that panics, in runs of three.
const BAD: ShardId = ShardId::new(1);

/// Panics when it is dropped, unless something panics already.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a guard panics");
    }
}

/// Runs `bad` on the shard that panics. The others call it until they are told that it is over, one way
/// or the other, and then end; how many have.
fn others_end(
    bad: impl AsyncFnOnce(Shard) -> Result<()> + Clone + Send + 'static,
) -> (usize, Result<()>) {
    let ended = Arc::new(AtomicUsize::new(0));
    let ends = Arc::clone(&ended);
    let builder = shards(3);
    let run = builder.permits(1).lane_capacity(1).drain(Duration::from_millis(200));
    let run = run.run(async move |shard: Shard| {
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
    });
    (ended.load(Ordering::SeqCst), run.map(drop))
}

#[test]
fn in_its_main() {
    let (ended, run) = others_end(async |_| panic!("main panics"));
    assert_eq!(ended, 2);
    assert!(run.unwrap_err().is_panic());
}

#[test]
fn when_its_main_is_cancelled() {
    let (ended, run) = others_end(async |shard| {
        let _guard = Guard;
        shard.shutdown().request();
        std::future::pending().await
    });
    assert_eq!(ended, 2);
    assert!(run.is_err());
}

#[test]
fn in_its_clean_up() {
    let (ended, run) = others_end(async |shard| {
        shard.shutdown().request();
        let cancelled = catch_cancel(std::future::pending::<Result<()>>()).await;
        assert!(cancelled.is_ok(), "clean-up panics");
        Ok(())
    });
    assert_eq!(ended, 2);
    assert!(run.is_err());
}

#[test]
fn in_a_task_that_is_left_when_main_has_returned() {
    let (ended, run) = others_end(async |shard| {
        drop(create_task(async {
            let _guard = Guard;
            std::future::pending::<Result<()>>().await
        }));
        shard.shutdown().request();
        Ok(())
    });
    assert_eq!(ended, 2);
    assert!(run.is_ok(), "the panic of a task is its own");
}

#[test]
fn when_it_drops_what_it_keeps() {
    let (ended, run) = others_end(async |shard| {
        std::mem::forget([shard.keep(Guard), shard.keep(Guard)]);
        shard.shutdown().request();
        Ok(())
    });
    assert_eq!(ended, 2);
    assert!(run.is_ok());
}

#[test]
fn in_the_start_the_use_and_the_stop_of_a_service() {
    let (ended, run) = others_end(async |shard| {
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
            assert_eq!(error.downcast_ref(), Some(&CallError::Panicked("use panics".to_owned())));
        }
        assert!(service.clone().stop().await.is_err());
        assert!(service.local().is_err(), "it is gone all the same");
        let forgotten = Sharded::start_with(&shard, async |_| Ok(5), stop).await?;
        std::mem::forget(forgotten);
        shard.shutdown().request();
        Ok(())
    });
    assert_eq!(ended, 2);
    assert!(run.is_ok());
}
