//! A chat for plain line clients, over all cores: `nc 127.0.0.1 9100`.
//!
//! ```text
//! client ─ line ─▶ its shard ─ one message to each shard ─▶ rooms ─▶ the clients that live there
//! ```
//!
//! The first line that a client sends is its name, every further one goes to all others. A connection
//! lives on the shard that accepted it, and so does its entry in the room of that shard. What somebody
//! says travels once to each shard, however many clients there are. Whoever reads so slowly that too
//! much is waiting for it is thrown out, so that nobody else has to wait.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use clap::Parser;
use corelane::{Result, Server, StreamReader, StreamWriter};
use corelane_examples::common::{ShardOptions, announce, check_free, run_program};
use corelane_shards::{Shard, ShardId, Sharded, Shards};

/// The longest line.
const LINE_BYTES: usize = 4 * 1024;
/// Whoever has so much unread is thrown out.
const UNREAD_BYTES: usize = 256 * 1024;

/// A chat for plain line clients, over all cores.
#[derive(Clone, Debug, Parser)]
#[command(name = "chat", version)]
struct Options {
    /// Where to listen; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// Shards, limits, log.
    #[command(flatten)]
    shards: ShardOptions,
}

/// The clients of one shard.
#[derive(Default)]
struct Room {
    writers: RefCell<BTreeMap<u64, StreamWriter>>,
    next_seat: Cell<u64>,
}

/// A client's place in the room of its shard, given up when it is dropped.
struct Seat {
    room: Rc<Room>,
    number: u64,
}

/// Who has said something: not to be told itself.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Speaker {
    shard: ShardId,
    seat: u64,
}

impl Room {
    fn enter(self: &Rc<Self>, writer: StreamWriter) -> Seat {
        let number = self.next_seat.get();
        self.next_seat.set(number + 1);
        self.writers.borrow_mut().insert(number, writer);
        Seat { room: Rc::clone(self), number }
    }

    /// Writes a line to everybody here but the speaker. Nothing waits: the lines leave together at the
    /// end of the turn.
    fn tell(&self, here: ShardId, speaker: Speaker, line: &str) {
        for (&seat, writer) in self.writers.borrow().iter() {
            if (Speaker { shard: here, seat }) == speaker {
                continue;
            }
            // A client that is gone hears nothing; its own handler sees that.
            let is_too_slow = writer.write_buffer_len() > UNREAD_BYTES;
            if is_too_slow || writer.write(line.as_bytes()).is_err() {
                writer.abort();
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.writers.borrow_mut().remove(&self.number);
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let log = options.shards.log.clone();
    run_program("chat", &log, || {
        check_free(options.listen)?;
        let placement = options.shards.placement();
        let run = async move |shard: Shard| lead(&shard, options).await;
        Shards::builder().placement(placement).run(run)?;
        Ok(())
    })
}

/// The first shard opens a room on each, and serves everywhere; then all wait for the end.
async fn lead(shard: &Shard, options: Options) -> Result<()> {
    if shard.id() == ShardId::new(0) {
        let rooms = Sharded::start(shard, async |_shard| Ok(Room::default())).await?;
        let (everywhere, listening) = (rooms.clone(), Arc::new(AtomicUsize::new(0)));
        let serving =
            rooms.call_on_all(async move |_room| serve(everywhere, options, listening).await);
        serving.await?;
    }
    shard.shutdown().requested().await;
    Ok(())
}

/// Listens on this shard.
async fn serve(rooms: Sharded<Room>, options: Options, listening: Arc<AtomicUsize>) -> Result<()> {
    let Some(shard) = Shard::current() else { return Ok(()) };
    let builder =
        Server::builder().max_connections(options.shards.max_connections).limit_bytes(LINE_BYTES);
    let handler = async move |reader: StreamReader, writer: StreamWriter| {
        let ending = chat(&rooms, reader, writer).await;
        if let Err(error) = ending {
            // What a client does is no failure of ours.
            tracing::info!(%error, "client ended");
        }
        Ok(())
    };
    let server = shard.serve_with(builder, options.listen, handler).await?;
    announce("chat", &listening, &shard, &server.local_addrs());
    Ok(())
}

/// One client, from its name to its end.
async fn chat(rooms: &Sharded<Room>, mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let Some(shard) = Shard::current() else { return Ok(()) };
    writer.write(b"your name?\n")?;
    let Some(name) = next_text(&mut reader, &shard).await? else { return Ok(()) };
    let seat = rooms.local()?.enter(writer.clone());
    let speaker = Speaker { shard: shard.id(), seat: seat.number };
    say(rooms, speaker, format!("* {name} is here\n")).await?;
    writer.write(format!("welcome, {name}\n").as_bytes())?;
    // Whatever happens here, the others are told of it.
    let ending = async {
        while let Some(text) = next_text(&mut reader, &shard).await? {
            say(rooms, speaker, format!("<{name}> {text}\n")).await?;
        }
        Ok(())
    };
    let ending = ending.await;
    drop(seat);
    say(rooms, speaker, format!("* {name} has left\n")).await?;
    ending
}

/// The next line that is not empty; `None` at the end of the client or of the run.
async fn next_text(reader: &mut StreamReader, shard: &Shard) -> Result<Option<String>> {
    let next = async {
        loop {
            let Some(line) = reader.next_line().await? else { return Ok(None) };
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            if !text.is_empty() {
                return Ok(Some(text));
            }
        }
    };
    let mut ended = std::pin::pin!(shard.shutdown().requested());
    let mut next = std::pin::pin!(next);
    std::future::poll_fn(|context| match ended.as_mut().poll(context) {
        std::task::Poll::Ready(()) => std::task::Poll::Ready(Ok(None)),
        std::task::Poll::Pending => next.as_mut().poll(context),
    })
    .await
}

/// Tells every room.
async fn say(rooms: &Sharded<Room>, speaker: Speaker, line: String) -> Result<()> {
    let line: Arc<str> = line.into();
    let told = rooms.invoke_on_all(move |room| {
        if let Some(shard) = Shard::current() {
            room.tell(shard.id(), speaker, &line);
        }
    });
    // Whoever speaks waits until all rooms have heard, so that nobody floods them, and lines of one
    // client keep their order everywhere.
    told.await.map(drop)
}
