//! An echo server on all cores: `cargo run --example echo`, then `nc 127.0.0.1 9000`.

use corelane::{Result, StreamReader, StreamWriter};
use corelane_shards::{Shard, Shards};

fn main() -> Result<()> {
    Shards::builder().run(async |shard| {
        let server = shard.serve("127.0.0.1:9000", echo).await?;
        println!("shard {} listens on {:?}", shard.id(), server.local_addrs());
        // Until SIGINT or SIGTERM, and then until the connections are closed.
        server.wait_closed().await;
        Ok(())
    })?;
    Ok(())
}

/// One connection, on the shard that it came to.
pub(crate) async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let Some(shard) = Shard::current() else { return Ok(()) };
    // An idle client does not keep the run from ending.
    let shutdown = shard.shutdown();
    while let Some(line) = shutdown.unless_requested(reader.next_line()).await {
        let Some(line) = line? else { break };
        writer.write_bytes(line)?;
        writer.drain().await?;
    }
    Ok(())
}
