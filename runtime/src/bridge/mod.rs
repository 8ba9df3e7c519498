//! What lets the crates that others wrote run on this loop, each behind a feature of its name.
//!
//! | feature | what it gives |
//! |---|---|
//! | `futures-io` | `Sink` for a [`FrameSink`](crate::codec::FrameSink); `AsyncRead` and `AsyncBufRead` for readers, `AsyncWrite` for writers, all three for [`Duplex`] |
//! | | the first and the last also for [`TcpStream`], [`UnixStream`] and their halves |
//! | `tokio-io` | the same of tokio, without tokio's runtime: `tokio_util::codec`, `tokio::io::copy_bidirectional` |
//! | `hyper` | hyper 1's `Read` and `Write` for [`Duplex`]; `HyperTimer` and `HyperExecutor` |
//!
//! All of them keep what the streams promise. A write is taken into the stream's buffer and leaves at the end of
//! the turn, or when it is flushed; above the high water mark it waits, so a peer that does not read costs
//! no more memory than that mark and 16 KiB. Flushing waits until the system has every byte, shutting down
//! half-closes after that. A future of these crates that is dropped loses no byte that came, and none that was
//! taken.
//!
//! What needs the runtime of tokio itself does not run here, whatever the features: its timers (`tokio::time`), its
//! sockets (`tokio::net`), its `spawn`, and crates that are built on these, such as reqwest, panic without a tokio
//! runtime around them. Its channels and locks (`tokio::sync`) work on any loop. Such crates run beside the loops:
//! in a tokio runtime on a thread of its own that is asked by [`run_coroutine_threadsafe`] or a channel, as the
//! example `beside_tokio` of the repository does.
//!
//! [`run_coroutine_threadsafe`]: crate::run_coroutine_threadsafe
//!
//! A poll that has to wait is woken for the last task that polled: one for a reader, one for each clone of a
//! writer.
//!
//! # A server and a client of hyper
//!
//! The same stand as `hyper_server` and `hyper_client` among the examples.
#![cfg_attr(
    feature = "hyper",
    doc = r#"
```
use bytes::Bytes;
use corelane::bridge::HyperTimer;
use corelane::{Duplex, Result, StreamReader, StreamWriter, create_task, open_connection};
use http_body_util::{BodyExt, Empty, Full};
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};

async fn serve(reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let answer = service_fn(async |request: Request<_>| {
        let text = format!("you asked for {}", request.uri().path());
        Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(text))))
    });
    let mut server = server::conn::http1::Builder::new();
    server.timer(HyperTimer::new());
    Ok(server.serve_connection(Duplex::new(reader, writer), answer).await?)
}

corelane::run(async || {
    let server = corelane::start_server(serve, "127.0.0.1:0").await?;
    let (reader, writer) = open_connection(server.local_addrs()[0]).await?;
    let duplex = Duplex::new(reader, writer);
    let (mut sender, connection) = client::conn::http1::handshake(duplex).await?;
    let connection = create_task(async { Ok(connection.await?) });
    let request = Request::get("/index").header("host", "here").body(Empty::<Bytes>::new())?;
    let body = sender.send_request(request).await?.into_body().collect().await?;
    assert_eq!(body.to_bytes(), "you asked for /index");
    drop(sender); // ends the connection
    connection.await
})?;
# Ok::<(), corelane::Error>(())
```
"#
)]

#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "tokio-io")]
mod tokio_io;

#[cfg(feature = "hyper")]
pub use self::hyper::{HyperExecutor, HyperTimer};
#[cfg(doc)]
use crate::io::Duplex;
#[cfg(doc)]
use crate::net::{TcpStream, UnixStream};
