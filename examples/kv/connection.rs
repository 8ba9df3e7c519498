//! One connection: its socket on one side, its [`Session`] on the other.

use std::cell::Cell;
use std::rc::Rc;

use corelane::{Error, Result, StreamReader, StreamWriter, yield_now};
use corelane_shards::Sharded;

use super::batch::Batch;
use super::caller::Door;
use super::home::Client;
use super::local::Local;
use super::session::{Next, Session};
use crate::common::hear_out;

/// What the shard keeps of a connection, to end it.
#[derive(Debug)]
pub(crate) struct Seat {
    writer: StreamWriter,
    standing: Cell<Standing>,
    /// Something has come since it was looked at.
    has_asked: Cell<bool>,
    /// Bytes that waited to be sent when it was looked at.
    unsent_bytes: Cell<usize>,
    /// Looks in a row that found nothing moving.
    still_count: Cell<u8>,
}

/// Looks that find nothing moving, the first not counted, until a connection is ended: so nobody has to look at a clock
/// when something moves.
pub(crate) const STILL_LOOKS: u8 = 4;

/// How a connection stands to the end of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is new: its first request may be on its way.
    Fresh,
    /// It has asked for something and is being answered.
    Busy,
    /// Everything that came has been answered.
    Idle,
    /// Nothing more will be answered, and the peer knows.
    Leaving,
}

impl Seat {
    fn new(writer: StreamWriter) -> Self {
        Self {
            writer,
            standing: Cell::new(Standing::Fresh),
            has_asked: Cell::new(false),
            unsent_bytes: Cell::new(0),
            still_count: Cell::new(0),
        }
    }

    /// Bytes have come.
    fn asks(&self) {
        self.standing.set(Standing::Busy);
        self.has_asked.set(true);
    }

    /// Looks whether something has moved since the last look; ends the connection if nothing has for long.
    pub(crate) fn end_if_still(&self) {
        let unsent_bytes = self.writer.write_buffer_len();
        let has_sent = self.unsent_bytes.replace(unsent_bytes) != unsent_bytes;
        if self.has_asked.take() || has_sent {
            return self.still_count.set(0);
        }
        if self.still_count.get() == STILL_LOOKS {
            // It may be one that does not read.
            return self.writer.abort();
        }
        self.still_count.set(self.still_count.get() + 1);
    }

    /// Begins to end the connection if it is idle; one that is busy ends itself when it has answered, and a new one
    /// when it has been answered once.
    pub(crate) fn leave(&self) {
        if self.standing.get() == Standing::Idle {
            self.say_farewell();
        }
    }

    /// Tells the peer that nothing more will be answered.
    fn say_farewell(&self) {
        self.standing.set(Standing::Leaving);
        self.writer.write_eof();
    }

    /// Ends the connection if its peer was told.
    pub(crate) fn end_if_left(&self) {
        if self.standing.get() == Standing::Leaving {
            self.writer.close();
        }
    }

    /// Ends the connection if it has not asked for anything.
    pub(crate) fn leave_unheard(&self) {
        if self.standing.get() != Standing::Busy {
            self.writer.close();
        }
    }
}

/// Serves a connection until either side ends it.
///
/// # Errors
/// None that a peer can cause: a connection that breaks is a connection that ends.
///
/// # Cancel safety
/// The connection ends. Commands that were sent to other shards may still take effect.
pub(crate) async fn handle(
    local: Rc<Local>,
    door: Door,
    mut reader: StreamReader,
    writer: StreamWriter,
) -> Result<()> {
    let (Ok(peer), Ok(own)) = (writer.peer_addr(), writer.local_addr()) else {
        return Ok(());
    };
    let Some(admission) = local.facts().admit() else {
        local.with_home(|home| home.counters.rejected += 1);
        writer.write(b"-ERR max number of clients reached\r\n")?;
        writer.close();
        return Ok(());
    };
    // One answer may be a value of 512 MB, which no bound may cut off; and none is needed, as whoever does not
    // read is not read from: see `converse`.
    writer.set_write_buffer_bound(usize::MAX);
    let id = admission.id;
    let session = local.with_home(|home| {
        let client = Client::new(peer, own, home.store.now_ms());
        Session::open(admission, client, door, home)
    });
    let seat = Rc::new(Seat::new(writer.clone()));
    local.seat(id, Rc::clone(&seat));
    let keys = Vec::new();
    let mut connection = Connection { local, id, session, seat, writer, keys };
    if connection.converse(&mut reader).await? == End::Ours {
        connection.part(&mut reader).await;
    }
    connection.writer.close();
    Ok(())
}

