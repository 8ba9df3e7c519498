//! Clients: they send pipelines, go where they are told, and come back when a connection ends.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use corelane::{
    Error, Result, StreamReader, StreamWriter, now, open_connection, sleep, sleep_until, timeout,
};
use fastrand::Rng;
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;

use crate::command::{Answer, Command, name};
use crate::history::{Action, History, Ticket};

/// How many keys there are: enough for the store of each shard to move what it holds.
pub(crate) const KEY_COUNT: usize = 24;

/// How near to a deadline a client looks whether the key is still there.
const NEAR: Duration = Duration::from_millis(4);

/// How often a client goes where it is sent on behalf of one request.
const MOST_MOVES: usize = 4;

/// What all clients of a run know.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) history: History,
    /// Where the servers listen.
    pub(crate) doors: Vec<SocketAddr>,
    /// How many pipelines a client sends.
    pub(crate) pipeline_count: usize,
    /// The most requests of one.
    pub(crate) depth: usize,
    /// How long it pauses between two pipelines, at most.
    pub(crate) pause: Duration,
    /// Whether keys are given deadlines: they expire by their hosts' clocks.
    pub(crate) gives_lives: bool,
    /// How long it waits for an answer; for ever, if nothing can happen that a connection does not tell.
    pub(crate) patience: Option<Duration>,
    /// The value that was set last: each is set once.
    pub(crate) last_value: Rc<Cell<i64>>,
}

impl Work {
    /// A talk of ordinary length with the servers behind `doors`.
    pub(crate) fn new(doors: Vec<SocketAddr>) -> Self {
        Self {
            history: History::default(),
            doors,
            pipeline_count: 8,
            depth: 5,
            pause: Duration::from_millis(5),
            gives_lives: true,
            patience: None,
            last_value: Rc::default(),
        }
    }
}

/// One client.
pub(crate) struct Client {
    work: Work,
    rng: Rng,
    connections: BTreeMap<SocketAddr, Connection>,
    /// Which door it was sent to with a key.
    owners: BTreeMap<usize, SocketAddr>,
}

struct Connection {
    number: u64,
    reader: StreamReader,
    writer: StreamWriter,
}

/// A request, and how often it was sent elsewhere.
#[derive(Clone)]
struct Request {
    command: Command,
    moves: usize,
}

/// How far a witness is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Begun,
    Connected,
    /// Whoever has made it says that it is to ask.
    Asking,
}

impl From<Command> for Request {
    fn from(command: Command) -> Self {
        Self { command, moves: 0 }
    }
}

/// A pipeline that reads every key.
fn look_at_all() -> Vec<Request> {
    (0..KEY_COUNT).map(|key| Command::One(key, Action::Get).into()).collect()
}

impl Client {
    pub(crate) fn new(work: Work, seed: u64) -> Self {
        let rng = Rng::with_seed(seed);
        Self { work, rng, connections: BTreeMap::new(), owners: BTreeMap::new() }
    }

    /// Sends everything.
    pub(crate) async fn run(mut self) -> Result<()> {
        for _ in 0..self.work.pipeline_count {
            if self.work.gives_lives && self.rng.u8(..4) == 0 {
                self.watch_expiry().await?;
                continue;
            }
            let count = self.rng.usize(1..=self.work.depth);
            let requests: Vec<_> = (0..count).map(|_| self.any_request()).collect();
            let door = self.choose_door(&requests[0]);
            self.send(door, requests).await?;
            if self.rng.bool() {
                sleep(self.work.pause.mul_f64(self.rng.f64())).await;
            }
        }
        Ok(())
    }

    /// Gives a key a deadline, and looks for it shortly before, when it is there unless somebody else was at it, and
    /// shortly after.
    async fn watch_expiry(&mut self) -> Result<()> {
        let (key, life_ms) = (self.rng.usize(..KEY_COUNT), self.rng.u64(1..40));
        let (begun, life) = (now(), Duration::from_millis(life_ms));
        let set = Action::Set { value: self.new_value(), life_ms: Some(life_ms) };
        self.send_one(key, set).await?;
        let (earliest, latest) = (begun + life, now() + life);
        let (before, after) = (NEAR.mul_f64(self.rng.f64()), NEAR.mul_f64(self.rng.f64()));
        sleep_until((begun + life.saturating_sub(before)).min(earliest)).await;
        self.send_one(key, Action::Get).await?;
        sleep_until(latest + after).await;
        self.send_one(key, Action::Get).await
    }

    async fn send_one(&mut self, key: usize, action: Action) -> Result<()> {
        let request = Request::from(Command::One(key, action));
        let door = self.choose_door(&request);
        self.send(door, vec![request]).await
    }

    /// Reads every key by every door.
    pub(crate) async fn look(mut self) -> Result<()> {
        for door in self.work.doors.clone() {
            self.send(door, look_at_all()).await?;
        }
        Ok(())
    }

    /// Comes to a door and reads every key when it is told to, after so long: the last one who does before a server
    /// ends.
    pub(crate) async fn witness(
        mut self,
        door: SocketAddr,
        stage: Rc<Cell<Stage>>,
        after: Duration,
    ) -> Result<()> {
        let Some(mut connection) = self.connect(door).await else { return Ok(()) };
        stage.set(Stage::Connected);
        while stage.get() == Stage::Connected {
            sleep(Duration::from_micros(20)).await;
        }
        sleep(after).await;
        // What is elsewhere is another witness' matter.
        self.talk(&mut connection, look_at_all(), &mut BTreeMap::new()).await?;
        Ok(())
    }

