use super::*;

const TWO_MACHINES: &str = r#"
# Two machines with two shards each.
[[machine]]
name = "a"
host = "10.0.0.1"
shards = [{ port = 7001, slots = "0-4095" }, { port = 7002, slots = "4096-8190, 8192" }]

[[machine]]
name = "b"
host = "shard.example"
shards = [
  { port = 7001, slots = "8191,8193-16383", id = "0123456789abcdef0123456789abcdef01234567" },
  { port = 7002, slots = "" },
]
"#;

fn parsed(text: &str, machine: &str) -> Result<ClusterMap, String> {
    parse(text, machine, 1)
}

#[test]
fn every_machine_finds_its_own_shards_in_one_file() {
    let [a, b] = ["a", "b"].map(|machine| parsed(TWO_MACHINES, machine).unwrap());
    let names =
        |map: &ClusterMap| map.own_nodes().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&a), ["10.0.0.1:7001", "10.0.0.1:7002"]);
    assert_eq!(names(&b), ["shard.example:7001", "shard.example:7002"]);
    assert_eq!([a.shard_of(4096), b.shard_of(4096)], [Some(1), None]);
    assert_eq!([a.shard_of(8191), b.shard_of(8191)], [None, Some(0)]);
    let ids = |map: &ClusterMap| map.nodes().iter().map(|node| node.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&a), ids(&b), "both machines tell the same ids");
    assert_eq!(ids(&a)[2], "0123456789abcdef0123456789abcdef01234567");
}

/// What is said of the text after `from` was replaced by `to`.
fn error_with(from: &str, to: &str) -> String {
    assert_eq!(TWO_MACHINES.matches(from).count(), 1, "{from}");
    parsed(&TWO_MACHINES.replace(from, to), "a").unwrap_err()
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases = [
        ("0-4095", "0-4096", "slot 4096 is given to 10.0.0.1:7001 and to 10.0.0.1:7002"),
        ("0-4095", "0-4000", "nobody has 4001-4095"),
        ("0-4095", "0-4O95", "machine \"a\", shard 0: \"0-4O95\" is neither a slot nor a range"),
        ("0-4095", "4095-0", "machine \"a\", shard 0: \"4095-0\" is neither a slot nor a range"),
        ("8193-16383", "8193-16384", "there is no slot 16384"),
        ("name = \"b\"", "name = \"a\"", "two machines have the name \"a\""),
        ("name = \"a\"", "name = \"c\"", "there is no machine \"a\" among: b, c"),
        ("10.0.0.1", "10.0.0.1 ", "machine \"a\": \"10.0.0.1 \" is neither an address nor a name"),
        ("shard.example", "", "machine \"b\": \"\" is neither an address nor a name"),
        ("7002, slots = \"\"", "0, slots = \"\"", "machine \"b\", shard 1: the port cannot be 0"),
        ("7002, slots = \"\"", "7001, slots = \"\"", "shard.example:7001 occurs twice"),
        ("7002, slots = \"\"", "70020, slots = \"\"", "line 13"),
        ("id = \"0123456789ab", "id = \"0123456789AB", "machine \"b\", shard 0: the id"),
        ("host = \"10", "hots = \"10", "unknown field `hots`"),
        ("port = 7002, slots = \"\"", "port = 7002", "missing field `slots`"),
        ("[{ port = 7001, slots = \"0", "[{ port = 7001 slots = \"0", "line 6"),
    ];
    for (from, to, text) in cases {
        let error = error_with(from, to);
        assert!(error.contains(text), "{to}: {error}");
    }
    assert!(parsed("", "a").unwrap_err().contains("missing field `machine`"));
}
