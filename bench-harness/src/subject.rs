//! The server under load, ours or somebody else's: its address and its own count of requests.

use std::io::{self, Read, Write};
use std::time::Duration;

use socket2::Socket;

use crate::advice::{other_language, unreachable};
use crate::peer::Peer;
use crate::protocol::{Note, ProtocolError, command, parse_reply};
use crate::serve::{Counters, Gap, Server, ShardInfo, Wire};
use crate::traffic::Traffic;

/// A server that can be loaded.
pub(crate) struct Subject {
    peer: Peer,
    server: Option<Server>,
    counting: Counting,
    asker: Option<Asker>,
}

/// Who is asked how many requests the server has executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting {
    /// A server of ours, over its control pipe.
    Pipe,
    /// One that speaks RESP, by `INFO`.
    Info,
    /// memcached, by `stats`.
    Stats,
    /// Nobody: it cannot tell.
    Unknown,
}

impl Subject {
    /// A server of ours in a child process.
    pub(crate) fn embedded(server: Server, counting: Counting) -> Self {
        let peer = Peer::Tcp(server.ready().addr);
        Subject { peer, server: Some(server), counting, asker: None }
    }

    /// A server that somebody else runs.
    pub(crate) fn external(peer: Peer, counting: Counting) -> Self {
        Subject { peer, server: None, counting, asker: None }
    }

    /// Where it listens.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether nobody else can send it requests.
    pub(crate) fn is_ours(&self) -> bool {
        self.server.is_some()
    }

    /// Its shards and their process; none for a server that somebody else runs.
    pub(crate) fn shards(&self) -> (u32, &[ShardInfo]) {
        self.server
            .as_ref()
            .map_or((0, &[]), |server| (server.ready().pid, server.ready().shards.as_slice()))
    }

    /// What an embedded server counts of itself.
    ///
    /// # Errors
    /// If it is gone, or is not one of ours.
    pub(crate) fn counters(&mut self) -> io::Result<Counters> {
        match &mut self.server {
            Some(server) => server.counters(),
            None => Err(io::Error::other("this server has no control pipe")),
        }
    }

    /// When an embedded server that spins had no CPU.
    ///
    /// # Errors
    /// If it is gone, or is not one of ours.
    pub(crate) fn gaps(&mut self) -> io::Result<Vec<Gap>> {
        match &mut self.server {
            Some(server) => Ok(server.gaps()?.gaps),
            None => Err(io::Error::other("this server has no control pipe")),
        }
    }

    /// How many requests it has executed, and how many of them, or of their parts, went to another shard; `None` if it
    /// cannot tell. Asking is not counted.
    ///
    /// # Errors
    /// If the server is gone or answers nonsense.
    pub(crate) fn count(&mut self) -> io::Result<Option<Executed>> {
        match (self.counting, &mut self.server) {
            (Counting::Pipe, Some(server)) => {
                Ok(Some(Executed { requests: server.counters()?.requests, hops: None }))
            }
            (Counting::Info | Counting::Stats, _) => {
                let asker = match &mut self.asker {
                    Some(asker) => asker,
                    None => self.asker.insert(Asker::connect(&self.peer, self.counting)?),
                };
                asker.executed()
            }
            (Counting::Pipe, None) | (Counting::Unknown, _) => Ok(None),
        }
    }
}

/// What a server says it has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Executed {
    /// Requests.
    pub(crate) requests: u64,
    /// Those, or parts of them, that went to another shard; only a server of ours counts that.
    pub(crate) hops: Option<u64>,
}

impl Executed {
    /// What was done since `earlier`; nothing if a count went back, as that of another process does.
    pub(crate) fn since(self, earlier: Executed) -> Option<Executed> {
        let hops =
            self.hops.zip(earlier.hops).and_then(|(after, before)| after.checked_sub(before));
        Some(Executed { requests: self.requests.checked_sub(earlier.requests)?, hops })
    }

