//! The echo server with a thread for each connection and blocking calls: the oldest baseline.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use super::control::Tally;
use super::hosted::{Host, buffer_bytes, listen, on_each_cpu};
use crate::threads;

/// Serves until the process ends.
///
/// # Errors
/// If a thread cannot be started or cannot listen.
pub(super) fn run(host: Host) -> io::Result<()> {
    on_each_cpu(host, serve)
}

/// The threads of the clients inherit the CPU of the one that accepts.
fn serve(addr: SocketAddr, frame_bytes: usize, tally: &Arc<Tally>) -> io::Result<()> {
    let listener = listen(addr)?;
    listener.set_nonblocking(false)?;
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        let tally = Arc::clone(tally);
        // A connection that breaks concerns nobody else.
        threads::spawn("client", None, move || echo(stream, frame_bytes, &tally))?;
    }
}

fn echo(mut stream: TcpStream, frame_bytes: usize, tally: &Tally) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = vec![0; buffer_bytes(frame_bytes)];
    let mut rest_bytes = 0;
    loop {
        let count = stream.read(&mut buf)?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..count])?;
        rest_bytes += count;
        tally.add_shared((rest_bytes / frame_bytes) as u64);
        rest_bytes %= frame_bytes;
    }
}
