//! The echo server on tokio's current-thread runtime, one on each CPU: what ours is compared with.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::control::Tally;
use super::hosted::{Host, buffer_bytes, listen, on_each_cpu};

/// Serves until the process ends.
///
/// # Errors
/// If a thread cannot be started or cannot listen.
pub(super) fn run(host: Host) -> io::Result<()> {
    on_each_cpu(host, serve)
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

async fn echo(mut stream: TcpStream, frame_bytes: usize, tally: &Tally) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = vec![0; buffer_bytes(frame_bytes)];
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
