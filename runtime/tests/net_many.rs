//! Many connections come and go, and nothing of them stays. Alone in its program, because it counts what the
//! process has. `CORELANE_CONNECTIONS` says how many of each end; `scripts/deep.sh` takes ten thousand.

mod peer;

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use corelane::{
    Result, Server, StreamReader, StreamWriter, open_connection, open_unix_connection,
    set_report_handler, start_server, start_unix_server, yield_now,
};
use peer::{connection_count, leaves_nothing, receive, reset, run_many};

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while !reader.fill_buf().await?.is_empty() {
        writer.write(reader.buffer())?;
        reader.consume(reader.buffer().len());
    }
    Ok(())
}

/// How the peers of a round end their connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Reset,
    /// They say that they will send no more, and wait for the other end.
    HalfClose,
}

/// Opens connections in rounds of a hundred, uses each, and ends them.
async fn come_and_go(server: &Server, end: End, count: usize) -> Result<()> {
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
        for mut peer in peers {
            match end {
                End::Close => drop(peer),
                End::Reset => reset(peer)?,
                End::HalfClose => {
                    peer.shutdown(Shutdown::Write)?;
                    assert!(receive(&mut peer, 1).await?.is_empty());
                }
            }
        }
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
            writer.write([7; 1000])?;
        }
        drop((reader, writer));
        while unix.connection_count() + tcp.connection_count() > 0 {
            yield_now().await;
        }
    }
    Ok(())
}

#[test]
fn many_connections_of_each_end_leave_nothing_behind() {
    let count = connection_count(4_000);
    run_many(count, async move || {
        set_report_handler(|_| {});
        let path = format!("\0corelane-many-{}", std::process::id());
        let server = start_server(echo, "127.0.0.1:0").await?;
        let unix = start_unix_server(echo, &path).await?;
        leaves_nothing("of each end", count, async |count| {
            for end in [End::Close, End::Reset, End::HalfClose] {
                come_and_go(&server, end, count).await?;
            }
            end_badly(&server, &unix, &path, count * 3 / 10).await
        })
        .await
    })
    .unwrap();
}
