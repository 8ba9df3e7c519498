//! The echo server on other runtimes, one loop on each CPU, each as its documentation would write it
//! and all with buffers of one size.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::control::Tally;
use super::hosted::{Host, buffer_bytes, listen, on_each_cpu};

/// Counts whole frames of a connection.
struct Count {
    tally: Arc<Tally>,
    frame_bytes: usize,
    rest_bytes: usize,
}

impl Count {
    fn new(tally: &Arc<Tally>, frame_bytes: usize) -> Self {
        Count { tally: Arc::clone(tally), frame_bytes, rest_bytes: 0 }
    }

    fn add(&mut self, bytes: usize) {
        self.rest_bytes += bytes;
        self.tally.add((self.rest_bytes / self.frame_bytes) as u64, 0);
        self.rest_bytes %= self.frame_bytes;
    }
}

/// monoio on epoll.
///
/// # Errors
/// If a thread cannot be started or cannot listen.
pub(super) fn monoio(host: Host) -> io::Result<()> {
    on_each_cpu(host, serve_monoio)
}

fn serve_monoio(addr: SocketAddr, frame_bytes: usize, tally: &Arc<Tally>) -> io::Result<()> {
    let mut runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().build()?;
    runtime.block_on(async {
        let listener = monoio::net::TcpListener::from_std(listen(addr)?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            monoio::spawn(echo_monoio(stream, Count::new(tally, frame_bytes)));
        }
    })
}

async fn echo_monoio(mut stream: monoio::net::TcpStream, mut count: Count) -> io::Result<()> {
    use monoio::io::{AsyncReadRent, AsyncWriteRentExt};

    stream.set_nodelay(true)?;
    let mut buf = Vec::with_capacity(buffer_bytes(count.frame_bytes));
    loop {
        let (result, filled) = stream.read(buf).await;
        let bytes = result?;
        if bytes == 0 {
            return Ok(());
        }
        let (result, sent) = stream.write_all(filled).await;
        result?;
        count.add(bytes);
        buf = sent;
        buf.clear();
    }
}

/// smol's local executor on async-io.
///
/// # Errors
/// If a thread cannot be started or cannot listen.
pub(super) fn smol(host: Host) -> io::Result<()> {
    on_each_cpu(host, serve_smol)
}

fn serve_smol(addr: SocketAddr, frame_bytes: usize, tally: &Arc<Tally>) -> io::Result<()> {
    let executor = Rc::new(smol::LocalExecutor::new());
    smol::block_on(executor.run(async {
        let listener = smol::Async::new(listen(addr)?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            executor.spawn(echo_smol(stream, Count::new(tally, frame_bytes))).detach();
        }
    }))
}

async fn echo_smol(
    mut stream: smol::Async<std::net::TcpStream>,
    mut count: Count,
) -> io::Result<()> {
    use smol::io::{AsyncReadExt, AsyncWriteExt};

    stream.get_ref().set_nodelay(true)?;
    let mut buf = vec![0; buffer_bytes(count.frame_bytes)];
    loop {
        let bytes = stream.read(&mut buf).await?;
        if bytes == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..bytes]).await?;
        count.add(bytes);
    }
}

/// compio on its poll driver.
///
/// # Errors
/// If a thread cannot be started or cannot listen.
pub(super) fn compio(host: Host) -> io::Result<()> {
    on_each_cpu(host, serve_compio)
}

fn serve_compio(addr: SocketAddr, frame_bytes: usize, tally: &Arc<Tally>) -> io::Result<()> {
    compio::runtime::Runtime::new()?.block_on(async {
        let listener = compio::net::TcpListener::from_std(listen(addr)?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let echo = echo_compio(stream, Count::new(tally, frame_bytes));
            compio::runtime::spawn(echo).detach();
        }
    })
}

async fn echo_compio(mut stream: compio::net::TcpStream, mut count: Count) -> io::Result<()> {
    use compio::BufResult;
    use compio::io::{AsyncRead, AsyncWriteExt};

    stream.set_nodelay(true)?;
    let mut buf = Vec::with_capacity(buffer_bytes(count.frame_bytes));
    loop {
        let BufResult(result, filled) = stream.read(buf).await;
        let bytes = result?;
        if bytes == 0 {
            return Ok(());
        }
        let BufResult(result, sent) = stream.write_all(filled).await;
        result?;
        count.add(bytes);
        buf = sent;
        buf.clear();
    }
}
