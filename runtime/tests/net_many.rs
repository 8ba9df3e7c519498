//! Ten thousand connections come and go, and nothing of them stays. Alone in its program, because it
//! counts what the process has.

mod peer;

use std::io::Write;
use std::net::TcpStream;

use corelane::{Result, Server, StreamReader, StreamWriter, run, start_server, yield_now};
use peer::receive;

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while !reader.fill_buf().await?.is_empty() {
        writer.write(reader.buffer())?;
        reader.consume(reader.buffer().len());
    }
    Ok(())
}

fn descriptor_count() -> Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}

fn resident_bytes() -> Result<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = pages.split(' ').nth(1).unwrap_or("0").parse()?;
    Ok(pages * 4096)
}

/// Opens connections in rounds of a hundred, uses each, and closes them.
async fn come_and_go(server: &Server, count: usize) -> Result<()> {
    for _ in 0..count / 100 {
        let mut peers = Vec::new();
        for _ in 0..100 {
            let mut peer = TcpStream::connect(&server.local_addrs()[..])?;
            peer.write_all(b"hello")?;
            peers.push(peer);
        }
        for peer in &mut peers {
            assert_eq!(receive(peer, 5).await?, b"hello");
        }
        drop(peers);
        while server.connection_count() > 0 {
            yield_now().await;
        }
    }
    Ok(())
}

#[test]
fn ten_thousand_connections_leave_nothing_behind() {
    run(async || {
        let server = start_server(echo, "127.0.0.1:0").await?;
        come_and_go(&server, 1_000).await?;
        let (descriptors, bytes) = (descriptor_count()?, resident_bytes()?);
        come_and_go(&server, 10_000).await?;
        assert_eq!(descriptor_count()?, descriptors);
        let grown_bytes = resident_bytes()?.saturating_sub(bytes);
        assert!(grown_bytes < 1 << 20, "{grown_bytes} bytes more than before");
        Ok(())
    })
    .unwrap();
}
