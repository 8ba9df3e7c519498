//! hyper on tokio's current-thread runtime, one on each CPU, in two ways: the greeting alone, and the greeting with
//! what the example does for each request besides. What those are compared with.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::greeting::{HEAD_BYTES, HEAD_LIMIT, IDLE_LIMIT, greet, route};
use super::hosted::{Host, listen, on_each_cpu};

/// Serves greetings until the process ends.
///
/// # Errors
/// If a thread cannot be started or cannot listen.
pub(super) fn hello(host: Host) -> io::Result<()> {
    on_each_cpu(host, |addr, _, _| serve(addr, greet_all))
}

/// Serves as the example does until the process ends.
///
/// # Errors
/// As [`hello`].
pub(super) fn limited(host: Host) -> io::Result<()> {
    on_each_cpu(host, |addr, _, _| serve(addr, serve_limited))
}

/// What the connections of a runtime share.
#[derive(Default)]
struct Door {
    /// The end of the server, which nobody asks for here: each connection watches for it all the same.
    ending: Notify,
    requests: AtomicU64,
}

fn serve<F>(addr: SocketAddr, connection: fn(TcpStream, Arc<Door>) -> F) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let door = Arc::<Door>::default();
        let listener = TcpListener::from_std(listen(addr)?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(connection(stream, Arc::clone(&door)));
        }
    })
}

fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(HEAD_BYTES);
    builder
}

async fn greet_all(stream: TcpStream, _door: Arc<Door>) {
    // A connection that breaks concerns nobody else.
    let _ = builder().serve_connection(TokioIo::new(stream), service_fn(greet)).await;
}

async fn serve_limited(stream: TcpStream, door: Arc<Door>) {
    let activity = Arc::new(AtomicBool::new(false));
    let io = Watched { stream: TokioIo::new(stream), activity: Arc::clone(&activity) };
    let service = service_fn(|request| {
        door.requests.fetch_add(1, Ordering::Relaxed);
        route(request)
    });
    let mut connection = pin!(builder().serve_connection(io, service));
    let mut patience = pin!(quiet(&activity, IDLE_LIMIT));
    let mut ending = pin!(door.ending.notified());
    let mut is_asked = false;
    poll_fn(|context| {
        let is_idle = patience.as_mut().poll(context).is_ready();
        if !is_asked && ending.as_mut().poll(context).is_ready() {
            is_asked = true;
            connection.as_mut().graceful_shutdown();
        }
        match connection.as_mut().poll(context) {
            Poll::Pending if !is_idle => Poll::Pending,
            _ => Poll::Ready(()),
        }
    })
    .await;
}

/// Waits until nothing has moved for `limit`, or for a quarter more at most.
async fn quiet(activity: &AtomicBool, limit: Duration) {
    let mut quiet_count = 0;
    while quiet_count < 4 {
        sleep(limit / 4).await;
        let has_moved = activity.swap(false, Ordering::Relaxed);
        quiet_count = if has_moved { 0 } else { quiet_count + 1 };
    }
}

/// A connection that notes whenever a byte moves.
struct Watched {
    stream: TokioIo<TcpStream>,
    activity: Arc<AtomicBool>,
}

impl Watched {
    fn note<T>(&self, step: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if step.is_ready() {
            self.activity.store(true, Ordering::Relaxed);
        }
        step
    }
}

impl rt::Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let step = Pin::new(&mut self.stream).poll_read(context, to);
        self.note(step)
    }
}

impl rt::Write for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let step = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(step)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let step = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(step)
    }
}
