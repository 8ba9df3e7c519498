//! The server under load, ours or somebody else's: its address and its own count of requests.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::protocol::{Resp, RespWorkload, command, parse_reply};
use crate::serve::{Counters, Gap, Server, ShardInfo};

/// A server that can be loaded.
pub(crate) struct Subject {
    addr: SocketAddr,
    server: Option<Server>,
    speaks_info: bool,
    info: Option<InfoCount>,
}

impl Subject {
    /// A server of ours in a child process. One that speaks RESP may also answer `INFO`.
    pub(crate) fn embedded(server: Server, speaks_info: bool) -> Self {
        Subject { addr: server.ready().addr, server: Some(server), speaks_info, info: None }
    }

    /// A server that somebody else runs.
    pub(crate) fn external(addr: SocketAddr, speaks_info: bool) -> Self {
        Subject { addr, server: None, speaks_info, info: None }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
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

    /// How many requests it has executed; `None` if it cannot tell. Asking is not counted.
    ///
    /// # Errors
    /// If the server is gone or answers nonsense.
    pub(crate) fn count(&mut self) -> io::Result<Option<u64>> {
        if self.speaks_info {
            let info = match &mut self.info {
                Some(info) => info,
                None => self.info.insert(InfoCount::connect(self.addr)?),
            };
            return info.executed();
        }
        match &mut self.server {
            Some(server) => Ok(Some(server.counters()?.requests)),
            None => Ok(None),
        }
    }
}

/// A client that asks for the number of executed commands and leaves its own questions out.
struct InfoCount {
    client: RespClient,
    /// What one INFO adds to the count that the next one shows.
    each: u64,
    asked: u64,
}

impl InfoCount {
    fn connect(addr: SocketAddr) -> io::Result<Self> {
        let mut client = RespClient::connect(addr)?;
        let (first, second) = (client.info_commands()?, client.info_commands()?);
        let each = second.unwrap_or(0).saturating_sub(first.unwrap_or(0));
        Ok(InfoCount { client, each, asked: 2 })
    }

    fn executed(&mut self) -> io::Result<Option<u64>> {
        let own = self.each * self.asked;
        self.asked += 1;
        Ok(self.client.info_commands()?.map(|count| count.saturating_sub(own)))
    }
}

/// How long a server may take to answer a single command.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keys that are written before the replies are read.
const PRELOAD_BATCH: u32 = 500;

/// A blocking client for what is asked outside of the measurement.
pub(crate) struct RespClient {
    stream: TcpStream,
    input: Vec<u8>,
}

impl RespClient {
    /// Connects.
    ///
    /// # Errors
    /// As the connection.
    pub(crate) fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(RespClient { stream, input: Vec::new() })
    }

    /// Sends a command and returns its reply as it came.
    ///
    /// # Errors
    /// If the connection breaks or the reply is no RESP.
    pub(crate) fn call(&mut self, words: &[&[u8]]) -> io::Result<Vec<u8>> {
        self.stream.write_all(&command(words))?;
        self.reply()
    }

    /// Writes every key of a workload once.
    ///
    /// # Errors
    /// If the connection breaks or the server refuses a key.
    pub(crate) fn preload(&mut self, workload: &RespWorkload) -> io::Result<()> {
        let encoder = Resp::new(workload, 0);
        let mut out = Vec::new();
        for first in (0..workload.keys).step_by(PRELOAD_BATCH as usize) {
            let last = first.saturating_add(PRELOAD_BATCH).min(workload.keys);
            out.clear();
            (first..last).for_each(|index| encoder.encode_set(index, &mut out));
            self.stream.write_all(&out)?;
            for _ in first..last {
                let reply = self.reply()?;
                if reply.first() == Some(&b'-') {
                    let text = String::from_utf8_lossy(&reply).trim().to_owned();
                    return Err(io::Error::other(format!("the server refused a SET: {text}")));
                }
            }
        }
        Ok(())
    }

    fn info_commands(&mut self) -> io::Result<Option<u64>> {
        let reply = self.call(&[b"INFO", b"stats"])?;
        let text = String::from_utf8_lossy(&reply);
        let value = text.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        Ok(value.and_then(|digits| digits.trim().parse().ok()))
    }

    fn reply(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let parsed = parse_reply(&self.input)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if let Some(reply) = parsed {
                return Ok(self.input.drain(..reply.bytes).collect());
            }
            let mut chunk = [0; 16 * 1_024];
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.input.extend_from_slice(&chunk[..count]),
            }
        }
    }
}
