//! hyper as a server: `cargo run --features hyper --example hyper_server`, then `curl http://127.0.0.1:8080/`.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use corelane::bridge::HyperTimer;
use corelane::{Duplex, Result, StreamReader, StreamWriter, start_server};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};

fn main() -> Result<()> {
    corelane::run(async || {
        let server = start_server(serve, "127.0.0.1:8080").await?;
        println!("listening on {:?}", server.local_addrs());
        server.serve_forever().await
    })
}

/// One connection.
pub(crate) async fn serve(reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let mut server = http1::Builder::new();
    server.timer(HyperTimer::new()).header_read_timeout(Duration::from_secs(10));
    server.serve_connection(Duplex::new(reader, writer), service_fn(answer)).await?;
    Ok(())
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(format!("you asked for {}\n", request.uri().path()).into()))
}
