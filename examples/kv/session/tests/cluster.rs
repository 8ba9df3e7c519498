//! What the ports of a cluster answer, without sockets.

use super::*;
use crate::kv::cluster::{ClusterMap, Node};

const MOVED_TO: [&str; 2] = ["here:7000", "here:7001"];

impl World {
    /// Two shards with half of the slots each.
    fn cluster() -> Self {
        let mut world = Self::new(2);
        world.install(&Arc::new(ClusterMap::even("here", &[7000, 7001])));
        world
    }

    /// Two shards with a quarter of the slots each, the second with the very first; the other half is
    /// on another machine.
    fn half_a_cluster() -> Self {
        let node = |id: &str, shard: Option<usize>| {
            let host = if shard.is_some() { "here" } else { "there" };
            let port = 7000 + shard.unwrap_or_default() as u16;
            Node { id: id.into(), host: host.into(), port, shard }
        };
        let nodes = vec![
            (node("a", Some(0)), vec![4096..=8191]),
            (node("b", Some(1)), vec![0..=4095]),
            (node("c", None), vec![8192..=16_383]),
        ];
        let mut world = Self::new(2);
        world.install(&Arc::new(ClusterMap::new(7, nodes).unwrap()));
        world
    }

    fn install(&mut self, map: &Arc<ClusterMap>) {
        for home in &mut self.homes {
            home.slots = Slots::Cluster(Arc::clone(map));
        }
    }
}

#[test]
fn a_node_answers_for_its_slots_and_redirects_the_rest() {
    let mut world = World::cluster();
    for shard in 0..2 {
        let mut node = world.connect_by(Door::Node, shard);
        let [own, other] = [key_on(shard, 2), key_on(1 - shard, 2)];
        let moved = format!("-MOVED {} {}\n", slot_of(other.as_bytes()), MOVED_TO[1 - shard]);
        let requests = format!("set {own} 1\nincr {own}\nget {other}\nset {other} 2\nget {own}\n");
        let answers = format!("+OK\n:2\n{moved}{moved}$1\n2\n");
        assert_eq!(node.text(&mut world, &requests), answers);
        assert!(node.trips.is_empty());
    }
}

#[test]
fn a_node_takes_several_keys_of_one_slot_only() {
    let mut world = World::cluster();
    let mut node = world.connect_by(Door::Node, 0);
    let [own, other] = [key_on(0, 2), key_on(1, 2)];
    let same =
        format!("mset {{{own}}}a 1 {{{own}}}b 2\nmget {{{own}}}a {{{own}}}b\ndel {{{own}}}a\n");
    assert_eq!(node.text(&mut world, &same), "+OK\n*2\n$1\n1\n$1\n2\n:1\n");
    let cross = "-CROSSSLOT Keys in request don't hash to the same slot\n";
    let second = format!("{own}x");
    assert_ne!(slot_of(own.as_bytes()), slot_of(second.as_bytes()));
    for far in [&second, &other] {
        for words in ["mget", "del", "exists", "unlink"] {
            assert_eq!(node.text(&mut world, &format!("{words} {own} {far}\n")), cross);
        }
        assert_eq!(node.text(&mut world, &format!("mset {own} 1 {far} 2\n")), cross);
    }
    let odd = "-ERR wrong number of arguments for 'mset' command\n";
    assert_eq!(node.text(&mut world, &format!("mset {own} 1 {own}\n")), odd);
    let moved = format!("-MOVED {} {}\n", slot_of(other.as_bytes()), MOVED_TO[1]);
    assert_eq!(node.text(&mut world, &format!("mget {other} {other}\n")), moved);
    assert!(node.trips.is_empty());
}

