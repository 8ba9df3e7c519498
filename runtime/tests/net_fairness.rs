//! A peer that always has more does not have the loop for itself: others get their turns meanwhile. Each test
//! fills the socket again after every piece, so there is always more, however slow the machine.

mod peer;

use std::cell::Cell;
use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use corelane::{ConnectBuilder, Result, StreamReader, UdpSocket, create_task, yield_now};
use peer::run;

const TOTAL_BYTES: usize = 64 << 20;

/// Runs `body`, and says how many turns another task had meanwhile.
async fn turns_during<T>(body: impl Future<Output = Result<T>>) -> Result<(T, usize)> {
    let turns = Rc::new(Cell::new(0));
    let counted = Rc::clone(&turns);
    let ticker = create_task(async move {
        while Rc::strong_count(&counted) > 1 {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
        Ok(())
    });
    let output = body.await?;
    let count = turns.get();
    drop(turns);
    ticker.await?;
    Ok((output, count))
}

/// Writes as much as the socket takes, and says how much that was.
fn fill(peer: &mut impl Write) -> io::Result<usize> {
    let piece = [7; 64 * 1024];
    let mut filled = 0;
    loop {
        match peer.write(&piece) {
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(filled),
            Err(error) => return Err(error),
        }
    }
}

/// Reads from a socket that is never empty.
async fn read_much(reader: &mut StreamReader, mut peer: impl Write) -> Result<()> {
    let mut read = 0;
    while read < TOTAL_BYTES {
        fill(&mut peer)?;
        let count = reader.read(16 * 1024).await?.len();
        assert!(count > 0, "the end came early");
        read += count;
    }
    Ok(())
}

#[test]
fn g8_a_reader_slower_than_its_sender_lets_others_run() {
    run(async || {
        let (mut reader, _writer, peer) = peer::pair().await?;
        peer.set_nonblocking(true)?;
        let ((), turns) = turns_during(read_much(&mut reader, peer)).await?;
        assert!(turns >= TOTAL_BYTES >> 20, "{turns} turns");
        Ok(())
    })
    .unwrap();
}

#[test]
fn g8_on_a_unix_socket_as_well() {
    run(async || {
        let (ours, peer) = UnixStream::pair()?;
        peer.set_nonblocking(true)?;
        let (mut reader, _writer) = corelane::UnixStream::from_std(ours)?.into_streams();
        let ((), turns) = turns_during(read_much(&mut reader, peer)).await?;
        assert!(turns >= TOTAL_BYTES >> 20, "{turns} turns");
        Ok(())
    })
    .unwrap();
}

#[test]
fn g8_a_large_limit_does_not_bring_everything_in_one_turn() {
    run(async || {
        let builder = ConnectBuilder::new().limit_bytes(1 << 30);
        let (mut reader, _writer, mut peer) = peer::pair_with(&builder).await?;
        peer.set_nonblocking(true)?;
        let filled = fill(&mut peer)?;
        let mut turns = 0;
        while reader.buffer().len() < filled {
            let before = reader.buffer().len();
            reader.read_more().await?;
            assert!(reader.buffer().len() - before <= 1 << 20, "after {turns} turns");
            turns += 1;
        }
        assert_eq!(reader.buffer().len(), filled);
        Ok(())
    })
    .unwrap();
}

#[test]
fn g8_a_flood_of_datagrams_lets_others_run() {
    run(async || {
        const COUNT: usize = 20_000;
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let sender = std::net::UdpSocket::bind("127.0.0.1:0")?;
        sender.connect(socket.local_addr()?)?;
        for _ in 0..70 {
            sender.send(b"more")?;
        }
        let receive = async {
            for _ in 0..COUNT {
                // What arrives on loopback has arrived when the call returns.
                sender.send(b"more")?;
                socket.recv_datagram().await?;
            }
            Ok(())
        };
        let ((), turns) = turns_during(receive).await?;
        assert!(turns >= COUNT / 100, "{turns} turns");
        Ok(())
    })
    .unwrap();
}

#[test]
fn g8_who_sends_datagrams_on_and_on_lets_others_run() {
    run(async || {
        const COUNT: usize = 10_000;
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let sink = std::net::UdpSocket::bind("127.0.0.1:0")?;
        let sink_addr = sink.local_addr()?;
        let send = async {
            for _ in 0..COUNT {
                socket.send_to(b"on", sink_addr).await?;
            }
            Ok(())
        };
        let ((), turns) = turns_during(send).await?;
        assert!(turns >= COUNT / 100, "{turns} turns");
        Ok(())
    })
    .unwrap();
}
