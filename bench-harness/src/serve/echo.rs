//! The sharded echo server on the runtime.

use std::io;
use std::sync::Arc;

use corelane::{StreamReader, StreamWriter};
use corelane_shards::{Shard, Shards};

use super::control::Tally;
use super::hosted::Host;

/// Serves until the process ends.
///
/// # Errors
/// If the shards cannot be started or cannot listen.
pub(super) fn run(host: Host) -> io::Result<()> {
    let Host { place, accept, addr, frame_bytes, tallies } = host;
    let main = async move |shard: Shard| {
        let frames = Frames { frame_bytes, tally: Arc::clone(&tallies[shard.id().index()]) };
        // Not by way of a function: the future of a call around it would hold both ends a second time, and what
        // all connections share is borrowed here.
        let echo = async move |mut reader: StreamReader, writer: StreamWriter| {
            let mut rest_bytes = 0;
            // Sends back what comes, once for each read.
            loop {
                let bytes = reader.fill_buf().await?;
                if bytes.is_empty() {
                    return Ok(());
                }
                let count = bytes.len();
                writer.write(bytes)?;
                reader.consume(count);
                rest_bytes = frames.count(rest_bytes + count);
                writer.drain().await?;
            }
        };
        shard.serve_with(accept, addr, echo).await?.wait_closed().await;
        Ok(())
    };
    let builder = Shards::builder().placement(place.placement()).handle_signals(false);
    builder.run(main).map_err(io::Error::other)?;
    Ok(())
}

/// Counts whole frames.
struct Frames {
    frame_bytes: usize,
    tally: Arc<Tally>,
}

impl Frames {
    /// Counts those in so many bytes of a connection, and says what is left.
    fn count(&self, bytes: usize) -> usize {
        self.tally.add((bytes / self.frame_bytes) as u64, 0);
        bytes % self.frame_bytes
    }
}