/// Who has ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer, or the way to it.
    Theirs,
    /// We: the peer may still send.
    Ours,
}

struct Connection {
    local: Rc<Local>,
    id: u64,
    session: Session,
    seat: Rc<Seat>,
    writer: StreamWriter,
    /// Handles that go with the batches and come back: to clone one for each would have all shards
    /// count at one place.
    keys: Vec<Sharded<Local>>,
}

impl Connection {
    /// Answers until the peer has no more to ask, or the server is to end.
    async fn converse(&mut self, reader: &mut StreamReader) -> Result<End> {
        loop {
            let input = match reader.fill_buf().await {
                Ok(input) if !input.is_empty() => input,
                _ => return Ok(End::Theirs),
            };
            if self.seat.standing.get() == Standing::Leaving {
                return Ok(End::Ours);
            }
            self.seat.asks();
            let (taken, mut next) = self.feed(input)?;
            reader.consume(taken);
            loop {
                // A peer that does not read its answers is not read from.
                if self.writer.drain().await.is_err() {
                    return Ok(End::Theirs);
                }
                next = match next {
                    Next::Read => break,
                    Next::Close => return Ok(End::Ours),
                    Next::Hop => self.hop().await?,
                    Next::More => {
                        yield_now().await;
                        self.feed(&[])?.1
                    }
                };
            }
            if self.local.is_draining() {
                return Ok(End::Ours);
            }
            self.seat.standing.set(Standing::Idle);
        }
    }

    /// Waits a while for the peer to end the connection too, whatever it still sends.
    async fn part(&self, reader: &mut StreamReader) {
        self.seat.say_farewell();
        hear_out(reader).await;
    }

    /// Hands bytes to the session; the answers go straight into the send buffer.
    fn feed(&mut self, input: &[u8]) -> Result<(usize, Next)> {
        let (local, session) = (&self.local, &mut self.session);
        self.writer.with_buffer(|out| local.with_home(|home| session.feed(input, home, out)))
    }

    /// Has the batches run on their shards, all at the same time, and puts their answers in place.
    async fn hop(&mut self) -> Result<Next> {
        let batches = self.session.take_batches();
        let calls: Vec<_> = batches
            .into_iter()
            .map(|(shard, batch)| {
                let key = self.keys.pop().or_else(|| self.local.all().cloned());
                let run = move || run_here(key, batch);
                (shard, self.local.invoke(shard, run))
            })
            .collect();
        for (shard, call) in calls {
            let answer = match call {
                Some(call) => call.await,
                None => Err(Error::msg("it is not there")),
            };
            let batch = match answer {
                Ok((key, ran)) => {
                    self.keys.extend(key);
                    ran.map_err(|error| format!("shard {shard} has no store: {error}"))
                }
                Err(error) => Err(format!("shard {shard} did not answer: {error}")),
            };
            self.session.give_back(shard, batch);
        }
        let (local, session) = (&self.local, &mut self.session);
        let next =
            self.writer.with_buffer(|out| local.with_home(|home| session.emit(home, out)))?;
        // What follows in the pipeline was read long ago: it need not wait for another turn.
        if next == Next::More { Ok(self.feed(&[])?.1) } else { Ok(next) }
    }
}

/// Runs a batch on the shard that it was sent to, and gives the handle back.
fn run_here(
    key: Option<Sharded<Local>>,
    mut batch: Batch,
) -> (Option<Sharded<Local>>, Result<Batch>) {
    let here = key.as_ref().ok_or_else(|| Error::msg("nobody knows the shards"));
    let ran = here.and_then(Sharded::local).map(|local| local.with_home(|home| batch.run(home)));
    (key, ran.map(|()| batch))
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.local.unseat(self.id);
    }
}
