//! Another map while the server runs: SIGHUP has the topology file read again.
//!
//! ```text
//!  SIGHUP ─▶ read, check ─▶ map between on every shard ─▶ new map on every shard ─▶ purge
//!               │             a slot that changes shards
//!               └ bad:        here has no owner
//!                 said, and the old map stays
//! ```
//!
//! So at no moment do two shards of this process serve one slot. A client that asks for a slot that
//! is between two owners, which it is for the time of two calls to each shard, is told CLUSTERDOWN
//! and tries again. Data does not move: what a shard no longer owns it forgets, and the new owner
//! begins with nothing.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use corelane::{Result, Signal, fs, signal, yield_now};
use corelane_shards::Sharded;
use rustix::process::Signal as Number;

use super::file::Source;
use super::map::ClusterMap;
use super::open::Cluster;
use crate::kv::local::Local;

/// Reads the topology file again with each SIGHUP. One shard has it.
pub(crate) struct Reloader {
    all: Sharded<Local>,
    source: Source,
    map: Arc<ClusterMap>,
    hangups: Signal,
}

impl Reloader {
    /// Keeps SIGHUP from ending the process; `None` if the map comes from no file.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn new(all: &Sharded<Local>, cluster: &Cluster) -> io::Result<Option<Self>> {
        let Some(source) = cluster.source.clone() else { return Ok(None) };
        let hangups = signal(Number::HUP.as_raw())?;
        Ok(Some(Self { all: all.clone(), source, map: Arc::clone(&cluster.map), hangups }))
    }

    /// Goes on until it is cancelled.
    ///
    /// # Cancel safety
    /// Meant for the end of the run: a change that is under way may stop between its steps.
    pub(crate) async fn run(mut self) {
        loop {
            self.hangups.recv().await;
            match self.reload().await {
                Ok(true) => {
                    tracing::info!(version = self.map.version(), "the cluster has a new map")
                }
                Ok(false) => tracing::info!("the cluster's map is the same as before"),
                Err(error) => tracing::error!("the cluster's map stays as it was: {error}"),
            }
        }
    }

    /// Says whether the map has changed.
    async fn reload(&mut self) -> Result<bool> {
        let text = fs::read_to_string(&self.source.path).await;
        let next = self.source.parse(text, self.map.version() + 2);
        let next = next.map_err(corelane::Error::msg)?;
        if next.is_like(&self.map) {
            return Ok(false);
        }
        let between = self.map.between(&next).map_err(|error| self.source.error(&error));
        let between = between.map_err(corelane::Error::msg)?;
        let next = Arc::new(next);
        self.install(Arc::new(between)).await?;
        self.install(Arc::clone(&next)).await?;
        self.map = next;
        self.purge().await?;
        Ok(true)
    }

    /// Gives every shard a map, and waits until all have it.
    async fn install(&self, map: Arc<ClusterMap>) -> Result<()> {
        self.all.invoke_on_all(move |local| local.install(map)).await?;
        Ok(())
    }

    /// Has every shard forget what is not its own, and waits for that: a slot that comes back must
    /// not find what it had before.
    async fn purge(&self) -> Result<()> {
        self.all.call_on_all(purge_here).await?;
        Ok(())
    }
}

/// Takes small steps, so that the shard goes on serving.
async fn purge_here(local: Rc<Local>) -> Result<()> {
    let mut next = Some(0);
    while let Some(cursor) = next {
        next = local.with_home(|home| home.purge(cursor));
        yield_now().await;
    }
    Ok(())
}
