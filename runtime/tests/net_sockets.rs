//! Sockets without buffers of their own: `TcpStream`, `TcpListener` and their Unix twins.

mod peer;

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net as plain;
use std::os::unix::net as plain_unix;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use corelane::{
    ConnectBuilder, Result, Runner, TcpListener, TcpStream, UnixListener, UnixStream, create_task,
    gather, timeout, yield_now,
};
use peer::{pattern, poll_once, reset, run, settle};

/// A connection of ours, and its other end.
async fn tcp() -> Result<(TcpStream, plain::TcpStream)> {
    let listener = plain::TcpListener::bind("127.0.0.1:0")?;
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    let (peer, _) = listener.accept()?;
    peer.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok((ours, peer))
}

/// Both ends ours.
async fn both() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    Ok((client, listener.accept().await?))
}

#[test]
fn bytes_go_both_ways_and_the_end_is_seen() {
    run(async || {
        let (mut client, mut server) = both().await?;
        assert_eq!(client.peer_addr()?, server.local_addr()?);
        client.write_all(b"ping").await?;
        let mut got = [0; 16];
        assert_eq!(server.read(&mut got).await?, 4);
        assert_eq!(&got[..4], b"ping");
        assert_eq!(server.write(b"").await?, 0);
        server.write_all(b"pong").await?;
        server.shutdown()?;
        assert_eq!(client.read(&mut []).await?, 0);
        assert_eq!(client.read(&mut got[..1]).await?, 1);
        assert_eq!(client.read(&mut got[1..]).await?, 3);
        assert_eq!(&got[..4], b"pong");
        for _ in 0..3 {
            assert_eq!(client.read(&mut got).await?, 0, "the end stays");
        }
        // The other direction goes on.
        client.write_all(b"still").await?;
        assert_eq!(server.read(&mut got).await?, 5);
        assert_eq!(server.write(b"late").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_read_that_is_given_up_takes_nothing() {
    run(async || {
        let (mut ours, mut peer) = tcp().await?;
        let mut lost = [0; 16];
        // Given up at once, given up when the bytes are there, and given up by `timeout`.
        {
            let mut reading = pin!(ours.read(&mut lost));
            assert!(poll_once(&mut reading).await.is_pending());
            peer.write_all(b"abc")?;
            settle().await;
        }
        assert_eq!(lost, [0; 16]);
        let mut got = [0; 16];
        assert_eq!(ours.read(&mut got).await?, 3);
        assert_eq!(&got[..3], b"abc");
        let nothing =
            timeout(Duration::from_millis(1), async |_| Ok(ours.read(&mut got).await?)).await;
        assert!(nothing.unwrap_err().is_timeout());
        peer.write_all(b"def")?;
        assert_eq!(ours.read(&mut got).await?, 3);
        assert_eq!(&got[..3], b"def");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_peek_leaves_what_it_shows() {
    run(async || {
        let (mut ours, mut peer) = tcp().await?;
        peer.write_all(b"GET /")?;
        let (mut first, mut all) = ([0; 3], [0; 16]);
        for _ in 0..2 {
            assert_eq!(ours.peek(&mut first).await?, 3);
            assert_eq!(&first, b"GET");
            assert_eq!(ours.peek(&mut all).await?, 5);
        }
        assert_eq!(ours.read(&mut all).await?, 5);
        assert_eq!(&all[..5], b"GET /");
        assert_eq!(ours.split().0.try_read(&mut all).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(peer);
        assert_eq!(ours.peek(&mut all).await?, 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_write_waits_for_a_peer_that_does_not_read_and_sends_everything_in_order() {
    run(async || {
        let (mut ours, mut peer) = tcp().await?;
        ours.set_send_buffer_bytes(100_000)?;
        let all = pattern(30_000_000);
        let mut full = 0;
        loop {
            match ours.split().1.try_write(&all[full..]) {
                Ok(count) => full += count,
                Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        assert!(full > 0 && full < all.len());
        let rest = all[full..].to_vec();
        let writing = create_task(async move {
            ours.write_all(&rest).await?;
            Ok(ours)
        });
        settle().await;
        assert!(!writing.done(), "there is no room");
        assert!(peer::receive(&mut peer, all.len()).await? == all);
        let mut ours = writing.await?;
        let slices = [IoSlice::new(b"one, "), IoSlice::new(b""), IoSlice::new(b"two")];
        assert_eq!(ours.split().1.write_vectored(&slices).await?, 8);
        assert_eq!(peer::receive(&mut peer, 8).await?, b"one, two");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_reset_fails_what_waits_and_what_comes_later() {
    run(async || {
        let (mut ours, peer) = tcp().await?;
        let mut got = [0; 4];
        {
            let mut reading = pin!(ours.read(&mut got));
            assert!(poll_once(&mut reading).await.is_pending());
            reset(peer)?;
            let error = reading.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        assert_eq!(ours.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_halves_go_to_two_tasks_and_the_writing_one_says_the_end_when_it_is_dropped() {
    run(async || {
        let (client, server) = both().await?;
        let (mut reader, mut writer) = server.into_split();
        let echo = create_task(async move {
            let mut bytes = [0; 1_000];
            loop {
                match reader.read(&mut bytes).await? {
                    0 => return Ok(()),
                    count => writer.write_all(&bytes[..count]).await?,
                }
            }
        });
        let (mut reader, mut writer) = client.into_split();
        let all = pattern(200_000);
        let sent = all.clone();
        let sending = create_task(async move {
            writer.write_all(&sent).await?;
            Ok(())
        });
        let mut got = Vec::new();
        let mut bytes = [0; 7_000];
        while got.len() < all.len() {
            let count = reader.read(&mut bytes).await?;
            assert!(count > 0);
            got.extend_from_slice(&bytes[..count]);
        }
        assert!(got == all);
        sending.await?;
        // Its writer is gone, so the echo has seen the end, and the end comes back.
        echo.await?;
        assert_eq!(reader.read(&mut bytes).await?, 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_dropped_socket_is_closed_and_a_dropped_listener_refuses() {
    run(async || {
        let (ours, mut peer) = tcp().await?;
        drop(ours);
        assert_eq!(peer.read(&mut [0])?, 0);
        let (ours, mut peer) = tcp().await?;
        let (reader, writer) = ours.into_split();
        drop(reader);
        drop(writer);
        assert_eq!(peer.read(&mut [0])?, 0);

        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        drop(listener);
        let refused = TcpStream::connect(addr).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        Ok(())
    })
    .unwrap();
}

#[test]
fn an_accept_that_is_given_up_loses_no_connection_and_waiters_take_turns() {
    run(async || {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
        let addr = listener.local_addr()?;
        let connect = || plain::TcpStream::connect(addr);
        {
            let mut accepting = pin!(listener.accept());
            assert!(poll_once(&mut accepting).await.is_pending());
            let mut peer = connect()?;
            peer.write_all(b"1")?;
            settle().await;
        }
        let mut got = [0];
        assert_eq!(listener.accept().await?.read(&mut got).await?, 1);
        assert_eq!(&got, b"1", "the one that came meanwhile");
        let accept = |number: u8| {
            let listener = Rc::clone(&listener);
            create_task(async move {
                let mut got = [0];
                listener.accept().await?.read(&mut got).await?;
                Ok((number, got[0]))
            })
        };
        let (given_up, second, third) = (accept(1), accept(2), accept(3));
        yield_now().await;
        given_up.cancel();
        let peers = [connect()?, connect()?];
        for (number, mut peer) in peers.iter().enumerate() {
            peer.write_all(&[number as u8])?;
        }
        let (second, third) = gather((second, third)).await?;
        assert_eq!((second, third), ((2, 0), (3, 1)));
        Ok(())
    })
    .unwrap();
}

#[test]
fn listeners_of_several_shards_share_an_address_only_if_they_say_so() {
    run(async || {
        let first = TcpListener::bind_shared("127.0.0.1:0").await?;
        let second = TcpListener::bind_shared(first.local_addr()?).await?;
        assert_eq!(first.local_addr()?, second.local_addr()?);
        let error = TcpListener::bind(first.local_addr()?).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&first.local_addr()?.to_string()));
        Ok(())
    })
    .unwrap();
}

#[test]
fn options_reach_the_system_and_nodelay_is_on_from_the_start() {
    run(async || {
        let listener = TcpListener::from_std(plain::TcpListener::bind("127.0.0.1:0")?)?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let server = listener.accept().await?;
        let peer = socket2::Socket::from(server.into_std()?);
        assert!(peer.tcp_nodelay()?, "of what a listener gives");

        client.set_keepalive(Some(Duration::from_secs(30)))?;
        client.set_linger(Some(Duration::ZERO))?;
        client.set_time_to_live(9)?;
        client.set_send_buffer_bytes(20_000)?;
        client.set_receive_buffer_bytes(30_000)?;
        let error = client.set_linger(Some(Duration::from_secs(1))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let system = socket2::Socket::from(client.into_std()?);
        assert!(system.tcp_nodelay()?);
        assert!(system.keepalive()?);
        assert_eq!(rustix::net::sockopt::tcp_keepidle(&system)?, Duration::from_secs(30));
        assert_eq!(system.linger()?, Some(Duration::ZERO));
        assert_eq!(system.ttl_v4()?, 9);
        // Linux has twice as much as it is asked for.
        assert_eq!((system.send_buffer_size()?, system.recv_buffer_size()?), (40_000, 60_000));

        let again = TcpStream::from_std(system.into())?;
        again.set_nodelay(false)?;
        assert!(!again.into_std()?.nodelay()?);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_socket_goes_to_std_and_back_and_becomes_streams_with_nothing_lost() {
    run(async || {
        let (mut ours, mut peer) = tcp().await?;
        // A wait that was given up must not keep the descriptor from going.
        assert!(poll_once(&mut pin!(ours.read(&mut [0]))).await.is_pending());
        peer.write_all(b"one\ntwo\n")?;
        settle().await;
        let mut there = ours.into_std()?;
        there.set_nonblocking(false)?;
        let mut line = [0; 4];
        there.read_exact(&mut line)?;
        assert_eq!(&line, b"one\n");
        let mut ours = TcpStream::from_std(there)?;
        {
            let (reader, writer) = ours.split();
            reader.readable().await?;
            writer.writable().await?;
        }
        let (mut reader, writer) = ours.into_streams_with(100)?;
        assert_eq!(reader.limit_bytes(), 100);
        assert_eq!(reader.read_line().await?, "two\n");
        writer.write(b"done\n")?;
        writer.write_eof();
        let mut answer = String::new();
        peer.set_nonblocking(false)?;
        settle().await;
        peer.read_to_string(&mut answer)?;
        assert_eq!(answer, "done\n");
        drop(peer);
        assert!(reader.read(1).await?.is_empty());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_peer_that_always_has_something_does_not_have_the_loop_for_itself() {
    run(async || {
        let (ours, peer) = UnixStream::pair()?;
        let (mut reader, _writer) = ours.into_split();
        let (_peer_reader, mut peer_writer) = peer.into_split();
        let turns = Rc::new(std::cell::Cell::new(0));
        let counted = Rc::clone(&turns);
        let bystander = create_task(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
            #[allow(unreachable_code, reason = "it says what the task would return")]
            Ok(())
        });
        // All of it is there before the first read, which then never has to wait.
        let sent = peer_writer.write(&[0; 10_000]).await?;
        settle().await;
        let before = turns.get();
        for _ in 0..sent {
            assert_eq!(reader.read(&mut [0]).await?, 1);
        }
        let others = turns.get() - before;
        assert!(others >= sent / 100, "{others} turns during {sent} reads");
        bystander.cancel();
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_socket_that_outlives_its_loop_has_lost_its_connection() {
    let kept = Runner::new().run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok((tcp().await?, listener))
    });
    let ((mut ours, mut peer), listener) = kept.unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it was closed with the loop");
    assert_eq!(ours.split().0.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
    run(async move || {
        assert_eq!(ours.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
        assert_eq!(ours.write(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
        assert_eq!(listener.accept().await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
        assert_eq!(ours.into_std().unwrap_err().kind(), ErrorKind::NotConnected);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_unix_listener_makes_its_file_and_takes_it_along() {
    run(async || {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        drop(plain_unix::UnixListener::bind(&path)?);
        let listener = UnixListener::bind(&path)?;
        assert_eq!(listener.local_addr()?.as_pathname(), Some(&*path));
        let mut client = UnixStream::connect(&path).await?;
        let mut server = listener.accept().await?;
        assert_eq!(client.peer_addr()?.as_pathname(), Some(&*path));
        assert_eq!(server.peer_credentials()?.process_id, Some(std::process::id()));
        client.write_all(b"hello\n").await?;
        let mut got = [0; 6];
        assert_eq!(server.read(&mut got).await?, 6);
        let error = UnixListener::bind(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "somebody listens there");
        drop(listener);
        assert!(!path.exists());

        // One that is given away keeps its file.
        let there = UnixListener::bind(&path)?.into_std()?;
        assert!(path.exists());
        let listener = UnixListener::from_std(there)?;
        let (reader, _writer) = UnixStream::connect(&path).await?.into_streams();
        drop(listener.accept().await?);
        drop(listener);
        assert!(path.exists());
        drop(reader);
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_builder_gives_a_socket_from_the_address_it_is_told() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let local = plain::TcpListener::bind("127.0.0.2:0")?.local_addr()?;
        let builder = ConnectBuilder::new().local_addr(local);
        let client = builder.open_socket(listener.local_addr()?).await?;
        assert_eq!(listener.accept().await?.peer_addr()?, client.local_addr()?);
        assert_eq!(client.local_addr()?, local);
        assert!(matches!(poll_once(&mut pin!(listener.accept())).await, Poll::Pending));
        Ok(())
    })
    .unwrap();
}
