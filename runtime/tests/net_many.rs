//! Ten thousand connections come and go, and nothing of them stays. Alone in its program, because it
//! counts what the process has.

mod peer;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use corelane::{
    Result, Server, StreamReader, StreamWriter, all_tasks, open_connection, open_unix_connection,
    run, start_server, start_unix_server, yield_now,
};
use peer::{receive, reset};

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

/// The same with both ends on this loop: over a Unix socket, with every other one aborted, and every third a
/// peer's that resets in mid-message.
async fn end_badly(tcp: &Server, unix: &Server, path: &str, count: usize) -> Result<()> {
    for number in 0..count {
        let (mut reader, writer) = open_unix_connection(path).await?;
        writer.write(b"hello")?;
        assert_eq!(reader.read_exactly(5).await?, "hello");
        if number % 2 == 0 {
            writer.abort();
        }
        if number % 3 == 0 {
            let mut peer = TcpStream::connect(&tcp.local_addrs()[..])?;
            peer.write_all(b"hel")?;
            reset(peer)?;
            let (_reader, writer) = open_connection(tcp.local_addrs()).await?;
            writer.write(&[7; 1000])?;
        }
        drop((reader, writer));
        while unix.connection_count() + tcp.connection_count() > 0 {
            yield_now().await;
        }
    }
    Ok(())
}

#[test]
fn ten_thousand_connections_leave_nothing_behind() {
    run(async || {
        corelane::set_report_handler(|_| {});
        let path = format!("\0corelane-many-{}", std::process::id());
        let server = start_server(echo, "127.0.0.1:0").await?;
        let unix = start_unix_server(echo, &path).await?;
        come_and_go(&server, 1_000).await?;
        end_badly(&server, &unix, &path, 500).await?;
        let (descriptors, bytes) = (descriptor_count()?, resident_bytes()?);
        come_and_go(&server, 10_000).await?;
        end_badly(&server, &unix, &path, 3_000).await?;
        // The tasks of the last connections end a turn after these are gone.
        corelane::sleep(Duration::from_millis(1)).await;
        assert_eq!(all_tasks()?.len(), 1, "only main is left");
        assert_eq!(descriptor_count()?, descriptors);
        let grown_bytes = resident_bytes()?.saturating_sub(bytes);
        assert!(grown_bytes < 1 << 20, "{grown_bytes} bytes more than before");
        Ok(())
    })
    .unwrap();
}
