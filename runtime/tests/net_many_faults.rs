//! Many bad peers and hard times, and nothing of them stays. Alone in its program, because it counts what the process
//! has, and takes its descriptors away. `CORELANE_CONNECTIONS` says how many of each kind; `scripts/deep.sh` takes ten
//! thousand.

mod peer;

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use corelane::{
    Error, Result, Server, StreamReader, StreamWriter, create_task, open_unix_connection,
    set_report_handler, start_server, timeout, yield_now,
};
use peer::{connection_count, leaves_nothing, receive, run_many};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

/// How many peers there are at a time.
const ROUND: usize = 100;

/// How many are flooded at a time.
const FLOODED_ROUND: usize = 10;

/// How many come at once to a queue for two: who finds it full waits longer each time.
const QUEUE_ROUND: usize = 20;

const MESSAGE: &[u8] = b"hello";

/// Failures of handlers of each kind of error, and of listeners.
#[derive(Clone, Default)]
struct Failures(Rc<Cell<usize>>);

impl Failures {
    /// Counts from now on the errors that are meant.
    fn of(is_meant: impl Fn(&Error) -> bool + 'static) -> Self {
        let failures = Self::default();
        let theirs = failures.clone();
        set_report_handler(move |report| {
            if report.error.as_ref().is_some_and(&is_meant) {
                theirs.0.set(theirs.0.get() + 1);
            }
        });
        failures
    }

    /// Waits for this many since the last time.
    async fn reach(&self, count: usize) {
        while self.0.get() < count {
            yield_now().await;
        }
        assert_eq!(self.0.take(), count);
    }
}

fn connect(server: &Server) -> Result<TcpStream> {
    Ok(TcpStream::connect(&server.local_addrs()[..])?)
}

fn connect_all(server: &Server, count: usize) -> Result<Vec<TcpStream>> {
    (0..count).map(|_| connect(server)).collect()
}

async fn all_gone(server: &Server) {
    while server.connection_count() > 0 {
        yield_now().await;
    }
}

/// Answers one message.
async fn answer(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let message = reader.read_exactly(MESSAGE.len()).await?;
    writer.write(message)
}

/// Half a message comes and no more: the time limit of the handler ends it.
async fn stall(count: usize) -> Result<()> {
    let limited = async |reader, writer| {
        timeout(Duration::from_millis(5), async |_| answer(reader, writer).await).await
    };
    let server = start_server(limited, "127.0.0.1:0").await?;
    let failures = Failures::of(|error| error.io_kind() == Some(ErrorKind::TimedOut));
    leaves_nothing("stall", count, async |count| {
        for _ in 0..count / ROUND {
            let mut peers = connect_all(&server, ROUND)?;
            for peer in &mut peers {
                peer.write_all(&MESSAGE[..2])?;
            }
            failures.reach(ROUND).await;
            all_gone(&server).await;
            drop(peers);
        }
        Ok(())
    })
    .await
}

/// Nothing is read of what the handler writes without asking for room: the bound ends it.
async fn do_not_read(count: usize) -> Result<()> {
    let flood = async |_reader: StreamReader, writer: StreamWriter| {
        writer.set_send_buffer_bytes(4_096)?;
        while !writer.is_closing() {
            writer.write([7; 65_536])?;
            yield_now().await;
        }
        Ok(writer.drain().await?)
    };
    let server = Server::builder().write_buffer_bound(1 << 20).start(flood, "127.0.0.1:0").await?;
    let failures = Failures::of(|error| error.io_kind() == Some(ErrorKind::QuotaExceeded));
    leaves_nothing("do not read", count, async |count| {
        // One after the other: each costs more than a megabyte for a while.
        for _ in 0..count {
            let peer = connect(&server)?;
            failures.reach(1).await;
            all_gone(&server).await;
            drop(peer);
        }
        Ok(())
    })
    .await
}

