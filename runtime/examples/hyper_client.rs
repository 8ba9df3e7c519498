//! hyper as a client: `cargo run --features hyper --example hyper_client`, with `hyper_server` running.

use bytes::Bytes;
use corelane::{Duplex, Result, ToSocketAddrs, create_task, open_connection};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1;

fn main() -> Result<()> {
    corelane::run(async || {
        let body = get("127.0.0.1:8080", "/index").await?;
        print!("{}", String::from_utf8_lossy(&body));
        Ok(())
    })
}

/// The body of one answer.
pub(crate) async fn get(addr: impl ToSocketAddrs, path: &str) -> Result<Bytes> {
    let (reader, writer) = open_connection(addr).await?;
    let (mut sender, connection) = http1::handshake(Duplex::new(reader, writer)).await?;
    // The connection is a task of its own; it ends when the sender is dropped.
    let connection = create_task(async move { Ok(connection.await?) });
    let request = Request::get(path).header("host", "127.0.0.1").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let body = response.into_body().collect().await?.to_bytes();
    drop(sender);
    connection.await?;
    Ok(body)
}
