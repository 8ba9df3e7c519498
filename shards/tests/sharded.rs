//! Services on every shard, values with keys that travel, and calls to many.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use corelane::{Error, Result, gather, sleep, yield_now};
use corelane_shards::{CallError, Foreign, Shard, ShardId, Sharded};
use support::{FAR, call_error, everywhere, on_first, shards};

fn own_number() -> usize {
    Shard::current().map_or(usize::MAX, |shard| shard.id().index())
}

/// What instances say of themselves, in order, from whatever shard.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, what: &str) {
        self.lock().push(format!("{what} {}", own_number()));
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().expect("nobody panics while it is held")
    }
}

/// An instance that is not `Send` and says when it is dropped.
struct Part {
    number: Rc<Cell<usize>>,
    log: Log,
}

impl Drop for Part {
    fn drop(&mut self) {
        self.log.note("drop");
    }
}

fn part(log: Log) -> impl AsyncFnOnce(Shard) -> Result<Part> + Clone + Send + 'static {
    async move |shard: Shard| {
        // Later shards are ready first.
        for _ in shard.id().index()..shard.count() {
            yield_now().await;
        }
        Ok(Part { number: Rc::new(Cell::new(shard.id().index())), log })
    }
}

#[test]
fn a_service_has_an_instance_on_each_shard_that_is_used_there() {
    everywhere(shards(3), async |shard| {
        let service = Sharded::start(&shard, part(Log::default())).await?;
        assert_eq!(service.local()?.number.get(), 0);
        let on = |to| service.invoke_on(to, |part| (part.number.get(), own_number()));
        assert_eq!(on(FAR).await?, (1, 1));
        assert_eq!(on(ShardId::new(2)).await?, (2, 2));
        let error = on(ShardId::new(3)).await.unwrap_err();
        assert!(matches!(call_error(&error), CallError::NoSuchShard { count: 3, .. }));
        let called = service.call_on(FAR, async |part| {
            sleep(Duration::from_millis(1)).await;
            Ok(part.number.get() + 10)
        });
        assert_eq!(called.await?, 11);
        assert_eq!(service.invoke_on_all(|part| part.number.get()).await?, [0, 1, 2]);
        assert_eq!(service.invoke_on_others(|part| part.number.get()).await?, [1, 2]);
        assert_eq!(service.call_on_all(async |part| Ok(part.number.get())).await?, [0, 1, 2]);
        let sum = service.map_reduce(|part| part.number.get(), 100, |sum, n| sum + n).await?;
        assert_eq!(sum, 103);
        Ok(())
    });
}

#[test]
fn a_service_is_stopped_in_reverse_and_then_gone() {
    everywhere(shards(3), async |shard| {
        let log = Log::default();
        let stop = async |part: Rc<Part>| {
            part.log.note("stop");
            yield_now().await;
            part.log.note("stopped");
            Ok(())
        };
        let service = Sharded::start_with(&shard, part(log.clone()), stop).await?;
        let other = service.clone();
        service.stop().await?;
        let each = |n| [format!("stop {n}"), format!("stopped {n}"), format!("drop {n}")];
        assert_eq!(log.take(), [2, 1, 0].map(each).concat());
        let error = other.invoke_on(FAR, |_| ()).await.unwrap_err();
        assert_eq!(call_error(&error), &CallError::ValueGone);
        assert_eq!(call_error(&other.local().err().unwrap()), &CallError::ValueGone);
        other.stop().await
    });
}

#[test]
fn a_start_that_fails_or_panics_stops_what_had_started_in_reverse() {
    everywhere(shards(4), async |shard| {
        for panics in [false, true] {
            let log = Log::default();
            let make = part(log.clone());
            let failing = async move |shard: Shard| {
                let is_bad = shard.id() == FAR;
                let part = make(shard).await?;
                if is_bad {
                    assert!(!panics, "no instance here");
                    return Err(Error::msg("no instance here"));
                }
                Ok(part)
            };
            let stop = async |part: Rc<Part>| {
                part.log.note("stop");
                Err(Error::msg("a stop that fails is not what the start failed with"))
            };
            let error = Sharded::start_with(&shard, failing, stop).await.unwrap_err();
            assert!(error.to_string().contains("no instance here"), "{error}");
            assert_eq!(error.downcast_ref::<CallError>().is_some(), panics);
            let mut said = log.take();
            let failed = said.iter().position(|what| what == "drop 1").expect("it was made");
            said.remove(failed);
            let each = |n| [format!("stop {n}"), format!("drop {n}")];
            assert_eq!(said, [3, 2, 0].map(each).concat());
        }
        Ok(())
    });
}