#[test]
fn a_node_shows_its_own_keys_and_the_plain_port_all() {
    let mut world = World::cluster();
    let mut plain = world.connect(1);
    let mut requests = String::new();
    for number in 0..100 {
        requests += &format!("set key{number} v\n");
    }
    assert_eq!(plain.text(&mut world, &requests), "+OK\n".repeat(100));
    assert!(!plain.trips.is_empty());
    let own: Vec<usize> = world.homes.iter().map(|home| home.store.len()).collect();
    assert_eq!(own.iter().sum::<usize>(), 100);
    for (shard, own) in own.iter().enumerate() {
        let mut node = world.connect_by(Door::Node, shard);
        assert_eq!(node.text(&mut world, "dbsize\n"), format!(":{own}\n"));
        let scan = node.text(&mut world, "scan 0 count 1000\n");
        assert!(scan.starts_with(&format!("*2\n$1\n0\n*{own}\n")), "{scan}");
        let keys = node.text(&mut world, "keys *\n");
        assert!(keys.starts_with(&format!("*{own}\n")), "{keys}");
        let info = node.text(&mut world, "info keyspace\n");
        assert!(info.contains(&format!("db0:keys={own},")), "{info}");
        assert!(node.trips.is_empty());
    }
    assert_eq!(plain.text(&mut world, "dbsize\n"), ":100\n");
    let mut node = world.connect_by(Door::Node, 0);
    assert_eq!(node.text(&mut world, "flushall\n"), "+OK\n");
    assert_eq!(plain.text(&mut world, "dbsize\n"), format!(":{}\n", own[1]));
}

