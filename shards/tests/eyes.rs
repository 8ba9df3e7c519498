//! What can be seen of shards from shards and from outside: counters, tasks, and who is stalled.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod support;

use std::io::{self, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use corelane::lowlevel::Holder;
use corelane::{Result, catch_cancel_plain, task};
use corelane_shards::{Phase, Shard, ShardId, Sharded, Silence};
use support::shards;

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(60);

async fn until_asked_to_end(shard: Shard) -> Result<()> {
    shard.shutdown().requested().await;
    Ok(())
}

/// A thread that is held until the flag is up.
fn block_until(flag: &AtomicBool) {
    while !flag.load(Ordering::SeqCst) {
        #[expect(clippy::disallowed_methods, reason = "the shard is to be stalled")]
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn every_shard_says_what_it_has_counted() {
    let text = shards(2).run(async |shard: Shard| {
        let peer = ShardId::new(1 - shard.id().index() as u16);
        for _ in 0..100 {
            shard.invoke(peer, || ()).await?;
        }
        let stats = shard.stats(LONG).await;
        let answers = stats.answers();
        let own = answers[&shard.id()];
        assert!(own.event_loop.turn_count > 0 && own.event_loop.unfinished_task_count >= 2);
        assert_eq!((own.lanes.len(), own.lanes[0].0, own.connection_count), (1, peer, 0));
        assert!(own.lanes[0].1.message_count >= 100);
        assert!(own.hops.count() > 0, "the first packet of a lane is timed");
        assert_eq!(answers.len(), 2);
        Ok(stats.prometheus().to_string())
    });
    let text = &text.unwrap()[0];
    for line in [
        "corelane_shard_up{shard=\"1\"} 1\n",
        "\ncorelane_shard_connections{shard=\"0\"} 0\n",
        "\ncorelane_shards_connection_imbalance 1\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    for start in [
        "corelane_lane_messages_total{from=\"0\",to=\"1\"} ",
        "corelane_loop_steps_total{shard=\"1\"} ",
        "corelane_lane_hop_seconds_count{shard=\"1\"} ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(start)), "{start}: {text}");
    }
}

#[test]
fn a_stalled_shard_does_not_keep_the_others_from_answering() {
    let released = Arc::new(AtomicBool::new(false));
    let release = Arc::clone(&released);
    let running = shards(2).stall_limit(None).start(async move |shard: Shard| {
        if shard.id().index() == 0 {
            return until_asked_to_end(shard).await;
        }
        task().name("hog").spawn(async move { block_until(&released) }).await
    });
    let running = running.unwrap();
    let handle = running.handle();
    // Until the hog holds its shard.
    let dump = loop {
        let dump = handle.dump_tasks(Duration::from_millis(50)).unwrap();
        let is_held = |holder: &Silence| matches!(holder, Silence::Held(Holder::Task { .. }));
        if dump.shards[1].answer.as_ref().err().is_some_and(is_held) {
            break dump;
        }
    };
    let Some(Silence::Held(Holder::Task { location, .. })) = dump.shards[1].answer.as_ref().err()
    else {
        panic!("{dump}")
    };
    assert_eq!(location.file(), file!());
    assert!(dump.to_string().contains("shard 1 did not answer: held by task "), "{dump}");
    let stats = handle.stats(Duration::from_millis(50)).unwrap();
    assert!(stats.shards[1].answer.is_err());
    assert!(stats.prometheus().to_string().contains("corelane_shard_up{shard=\"1\"} 0\n"));
    // The other one may be slow on a busy machine, but it answers in the end.
    while handle.dump_tasks(Duration::from_millis(50)).unwrap().shards[0].answer.is_err() {}
    release.store(true, Ordering::SeqCst);
    handle.request_shutdown();
    running.join().unwrap();
}

#[test]
fn a_dump_shows_every_task_of_every_shard() {
    let dumps = shards(2).run(async |shard: Shard| {
        let name = format!("worker-{}", shard.id());
        let worker = task().name(name).spawn(std::future::pending::<()>());
        // Both have their worker when both have come here.
        for peer in shard.all() {
            while !shard
                .call(peer, async || Ok(corelane::format_tasks()?.contains("worker")))
                .await?
            {}
        }
        let dump = shard.dump_tasks(LONG).await;
        for peer in shard.all() {
            shard.invoke(peer, || ()).await?;
        }
        drop(worker);
        Ok(dump)
    });
    for dump in dumps.unwrap() {
        let text = dump.to_string();
        for part in ["shard 0: ", "shard 1: ", "    worker-0 waiting, ", "    worker-1 waiting, "] {
            assert!(text.contains(part), "{text}");
        }
        let tasks = &dump.shards[0].answer.as_ref().unwrap().tasks;
        assert!(tasks.iter().any(|task| task.name == "main"), "{text}");
    }
}

#[test]
fn after_the_run_nobody_answers_and_nobody_waits() {
    let running = shards(2).start(until_asked_to_end).unwrap();
    let handle = running.handle();
    handle.request_shutdown();
    running.join().unwrap();
    let dump = handle.dump_tasks(LONG).unwrap();
    assert_eq!(dump.to_string(), "shard 0 has ended\nshard 1 has ended\n");
}

#[test]
fn a_blocking_look_is_refused_where_it_would_stop_a_shard() {
    let run = shards(1).run(async |shard: Shard| {
        assert!(shard.handle().dump_tasks(LONG).unwrap_err().is_runtime());
        assert!(shard.handle().stats(LONG).unwrap_err().is_runtime());
        Ok(())
    });
    run.unwrap();
}

/// What was logged in this process.
static LOGGED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn log_says(words: &[&str]) -> bool {
    let log = String::from_utf8(LOGGED.lock().unwrap().clone()).unwrap();
    log.lines().any(|line| words.iter().all(|word| line.contains(word)))
}

fn listen_to_the_log() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| tracing_subscriber::fmt().with_ansi(false).with_writer(|| Log).init());
}

#[test]
fn a_task_that_holds_its_shard_is_named_while_it_does() {
    listen_to_the_log();
    let run = shards(2).stall_limit(Duration::from_millis(20)).run(async |shard: Shard| {
        if shard.id().index() == 1 {
            // It goes on only when it has been named, and would hang if it were named afterwards.
            let stall = async {
                let words =
                    ["shard 1 is held for", "by task planted-stall, created at", "eyes.rs:"];
                while !log_says(&words) {
                    #[expect(clippy::disallowed_methods, reason = "the shard is to be stalled")]
                    thread::sleep(Duration::from_millis(1));
                }
            };
            task().name("planted-stall").spawn(stall).await?;
        }
        Ok(())
    });
    run.unwrap();
}

#[test]
fn a_shard_must_be_allowed_to_work() {
    let refused = shards(1).stall_limit(Duration::ZERO).run(async |_| Ok(()));
    assert!(refused.unwrap_err().is_value());
}

#[test]
fn what_does_not_end_in_time_is_named_for_each_phase_and_shard() {
    listen_to_the_log();
    let limit = Duration::from_millis(20);
    let run = shards(2).drain(limit).clean_up(limit).run_to_end(async |shard: Shard| {
        if shard.id().index() == 0 {
            return Ok(());
        }
        let shutdown = shard.shutdown();
        let stubborn = async move {
            shutdown.request();
            loop {
                let _ = catch_cancel_plain(std::future::pending::<()>()).await;
            }
        };
        task().name("stubborn").spawn(stubborn).await
    });
    let ending = run.unwrap();
    let phases: Vec<_> = ending.late.iter().map(|late| (late.phase, late.id)).collect();
    let far = ShardId::new(1);
    assert_eq!(phases, [(Phase::Drain, far), (Phase::CleanUp, far)]);
    for late in &ending.late {
        let names: Vec<_> = late.tasks.iter().map(|task| task.name.as_str()).collect();
        assert_eq!(names, ["main", "stubborn"]);
        assert!(late.tasks[1].location.file().ends_with("eyes.rs"));
    }
    assert!(ending.mains[0].is_ok());
    assert!(ending.into_result().unwrap_err().is_cancelled());
    let place = "stubborn (created at ";
    assert!(log_says(&["shard 1 is late draining: 2 tasks have not ended: main ", place]));
    assert!(log_says(&["shard 1 is late cleaning up: 2 tasks have not ended: main ", place]));
}

#[test]
fn a_service_whose_stop_does_not_end_is_named() {
    struct Stubborn;
    static KEPT: OnceLock<Sharded<Stubborn>> = OnceLock::new();
    let limit = Duration::from_millis(20);
    let run = shards(1).drain(limit).clean_up(limit).run_to_end(async |shard: Shard| {
        let stop = async |_: Rc<Stubborn>| {
            std::future::pending::<()>().await;
            Ok(())
        };
        let service = Sharded::start_with(&shard, async |_| Ok(Stubborn), stop).await?;
        assert!(KEPT.set(service).is_ok());
        Ok(())
    });
    let ending = run.unwrap();
    let late = ending.late.iter().flat_map(|late| &late.tasks);
    let names: Vec<_> = late.map(|task| task.name.as_str()).collect();
    let is_named = |name: &&str| name.starts_with("stop of ") && name.ends_with("::Stubborn");
    assert!(names.iter().any(is_named), "{names:?}");
}
