//! A cluster of hosts with one loop each.

use std::net::SocketAddr;

use clap::Parser;
use corelane::Server;
use corelane::sim::{Failure, Place, Simulation, check, check_twice};
use corelane_examples::kv::{Options, Program};
use fastrand::Rng;

use crate::client::Work;
use crate::command::name;
use crate::mischief::Mischief;
use crate::talk::{KEY_COUNT, converse, judge};

const HOST_COUNT: usize = 3;
const PLAIN_PORT: u16 = 6379;
const NODE_PORT: u16 = 7000;

struct Cluster {
    topology: String,
    places: Vec<Place>,
    servers: Vec<Vec<Server>>,
}

impl Cluster {
    fn start(sim: &mut Simulation) -> Result<Self, Failure> {
        let (mut topology, mut places) = (String::new(), Vec::new());
        for index in 0..HOST_COUNT {
            let place = sim.host(&format!("server {index}"))?;
            let (ip, first) = (place.ip(), 16_384 * index / HOST_COUNT);
            let last = 16_384 * (index + 1) / HOST_COUNT - 1;
            topology += &format!(
                "[[machine]]\nname = \"{index}\"\nhost = \"{ip}\"\n\
                 shards = [{{ port = {NODE_PORT}, slots = \"{first}-{last}\" }}]\n"
            );
            places.push(place);
        }
        let servers = places.iter().map(|_| Vec::new()).collect();
        let mut cluster = Self { topology, places, servers };
        (0..HOST_COUNT).try_for_each(|index| cluster.serve(sim, index))?;
        Ok(cluster)
    }

    fn serve(&mut self, sim: &mut Simulation, index: usize) -> Result<(), Failure> {
        let place = self.places[index];
        let mut options = Options::parse_from(["kv", "--bind", &place.ip().to_string()]);
        options.cluster.cluster_self = Some(index.to_string());
        let program = Program::guest(options, Some(&self.topology));
        self.servers[index] = sim.run(place, async move || program.start_alone().await)?;
        Ok(())
    }

    /// Kills a host, which forgets everything, and starts it again.
    fn restart(&mut self, sim: &mut Simulation, index: usize, work: &Work) -> Result<(), Failure> {
        sim.restart(self.places[index])?;
        let keys = self.keys_of(index);
        work.history.wiped(sim.now(), keys.iter().map(String::as_str));
        self.serve(sim, index)
    }

    fn doors(&self) -> Vec<SocketAddr> {
        let ports = |place: &Place| [place.addr(PLAIN_PORT), place.addr(NODE_PORT)];
        self.places.iter().flat_map(ports).collect()
    }

    /// The keys that a host has.
    fn keys_of(&self, index: usize) -> Vec<String> {
        let owner = |key: &String| {
            usize::from(redis_protocol::redis_keyslot(key.as_bytes())) * HOST_COUNT / 16_384
        };
        (0..KEY_COUNT).map(name).filter(|key| owner(key) == index).collect()
    }
}

/// Nothing goes wrong: every request is answered.
fn calm_program(sim: &mut Simulation) -> Result<(), Failure> {
    let cluster = Cluster::start(sim)?;
    let work = Work::new(cluster.doors(), KEY_COUNT);
    let mut rng = Rng::with_seed(sim.seed());
    converse(sim, &work, &mut rng, |_, _, _| Ok(()))?;
    let counts = judge(&work)?;
    assert_eq!((counts.given_up, counts.unsent), (0, 0), "{counts:?}");
    Ok(())
}

#[test]
fn a_cluster_of_three_hosts_answers_as_one_store() {
    check(60, calm_program);
}

#[test]
fn two_runs_of_a_cluster_with_one_seed_do_the_same() {
    check_twice(10, calm_program);
}

#[test]
fn partitions_and_stalls_lose_no_request() {
    check(60, |sim| {
        let cluster = Cluster::start(sim)?;
        let work = Work::new(cluster.doors(), KEY_COUNT);
        let (mut rng, mut mischief) = (Rng::with_seed(sim.seed()), Mischief::new());
        converse(sim, &work, &mut rng, |sim, rng, clients| {
            mischief.go_on(sim, rng, &[&cluster.places[..], clients].concat());
            Ok(())
        })?;
        mischief.end(sim);
        let counts = judge(&work)?;
        assert_eq!((counts.given_up, counts.unsent), (0, 0), "{counts:?}");
        Ok(())
    });
}

#[test]
fn a_host_that_is_killed_loses_its_keys_and_no_others() {
    check(60, |sim| {
        let mut cluster = Cluster::start(sim)?;
        let work = Work::new(cluster.doors(), KEY_COUNT);
        let (mut rng, mut mischief) = (Rng::with_seed(sim.seed()), Mischief::new());
        converse(sim, &work, &mut rng, |sim, rng, clients| {
            mischief.go_on(sim, rng, &[&cluster.places[..], clients].concat());
            if rng.u8(..8) > 0 {
                return Ok(());
            }
            cluster.restart(sim, rng.usize(..HOST_COUNT), &work)
        })?;
        mischief.end(sim);
        judge(&work)?;
        Ok(())
    });
}
