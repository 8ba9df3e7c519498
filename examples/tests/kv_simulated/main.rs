//! The key-value server in a simulated world: clients of several connections each, pipelines, hosts, faults, and what
//! the clients saw decided upon by a checker.
//!
//! What it finds was tried out by defects that were planted one by one, with the seeds from 0 to 39 of the test that is
//! named:
//!
//! | defect | test | first seed that fails |
//! |---|---|--:|
//! | a reply is lost if its request came in two pieces | four shards | 0 |
//! | two replies of a pipeline are swapped | four shards | 0 |
//! | SET is acknowledged before it is made | four shards | 2 |
//! | INCR stores its sum a moment after it has read | four shards | 1 |
//! | a command of a batch runs twice | four shards | 1 |
//! | a key is looked for on the wrong shard | four shards | 0 |
//! | MSET leaves its last key out | four shards | 2 |
//! | a key expires 1 ms too early | four shards | 2 |
//! | a key expires 3 ms too early, or too late | four shards | 2 |
//! | a key expires 20 ms too early, or too late | four shards | 0 |
//! | SET keeps the deadline of the value before | four shards | 2 |
//! | a shorter value keeps the end of the longer one | four shards | 26 |
//! | a deadline stays where an entry was that has moved | four shards | 1 |
//! | MOVED names the wrong node | cluster | 0 |
//! | a node answers for keys of others | cluster | 0 |
//! | a request is acknowledged and dropped as the server ends | orderly end | 10 |
//! | busy connections are cut when the server ends | orderly end | 1 |
//! | the end of a connection cuts its last answer | orderly end | 1 |
//! | a connection is closed while its peer still sends | orderly end | 4 |
//! | shards do not wait for each other when the server ends | orderly end | 0 |
//!
//! For that there are clients that ask for a key around its deadline, long answers, more keys than clients meet at, a
//! look at all of them when the servers have removed what has expired, and witnesses of the end of a server: see
//! `Servers::renew`.
//!
//! How fast it is on one core of a machine, the first two tests say: `cargo test --release -p corelane-examples --test
//! kv_simulated -- --nocapture --test-threads 1 four_shards idle`.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod client;
mod command;
mod history;
mod linear;
mod mischief;
mod servers;
mod talk;

use std::time::Duration;

use corelane::Error;
use corelane::sim::{Failure, FaultKind, Faults, Simulation, check, check_twice};
use fastrand::Rng;

use crate::client::Work;
use crate::mischief::Mischief;
use crate::servers::Servers;
use crate::talk::{converse, judge};

/// Nothing goes wrong: every request is answered. Gives how many there were.
fn calm(sim: &mut Simulation, shard_counts: &[usize]) -> Result<usize, Failure> {
    let servers = Servers::start(sim, shard_counts)?;
    let work = Work::new(servers.doors());
    let mut rng = Rng::with_seed(sim.seed());
    converse(sim, &work, &mut rng, |_, _, _| Ok(()))?;
    let counts = judge(sim, &work)?;
    assert!(counts.are_all_answered(), "{counts:?}");
    servers.end(sim)?;
    Ok(counts.answered)
}

#[test]
fn four_shards_answer_as_one_store() {
    let (mut run_count, mut answered_count) = (0, 0);
    let passed = timed(|| {
        check(40, |sim| {
            run_count += 1;
            answered_count += calm(sim, &[4])?;
            Ok(())
        });
    });
    let rate = answered_count as f64 / passed.as_secs_f64();
    println!("{run_count} runs, {answered_count} answers, {rate:.0} in a second of the machine");
}

#[test]
fn a_cluster_that_was_idle_for_hours_answers() {
    const HOURS: u32 = 24;
    check(3, |sim| {
        let servers = Servers::start(sim, &[2, 1, 3])?;
        let mut outcome = Ok(());
        let passed = timed(|| outcome = sim.run_for(Duration::from_secs(3_600) * HOURS));
        outcome?;
        let rate = f64::from(HOURS) * 60.0 / passed.as_secs_f64();
        println!("{rate:.0} idle hours of six shards in a minute of the machine");
        let work = Work::new(servers.doors());
        let mut rng = Rng::with_seed(sim.seed());
        converse(sim, &work, &mut rng, |_, _, _| Ok(()))?;
        let counts = judge(sim, &work)?;
        assert!(counts.are_all_answered(), "{counts:?}");
        servers.end(sim)
    });
}

/// How long it takes on this machine.
#[expect(clippy::disallowed_methods, reason = "how much real time passes is the subject")]
fn timed(f: impl FnOnce()) -> Duration {
    let begun = std::time::Instant::now();
    f();
    begun.elapsed()
}

