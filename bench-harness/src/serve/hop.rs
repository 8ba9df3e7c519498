//! A server that hands a share of its requests to another shard, and tells when it had them.

use std::io;
use std::sync::Arc;

use corelane::{StreamReader, StreamWriter};
use corelane_shards::{Shard, ShardId, Shards};

use super::control::Tally;
use super::hosted::Host;
use crate::clock;
use crate::hops::Stamps;
use crate::protocol::{HOP_FRAME_BYTES, HopRequest, parse_hop_request, write_stamps};

/// Serves until the process ends.
///
/// # Errors
/// If the shards cannot be started or cannot listen.
pub(super) fn run(host: Host) -> io::Result<()> {
    let Host { place, accept, addr, tallies, .. } = host;
    let main = async move |shard: Shard| {
        let tally = Arc::clone(&tallies[shard.id().index()]);
        let handler = {
            let shard = shard.clone();
            async move |reader: StreamReader, writer: StreamWriter| {
                serve(&shard, reader, writer, &tally).await
            }
        };
        shard.serve_with(accept, addr, handler).await?.wait_closed().await;
        Ok(())
    };
    let builder = Shards::builder().placement(place.placement()).handle_signals(false);
    builder.run(main).map_err(io::Error::other)?;
    Ok(())
}

async fn serve(
    shard: &Shard,
    mut reader: StreamReader,
    writer: StreamWriter,
    tally: &Tally,
) -> corelane::Result<()> {
    // Those of the next shards in turn, so that each answers as many.
    let others: Vec<ShardId> = (1..shard.count())
        .filter_map(|step| shard.all().nth((shard.id().index() + step) % shard.count()))
        .collect();
    let mut turn = 0;
    loop {
        let bytes = reader.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        let whole = bytes.len() - bytes.len() % HOP_FRAME_BYTES;
        if whole == 0 {
            let _ = reader.read_more().await?;
            continue;
        }
        let frames = bytes[..whole].to_vec();
        reader.consume(whole);
        for bytes in frames.chunks_exact(HOP_FRAME_BYTES) {
            let HopRequest { remote, sampled } = parse_hop_request(bytes);
            let mut frame = [0; HOP_FRAME_BYTES];
            frame.copy_from_slice(bytes);
            if remote && !others.is_empty() {
                turn = (turn + 1) % others.len();
                answer_there(shard, others[turn], &mut frame, sampled).await?;
            }
            writer.write(frame)?;
            tally.add(1, 0);
        }
        writer.drain().await?;
    }
}

/// Has another shard look at a frame.
async fn answer_there(
    shard: &Shard,
    owner: ShardId,
    frame: &mut [u8; HOP_FRAME_BYTES],
    sampled: bool,
) -> corelane::Result<()> {
    if !sampled {
        shard.invoke(owner, || ()).await?;
        return Ok(());
    }
    let read_ns = clock::now_ns();
    let work = || {
        let begun_ns = clock::now_ns();
        (begun_ns, clock::now_ns())
    };
    let (begun_ns, done_ns) = shard.invoke(owner, work).await?;
    write_stamps(frame, Stamps { read_ns, begun_ns, done_ns, back_ns: clock::now_ns() });
    Ok(())
}