/// Single bytes come.
async fn send_single_bytes(count: usize) -> Result<()> {
    let server = start_server(answer, "127.0.0.1:0").await?;
    leaves_nothing("send single bytes", count, async |count| {
        for _ in 0..count / ROUND {
            let mut peers = connect_all(&server, ROUND)?;
            for byte in MESSAGE {
                for peer in &mut peers {
                    peer.write_all(&[*byte])?;
                }
                yield_now().await;
            }
            for peer in &mut peers {
                assert_eq!(receive(peer, MESSAGE.len() + 1).await?, MESSAGE);
            }
            all_gone(&server).await;
        }
        Ok(())
    })
    .await
}

/// The connection ends while the handler writes and waits for room.
async fn close_while_we_write(count: usize) -> Result<()> {
    let flood = async |_reader: StreamReader, writer: StreamWriter| {
        writer.set_send_buffer_bytes(4_096)?;
        loop {
            writer.write([7; 65_536])?;
            writer.drain().await?;
        }
    };
    let server = start_server(flood, "127.0.0.1:0").await?;
    let is_lost = |kind| matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
    let failures = Failures::of(move |error| error.io_kind().is_some_and(is_lost));
    leaves_nothing("close while we write", count, async |count| {
        for _ in 0..count / FLOODED_ROUND {
            let mut peers = connect_all(&server, FLOODED_ROUND)?;
            for peer in &mut peers {
                receive(peer, 1_000).await?;
            }
            drop(peers);
            failures.reach(FLOODED_ROUND).await;
            all_gone(&server).await;
        }
        Ok(())
    })
    .await
}

/// Connections come when there is no descriptor left, and are served when there are some again. The listener rests for
/// a second each time.
async fn find_no_descriptor(count: usize) -> Result<()> {
    let server = start_server(answer, "127.0.0.1:0").await?;
    let addr = server.local_addrs()[0].into();
    let failures = Failures::of(|error| error.to_string().contains("Too many open files"));
    leaves_nothing("find no descriptor", count, async |count| {
        for _ in 0..count / ROUND {
            let sockets: Vec<_> = (0..ROUND)
                .map(|_| Socket::new(Domain::IPV4, Type::STREAM, None))
                .collect::<std::io::Result<_>>()?;
            let limit = getrlimit(Resource::Nofile);
            let next = std::fs::File::open("/proc/self/fd")?.as_raw_fd();
            setrlimit(Resource::Nofile, Rlimit { current: Some(next as u64), ..limit })?;
            for socket in &sockets {
                socket.connect(&addr)?;
            }
            failures.reach(1).await;
            assert_eq!(server.connection_count(), 0);
            setrlimit(Resource::Nofile, limit)?;
            for socket in sockets {
                let mut peer = TcpStream::from(socket);
                peer.write_all(MESSAGE)?;
                assert_eq!(receive(&mut peer, MESSAGE.len()).await?, MESSAGE);
            }
            all_gone(&server).await;
        }
        Ok(())
    })
    .await
}

/// A queue for two, a server for one at a time, and all of a round at once.
async fn find_the_queue_full(count: usize) -> Result<()> {
    let path = format!("\0corelane-many-faults-{}", std::process::id());
    let builder = Server::builder().backlog(1).max_connections(1);
    let server = builder.start_unix(answer, &path).await?;
    leaves_nothing("find the queue full", count, async |count| {
        for _ in 0..count / QUEUE_ROUND {
            let clients: Vec<_> = (0..QUEUE_ROUND)
                .map(|_| {
                    let path = path.clone();
                    create_task(async move {
                        let (mut reader, writer) = open_unix_connection(path).await?;
                        writer.write(MESSAGE)?;
                        Ok(reader.read_exactly(MESSAGE.len()).await?)
                    })
                })
                .collect();
            for client in clients {
                assert_eq!(client.await?, MESSAGE);
            }
            all_gone(&server).await;
        }
        Ok(())
    })
    .await
}

#[test]
fn many_bad_peers_of_each_kind_leave_nothing_behind() {
    let count = connection_count(200);
    run_many(6 * count, async move || {
        stall(count).await?;
        do_not_read(count).await?;
        send_single_bytes(count).await?;
        close_while_we_write(count).await?;
        find_no_descriptor(count).await?;
        find_the_queue_full(count).await
    })
    .unwrap();
}
