//! The key-value server of the examples.

use std::io;

use clap::Parser;
use corelane_examples::kv::{Options, serve};

use super::hosted::{Host, shard_arguments};

/// More than a run can have connections.
const MAX_CLIENTS: usize = 100_000;

/// Serves until the process ends.
///
/// # Errors
/// If the shards cannot be started or cannot listen.
pub(super) fn run(host: Host) -> io::Result<()> {
    let mut arguments = vec![
        "kv".to_owned(),
        format!("--bind={}", host.addr.ip()),
        format!("--port={}", host.addr.port()),
        format!("--max-clients={MAX_CLIENTS}"),
        // Runs that are compared must spread the keys over the shards alike.
        "--hash-seed=1".to_owned(),
    ];
    arguments.extend(shard_arguments(&host.place, host.accept));
    let options = Options::try_parse_from(arguments).map_err(io::Error::other)?;
    serve(options).map_err(io::Error::from)
}
