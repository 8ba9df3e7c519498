//! A TCP proxy over sharded loops: every connection that comes is joined to one of its own to the target.
//!
//! ```text
//!   client ──▶ reader ─ chunks, not copied ─▶ writer ──▶ target      each way by itself:
//!   client ◀── writer ◀──────────────────── reader ◀── target        its own end, its own pace
//! ```
//!
//! Each direction goes no faster than its slower side: a writer that has more than its high water mark to send
//! makes the copy wait, a copy that waits does not read, and a reader that is not read stops receiving. So a
//! connection holds a bounded number of bytes whatever its peers do. When one side ends its direction, the
//! other is told so and may go on (half-close). A side that fails, or over which nothing moves for the idle
//! timeout, ends both; but one that was told the end of what it gets may read that first.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};
use std::time::Duration;

use corelane::{ConnectBuilder, Result, Server, StreamReader, StreamWriter, wait_for};
use corelane_shards::{Shard, Shards};

use crate::common::{Activity, ShardOptions, announce, hear_out, seconds};
use crate::place::{Handed, Place};

/// What one side may have sent and the other not taken, besides what the system holds: twice this in a reader,
/// and this in a writer.
const BUFFER_BYTES: usize = 64 * 1024;

/// The settings of the proxy, as its command line takes them.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "proxy", version, about = "A sharded TCP proxy")]
pub struct Options {
    /// Where to listen; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// Or a socket that is open already.
    #[command(flatten)]
    pub handed: Handed,
    /// Where connections go: a name or an address, with its port.
    #[arg(long)]
    pub to: String,
    /// Seconds that connecting to the target may take.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub connect_timeout: f64,
    /// Shards, limits, log.
    #[command(flatten)]
    pub shards: ShardOptions,
}

/// Serves until SIGINT or SIGTERM, then lets connections end until the deadline of the shards, and returns. The
/// last shard that listens prints a line to standard output.
///
/// # Errors
/// What keeps the shards from starting or from listening.
pub fn serve(options: Options) -> Result<()> {
    let place = Place::open(&options.handed, options.listen)?;
    let placement = options.shards.placement();
    let listening = Arc::new(AtomicUsize::new(0));
    Shards::builder()
        .placement(placement)
        .run(async move |shard: Shard| run_shard(&shard, &options, &place, &listening).await)?;
    Ok(())
}

async fn run_shard(
    shard: &Shard,
    options: &Options,
    place: &Place,
    listening: &Arc<AtomicUsize>,
) -> Result<()> {
    let limits =
        Server::builder().max_connections(options.shards.max_connections).limit_bytes(BUFFER_BYTES);
    let accept = options.shards.placement.accept;
    let options = options.clone();
    let handler = async move |reader: StreamReader, writer: StreamWriter| {
        match join(&options, reader, writer).await {
            // What a peer does is no failure of ours.
            Err(error) if error.is_cancelled() => Err(error),
            Err(error) => {
                tracing::info!(%error, "connection ended");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    };
    let server = place.serve(shard, accept, limits, handler).await?;
    announce("proxy", listening, shard, &server.local_addrs());
    server.wait_closed().await;
    Ok(())
}

/// Joins a client to the target and carries bytes both ways until both have ended.
async fn join(options: &Options, mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let connecting = ConnectBuilder::new().limit_bytes(BUFFER_BYTES);
    let limit = Duration::from_secs_f64(options.connect_timeout);
    let target = wait_for(connecting.open(options.to.as_str()), limit).await;
    let (mut far_reader, far_writer) = target.inspect_err(|_| writer.abort())?;

    let (activity, limit) = (Activity::default(), options.shards.idle_timeout());
    let writers = AbortUnlessDone(Some([writer.clone(), far_writer.clone()]));
    let (mut is_told, mut is_far_told) = (false, false);
    let carried = {
        let there = copy(&mut reader, far_writer, &activity);
        let back = copy(&mut far_reader, writer, &activity);
        let (mut there, mut back) = (Direction::new(there), Direction::new(back));
        let mut quiet = pin!(activity.quiet(limit));
        poll_fn(|context| {
            let ends = (there.poll_end(context), back.poll_end(context));
            (is_far_told, is_told) = (matches!(ends.0, Ok(true)), matches!(ends.1, Ok(true)));
            let is_over = ends.0? & ends.1?;
            match quiet.as_mut().poll(context) {
                _ if is_over => Poll::Ready(Ok(())),
                Poll::Ready(()) => Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut))),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    };
    if let Err(error) = carried {
        // A side that was told the end has perhaps not read all of it, and may still send.
        if is_told {
            hear_out(&mut reader).await;
        }
        if is_far_told {
            hear_out(&mut far_reader).await;
        }
        return Err(error.into());
    }
    writers.disarm();
    Ok(())
}

/// One direction of a connection.
enum Direction<F> {
    Open(Pin<Box<F>>),
    Ended,
}

impl<F: Future<Output = io::Result<()>>> Direction<F> {
    fn new(copying: F) -> Self {
        Self::Open(Box::pin(copying))
    }

    /// Goes on copying; says whether it has ended.
    fn poll_end(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        if let Self::Open(copying) = self
            && let Poll::Ready(result) = copying.as_mut().poll(context)
        {
            // What it held is dropped now: the other direction may go on for long.
            *self = Self::Ended;
            result?;
        }
        Ok(matches!(self, Self::Ended))
    }
}

/// Copies one direction to its end, and tells the other side of the end.
async fn copy(
    from: &mut StreamReader,
    mut to: StreamWriter,
    activity: &Activity,
) -> io::Result<()> {
    loop {
        let bytes = from.read(BUFFER_BYTES).await?;
        activity.note();
        if bytes.is_empty() {
            break;
        }
        to.write_bytes(bytes).map_err(io::Error::other)?;
        to.drain().await?;
        activity.note();
    }
    // Not only wanted but sent: a side that does not take the rest must not stay for ever.
    poll_fn(|context| to.poll_shutdown(context)).await
}

/// Ends both connections at once, with what is unsent, unless both have come to their end by themselves: a
/// closed connection would wait for a peer that takes nothing.
struct AbortUnlessDone(Option<[StreamWriter; 2]>);

impl AbortUnlessDone {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for AbortUnlessDone {
    fn drop(&mut self) {
        for writer in self.0.iter().flatten() {
            writer.abort();
        }
    }
}