    /// The same without what `times` questions have added.
    fn without(self, each: Executed, times: u64) -> Executed {
        let less = |count: u64, each: u64| count.saturating_sub(each * times);
        let hops = self.hops.map(|hops| less(hops, each.hops.unwrap_or(0)));
        Executed { requests: less(self.requests, each.requests), hops }
    }
}

/// A client that asks for the number of executed commands and leaves its own questions out.
struct Asker {
    client: Client,
    counting: Counting,
    /// What one question adds to the count that the next one shows.
    each: Executed,
    asked: u64,
}

impl Asker {
    fn connect(peer: &Peer, counting: Counting) -> io::Result<Self> {
        let wire = if counting == Counting::Stats { Wire::Memcache } else { Wire::Resp };
        let client = Client::connect(peer, wire)?;
        let mut asker = Asker { client, counting, each: Executed::default(), asked: 0 };
        let (first, second) = (asker.executed()?, asker.executed()?);
        let each = first.zip(second).and_then(|(first, second)| second.since(first));
        asker.each = each.unwrap_or_default();
        Ok(asker)
    }

    fn executed(&mut self) -> io::Result<Option<Executed>> {
        let asked = self.asked;
        self.asked += 1;
        let count = match self.counting {
            Counting::Stats => self.client.memcached_commands()?,
            _ => self.client.redis_commands()?,
        };
        Ok(count.map(|count| count.without(self.each, asked)))
    }
}

/// How long a server may take to answer a single command.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keys that are written before the replies are read.
const PRELOAD_BATCH: u32 = 500;

/// Writes every key of a workload once, where there are keys.
///
/// # Errors
/// If the connection breaks or the server refuses a key.
pub(crate) fn preload(peer: &Peer, traffic: &Traffic) -> io::Result<()> {
    let keys = traffic.workload().map_or(0, |workload| workload.keys);
    let mut encoders = traffic.encoders(1, 0);
    let Some(encoder) = encoders.first_mut().filter(|_| keys > 0) else { return Ok(()) };
    let mut client = Client::connect(peer, traffic.wire())?;
    let mut out = Vec::new();
    for first in (0..keys).step_by(PRELOAD_BATCH as usize) {
        let last = first.saturating_add(PRELOAD_BATCH).min(keys);
        out.clear();
        (first..last).for_each(|key| encoder.encode_fill(key, &mut out));
        client.stream.write_all(&out).map_err(|error| client.unanswered(&error))?;
        for _ in first..last {
            let answer = client.reply(&|input| {
                let reply = encoder.parse(0, Note::ANY, input)?;
                Ok(reply.map(|reply| (reply.bytes, reply.ok)))
            });
            let (ok, reply) = answer.map_err(|error| client.unanswered(&error))?;
            if reply.starts_with(b"*") {
                let text = format!("a SET gets no list; {}", other_language(client.wire, &reply));
                return Err(client.unanswered(&io::Error::new(io::ErrorKind::InvalidData, text)));
            }
            if !ok {
                let text = String::from_utf8_lossy(&reply).trim().to_owned();
                return Err(io::Error::other(format!("the server refused to store a key: {text}")));
            }
        }
    }
    Ok(())
}

/// The shard that reads what is sent on a connection.
///
/// # Errors
/// If the connection breaks or the server does not tell.
pub(crate) fn shard_of(peer: &Peer, stream: &Socket) -> io::Result<u16> {
    let stream = stream.try_clone()?;
    let mut client = Client { peer: peer.clone(), wire: Wire::Resp, stream, input: Vec::new() };
    let shard = client.shard()?;
    shard.ok_or_else(|| io::Error::other(format!("{peer} does not tell the shard of a connection")))
}

/// A blocking client for what is asked outside of the measurement.
struct Client {
    peer: Peer,
    wire: Wire,
    stream: Socket,
    input: Vec<u8>,
}

