//! The HTTP server of the examples.

use std::io;

use clap::Parser;
use corelane_examples::http::{Options, serve};

use super::hosted::{Host, shard_arguments};

/// Serves until the process ends.
///
/// # Errors
/// If the shards cannot be started or cannot listen.
pub(super) fn run(host: Host) -> io::Result<()> {
    let mut arguments = vec!["http".to_owned(), format!("--listen={}", host.addr)];
    arguments.extend(shard_arguments(&host.place, host.accept));
    let options = Options::try_parse_from(arguments).map_err(io::Error::other)?;
    serve(options).map_err(io::Error::other)
}
