//! The key-value server in a simulated world: clients of several connections each, pipelines, hosts, faults, and what
//! the clients saw decided upon by a checker.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod client;
mod command;
mod history;
mod linear;
mod mischief;
mod servers;
mod talk;

use corelane::sim::{Failure, Simulation, check, check_twice};
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
    let counts = judge(&work)?;
    assert_eq!((counts.given_up, counts.unsent), (0, 0), "{counts:?}");
    servers.end(sim)?;
    Ok(counts.answered)
}

#[test]
fn four_shards_answer_as_one_store() {
    let (mut run_count, mut answered_count) = (0, 0);
    check(60, |sim| {
        run_count += 1;
        answered_count += calm(sim, &[4])?;
        Ok(())
    });
    println!("{run_count} runs, {answered_count} answers");
}

#[test]
fn a_cluster_answers_as_one_store() {
    check(40, |sim| calm(sim, &[2, 1, 3]).map(drop));
}

#[test]
fn two_runs_of_a_cluster_with_one_seed_do_the_same() {
    check_twice(10, |sim| calm(sim, &[2, 2]).map(drop));
}

#[test]
fn partitions_and_stalls_lose_no_request() {
    check(40, |sim| {
        let servers = Servers::start(sim, &[2, 2])?;
        let work = Work::new(servers.doors());
        let (mut rng, mut mischief) = (Rng::with_seed(sim.seed()), Mischief::new());
        converse(sim, &work, &mut rng, |sim, rng, clients| {
            mischief.go_on(sim, rng, &[servers.places(), clients.to_vec()].concat());
            Ok(())
        })?;
        mischief.end(sim);
        let counts = judge(&work)?;
        assert_eq!((counts.given_up, counts.unsent), (0, 0), "{counts:?}");
        servers.end(sim)
    });
}

#[test]
fn a_host_that_is_killed_loses_its_keys_and_no_others() {
    check(60, |sim| {
        let mut servers = Servers::start(sim, &[2, 1, 2])?;
        let work = Work::new(servers.doors());
        let (mut rng, mut mischief) = (Rng::with_seed(sim.seed()), Mischief::new());
        converse(sim, &work, &mut rng, |sim, rng, clients| {
            mischief.go_on(sim, rng, &[servers.places(), clients.to_vec()].concat());
            let index = rng.usize(..3);
            if rng.u8(..8) == 0 { servers.crash(sim, index, &work.history) } else { Ok(()) }
        })?;
        mischief.end(sim);
        judge(&work)?;
        servers.end(sim)
    });
}

#[test]
fn a_host_that_ends_in_order_answers_what_it_has_begun() {
    check(40, |sim| {
        let mut servers = Servers::start(sim, &[3, 2])?;
        let work = Work::new(servers.doors());
        let mut rng = Rng::with_seed(sim.seed());
        converse(sim, &work, &mut rng, |sim, rng, _| {
            let index = rng.usize(..2);
            if rng.u8(..8) == 0 { servers.renew(sim, index, &work.history) } else { Ok(()) }
        })?;
        judge(&work)?;
        servers.end(sim)
    });
}