/// Finds a whole reply at the front: its length and whether it is good.
type FindReply<'a> = &'a dyn Fn(&[u8]) -> Result<Option<(usize, bool)>, ProtocolError>;

impl Client {
    fn connect(peer: &Peer, wire: Wire) -> io::Result<Self> {
        let stream = peer.connect(PATIENCE).map_err(|error| unreachable(peer, wire, &error))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { peer: peer.clone(), wire, stream, input: Vec::new() })
    }

    /// Says of a question that got no answer who was asked and in which language.
    fn unanswered(&self, error: &io::Error) -> io::Error {
        let protocol = if self.wire == Wire::Memcache { "memcached" } else { "redis" };
        let why = match error.kind() {
            io::ErrorKind::WouldBlock => format!("no answer within {} s", PATIENCE.as_secs()),
            io::ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
            _ => error.to_string(),
        };
        // What is no reply tells that itself.
        let advice = match error.kind() {
            io::ErrorKind::InvalidData => String::new(),
            _ => format!("; {}", other_language(self.wire, &self.input)),
        };
        let text =
            format!("{} does not answer as a {protocol} server does: {why}{advice}", self.peer);
        io::Error::new(error.kind(), text)
    }

    fn redis_commands(&mut self) -> io::Result<Option<Executed>> {
        self.stream.write_all(&command(&[b"INFO", b"stats"]))?;
        let (_, reply) = self
            .reply(&|input| Ok(parse_reply(input)?.map(|reply| (reply.bytes, reply.ok))))
            .map_err(|error| self.unanswered(&error))?;
        let text = String::from_utf8_lossy(&reply);
        let value = |name: &str| -> Option<u64> {
            let digits = text.lines().find_map(|line| line.strip_prefix(name))?;
            digits.trim().parse().ok()
        };
        let hops = value("total_hops:");
        Ok(value("total_commands_processed:").map(|requests| Executed { requests, hops }))
    }

    /// The shard that serves this connection, as a server of ours tells in the line about its client.
    fn shard(&mut self) -> io::Result<Option<u16>> {
        self.stream.write_all(&command(&[b"CLIENT", b"INFO"]))?;
        let (_, reply) = self
            .reply(&|input| Ok(parse_reply(input)?.map(|reply| (reply.bytes, reply.ok))))
            .map_err(|error| self.unanswered(&error))?;
        let text = String::from_utf8_lossy(&reply);
        let digits = text.split_whitespace().find_map(|word| word.strip_prefix("io-thread="));
        Ok(digits.and_then(|digits| digits.parse().ok()))
    }

    /// Reads and writes of keys; memcached does not count the question itself.
    fn memcached_commands(&mut self) -> io::Result<Option<Executed>> {
        self.stream.write_all(b"stats\r\n")?;
        let end_of_stats = |input: &[u8]| {
            let (first, last) = (b"STAT ", b"END\r\n");
            let head = &input[..input.len().min(first.len())];
            if !first.starts_with(head) && !last.starts_with(head) {
                return Err(ProtocolError(other_language(Wire::Memcache, input)));
            }
            Ok(input.ends_with(last).then_some((input.len(), true)))
        };
        let answer = self.reply(&end_of_stats);
        let (_, reply) = answer.map_err(|error| self.unanswered(&error))?;
        let text = String::from_utf8_lossy(&reply);
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok()
        };
        let counts = value("STAT cmd_get ").zip(value("STAT cmd_set "));
        Ok(counts.map(|(get, set)| Executed { requests: get + set, hops: None }))
    }

    /// Waits for one reply; whether it is good, and its bytes.
    fn reply(&mut self, find: FindReply<'_>) -> io::Result<(bool, Vec<u8>)> {
        loop {
            let found = find(&self.input)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if let Some((bytes, ok)) = found {
                return Ok((ok, self.input.drain(..bytes).collect()));
            }
            let mut chunk = [0; 16 * 1_024];
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.input.extend_from_slice(&chunk[..count]),
            }
        }
    }
}
