//! CLUSTER: the map of the cluster, in the forms that clients ask for. And what clients say to a
//! node before they use it.

use std::fmt::Write;
use std::sync::Arc;

use bytes::BytesMut;

use super::{help as print_help, integer_or_reply};
use crate::kv::caller::Caller;
use crate::kv::cluster::{ClusterMap, Node, Slotted};
use crate::kv::command::find;
use crate::kv::home::Home;
use crate::kv::reply::{Reply, Resp};
use crate::kv::request::Args;
use crate::kv::slots::{SLOT_COUNT, slot_of};

/// ASKING, READONLY, READWRITE: there is no slot on the move and no replica, so they change nothing.
pub(crate) fn agree(caller: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    if map_or_reply(caller.home, reply).is_some() {
        reply.ok();
    }
}

/// CLUSTER SLOTS
pub(crate) fn slots(caller: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    let Some(map) = map_or_reply(caller.home, reply) else { return };
    reply.array(map.runs().count());
    for run in map.runs() {
        reply.array(3);
        reply.count(*run.slots.start());
        reply.count(*run.slots.end());
        reply.array(4);
        reply.bulk(run.node.host.as_bytes());
        reply.integer(i64::from(run.node.port));
        reply.bulk(run.node.id.as_bytes());
        // Further names of the node.
        reply.map(0);
    }
}

/// CLUSTER SHARDS
pub(crate) fn shards(caller: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    let Some(map) = map_or_reply(caller.home, reply) else { return };
    reply.array(map.nodes().len());
    for node in map.nodes() {
        let ends: Vec<usize> = map
            .runs()
            .filter(|run| run.node == node)
            .flat_map(|run| [*run.slots.start(), *run.slots.end()])
            .collect();
        reply.map(2);
        reply.bulk(b"slots");
        reply.array(ends.len());
        ends.into_iter().for_each(|end| reply.count(end));
        reply.bulk(b"nodes");
        reply.array(1);
        describe(node, reply);
    }
}

fn describe(node: &Node, reply: &mut Reply<'_>) {
    reply.map(7);
    reply.bulk(b"id");
    reply.bulk(node.id.as_bytes());
    reply.bulk(b"port");
    reply.integer(i64::from(node.port));
    let host = node.host.as_str();
    for (field, text) in [("ip", host), ("endpoint", host), ("role", "master")] {
        reply.bulk(field.as_bytes());
        reply.bulk(text.as_bytes());
    }
    reply.bulk(b"replication-offset");
    reply.integer(0);
    reply.bulk(b"health");
    reply.bulk(b"online");
}

/// CLUSTER NODES. No node has a port for others to gossip with: it is printed as 0.
pub(crate) fn nodes(caller: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    let Some(map) = map_or_reply(caller.home, reply) else { return };
    let mut text = String::new();
    for node in map.nodes() {
        let is_own = node.shard == Some(caller.home.index);
        let myself = if is_own { "myself," } else { "" };
        let (id, version) = (&node.id, map.version());
        let _ = write!(text, "{id} {node}@0 {myself}master - 0 0 {version} connected");
        for run in map.runs().filter(|run| run.node == node) {
            let _ = write!(text, " {}", Slotted(&run.slots));
        }
        text.push('\n');
    }
    reply.text(&text);
}

/// CLUSTER INFO
pub(crate) fn info(caller: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    let Some(map) = map_or_reply(caller.home, reply) else { return };
    let served: usize = map.runs().map(|run| run.slots.count()).sum();
    let size = map.nodes().iter().filter(|node| map.runs().any(|run| run.node == *node)).count();
    let (known, version) = (map.nodes().len(), map.version());
    reply.text(&format!(
        "cluster_state:ok\r\ncluster_slots_assigned:{served}\r\ncluster_slots_ok:{served}\r\n\
         cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:{known}\r\n\
         cluster_size:{size}\r\ncluster_current_epoch:{version}\r\ncluster_my_epoch:{version}\r\n\
         cluster_stats_messages_sent:0\r\ncluster_stats_messages_received:0\r\n\
         total_cluster_links_buffer_limit_exceeded:0\r\n"
    ));
}

/// CLUSTER MYID. Through the plain port it is the shard that the connection is on.
pub(crate) fn myid(caller: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    let Some(map) = map_or_reply(caller.home, reply) else { return };
    match map.node_of(caller.home.index) {
        Some(node) => reply.bulk(node.id.as_bytes()),
        None => reply.null(),
    }
}

/// CLUSTER KEYSLOT key
pub(crate) fn keyslot(caller: &mut Caller<'_>, args: Args<'_>, reply: &mut Reply<'_>) {
    if map_or_reply(caller.home, reply).is_some() {
        reply.count(slot_of(args.at(2)));
    }
}

/// CLUSTER LINKS: the nodes do not talk with each other.
pub(crate) fn links(caller: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    if map_or_reply(caller.home, reply).is_some() {
        reply.array(0);
    }
}

/// CLUSTER REPLICAS node-id
pub(crate) fn replicas(caller: &mut Caller<'_>, args: Args<'_>, reply: &mut Reply<'_>) {
    let Some(map) = map_or_reply(caller.home, reply) else { return };
    if map.nodes().iter().any(|node| node.id.as_bytes() == args.at(2)) {
        reply.array(0);
    } else {
        reply.error([b"Unknown node ", args.at(2)].concat());
    }
}

/// CLUSTER COUNTKEYSINSLOT slot
pub(crate) fn countkeysinslot(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    if map_or_reply(home, reply).is_none() {
        return;
    }
    let Some(slot) = integer_or_reply(args.at(2), reply) else { return };
    match slot_number(slot) {
        Some(slot) => reply.count(home.store.keys().filter(|key| slot_of(key) == slot).count()),
        None => reply.error("Invalid slot"),
    }
}

/// CLUSTER GETKEYSINSLOT slot count
pub(crate) fn getkeysinslot(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    if map_or_reply(home, reply).is_none() {
        return;
    }
    let Some(slot) = integer_or_reply(args.at(2), reply) else { return };
    let Some(most) = integer_or_reply(args.at(3), reply) else { return };
    let (Some(slot), Ok(most)) = (slot_number(slot), usize::try_from(most)) else {
        return reply.error("Invalid slot or number of keys");
    };
    let (mut found, mut count) = (BytesMut::new(), 0);
    let mut list = Reply::new(&mut found, Resp::Two);
    for key in home.store.keys().filter(|key| slot_of(key) == slot).take(most) {
        list.bulk(key);
        count += 1;
    }
    reply.array(count);
    reply.encoded(&found);
}

/// CLUSTER HELP
pub(crate) fn help(caller: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    if map_or_reply(caller.home, reply).is_some() {
        let subcommands = find(b"cluster").map_or(&[][..], |command| command.subcommands);
        print_help("CLUSTER", subcommands, reply);
    }
}

/// The map, or Redis' answer where there is no cluster.
fn map_or_reply(home: &Home, reply: &mut Reply<'_>) -> Option<Arc<ClusterMap>> {
    let map = home.slots.cluster().cloned();
    if map.is_none() {
        reply.error("This instance has cluster support disabled");
    }
    map
}

fn slot_number(value: i64) -> Option<usize> {
    usize::try_from(value).ok().filter(|slot| *slot < SLOT_COUNT)
}
