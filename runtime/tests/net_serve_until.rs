//! `Server::serve_until`: a server that ends in time, whoever is connected.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod peer;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use corelane::sync::Event;
use corelane::{
    Result, Server, StreamReader, StreamWriter, create_task, open_connection, start_server,
};
use peer::{run, settle};

const LONG: Duration = Duration::from_secs(3_600);

/// Answers each line with itself.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write_bytes(line)?;
    }
    Ok(())
}

async fn started() -> Result<(Rc<Server>, std::net::SocketAddr)> {
    let server = start_server(echo, "127.0.0.1:0").await?;
    let addr = server.local_addrs()[0];
    Ok((Rc::new(server), addr))
}

#[test]
fn idle_connections_are_aborted_after_the_grace() {
    run(async || {
        let (server, addr) = started().await?;
        let (mut reader, _writer) = open_connection(addr).await?;
        let (stop, shared) = (Event::new(), Rc::clone(&server));
        let wanted = stop.clone();
        let serving = create_task(async move {
            shared.serve_until(async { wanted.wait().await }, Duration::from_millis(1)).await
        });
        settle().await;
        stop.set();
        serving.await?;
        assert_eq!(server.connection_count(), 0);
        assert!(!server.is_serving());
        let _ = reader.read_to_end().await;
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_connection_that_ends_within_the_grace_is_served_to_its_end() {
    run(async || {
        let (server, addr) = started().await?;
        let (mut reader, writer) = open_connection(addr).await?;
        writer.write(b"before\n")?;
        assert_eq!(reader.read_line().await?, "before\n");
        let serving = create_task(async move { server.serve_until(async {}, LONG).await });
        settle().await;
        assert!(open_connection(addr).await.is_err(), "nobody listens any more");
        writer.write(b"after\n")?;
        assert_eq!(reader.read_line().await?, "after\n");
        writer.close();
        serving.await
    })
    .unwrap();
}

#[test]
fn a_cancellation_stops_it_with_the_same_grace() {
    let ended = Rc::new(Cell::new(false));
    let seen = Rc::clone(&ended);
    run(async move || {
        let (server, addr) = started().await?;
        let (_reader, _writer) = open_connection(addr).await?;
        let shared = Rc::clone(&server);
        let serving = create_task(async move {
            let never = Event::new();
            shared.serve_until(async { never.wait().await }, Duration::from_millis(1)).await
        });
        settle().await;
        serving.cancel();
        assert!(serving.await.unwrap_err().is_cancelled());
        assert_eq!(server.connection_count(), 0);
        seen.set(true);
        Ok(())
    })
    .unwrap();
    assert!(ended.get());
}

#[test]
fn a_server_that_is_closed_ends_it() {
    run(async || {
        let (server, _) = started().await?;
        let shared = Rc::clone(&server);
        let serving = create_task(async move {
            let never = Event::new();
            shared.serve_until(async { never.wait().await }, LONG).await
        });
        settle().await;
        server.close();
        serving.await?;
        assert!(server.serve_until(async {}, LONG).await.unwrap_err().is_runtime());
        Ok(())
    })
    .unwrap();
}