#[test]
fn a_stop_that_fails_keeps_no_other_from_being_stopped() {
    everywhere(shards(3), async |shard| {
        let log = Log::default();
        let stop = async |part: Rc<Part>| {
            part.log.note("stop");
            Err(Error::msg(format!("stop of {}", part.number.get())))
        };
        let service = Sharded::start_with(&shard, part(log.clone()), stop).await?;
        assert_eq!(service.stop().await.unwrap_err().to_string(), "stop of 2");
        let each = |n| [format!("stop {n}"), format!("drop {n}")];
        assert_eq!(log.take(), [2, 1, 0].map(each).concat());
        Ok(())
    });
}

#[test]
fn what_nobody_has_stopped_is_stopped_at_the_end_the_youngest_first() {
    let log = Log::default();
    let told = log.clone();
    let outlives = Arc::new(Mutex::new(Vec::new()));
    let services = Arc::clone(&outlives);
    shards(2)
        .run(async move |shard: Shard| {
            if shard.id() != ShardId::new(0) {
                return Ok(());
            }
            for name in ["old", "young"] {
                let stop = async move |part: Rc<Part>| {
                    // Shards still answer.
                    let shard = Shard::current().expect("it is stopped on its shard");
                    let peer = ShardId::new(1 - shard.id().index() as u16);
                    shard.invoke(peer, || ()).await?;
                    part.log.note(name);
                    Ok(())
                };
                let service = Sharded::start_with(&shard, part(told.clone()), stop).await?;
                services.lock().unwrap().push(service);
            }
            Ok(())
        })
        .unwrap();
    let said = log.take();
    for shard in 0..2 {
        let of_shard = said.iter().filter(|what| what.ends_with(&shard.to_string()));
        let expected = ["young", "drop", "old", "drop"].map(|what| format!("{what} {shard}"));
        assert_eq!(of_shard.cloned().collect::<Vec<_>>(), expected);
    }
    drop(outlives);
}

#[test]
fn the_last_handle_of_a_service_stops_it_where_its_instances_are() {
    everywhere(shards(2), async |shard| {
        let log = Log::default();
        let stop = async |part: Rc<Part>| {
            part.log.note("stop");
            Ok(())
        };
        drop(Sharded::start_with(&shard, part(log.clone()), stop).await?);
        let mut said = Vec::new();
        while said.len() < 4 {
            said.extend(log.take());
            yield_now().await;
        }
        said.sort();
        assert_eq!(said, ["drop 0", "drop 1", "stop 0", "stop 1"]);
        Ok(())
    });
}

#[test]
fn a_stop_that_is_under_way_when_the_run_ends_comes_to_its_end() {
    let log = Log::default();
    let theirs = log.clone();
    on_first(shards(2), async move |shard| {
        let stop = async |part: Rc<Part>| {
            part.log.note("stop");
            sleep(Duration::from_millis(20)).await;
            part.log.note("stopped");
            Ok(())
        };
        let service = Sharded::start_with(&shard, part(theirs), stop).await?;
        // The last handle goes, and main ends before the instances are stopped.
        drop(service);
        Ok(())
    });
    let mut said = log.take();
    said.sort_unstable();
    assert_eq!(said, ["drop 0", "drop 1", "stop 0", "stop 1", "stopped 0", "stopped 1"]);
}

#[test]
fn a_stop_that_does_not_end_is_dropped_on_its_shard() {
    let log = Log::default();
    let theirs = log.clone();
    let limit = Duration::from_millis(20);
    let ending = shards(1).drain(limit).clean_up(limit).run_to_end(async move |shard: Shard| {
        let stop = async |part: Rc<Part>| {
            part.log.note("stop");
            std::future::pending().await
        };
        drop(Sharded::start_with(&shard, part(theirs.clone()), stop).await?);
        Ok(())
    });
    assert!(!ending.unwrap().late.is_empty());
    assert_eq!(log.take(), ["stop 0", "drop 0"]);
}

#[test]
fn a_value_is_used_and_dropped_at_home_wherever_its_last_key_goes() {
    everywhere(shards(2), async |shard| {
        let log = Log::default();
        let made = log.clone();
        let key: Foreign<Part> = shard
            .invoke(FAR, move || {
                let shard = Shard::current().expect("it runs on a shard");
                shard.keep(Part { number: Rc::new(Cell::new(4)), log: made })
            })
            .await?;
        assert_eq!(key.home(), FAR);
        assert_eq!(call_error(&key.local().err().unwrap()), &CallError::Elsewhere(FAR));
        let seen = key.invoke(|part| {
            part.number.set(part.number.get() + 1);
            (part.number.get(), own_number())
        });
        assert_eq!(seen.await?, (5, 1));
        // A call under way has a key of its own.
        let last = key.clone();
        let called = last.call(async |part| {
            yield_now().await;
            Ok((part.number.get(), own_number()))
        });
        drop((key, last));
        assert_eq!(called.await?, (5, 1));
        while log.take() != ["drop 1"] {
            yield_now().await;
        }
        Ok(())
    });
}

