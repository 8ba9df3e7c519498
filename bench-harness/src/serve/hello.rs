//! A greeting over HTTP on the runtime, with no more than a bound on the head of a request: what the server of
//! the examples has besides is left out, so that a runtime is compared with a runtime.

use std::io;

use corelane::bridge::HyperTimer;
use corelane::{Duplex, StreamReader, StreamWriter};
use corelane_shards::{Shard, Shards};
use hyper::server::conn::http1;
use hyper::service::service_fn;

use super::greeting::{HEAD_BYTES, HEAD_LIMIT, greet};
use super::hosted::Host;

/// Serves until the process ends.
///
/// # Errors
/// If the shards cannot be started or cannot listen.
pub(super) fn run(host: Host) -> io::Result<()> {
    let Host { place, accept, addr, .. } = host;
    let main = async move |shard: Shard| {
        shard.serve_with(accept, addr, connection).await?.wait_closed().await;
        Ok(())
    };
    let builder = Shards::builder().placement(place.placement()).handle_signals(false);
    builder.run(main).map_err(io::Error::other)?;
    Ok(())
}

async fn connection(reader: StreamReader, writer: StreamWriter) -> corelane::Result<()> {
    let mut builder = http1::Builder::new();
    builder.timer(HyperTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(HEAD_BYTES);
    let io = Duplex::new(reader, writer);
    // A connection that breaks concerns nobody else.
    let _ = builder.serve_connection(io, service_fn(greet)).await;
    Ok(())
}
