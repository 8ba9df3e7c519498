//! One connection: TLS, the choice of a protocol, and hyper.

use std::cell::Cell;
use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use corelane::bridge::{HyperExecutor, HyperTimer};
use corelane::tls::TlsAcceptor;
use corelane::{Duplex, Result, StreamReader, StreamWriter, wait_for};
use corelane_shards::Shard;
use hyper::rt;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;

use super::metrics::{OpenConnection, count_failure};
use super::options::Options;
use super::service::answer;
use crate::common::{Activity, hear_out};

/// With these bytes every connection of HTTP/2 begins.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The longest head of a request.
const HEAD_BYTES: usize = 64 * 1024;

/// What every connection of a shard needs.
pub(super) struct Door {
    pub(super) shard: Shard,
    pub(super) options: Options,
    pub(super) acceptor: Option<TlsAcceptor>,
}

/// Serves a connection until either side ends it, it is idle for too long, or the server ends.
///
/// # Errors
/// When its task is cancelled. What a client does is counted and is no failure of ours.
pub(super) async fn handle(
    door: &Door,
    mut reader: StreamReader,
    writer: StreamWriter,
) -> Result<()> {
    let _open = OpenConnection::new();
    let last = writer.clone();
    let begun = wait_for(begin(door, &mut reader, &writer), door.options.header_timeout()).await;
    let result = match begun {
        Ok(is_http_2) => {
            let (activity, ended) = (Activity::default(), Rc::default());
            let io = Watched::new(Duplex::new(reader, writer), &activity, &ended);
            let result = if is_http_2 {
                serve_http_2(door, io, &activity).await
            } else {
                serve_http_1(door, io, &activity).await
            };
            if let Some(mut duplex) = ended.take() {
                hear_out(duplex.reader()).await;
            }
            result
        }
        Err(error) if error.is_cancelled() => return Err(error),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
        count_failure();
        // Its client may take nothing any more, for which a closed connection would wait.
        last.abort();
    }
    Ok(())
}

/// Shakes hands, if there is TLS, and tells whether the client speaks HTTP/2.
async fn begin(door: &Door, reader: &mut StreamReader, writer: &StreamWriter) -> Result<bool> {
    if let Some(acceptor) = &door.acceptor {
        writer.start_tls(reader, acceptor).await?;
    }
    while HTTP_2.starts_with(reader.buffer()) && reader.buffer().len() < HTTP_2.len() {
        if !reader.read_more().await? {
            break;
        }
    }
    Ok(reader.buffer().starts_with(HTTP_2))
}

/// What ends a connection badly.
type Failure = Box<dyn StdError>;

async fn serve_http_1(
    door: &Door,
    io: Watched,
    activity: &Activity,
) -> std::result::Result<(), Failure> {
    let service = service_fn(|request| answer(&door.shard, request));
    // Without `pipeline_flush`, which takes the bound off what hyper keeps for a client that does not read.
    let mut builder = http1::Builder::new();
    builder
        .timer(HyperTimer::new())
        .header_read_timeout(door.options.header_timeout())
        .max_buf_size(HEAD_BYTES);
    let connection = pin!(builder.serve_connection(io, service));
    until_the_end(door, connection, http1::Connection::graceful_shutdown, activity).await
}

async fn serve_http_2(
    door: &Door,
    io: Watched,
    activity: &Activity,
) -> std::result::Result<(), Failure> {
    // The streams of a connection are tasks of their own.
    let shard = door.shard.clone();
    let service = service_fn(move |request| {
        let shard = shard.clone();
        async move { answer(&shard, request).await }
    });
    let mut builder = http2::Builder::new(HyperExecutor);
    builder
        .timer(HyperTimer::new())
        .max_concurrent_streams(door.options.max_streams)
        .max_header_list_size(HEAD_BYTES as u32);
    let connection = pin!(builder.serve_connection(io, service));
    until_the_end(door, connection, http2::Connection::graceful_shutdown, activity).await
}

/// Drives a connection. When it is idle, or the server ends, it is asked to end after what it is doing. One that
/// is idle in the middle of a request or an answer has a little more time.
async fn until_the_end<C>(
    door: &Door,
    mut connection: Pin<&mut C>,
    ask: impl Fn(Pin<&mut C>),
    activity: &Activity,
) -> std::result::Result<(), Failure>
where
    C: Future<Output = hyper::Result<()>>,
{
    let limit = door.options.shards.idle_timeout();
    let is_idle = Cell::new(false);
    let mut patience = pin!(async {
        activity.quiet(limit).await;
        is_idle.set(true);
        activity.quiet(limit / 4).await;
    });
    let mut ending = pin!(door.shard.shutdown().requested());
    let mut is_asked = false;
    poll_fn(|context| {
        let is_over = patience.as_mut().poll(context).is_ready();
        if !is_asked && (is_idle.get() || ending.as_mut().poll(context).is_ready()) {
            is_asked = true;
            ask(connection.as_mut());
        }
        match connection.as_mut().poll(context) {
            Poll::Pending if is_over => {
                Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut).into()))
            }
            step => step.map_err(Failure::from),
        }
    })
    .await
}

/// A connection that notes whenever a byte moves. If our end was said when hyper lets go of it, it is given back: its
/// client may not have read the last answers yet.
struct Watched {
    /// Until it is given back.
    duplex: Option<Duplex>,
    activity: Activity,
    said_end: bool,
    ended: Rc<Cell<Option<Duplex>>>,
}

impl Watched {
    fn new(duplex: Duplex, activity: &Activity, ended: &Rc<Cell<Option<Duplex>>>) -> Self {
        let (activity, ended) = (activity.clone(), Rc::clone(ended));
        Self { duplex: Some(duplex), activity, said_end: false, ended }
    }

    fn duplex(&mut self) -> Pin<&mut Duplex> {
        Pin::new(self.duplex.as_mut().expect("it is there until this is dropped"))
    }

    fn note<T>(&self, step: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if step.is_ready() {
            self.activity.note();
        }
        step
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.ended.set(self.duplex.take().filter(|_| self.said_end));
    }
}

impl rt::Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let step = self.duplex().poll_read(context, to);
        self.note(step)
    }
}

impl rt::Write for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let step = self.duplex().poll_write(context, bytes);
        self.note(step)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.duplex().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = self.duplex().poll_shutdown(context);
        self.said_end = matches!(step, Poll::Ready(Ok(())));
        step
    }

    fn is_write_vectored(&self) -> bool {
        self.duplex.as_ref().is_some_and(rt::Write::is_write_vectored)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let step = self.duplex().poll_write_vectored(context, slices);
        self.note(step)
    }
}
