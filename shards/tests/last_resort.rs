//! What a program of shards that has set up no logging sees of what goes wrong: it is on the standard error. The
//! program is this test again, in a process of its own.

mod support;

use std::env;
use std::process::{Command, Stdio};

use corelane::{Error, Result};
use corelane_shards::Shard;
use support::shards;

/// Says to the process of the program that it is that.
const PROGRAM: &str = "CORELANE_LAST_RESORT";

#[test]
fn a_shard_that_fails_is_seen_without_a_subscriber() {
    if env::var_os(PROGRAM).is_some() {
        let main = async |_: Shard| -> Result<()> { Err(Error::msg("no such table")) };
        assert!(shards(1).run(main).is_err());
        return;
    }
    let child = Command::new(env::current_exe().unwrap())
        .args(["--nocapture", "--test-threads=1"])
        .env(PROGRAM, "yes")
        .stdout(Stdio::null())
        .output();
    let said = String::from_utf8(child.unwrap().stderr).unwrap();
    assert!(said.contains("ERROR corelane_shards::supervisor: "), "{said}");
    assert!(said.contains("no such table"), "{said}");
    assert_eq!(said.lines().filter(|line| line.contains("no such table")).count(), 1, "{said}");
}
