//! What TLS costs in memory: little while idle, and the same after many connections as before. Alone in its
//! program, because it counts what the process allocates.
#![cfg(feature = "tls")]

mod counting;
mod peer;
mod tls_support;

use corelane::{ConnectBuilder, Result, StreamReader, StreamWriter};
use counting::{allocations, live_bytes};
use peer::settle;
use tls_support::{Authority, echo_server, test};

async fn request((reader, writer): &mut (StreamReader, StreamWriter)) -> Result<()> {
    writer.write(b"sixteen bytes..\n")?;
    reader.fill_buf().await?;
    reader.consume(reader.buffer().len());
    Ok(())
}

#[test]
fn idle_connections_hold_little_and_closed_ones_nothing() {
    test(async || {
        let authority = Authority::new();
        let server = echo_server(&authority.acceptor()).await?;
        let builder = ConnectBuilder::new().tls(&authority.connector());
        let addr = server.local_addrs()[0];
        let mut clients = Vec::with_capacity(200);
        for _ in 0..100 {
            clients.push(builder.open(addr).await?);
            request(clients.last_mut().expect("just pushed")).await?;
        }
        settle().await;
        let before = live_bytes();
        for _ in 0..100 {
            clients.push(builder.open(addr).await?);
            request(clients.last_mut().expect("just pushed")).await?;
        }
        settle().await;
        let each = (live_bytes() - before) / 200;
        println!("one end of an idle TLS connection holds {each} bytes of heap");
        assert!(each <= 12_000, "one end holds {each} bytes");

        let client = &mut clients[0];
        for _ in 0..100 {
            request(client).await?;
        }
        let before = allocations();
        for _ in 0..1_000 {
            request(client).await?;
        }
        let each = (allocations() - before) / 1_000;
        println!("a request and its answer make {each} allocations, both ends together");

        // Where one has been, a thousand are: nothing is left of any.
        clients.truncate(100);
        while server.connection_count() > 100 {
            settle().await;
        }
        let before = live_bytes();
        for _ in 0..300 {
            let mut client = builder.open(addr).await?;
            request(&mut client).await?;
        }
        while server.connection_count() > 100 {
            settle().await;
        }
        settle().await;
        let left = live_bytes().abs_diff(before);
        assert!(left < 20_000, "300 connections have left {left} bytes");
        Ok(())
    });
}
