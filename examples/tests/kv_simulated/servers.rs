//! The servers: one host by itself, or several that are a cluster.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use corelane::sim::{Failure, Place, Simulation};
use corelane_examples::kv::{Options, Program};
use corelane_shards::sim::Site;
use corelane_shards::{Placement, ShardId, Shards};

use fastrand::Rng;

use crate::client::{Client, KEY_COUNT, Stage, Work};
use crate::command::name;
use crate::history::History;

const SLOT_COUNT: usize = 16_384;
const PLAIN_PORT: u16 = 6379;
/// The port of a host's first shard; the others have the next ones.
const NODE_PORT: u16 = 7000;

/// The hosts, with equal runs of slots for all shards of a cluster.
pub(crate) struct Servers {
    /// The file of the cluster, if there is more than one host.
    topology: Option<String>,
    hosts: Vec<Host>,
    /// Where those are who look at the end of a host.
    bystander: Place,
}

struct Host {
    place: Place,
    shard_count: usize,
    /// The number of its first shard, among all of them.
    first_shard: usize,
    site: Option<Site<()>>,
}

impl Servers {
    /// Starts hosts with so many shards each, and lets them begin to listen.
    pub(crate) fn start(sim: &mut Simulation, shard_counts: &[usize]) -> Result<Self, Failure> {
        let (mut hosts, mut first_shard) = (Vec::new(), 0);
        for (index, &shard_count) in shard_counts.iter().enumerate() {
            let place = sim.host(&format!("server {index}"))?;
            hosts.push(Host { place, shard_count, first_shard, site: None });
            first_shard += shard_count;
        }
        let topology = (hosts.len() > 1).then(|| topology(&hosts));
        let mut servers = Self { topology, hosts, bystander: sim.host("bystander")? };
        (0..shard_counts.len()).try_for_each(|index| servers.serve(sim, index))?;
        sim.run_for(Duration::from_millis(50))?;
        Ok(servers)
    }

    fn serve(&mut self, sim: &mut Simulation, index: usize) -> Result<(), Failure> {
        let Host { place, shard_count, site, .. } = &mut self.hosts[index];
        let bind = place.ip().to_string();
        let mut options = Options::parse_from(["kv", "--bind", &bind]);
        // Whoever hangs is to be found hanging, and not helped out of it.
        options.idle_timeout = 1e9;
        options.cluster.cluster_self = self.topology.as_ref().map(|_| index.to_string());
        let program = Program::guest(options, self.topology.as_deref());
        let shards = Shards::builder().placement(Placement::Unpinned(*shard_count));
        let main = async move |shard| program.run(shard).await;
        *site = Some(shards.simulate(sim, *place, main)?);
        Ok(())
    }

    /// Takes a host's power, and gives it back: it begins with nothing.
    pub(crate) fn crash(
        &mut self,
        sim: &mut Simulation,
        index: usize,
        history: &History,
    ) -> Result<(), Failure> {
        if let Some(site) = self.hosts[index].site.take() {
            site.crash(sim);
        }
        self.begin_anew(sim, index, history)
    }

    /// Has a host end in order, and starts it again: it begins with nothing. Before it ends somebody comes to each of
    /// its doors, whose first request arrives when the end has been asked for: what was done until then is seen.
    pub(crate) fn renew(
        &mut self,
        sim: &mut Simulation,
        index: usize,
        work: &Work,
        rng: &mut Rng,
    ) -> Result<(), Failure> {
        let Some(site) = self.hosts[index].site.take() else { return Ok(()) };
        let (mut stages, mut witnesses) = (Vec::new(), Vec::new());
        for door in self.doors_of(&self.hosts[index]) {
            let (stage, client) = (Rc::new(Cell::new(Stage::Begun)), Client::new(work.clone(), 0));
            stages.push(Rc::clone(&stage));
            let after = Duration::from_micros(rng.u64(..4_000));
            let witness = async move || client.witness(door, stage, after).await;
            witnesses.push(sim.spawn(self.bystander, witness));
        }
        sim.run_until(|| stages.iter().all(|stage| stage.get() == Stage::Connected))?;
        stages.iter().for_each(|stage| stage.set(Stage::Asking));
        end_in_order(site, sim)?;
        sim.run_until(|| witnesses.iter().all(|witness| witness.done()))?;
        witnesses.into_iter().try_for_each(|witness| witness.result())?;
        self.begin_anew(sim, index, &work.history)
    }

