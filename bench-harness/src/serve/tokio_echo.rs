//! The echo server on tokio's current-thread runtime, one on each CPU: what ours is compared with.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::control::Tally;
use super::hosted::Host;
use crate::threads;

/// Bytes taken from a connection at once.
const READ_BYTES: usize = 16 * 1_024;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;

/// Serves until the process ends.
///
/// # Errors
/// If a thread cannot be started or cannot listen.
pub(super) fn run(host: Host) -> io::Result<()> {
    let threads = host
        .tallies
        .into_iter()
        .enumerate()
        .map(|(shard, tally)| {
            let (cpu, addr, frame_bytes) =
                (host.cpus.get(shard).copied(), host.addr, host.frame_bytes);
            let name = format!("shard-{shard}");
            threads::spawn(&name, cpu, move || serve(addr, frame_bytes, &tally))
        })
        .collect::<io::Result<Vec<_>>>()?;
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a server thread panicked"))??;
    }
    Ok(())
}

fn serve(addr: SocketAddr, frame_bytes: usize, tally: &Arc<Tally>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listen(addr)?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let tally = Arc::clone(tally);
            // A connection that breaks concerns nobody else.
            tokio::spawn(async move { echo(stream, frame_bytes, &tally).await });
        }
    })
}

fn listen(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

async fn echo(mut stream: TcpStream, frame_bytes: usize, tally: &Tally) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = vec![0; READ_BYTES];
    let mut rest_bytes = 0;
    loop {
        let count = stream.read(&mut buf).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..count]).await?;
        rest_bytes += count;
        tally.add((rest_bytes / frame_bytes) as u64, 0);
        rest_bytes %= frame_bytes;
    }
}