    fn new_value(&self) -> i64 {
        let value = self.work.last_value.get() + 1_000;
        self.work.last_value.set(value);
        value
    }

    fn any_request(&mut self) -> Request {
        let (value, gives_lives) = (self.new_value(), self.work.gives_lives);
        Command::any(&mut self.rng, KEY_COUNT, value, gives_lives).into()
    }

    fn choose_door(&mut self, request: &Request) -> SocketAddr {
        let parts = request.command.parts();
        let owner = parts.first().and_then(|(key, _)| self.owners.get(key));
        match owner {
            Some(owner) if self.rng.u8(..4) > 0 => *owner,
            _ => self.work.doors[self.rng.usize(..self.work.doors.len())],
        }
    }

    /// Sends a pipeline to `door`, and what does not belong there to where it does.
    async fn send(&mut self, door: SocketAddr, requests: Vec<Request>) -> Result<()> {
        let mut errands = vec![(door, requests)];
        while let Some((door, requests)) = errands.pop() {
            let Some(mut connection) = self.connect(door).await else {
                self.work.history.unsent(requests.len());
                continue;
            };
            let mut moved: BTreeMap<SocketAddr, Vec<Request>> = BTreeMap::new();
            if self.talk(&mut connection, requests, &mut moved).await? {
                self.connections.insert(door, connection);
            }
            errands.extend(moved);
        }
        Ok(())
    }

    /// The connection to a door; `None` if there is none to be had, which is what its users are told then.
    async fn connect(&mut self, door: SocketAddr) -> Option<Connection> {
        if let Some(connection) = self.connections.remove(&door) {
            return Some(connection);
        }
        for _ in 0..20 {
            let opened =
                timeout(self.work.patience, async |_| Ok(open_connection(door).await?)).await;
            match opened {
                Ok((reader, writer)) => {
                    let number = self.work.history.connection();
                    return Some(Connection { number, reader, writer });
                }
                Err(_) => sleep(Duration::from_micros(self.rng.u64(500..5_000))).await,
            }
        }
        None
    }

    /// Sends a pipeline and hears the answers. False if the connection has ended.
    async fn talk(
        &mut self,
        connection: &mut Connection,
        requests: Vec<Request>,
        moved: &mut BTreeMap<SocketAddr, Vec<Request>>,
    ) -> Result<bool> {
        let mut bytes = Vec::new();
        let mut waiting: Vec<(Request, Vec<Ticket>)> = Vec::new();
        for request in requests {
            request.command.encode(&mut bytes);
            let parts = request.command.parts().into_iter();
            let begin =
                |(key, action)| self.work.history.begin(connection.number, &name(key), action);
            let tickets = parts.map(begin).collect();
            waiting.push((request, tickets));
        }
        let mut is_open = connection.writer.write(&bytes).is_ok();
        for (request, tickets) in waiting {
            let frame = if is_open { connection.hear(self.work.patience).await } else { None };
            if is_open && frame.is_none() && !connection.reader.buffer().is_empty() {
                self.work.history.cut();
            }
            is_open = frame.is_some();
            let answer = frame.map_or(Answer::None, |frame| request.command.answer(&frame));
            self.note(&answer, tickets);
            if let Answer::Moved(address) = answer {
                self.follow(&address, request, moved)?;
            }
        }
        Ok(is_open)
    }

    /// Writes down what was answered.
    fn note(&self, answer: &Answer, tickets: Vec<Ticket>) {
        let mut outcomes = match answer {
            Answer::Done(outcomes) => outcomes.iter(),
            _ => [].iter(),
        };
        for ticket in tickets {
            match (answer, outcomes.next()) {
                (Answer::Done(_), Some(outcome)) => self.work.history.answered(ticket, *outcome),
                (Answer::Moved(_) | Answer::Refused, _) => self.work.history.refused(ticket),
                (Answer::Lost, _) => self.work.history.lost(ticket),
                _ => self.work.history.given_up(ticket),
            }
        }
    }

    fn follow(
        &mut self,
        address: &str,
        request: Request,
        moved: &mut BTreeMap<SocketAddr, Vec<Request>>,
    ) -> Result<()> {
        let owner: SocketAddr = address.parse().map_err(Error::from)?;
        for (key, _) in request.command.parts() {
            self.owners.insert(key, owner);
        }
        assert!(request.moves < MOST_MOVES, "{:?} is sent from door to door", request.command);
        let request = Request { moves: request.moves + 1, ..request };
        moved.entry(owner).or_default().push(request);
        Ok(())
    }
}

impl Connection {
    /// The next answer; `None` if the connection has ended, or the time is over.
    async fn hear(&mut self, patience: Option<Duration>) -> Option<OwnedFrame> {
        loop {
            let decoded = decode(self.reader.buffer());
            if let Some((frame, length)) = decoded.expect("the server speaks RESP") {
                self.reader.consume(length);
                return Some(frame);
            }
            let more = timeout(patience, async |_| Ok(self.reader.read_more().await?)).await;
            if !matches!(more, Ok(true)) {
                return None;
            }
        }
    }
}
