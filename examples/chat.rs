//! A chat for plain line clients, over all cores: `nc 127.0.0.1 9100`.
//!
//! ```text
//! client ─ line ─▶ its shard ─ one message to each shard ─▶ rooms ─▶ the clients that live there
//! ```
//!
//! The first line that a client sends is its name, every further one goes to all others. A connection
//! lives on the shard that accepted it, and so does its entry in the room of that shard. What somebody
//! says travels once to each shard, however many clients there are. Whoever reads so slowly that too
//! much is waiting for it is thrown out, so that nobody else has to wait; and so is whoever says nothing and is
//! told nothing for long.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Poll;
use std::time::Duration;

use clap::Parser;
use corelane::{Result, Server, StreamReader, StreamWriter};
use corelane_examples::common::{Activity, ShardOptions, announce, check_free, run_program};
use corelane_shards::{Accept, Shard, ShardId, ShardServer, Sharded, Shards};

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
    ears: RefCell<BTreeMap<u64, Ear>>,
    next_seat: Cell<u64>,
}

/// How a client is told something.
struct Ear {
    writer: StreamWriter,
    activity: Activity,
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
    fn enter(self: &Rc<Self>, ear: Ear) -> Seat {
        let number = self.next_seat.get();
        self.next_seat.set(number + 1);
        self.ears.borrow_mut().insert(number, ear);
        Seat { room: Rc::clone(self), number }
    }

    /// Writes a line to everybody here but the speaker. Nothing waits: the lines leave together at the
    /// end of the turn.
    fn tell(&self, here: ShardId, speaker: Speaker, line: &str) {
        for (&seat, Ear { writer, activity }) in self.ears.borrow().iter() {
            if (Speaker { shard: here, seat }) == speaker {
                continue;
            }
            activity.note();
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
        self.room.ears.borrow_mut().remove(&self.number);
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
    let limits =
        Server::builder().max_connections(options.shards.max_connections).limit_bytes(LINE_BYTES);
    // Clients are few and stay for long: by chance they could all come to one shard.
    let builder = ShardServer::builder().accept(Accept::LeastLoaded).limits(limits);
    let handler = async move |reader: StreamReader, writer: StreamWriter| {
        let ending = chat(&rooms, reader, &writer, options.shards.idle_timeout()).await;
        if let Err(error) = ending {
            // What a client does is no failure of ours. One that does not read is not waited for.
            tracing::info!(%error, "client ended");
            writer.abort();
        }
        Ok(())
    };
    let server = shard.serve_with(builder, options.listen, handler).await?;
    announce("chat", &listening, &shard, &server.local_addrs());
    Ok(())
}

/// One client, from its name to its end.
async fn chat(
    rooms: &Sharded<Room>,
    reader: StreamReader,
    writer: &StreamWriter,
    idle_timeout: Duration,
) -> Result<()> {
    let Some(shard) = Shard::current() else { return Ok(()) };
    let activity = Activity::default();
    let mut client = Client { reader, activity: activity.clone(), idle_timeout, shard };
    writer.write(b"your name?\n")?;
    let Some(name) = client.next_text().await? else { return Ok(()) };
    let seat = rooms.local()?.enter(Ear { writer: writer.clone(), activity });
    let speaker = Speaker { shard: client.shard.id(), seat: seat.number };
    say(rooms, speaker, format!("* {name} is here\n")).await?;
    writer.write(format!("welcome, {name}\n").as_bytes())?;
    // Whatever happens here, the others are told of it.
    let ending = async {
        while let Some(text) = client.next_text().await? {
            say(rooms, speaker, format!("<{name}> {text}\n")).await?;
        }
        Ok(())
    };
    let ending = ending.await;
    drop(seat);
    say(rooms, speaker, format!("* {name} has left\n")).await?;
    ending
}

/// What a client says.
struct Client {
    reader: StreamReader,
    activity: Activity,
    idle_timeout: Duration,
    shard: Shard,
}

impl Client {
    /// The next line that is not empty; `None` at the end of the client or of the run.
    async fn next_text(&mut self) -> Result<Option<String>> {
        let mut quiet = pin!(self.activity.quiet(self.idle_timeout));
        let mut ended = pin!(self.shard.shutdown().requested());
        let mut next = pin!(text_of(&mut self.reader));
        poll_fn(|context| {
            if ended.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(None));
            }
            match next.as_mut().poll(context) {
                Poll::Pending if quiet.as_mut().poll(context).is_ready() => {
                    Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut).into()))
                }
                step => step,
            }
        })
        .await
    }
}

async fn text_of(reader: &mut StreamReader) -> Result<Option<String>> {
    while let Some(line) = reader.next_line().await? {
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        if !text.is_empty() {
            return Ok(Some(text));
        }
    }
    Ok(None)
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