    /// Starts a host whose shards have ended, and with them what its keys held.
    fn begin_anew(
        &mut self,
        sim: &mut Simulation,
        index: usize,
        history: &History,
    ) -> Result<(), Failure> {
        let keys: Vec<String> = (0..KEY_COUNT).map(name).collect();
        let lost = keys.iter().filter(|key| self.has(index, key));
        history.wiped(sim.now(), lost.map(String::as_str));
        self.serve(sim, index)
    }

    /// Has all hosts end in order.
    pub(crate) fn end(self, sim: &mut Simulation) -> Result<(), Failure> {
        let mut sites = self.hosts.into_iter().filter_map(|host| host.site);
        sites.try_for_each(|site| end_in_order(site, sim))
    }

    /// Every address that clients may begin with.
    pub(crate) fn doors(&self) -> Vec<SocketAddr> {
        self.hosts.iter().flat_map(|host| self.doors_of(host)).collect()
    }

    fn doors_of(&self, host: &Host) -> Vec<SocketAddr> {
        let Host { place, shard_count, .. } = host;
        let node_count = if self.topology.is_some() { *shard_count } else { 0 };
        let nodes = (0..node_count).map(node_port);
        [PLAIN_PORT].into_iter().chain(nodes).map(|port| place.addr(port)).collect()
    }

    /// The hosts, and each of their shards.
    pub(crate) fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for Host { place, shard_count, site, .. } in &self.hosts {
            places.push(*place);
            if let Some(site) = site {
                places.extend(shard_ids(*shard_count).map(|id| site.place(id)));
            }
        }
        places
    }

    /// Whether a key is a host's.
    fn has(&self, index: usize, key: &str) -> bool {
        let Host { first_shard, shard_count, .. } = &self.hosts[index];
        let slot = usize::from(redis_protocol::redis_keyslot(key.as_bytes()));
        let all_shards = self.hosts.iter().map(|host| host.shard_count).sum();
        (*first_shard..first_shard + shard_count)
            .any(|shard| slots(shard, all_shards).contains(&slot))
    }
}

fn end_in_order(site: Site<()>, sim: &mut Simulation) -> Result<(), Failure> {
    site.handle().request_shutdown();
    site.join(sim).map(drop)
}

fn shard_ids(shard_count: usize) -> impl Iterator<Item = ShardId> {
    (0..).map(ShardId::new).take(shard_count)
}

/// The slots of a shard.
fn slots(shard: usize, shard_count: usize) -> std::ops::Range<usize> {
    SLOT_COUNT * shard / shard_count..SLOT_COUNT * (shard + 1) / shard_count
}

fn node_port(shard: usize) -> u16 {
    NODE_PORT + u16::try_from(shard).expect("there are few shards")
}

fn topology(hosts: &[Host]) -> String {
    let all_shards = hosts.iter().map(|host| host.shard_count).sum();
    let mut text = String::new();
    for (index, Host { place, shard_count, first_shard, .. }) in hosts.iter().enumerate() {
        let shard = |shard: usize| {
            let (port, slots) = (node_port(shard), slots(first_shard + shard, all_shards));
            format!("{{ port = {port}, slots = \"{}-{}\" }}", slots.start, slots.end - 1)
        };
        let shards: Vec<String> = (0..*shard_count).map(shard).collect();
        let (ip, shards) = (place.ip(), shards.join(", "));
        text += &format!("[[machine]]\nname = \"{index}\"\nhost = \"{ip}\"\nshards = [{shards}]\n");
    }
    text
}
