//! Services whose stop is under way when everything else is cancelled, or begins when the shard ends.

mod support;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corelane::{
    Result, catch_cancel, create_task, current_task, gather, sleep, task_group, timeout, wait_for,
};
use corelane_shards::{Ending, Shard, ShardId, Sharded};
use support::{ends_everywhere, run_to_end, shards};

/// What instances say of themselves, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().expect("nobody panics while it is held").push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics while it is held"))
    }
}

/// An instance that says when it is dropped, and owns another service.
struct Part {
    name: &'static str,
    log: Log,
    below: RefCell<Option<Sharded<Part>>>,
}

impl Part {
    fn of(name: &'static str, log: &Log) -> Self {
        Self { name, log: log.clone(), below: RefCell::default() }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let shard = Shard::current().map_or("no shard".to_owned(), |shard| shard.id().to_string());
        // What a value does at its end it does in a loop.
        let place = if corelane::describe_tasks().is_ok() { "a loop" } else { "no loop" };
        self.log.note(format!("drop {} on {shard} in {place}", self.name));
    }
}

type Steps = Pin<Box<dyn Future<Output = Result<()>>>>;
/// A way to wait, by name.
type Way = (&'static str, fn() -> Steps);

async fn long() -> Result<()> {
    sleep(Duration::from_millis(20)).await;
    Ok(())
}

fn in_a_timeout() -> Steps {
    Box::pin(timeout(Duration::from_secs(600), async |_| long().await))
}

fn in_a_limited_wait() -> Steps {
    Box::pin(wait_for(long(), Duration::from_secs(600)))
}

fn in_a_catcher() -> Steps {
    Box::pin(async {
        match catch_cancel(long()).await {
            Ok(result) => result,
            Err(cancelled) => cancelled.resume().await,
        }
    })
}

fn in_a_group() -> Steps {
    Box::pin(task_group(async |group| {
        drop(group.create_task(long())?);
        long().await
    }))
}

fn in_a_gather() -> Steps {
    Box::pin(async { gather((long(), long())).await.map(drop) })
}

fn in_a_task() -> Steps {
    Box::pin(async { create_task(long()).await })
}

fn in_a_task_of_a_task() -> Steps {
    Box::pin(async { create_task(async { create_task(long()).await }).await })
}

fn on_the_other_shard() -> Steps {
    Box::pin(async {
        let shard = Shard::current().expect("a service is stopped on its shard");
        let peer = ShardId::new(1 - shard.id().index() as u16);
        shard.call(peer, in_a_task).await
    })
}

#[test]
fn a_stop_that_is_under_way_when_the_run_ends_comes_to_its_end_whatever_it_waits_in() {
    let ways: [Way; 8] = [
        ("timeout", in_a_timeout),
        ("wait_for", in_a_limited_wait),
        ("catch_cancel", in_a_catcher),
        ("task_group", in_a_group),
        ("gather", in_a_gather),
        ("task", in_a_task),
        ("tasks", in_a_task_of_a_task),
        ("call", on_the_other_shard),
    ];
    for (way, wait) in ways {
        let log = Log::default();
        let make = || {
            let log = log.clone();
            async move |shard: Shard| {
                if shard.id() != ShardId::new(0) {
                    return Ok(());
                }
                let stop = async move |part: Rc<Part>| {
                    part.log.note("stop");
                    wait().await?;
                    assert_eq!(current_task()?.map(|task| task.cancelling()), Some(0));
                    part.log.note("stopped");
                    Ok(())
                };
                let make = async move |_| Ok(Part::of("it", &log));
                let service = Sharded::start_with(&shard, make, stop).await?;
                // The last handle goes. Main ends when the stops have begun, and while they wait.
                drop(service);
                sleep(Duration::from_millis(5)).await;
                Ok(())
            }
        };
        let limit = Duration::from_secs(300);
        ends_everywhere(&shards(2).drain(limit).clean_up(limit), make, |ending: Ending<()>| {
            assert!(ending.failure.is_none() && ending.late.is_empty(), "{way}: {ending:?}");
            let mut said = log.take();
            said.sort_unstable();
            let drops = [0, 1].map(|shard| format!("drop it on {shard} in a loop"));
            let others = ["stop", "stop", "stopped", "stopped"].map(String::from);
            assert_eq!(said, [&drops[..], &others].concat(), "{way}");
        });
    }
}

/// Two services on one shard, of which the younger one owns the other.
async fn pair(shard: &Shard, log: &Log) -> Result<Sharded<Part>> {
    let stop = async |part: Rc<Part>| {
        part.log.note(format!("stop {}", part.name));
        // Its stop begins in the middle of a step of this one.
        drop(part.below.take());
        long().await?;
        part.log.note(format!("stopped {}", part.name));
        Ok(())
    };
    let (old, young) = (log.clone(), log.clone());
    let below = Sharded::start_with(shard, async move |_| Ok(Part::of("old", &old)), stop);
    let below = below.await?;
    let make = async move |_| {
        let part = Part::of("young", &young);
        part.below.replace(Some(below));
        Ok(part)
    };
    Sharded::start_with(shard, make, stop).await
}

#[test]
fn a_stop_that_begins_another_ones_is_not_forgotten() {
    let log = Log::default();
    let make = || {
        let log = log.clone();
        async move |shard: Shard| {
            drop(pair(&shard, &log).await?);
            sleep(Duration::from_millis(5)).await;
            Ok(())
        }
    };
    let limit = Duration::from_secs(300);
    ends_everywhere(&shards(1).drain(limit).clean_up(limit), make, |ending: Ending<()>| {
        assert!(ending.failure.is_none() && ending.late.is_empty(), "{ending:?}");
        let mut said = log.take();
        assert_eq!(said.remove(0), "stop young");
        assert_eq!(said.remove(0), "stop old");
        let place = |what: &str| said.iter().position(|said| said.starts_with(what));
        for name in ["young", "old"] {
            let (stopped, dropped) = (format!("stopped {name}"), format!("drop {name}"));
            assert!(place(&stopped) < place(&dropped) && place(&stopped).is_some(), "{said:?}");
        }
    });
}

#[test]
fn a_service_whose_owner_goes_when_the_time_is_up_is_dropped_in_the_loop_too() {
    let log = Log::default();
    let theirs = log.clone();
    let limit = Duration::from_millis(20);
    let ending = run_to_end(shards(1).drain(limit).clean_up(limit), async move |shard: Shard| {
        let (old, owner, young) = (theirs.clone(), theirs.clone(), theirs);
        let stop = async |part: Rc<Part>| {
            part.log.note(format!("stop {}", part.name));
            std::future::pending().await
        };
        let below = Sharded::start_with(&shard, async move |_| Ok(Part::of("old", &old)), stop);
        let owner = Part::of("owner", &owner);
        owner.below.replace(Some(below.await?));
        let make = async move |_| Ok(Part::of("young", &young));
        let young = Sharded::start_with(&shard, make, stop).await?;
        // The handles that hold them go with the run.
        Ok((shard.keep(owner), young))
    });
    assert!(!ending.late.is_empty(), "{ending:?}");
    drop(ending);
    let mut said = log.take();
    assert_eq!(said.remove(0), "stop young");
    said.sort_unstable();
    assert_eq!(said, ["old", "owner", "young"].map(|name| format!("drop {name} on 0 in a loop")));
}