#[test]
fn a_scan_of_a_node_goes_through_all_its_keys() {
    let mut world = World::cluster();
    let mut plain = world.connect(0);
    for number in 0..500 {
        plain.text(&mut world, &format!("set key{number} v\n"));
    }
    for shard in 0..2 {
        let mut node = world.connect_by(Door::Node, shard);
        let (mut cursor, mut count) = (String::from("0"), 0);
        loop {
            let answer = node.text(&mut world, &format!("scan {cursor} count 10\n"));
            let lines: Vec<&str> = answer.lines().collect();
            cursor = lines[2].to_owned();
            count += lines[3][1..].parse::<usize>().unwrap();
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(count, world.homes[shard].store.len());
    }
}

#[test]
fn the_plain_port_serves_this_machine_and_redirects_to_others() {
    let mut world = World::half_a_cluster();
    for shard in 0..2 {
        let mut plain = world.connect(shard);
        // Slots 5061 and 866 are here, on one shard each; 12182 and 15495 are on the other machine.
        let requests = "set bar 1\nset hello 2\nmget bar hello\nset foo 1\nmget foo foo\nget a\n";
        let moved = "-MOVED 12182 there:7000\n";
        let answers =
            format!("+OK\n+OK\n*2\n$1\n1\n$1\n2\n{moved}{moved}-MOVED 15495 there:7000\n");
        assert_eq!(plain.text(&mut world, requests), answers);
        let cross = "-CROSSSLOT Keys in request don't hash to the same slot\n";
        assert_eq!(plain.text(&mut world, "mget bar foo\nmset foo 1 a 2\n"), cross.repeat(2));
        assert_eq!(plain.text(&mut world, "dbsize\n"), ":2\n");
    }
    let stores: Vec<usize> = world.homes.iter().map(|home| home.store.len()).collect();
    assert_eq!(stores, [1, 1]);
}

#[test]
fn what_was_sent_by_an_older_map_is_checked_by_the_newer_one() {
    let mut world = World::cluster();
    let mut plain = world.connect(0);
    let [here, there] = [key_on(0, 2), key_on(1, 2)];
    let requests = format!("set {there} 1\nmset {here} 1 {there} 1\nmget {here} {there}\ndbsize\n");
    let input = requests.replace('\n', "\r\n");
    let mut out = BytesMut::new();
    let (_, next) = plain.session.feed(input.as_bytes(), &mut world.homes[0], &mut out);
    assert_eq!(next, Next::Hop);
    let batches = plain.session.take_batches();
    // Meanwhile the two have changed their ports, and with them their slots.
    let nodes = ClusterMap::even("here", &[7000, 7001]);
    let nodes = nodes.own_nodes().into_iter().cloned();
    let nodes = nodes.zip([vec![8192..=16_383], vec![0..=8191]]).collect();
    world.install(&Arc::new(ClusterMap::new(3, nodes).unwrap()));
    for (shard, mut batch) in batches {
        batch.run(&mut world.homes[shard]);
        plain.session.give_back(shard, Ok(batch));
    }
    assert_eq!(plain.session.emit(&world.homes[0], &mut out), Next::More);
    let moved = format!("-MOVED {} here:7000\r\n", slot_of(there.as_bytes()));
    let expected = format!("{moved}{moved}*2\r\n$1\r\n1\r\n{moved}:1\r\n");
    assert_eq!(String::from_utf8_lossy(&out), expected);
    assert_eq!(world.homes[1].store.len(), 0, "nothing was stored where nobody would find it");
}

#[test]
fn a_shard_forgets_what_it_no_longer_owns() {
    let mut world = World::cluster();
    let mut plain = world.connect(0);
    for number in 0..1000 {
        plain.text(&mut world, &format!("set key{number} v\n"));
    }
    let old = Arc::clone(world.homes[0].slots.cluster().unwrap());
    let nodes = old.own_nodes().into_iter().cloned();
    let nodes = nodes.zip([vec![0..=4095], vec![4096..=16_383]]).collect();
    let new = Arc::new(ClusterMap::new(3, nodes).unwrap());
    world.install(&new);
    let mut kept = 0;
    for home in &mut world.homes {
        let mut next = Some(0);
        while let Some(cursor) = next {
            next = home.purge(cursor);
        }
        for key in home.store.keys() {
            assert_eq!(new.shard_of(slot_of(key)), Some(home.index));
            kept += 1;
        }
    }
    assert!((650..850).contains(&kept), "three quarters of the slots stayed: {kept}");
}

#[test]
fn a_slot_between_two_owners_is_not_served() {
    let mut world = World::cluster();
    let old = Arc::clone(world.homes[0].slots.cluster().unwrap());
    let nodes = old.own_nodes().into_iter().cloned();
    let nodes = nodes.zip([vec![8192..=16_383], vec![0..=8191]]).collect();
    let next = ClusterMap::new(3, nodes).unwrap();
    world.install(&Arc::new(old.between(&next).unwrap()));
    let down = "-CLUSTERDOWN Hash slot not served\n";
    for door in [Door::Plain, Door::Node] {
        let mut connection = world.connect_by(door, 0);
        assert_eq!(connection.text(&mut world, "get a\nmget b b\n"), down.repeat(2));
    }
}

#[test]
fn commands_of_the_cluster_tell_its_map() {
    let mut world = World::half_a_cluster();
    let mut node = world.connect_by(Door::Node, 1);
    assert_eq!(node.text(&mut world, "cluster myid\n"), "$1\nb\n");
    assert_eq!(node.text(&mut world, "cluster keyslot a{foo}b\n"), ":12182\n");
    assert_eq!(
        node.text(&mut world, "cluster slots\n"),
        "*3\n*3\n:0\n:4095\n*4\n$4\nhere\n:7001\n$1\nb\n*0\n\
         *3\n:4096\n:8191\n*4\n$4\nhere\n:7000\n$1\na\n*0\n\
         *3\n:8192\n:16383\n*4\n$5\nthere\n:7000\n$1\nc\n*0\n"
    );
    let nodes = node.text(&mut world, "cluster nodes\n");
    let lines = "a here:7000@0 master - 0 0 7 connected 4096-8191\n\
                 b here:7001@0 myself,master - 0 0 7 connected 0-4095\n\
                 c there:7000@0 master - 0 0 7 connected 8192-16383\n\n";
    assert_eq!(nodes, format!("${}\n{lines}", lines.len() - 1));
    assert_eq!(node.text(&mut world, "readonly\nreadwrite\nasking\n"), "+OK\n".repeat(3));
    node.text(&mut world, "mset {hello}1 v {hello}2 v {hello}3 v\n");
    let slot = slot_of(b"hello");
    let counts = format!("cluster countkeysinslot {slot}\ncluster countkeysinslot 5000\n");
    assert_eq!(node.text(&mut world, &counts), ":3\n:0\n");
    let keys = node.text(&mut world, &format!("cluster getkeysinslot {slot} 2\n"));
    assert!(keys.starts_with("*2\n$8\n{hello}"), "{keys}");
    // By the plain port every shard is asked.
    assert_eq!(world.connect(0).text(&mut world, &counts), ":3\n:0\n");
}

#[test]
fn without_a_cluster_its_commands_say_so() {
    let mut world = World::new(2);
    let mut connection = world.connect(0);
    let requests = [
        "cluster slots",
        "cluster shards",
        "cluster nodes",
        "cluster info",
        "cluster myid",
        "cluster keyslot a",
        "cluster countkeysinslot 1",
        "cluster getkeysinslot 1 1",
        "cluster links",
        "cluster replicas a",
        "cluster help",
        "readonly",
        "readwrite",
        "asking",
    ];
    for request in requests {
        let answer = connection.text(&mut world, &format!("{request}\n"));
        assert_eq!(answer, "-ERR This instance has cluster support disabled\n", "{request}");
    }
}
