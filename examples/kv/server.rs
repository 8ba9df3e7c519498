//! Starts the shards of a server that is a process.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;

use corelane::Result;
use corelane_shards::Shards;
use rustix::process::{Resource, getrlimit, setrlimit};

use super::options::Options;
use super::program::Program;
use crate::place::Place;

/// Descriptors that are not connections: listeners, pollers, streams of the process.
const OTHER_DESCRIPTORS: u64 = 64;

/// Serves until SIGINT or SIGTERM, then answers what has come, and returns. When every shard
/// listens it prints a line to standard output: where, and on which cores.
///
/// # Errors
/// What keeps the shards from starting (cores that may not be used, more shards than cores) or from
/// listening (the address is taken).
pub fn serve(options: Options) -> Result<()> {
    let seed = match options.hash_seed {
        Some(seed) => seed,
        None => chance()?,
    };
    raise_descriptor_limit(options.max_clients);
    let listen = SocketAddr::new(options.bind, options.port);
    let place = Place::open(&options.handed, listen)?;
    let placement = options.placement.placement();
    let program = Program::of_process(options, place, seed);
    Shards::builder().placement(placement).run(async move |shard| program.run(shard).await)?;
    Ok(())
}

/// A number that nobody can guess.
fn chance() -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Asks the system for as many descriptors as the connections will take, as far as it allows.
fn raise_descriptor_limit(max_clients: usize) {
    let wanted = max_clients as u64 + OTHER_DESCRIPTORS;
    let mut limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if limit.current.is_some_and(|current| current < allowed) {
        limit.current = Some(allowed);
        let raised = setrlimit(Resource::Nofile, limit);
        tracing::debug!(?raised, allowed, "limit of descriptors");
    }
    if allowed < wanted {
        tracing::warn!(allowed, wanted, "the system allows fewer connections than --max-clients");
    }
}
