//! Where shards run, and what happens when somebody moves them.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corelane::{Result, sleep, wait_for};
use corelane_shards::{AllowedCores, Placement, Shard, Shards};
use rustix::thread::{CpuSet, sched_setaffinity};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Keeps what is told, with its level.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(Level, String)>>>);

impl Told {
    fn lines(&self) -> Vec<(Level, String)> {
        self.0.lock().expect("nobody panics with it").clone()
    }

    /// Waits for a line with these words, for a minute at most.
    async fn hear(&self, level: Level, words: &str) -> Result<()> {
        let hear = async {
            while !self.lines().iter().any(|(at, line)| *at == level && line.contains(words)) {
                sleep(Duration::from_millis(1)).await;
            }
            Ok::<_, corelane::Error>(())
        };
        wait_for(hear, Duration::from_secs(60)).await
    }
}

struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, _field: &Field, value: &dyn fmt::Debug) {
        *self.0 += &format!("{value:?}");
    }
}

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = String::new();
        event.record(&mut Message(&mut line));
        self.0.lock().expect("nobody panics with it").push((*event.metadata().level(), line));
    }

    fn new_span(&self, _attributes: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

/// Does to the calling thread what an administrator would do to it from outside.
fn move_to(cores: &[usize]) -> Result<()> {
    let mut mask = CpuSet::new();
    cores.iter().for_each(|&core| mask.set(core));
    Ok(sched_setaffinity(None, &mask)?)
}

#[test]
fn a_shard_that_is_moved_goes_on_and_the_move_is_reported_and_its_return_too() {
    let cores = AllowedCores::of_process().unwrap().cores();
    let &[home, other, ..] = cores else {
        println!("skipped: a process with one core cannot be moved");
        return;
    };
    let told = Told::default();
    let heard = told.clone();
    let main = async move |shard: Shard| {
        assert_eq!(shard.allowed_cores()?, [home]);
        move_to(&[other])?;
        heard
            .hear(Level::WARN, &format!("shard 0 was started on cores {home} and may now"))
            .await?;
        assert_eq!(shard.allowed_cores()?, [other]);
        move_to(&[home])?;
        heard.hear(Level::INFO, &format!("shard 0 may run on cores {home} again")).await?;
        Ok(())
    };
    let run = Shards::builder()
        .placement(Placement::Count(1))
        .placement_check(Duration::from_millis(1))
        .handle_signals(false);
    tracing::subscriber::with_default(told.clone(), || run.run(main)).unwrap();
    let warnings = told.lines().iter().filter(|(level, _)| *level == Level::WARN).count();
    assert_eq!(warnings, 1, "{:?}", told.lines());
}

#[test]
fn the_line_of_the_start_is_told_with_what_was_taken_and_why() {
    let told = Told::default();
    let run = Shards::builder().placement(Placement::PerPhysicalCore).handle_signals(false);
    let lines = tracing::subscriber::with_default(told.clone(), || {
        run.run(async |shard| Ok(shard.report().to_string()))
    });
    let line = lines.unwrap().remove(0);
    assert!(line.contains("one per physical core (may use "), "{line}");
    assert!(told.lines().contains(&(Level::INFO, line)), "{:?}", told.lines());
}
