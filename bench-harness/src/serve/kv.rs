//! The key-value server of the examples.

use std::io;

use clap::Parser;
use corelane_examples::kv::{Options, serve};

use super::hosted::Host;

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
    if host.cpus.is_empty() {
        arguments.extend(["--shards=1".to_owned(), "--unpinned".to_owned()]);
    } else {
        let cpus: Vec<String> = host.cpus.iter().map(usize::to_string).collect();
        arguments.push(format!("--cores={}", cpus.join(",")));
    }
    let options = Options::try_parse_from(arguments).map_err(io::Error::other)?;
    serve(options).map_err(io::Error::from)
}