#[test]
fn a_cluster_answers_as_one_store() {
    check(30, |sim| calm(sim, &[2, 1, 3]).map(drop));
}

#[test]
fn two_runs_of_a_cluster_with_one_seed_do_the_same() {
    check_twice(5, |sim| calm(sim, &[2, 2]).map(drop));
}

#[test]
fn partitions_and_stalls_lose_no_request() {
    check(30, |sim| {
        let servers = Servers::start(sim, &[2, 2])?;
        let work = Work::new(servers.doors());
        let (mut rng, mut mischief) = (Rng::with_seed(sim.seed()), Mischief::new());
        converse(sim, &work, &mut rng, |sim, rng, clients| {
            mischief.go_on(sim, rng, &[servers.places(), clients.to_vec()].concat());
            Ok(())
        })?;
        mischief.end(sim);
        let counts = judge(sim, &work)?;
        assert!(counts.are_all_answered(), "{counts:?}");
        servers.end(sim)
    });
}

#[test]
fn a_host_that_is_killed_loses_its_keys_and_no_others() {
    check(30, |sim| {
        let mut servers = Servers::start(sim, &[2, 1, 2])?;
        let work = Work::new(servers.doors());
        let mut rng = Rng::with_seed(sim.seed());
        converse(sim, &work, &mut rng, |sim, rng, _| {
            let index = rng.usize(..3);
            if rng.u8(..8) == 0 { servers.crash(sim, index, &work.history) } else { Ok(()) }
        })?;
        let counts = judge(sim, &work)?;
        assert!(counts.answered > counts.given_up, "{counts:?}: that says little");
        servers.end(sim)
    });
}

#[test]
fn a_host_that_ends_in_order_answers_what_it_has_begun() {
    check(30, |sim| {
        let mut rng = Rng::with_seed(sim.seed());
        let shard_counts: &[usize] = if rng.bool() { &[4] } else { &[3, 2] };
        let mut servers = Servers::start(sim, shard_counts)?;
        let work = Work::new(servers.doors());
        converse(sim, &work, &mut rng, |sim, rng, _| {
            let index = rng.usize(..shard_counts.len());
            if rng.u8(..8) == 0 { servers.renew(sim, index, &work, rng) } else { Ok(()) }
        })?;
        let counts = judge(sim, &work)?;
        // What was not answered was not done, and what was begun was answered to the end.
        work.history.check_answered().map_err(Error::msg)?;
        assert_eq!((counts.lost, counts.cut), (0, 0), "{counts:?}");
        assert!(counts.answered > counts.given_up, "{counts:?}: that says little");
        servers.end(sim)
    });
}

/// Everything that a world knows goes wrong, and hosts crash. A client that hears nothing for a while gives up, which
/// is an answer as well; what was acknowledged by a host that did not crash is there at the end.
#[test]
fn with_all_faults_nothing_that_was_acknowledged_is_lost() {
    let (mut answered_count, mut given_up_count) = (0, 0);
    check(40, |sim| {
        let mut servers = Servers::start(sim, &[2, 1, 2])?;
        let mut rng = Rng::with_seed(sim.seed());
        let clocks_differ = rng.bool();
        let work = Work {
            pause: Duration::from_millis(300),
            patience: Some(Duration::from_secs(2)),
            gives_lives: !clocks_differ,
            ..Work::new(servers.doors())
        };
        let window = Duration::from_millis(100)..Duration::from_secs(2);
        let faults = Faults::any().at_most(6).within(window.clone());
        let clocks = [FaultKind::Drift, FaultKind::Ahead];
        let faults = if clocks_differ { faults } else { faults.without(&clocks) };
        // A host without descriptors cannot start again, so there are either these or crashes.
        let crashes = rng.bool();
        sim.faults(if crashes { faults.without(&[FaultKind::NoDescriptors]) } else { faults });
        converse(sim, &work, &mut rng, |sim, rng, _| {
            let index = rng.usize(..3);
            let is_time = crashes && rng.u8(..100) == 0;
            if is_time { servers.crash(sim, index, &work.history) } else { Ok(()) }
        })?;
        // By then all that went wrong is over.
        sim.run_for(window.end + Duration::from_secs(15))?;
        let counts = judge(sim, &work)?;
        answered_count += counts.answered;
        given_up_count += counts.given_up;
        servers.end(sim)
    });
    println!("{answered_count} answers, {given_up_count} requests given up");
    assert!(answered_count > 4 * given_up_count, "{answered_count}, {given_up_count}");
}