#[test]
fn a_key_that_is_dropped_on_a_thread_of_its_own_or_after_the_run_drops_nothing_twice() {
    let log = Log::default();
    let made = log.clone();
    let keys = shards(2).run(async move |shard: Shard| {
        let part = |n| Part { number: Rc::new(Cell::new(n)), log: made.clone() };
        let (early, late) = (shard.keep(part(0)), shard.keep(part(1)));
        #[expect(clippy::disallowed_methods, reason = "a thread that is no shard is the subject")]
        std::thread::spawn(move || drop(early)).join().expect("a key's drop does not panic");
        Ok(late)
    });
    let keys = keys.unwrap();
    let mut said = log.take();
    said.sort();
    assert_eq!(said, ["drop 0", "drop 0", "drop 1", "drop 1"]);
    drop(keys);
    assert_eq!(log.take(), [""; 0]);
}

#[test]
fn keys_are_of_one_run_and_need_a_shard() {
    let old = shards(1).run(async |shard: Shard| Ok(shard.keep(1))).unwrap().remove(0);
    assert_eq!(call_error(&old.local().unwrap_err()), &CallError::Elsewhere(ShardId::new(0)));
    shards(1)
        .run(async move |_| {
            assert_eq!(call_error(&old.local().unwrap_err()), &CallError::ValueGone);
            let error = old.invoke(|_| ()).await.unwrap_err();
            assert_eq!(call_error(&error), &CallError::ValueGone);
            Ok(())
        })
        .unwrap();
    let key = shards(1).run(async |shard: Shard| Ok(shard.keep(1))).unwrap().remove(0);
    let error = corelane::run(async move || key.invoke(|_| ()).await).unwrap_err();
    assert!(error.is_runtime() && error.to_string().contains("no shard"), "{error}");
}

#[test]
fn answers_come_as_they_are_given_and_an_error_ends_no_other_call() {
    everywhere(shards(4), async |shard| {
        let mut answers = shard.call_all(|| async {
            let own = own_number();
            for _ in 0..own * 50 {
                yield_now().await;
            }
            if own == 2 { Err(Error::msg("not I")) } else { Ok(own) }
        });
        assert_eq!(answers.remaining(), 4);
        let mut seen = RefCell::new(Vec::new());
        while let Some((from, answer)) = answers.next().await {
            seen.get_mut().push((from.index(), answer.ok()));
        }
        let mut seen = seen.take();
        seen.sort_unstable();
        assert_eq!(seen, [(0, Some(0)), (1, Some(1)), (2, None), (3, Some(3))]);
        assert_eq!(answers.remaining(), 0);
        assert!(answers.next().await.is_none());
        let failed = shard.call_all(|| async {
            if own_number() == 2 { Err(Error::msg("not I")) } else { std::future::pending().await }
        });
        let error: Result<Vec<()>> = failed.await;
        assert_eq!(error.unwrap_err().to_string(), "not I");
        assert_eq!(shard.broadcast(own_number).await?, [0, 1, 2, 3]);
        Ok(())
    });
}

#[test]
fn call_any_spreads_a_row_of_calls_evenly_and_avoids_who_is_busy() {
    static AT: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];
    everywhere(shards(4), async |shard| {
        let count_own = || async { Ok(AT[own_number()].fetch_add(1, Ordering::SeqCst)) };
        let row: Vec<_> = (0..40).map(|_| shard.call_any(count_own)).collect();
        gather(row).await?;
        assert_eq!(AT.each_ref().map(|at| at.swap(0, Ordering::SeqCst)), [10; 4]);
        let busy: Vec<_> =
            (0..10).map(|_| shard.call(FAR, std::future::pending::<Result<()>>)).collect();
        let row: Vec<_> = (0..30).map(|_| shard.call_any(count_own)).collect();
        gather(row).await?;
        assert_eq!(AT.each_ref().map(|at| at.swap(0, Ordering::SeqCst)), [10, 0, 10, 10]);
        drop(busy);
        Ok(())
    });
}

#[test]
fn a_call_to_any_that_is_given_up_is_cancelled_on_its_own_shard_too() {
    everywhere(shards(1), async |shard| {
        let log = Log::default();
        let held = Part { number: Rc::default(), log: log.clone() };
        let held = shard.keep(held);
        let call = shard.call_any(move || async move {
            let _held = held;
            std::future::pending::<Result<()>>().await
        });
        yield_now().await;
        drop(call);
        yield_now().await;
        yield_now().await;
        assert_eq!(log.take(), ["drop 0"]);
        Ok(())
    });
}
