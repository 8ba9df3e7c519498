//! hyper 1 as server and as client over our streams, on one loop and with nothing that is `Send`.

mod peer;

use std::cell::Cell;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use corelane::bridge::{HyperExecutor, HyperTimer};
use corelane::{ConnectBuilder, Duplex, Result, create_task, now, run, yield_now};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use peer::{pair, pattern, receive, settle};

type Body = Full<Bytes>;

/// Two ends of one connection, both ours.
async fn both_ends() -> Result<(Duplex, Duplex)> {
    let (reader, writer, peer) = pair().await?;
    let far = ConnectBuilder::new().adopt(peer)?;
    Ok((Duplex::new(reader, writer), Duplex::from(far)))
}

/// Answers with what came, and counts.
async fn echo(
    request: Request<Incoming>,
    served: Rc<Cell<usize>>,
) -> std::result::Result<Response<Body>, hyper::Error> {
    served.set(served.get() + 1);
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Full::new(body)))
}

#[test]
fn http_1_requests_follow_one_another_on_a_connection() {
    run(async || {
        let (near, far) = both_ends().await?;
        let served = Rc::new(Cell::new(0));
        let counted = Rc::clone(&served);
        let serving = create_task(async move {
            let service = service_fn(move |request| echo(request, Rc::clone(&counted)));
            let mut server = server::conn::http1::Builder::new();
            server.timer(HyperTimer::new()).header_read_timeout(Duration::from_secs(20));
            Ok(server.serve_connection(far, service).await?)
        });
        let (mut sender, connection) = client::conn::http1::handshake(near).await?;
        let connection = create_task(async move { Ok(connection.await?) });
        // From a byte to more than all buffers on the way hold.
        for count_bytes in [0, 1, 16_384, 100_000, 9_000_000] {
            let body = Full::new(Bytes::from(pattern(count_bytes)));
            let response = sender.send_request(Request::post("/").body(body)?).await?;
            let answer = response.into_body().collect().await?.to_bytes();
            assert!(answer == pattern(count_bytes));
        }
        assert_eq!(served.get(), 5);
        drop(sender);
        connection.await?;
        serving.await
    })
    .unwrap();
}

#[test]
fn http_2_streams_share_a_connection() {
    run(async || {
        let (near, far) = both_ends().await?;
        let served = Rc::new(Cell::new(0));
        let counted = Rc::clone(&served);
        let serving = create_task(async move {
            let service = service_fn(move |request| echo(request, Rc::clone(&counted)));
            let mut server = server::conn::http2::Builder::new(HyperExecutor);
            server.timer(HyperTimer::new()).keep_alive_interval(Duration::from_secs(20));
            Ok(server.serve_connection(far, service).await?)
        });
        let (sender, connection) = client::conn::http2::handshake(HyperExecutor, near).await?;
        let connection = create_task(async move { Ok(connection.await?) });
        let requests: Vec<_> = (0..20)
            .map(|number| {
                let mut sender = sender.clone();
                create_task(async move {
                    let body = Full::new(Bytes::from(pattern(number * 10_000)));
                    let response = sender.send_request(Request::post("/").body(body)?).await?;
                    let answer = response.into_body().collect().await?.to_bytes();
                    assert!(answer == pattern(number * 10_000));
                    Ok(())
                })
            })
            .collect();
        for request in requests {
            request.await?;
        }
        assert_eq!(served.get(), 20);
        drop(sender);
        connection.await?;
        serving.await
    })
    .unwrap();
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for_longer_than_its_timeout() {
    run(async || {
        let (reader, writer, mut peer) = pair().await?;
        let service = service_fn(|_| async { Ok::<_, Infallible>(Response::new(Body::default())) });
        let mut server = server::conn::http1::Builder::new();
        server.timer(HyperTimer::new()).header_read_timeout(Duration::from_millis(30));
        peer.write_all(b"GET / HT")?;
        let start = now();
        let ended = server.serve_connection(Duplex::new(reader, writer), service).await;
        assert!(ended.unwrap_err().is_timeout());
        assert!(now() - start >= Duration::from_millis(30));
        Ok(())
    })
    .unwrap();
}

#[test]
fn pipelined_requests_are_answered_in_order_by_few_writes() {
    run(async || {
        let (reader, writer, mut peer) = pair().await?;
        let serving = create_task(async move {
            let service = service_fn(|request: Request<Incoming>| async move {
                let path = Bytes::copy_from_slice(request.uri().path().as_bytes());
                Ok::<_, Infallible>(Response::new(Full::new(path)))
            });
            let mut server = server::conn::http1::Builder::new();
            server.pipeline_flush(true).half_close(true);
            Ok(server.serve_connection(Duplex::new(reader, writer), service).await?)
        });
        let paths: Vec<_> = (0..16).map(|number| format!("/{number}")).collect();
        for path in &paths {
            write!(peer, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")?;
        }
        peer.shutdown(std::net::Shutdown::Write)?;
        settle().await;
        let mut got = String::new();
        peer.set_nonblocking(false)?;
        serving.await?;
        peer.read_to_string(&mut got)?;
        let answered: Vec<_> = got.lines().filter(|line| line.starts_with('/')).collect();
        // A body has no line end of its own: the next head begins on its line.
        let bodies: Vec<_> =
            answered.iter().map(|line| line.trim_end_matches("HTTP/1.1 200 OK")).collect();
        assert_eq!(bodies, paths);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_client_that_does_not_read_stops_the_server_and_its_memory() {
    run(async || {
        let (reader, writer, mut peer) = pair().await?;
        let watched = writer.clone();
        let serving = create_task(async move {
            let service = service_fn(|_| async {
                let body = Full::new(Bytes::from(vec![b'x'; 30_000_000]));
                Ok::<_, Infallible>(Response::new(body))
            });
            let server = server::conn::http1::Builder::new();
            Ok(server.serve_connection(Duplex::new(reader, writer), service).await?)
        });
        peer.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        for _ in 0..500 {
            yield_now().await;
            assert!(watched.write_buffer_len() <= 65_536 + 16_384);
        }
        assert!(!serving.done());
        drop(watched);
        let mut got_bytes = 0;
        loop {
            let more = receive(&mut peer, 1_000_000).await?;
            got_bytes += more.len();
            if more.len() < 1_000_000 {
                break;
            }
        }
        assert!(got_bytes > 30_000_000);
        serving.await
    })
    .unwrap();
}
