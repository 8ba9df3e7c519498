//! Where a server listens: at an address, or on a socket that was open before the program began.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use corelane::{Inherited, Result, ServerBuilder, StreamReader, StreamWriter};
use corelane_shards::{Accept, Shard, ShardServer};

use crate::common::check_free;

/// What the command line says of a server that was there before, or a socket that was.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Handed {
    /// Serve on the TCP socket that the service manager has handed over under this name, which is what
    /// FileDescriptorName= says in the socket's unit. All shards accept from its one queue.
    #[arg(long, value_name = "NAME", conflicts_with = "accept")]
    pub inherited: Option<String>,
    /// Listen beside another server on the same port, which this one is to replace; with --accept reuse-port or
    /// by-cpu, for both. Set net.ipv4.tcp_migrate_req to 1, or what waits for the old one when it ends is reset.
    #[arg(long, conflicts_with = "inherited")]
    pub join_port: bool,
}

/// A place that every shard of a server listens at.
#[derive(Clone, Debug)]
pub struct Place {
    address: SocketAddr,
    /// Handed over by a service manager: the shards accept from one queue.
    inherited: Option<Arc<TcpListener>>,
}

impl Place {
    /// The socket that a service manager has handed over under this name, or else `address`, if nobody listens there
    /// or the command line says that somebody may.
    /// To be called before there are other threads, as [`Inherited::from_env`] is.
    ///
    /// # Errors
    /// What the system says, with the address; `NotFound` if there is no such socket, `InvalidInput` if it is none
    /// of TCP.
    pub fn open(handed: &Handed, address: SocketAddr) -> io::Result<Self> {
        let Some(name) = &handed.inherited else {
            if !handed.join_port {
                check_free(address)?;
            }
            return Ok(Self { address, inherited: None });
        };
        let mut sockets = Inherited::from_env();
        let Some(listener) = sockets.tcp_listener(name)? else {
            let names: Vec<&str> = sockets.names().collect();
            let hint = if names.is_empty() {
                "nor any other: LISTEN_FDS and LISTEN_PID come from a socket unit".to_owned()
            } else {
                format!("of {names:?}: FileDescriptorName= in the socket's unit is its name")
            };
            let text = format!("no socket was handed over as {name:?}, {hint}");
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        };
        Ok(Self { address: listener.local_addr()?, inherited: Some(Arc::new(listener)) })
    }

    /// An address, whoever listens there.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { address, inherited: None }
    }

    /// The address; its port is 0 if the system is to choose one.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// This shard's part of the server.
    ///
    /// # Errors
    /// As [`Shard::serve`].
    pub async fn serve<H>(
        &self,
        shard: &Shard,
        accept: Accept,
        limits: ServerBuilder,
        handler: H,
    ) -> io::Result<ShardServer>
    where
        H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
    {
        match &self.inherited {
            Some(listener) => shard.adopt(limits, listener.try_clone()?, handler),
            None => {
                let builder = ShardServer::builder().accept(accept).limits(limits);
                shard.serve_with(builder, self.address, handler).await
            }
        }
    }
}
