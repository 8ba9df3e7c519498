//! Starts the shards, opens the port on all of them, and ends them in order.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use corelane::tls::{Identity, TlsAcceptor};
use corelane::{Result, Server, StreamReader, StreamWriter};
use corelane_shards::{Shard, Shards};

use super::connection::{Door, handle};
use super::options::Options;
use crate::common::announce;
use crate::place::Place;

/// Serves until SIGINT or SIGTERM, then answers what has been asked, and returns. The last shard that listens
/// prints a line to standard output.
///
/// # Errors
/// What is wrong with the certificate; what keeps the shards from starting or from listening.
pub fn serve(options: Options) -> Result<()> {
    let acceptor = acceptor(&options)?;
    let place = Place::open(&options.handed, options.listen)?;
    let placement = options.shards.placement();
    let listening = Arc::new(AtomicUsize::new(0));
    let main = async move |shard: Shard| {
        let door =
            Door { shard: shard.clone(), options: options.clone(), acceptor: acceptor.clone() };
        run_shard(&shard, Rc::new(door), &place, &listening).await
    };
    Shards::builder().placement(placement).run(main)?;
    Ok(())
}

/// TLS, if a certificate was given. One for all shards, so that a session can go on at any of them.
fn acceptor(options: &Options) -> Result<Option<TlsAcceptor>> {
    let (Some(cert), Some(key)) = (&options.cert, &options.key) else { return Ok(None) };
    let identity = Identity::from_pem_files(cert, key)?;
    let builder = TlsAcceptor::builder(identity).alpn(["h2", "http/1.1"]);
    Ok(Some(builder.build()?.handshake_timeout(options.header_timeout())))
}

async fn run_shard(
    shard: &Shard,
    door: Rc<Door>,
    place: &Place,
    listening: &Arc<AtomicUsize>,
) -> Result<()> {
    let options = &door.options;
    let limits = Server::builder().max_connections(options.shards.max_connections);
    let accept = options.shards.placement.accept;
    let handler =
        async move |reader: StreamReader, writer: StreamWriter| handle(&door, reader, writer).await;
    let server = place.serve(shard, accept, limits, handler).await?;
    announce("http", listening, shard, &server.local_addrs());
    server.wait_closed().await;
    Ok(())
}
