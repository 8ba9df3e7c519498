//! The sharded echo server on the runtime.

use std::io;
use std::sync::Arc;

use corelane::{StreamReader, StreamWriter};
use corelane_shards::{Placement, Shard, Shards};

use super::control::Tally;
use super::hosted::Host;

/// Serves until the process ends.
///
/// # Errors
/// If the shards cannot be started or cannot listen.
pub(super) fn run(host: Host) -> io::Result<()> {
    let Host { cpus, accept, addr, frame_bytes, tallies } = host;
    let placement = if cpus.is_empty() { Placement::Unpinned(1) } else { Placement::Cores(cpus) };
    let main = async move |shard: Shard| {
        let tally = Arc::clone(&tallies[shard.id().index()]);
        // The future of `echo` itself: one around it would hold both ends a second time, on
        // every connection.
        let handler = move |reader, writer| echo(reader, writer, frame_bytes, Arc::clone(&tally));
        shard.serve_with(accept, addr, handler).await?.wait_closed().await;
        Ok(())
    };
    let builder = Shards::builder().placement(placement).handle_signals(false);
    builder.run(main).map_err(io::Error::other)?;
    Ok(())
}

/// Sends back what comes, once for each read, and counts whole frames.
async fn echo(
    mut reader: StreamReader,
    writer: StreamWriter,
    frame_bytes: usize,
    tally: Arc<Tally>,
) -> corelane::Result<()> {
    let mut rest_bytes = 0;
    loop {
        let bytes = reader.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        let count = bytes.len();
        writer.write(bytes)?;
        reader.consume(count);
        rest_bytes += count;
        tally.add((rest_bytes / frame_bytes) as u64, 0);
        rest_bytes %= frame_bytes;
        writer.drain().await?;
    }
}
