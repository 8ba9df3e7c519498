//! What connections cost in memory: nothing per request once warm, and little while idle. Alone in its
//! program, because it counts what the process allocates.

mod counting;
mod peer;

use std::io::Write;
use std::net::TcpStream;

use corelane::{Result, StreamReader, StreamWriter, start_server};
use counting::{allocations, live_bytes};
use peer::{run, settle};

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while !reader.fill_buf().await?.is_empty() {
        writer.write(reader.buffer())?;
        reader.consume(reader.buffer().len());
        writer.drain().await?;
    }
    Ok(())
}

/// One request and its answer, without an allocation of its own.
async fn request(peer: &mut TcpStream) -> Result<()> {
    use std::io::Read;
    peer.write_all(&[7; 64])?;
    let mut got = [0; 64];
    let mut filled = 0;
    while filled < got.len() {
        match peer.read(&mut got[filled..]) {
            Ok(count) => filled += count,
            Err(_) => corelane::yield_now().await,
        }
    }
    Ok(())
}

#[test]
fn a_warm_request_allocates_nothing_and_an_idle_connection_holds_little() {
    run(async || {
        let server = start_server(echo, "127.0.0.1:0").await?;
        let addrs = server.local_addrs();
        let connect = || -> Result<TcpStream> {
            let peer = TcpStream::connect(&addrs[..])?;
            peer.set_nonblocking(true)?;
            Ok(peer)
        };
        let mut peer = connect()?;
        for _ in 0..100 {
            request(&mut peer).await?;
        }
        let before = allocations();
        for _ in 0..1_000 {
            request(&mut peer).await?;
        }
        assert_eq!(allocations() - before, 0);

        let mut peers: Vec<TcpStream> = Vec::with_capacity(2_000);
        for _ in 0..1_000 {
            peers.push(connect()?);
            request(peers.last_mut().expect("just pushed")).await?;
        }
        settle().await;
        let before = live_bytes();
        // From 1,001 to 2,000 no table grows, so this is what connections cost by themselves: stream,
        // handler's task, buffers that they should not hold.
        for _ in 1_000..2_000 {
            peers.push(connect()?);
            request(peers.last_mut().expect("just pushed")).await?;
        }
        settle().await;
        let each = (live_bytes() - before) / 1_000;
        println!("an idle connection holds {each} bytes of heap");
        assert!(each <= 500, "an idle connection holds {each} bytes");
        Ok(())
    })
    .unwrap();
}
