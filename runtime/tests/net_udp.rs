//! UDP sockets over the loopback interface. A datagram that was sent there has arrived when the call that
//! sent it returns.

mod everywhere;
mod peer;

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket as Plain};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use corelane::{UdpSocket, create_task, timeout, yield_now};
use everywhere::{everywhere, on_both};
use peer::{run, settle};

/// Two sockets of ours.
async fn two() -> corelane::Result<(UdpSocket, UdpSocket)> {
    Ok((UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?))
}

#[test]
fn s110_a_datagram_arrives_with_its_sender_and_alone() {
    everywhere(async || {
        let (left, right) = two().await?;
        for text in [&b"first"[..], b"", b"third"] {
            left.send_to(text, right.local_addr()?).await?;
        }
        for text in [&b"first"[..], b"", b"third"] {
            let (bytes, from) = right.recv_datagram().await?;
            assert_eq!((&bytes[..], from), (text, left.local_addr()?));
        }
        assert_eq!(right.try_recv_datagram().unwrap_err().kind(), ErrorKind::WouldBlock);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s110_the_largest_datagram_is_whole_and_a_larger_one_refused() {
    everywhere(async || {
        let (left, right) = two().await?;
        let largest: Vec<u8> = (0..65_507_u32).map(|byte| byte as u8).collect();
        left.send_to(&largest, right.local_addr()?).await?;
        assert!(right.recv_datagram().await?.0 == largest);
        let error = left.send_to(&[0; 65_508], right.local_addr()?).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        // What does not fit is thrown away.
        left.send_to(b"too long", right.local_addr()?).await?;
        let mut short = [0; 3];
        assert_eq!(right.recv_from(&mut short).await?, (3, left.local_addr()?));
        assert_eq!(&short, b"too");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s110_more_than_one_op_brings_comes_in_order() {
    everywhere(async || {
        let (left, right) = two().await?;
        let to = right.local_addr()?;
        // The first wait is for an event; all later ones are served from what came with it.
        for round in 0..3 {
            for number in 0..100_u8 {
                left.try_send_to(&[round, number], to)?;
            }
            for number in 0..100_u8 {
                let mut got = [0; 2];
                assert_eq!(right.recv(&mut got).await?, 2);
                assert_eq!(got, [round, number]);
            }
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn s111_a_connected_socket_hears_its_peer_alone_and_is_told_that_it_is_not_there() {
    everywhere(async || {
        let (left, right) = two().await?;
        let stranger = UdpSocket::bind("127.0.0.1:0").await?;
        assert_eq!(
            left.send(b"nowhere").await.unwrap_err().raw_os_error(),
            Some(libc::EDESTADDRREQ)
        );
        left.connect(right.local_addr()?).await?;
        assert_eq!(left.peer_addr()?, right.local_addr()?);
        stranger.send_to(b"not for you", left.local_addr()?).await?;
        right.send_to(b"for you", left.local_addr()?).await?;
        assert_eq!(&left.recv_datagram().await?.0[..], b"for you");
        drop(right);
        left.send(b"hello?").await?;
        let error = left.recv_datagram().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // The socket goes on.
        assert_eq!(left.try_recv_datagram().unwrap_err().kind(), ErrorKind::WouldBlock);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s112_a_cancelled_receive_loses_nothing_and_waiters_take_turns() {
    on_both(async || {
        let (left, right) = two().await?;
        let right = std::rc::Rc::new(right);
        let receive = |name| {
            let right = std::rc::Rc::clone(&right);
            create_task(async move { Ok((name, right.recv_datagram().await?.0)) })
        };
        let (given_up, second, third) = (receive(1), receive(2), receive(3));
        yield_now().await;
        given_up.cancel();
        left.send_to(b"a", right.local_addr()?).await?;
        left.send_to(b"b", right.local_addr()?).await?;
        assert!(given_up.await.unwrap_err().is_cancelled());
        assert_eq!(second.await?, (2, b"a"[..].into()));
        assert_eq!(third.await?, (3, b"b"[..].into()));
        let none = timeout(Duration::ZERO, async |_| Ok(right.recv_datagram().await?)).await;
        assert!(none.is_err());
        left.send_to(b"c", right.local_addr()?).await?;
        assert_eq!(&right.recv_datagram().await?.0[..], b"c");
        Ok(())
    })
    .unwrap();
}

/// So many datagrams to `to`, numbered.
fn numbered(count: u16, to: SocketAddr) -> Vec<([u8; 2], SocketAddr)> {
    (0..count).map(|number| (number.to_be_bytes(), to)).collect()
}

#[test]
fn s113_batches_go_and_come_in_order_and_no_larger_than_one_call_takes() {
    everywhere(async || {
        let (left, right) = two().await?;
        let datagrams = numbered(100, right.local_addr()?);
        let mut sent = 0;
        while sent < datagrams.len() {
            let count = left.send_batch_to(&datagrams[sent..]).await?;
            assert_eq!(count, UdpSocket::BATCH_COUNT.min(datagrams.len() - sent));
            sent += count;
        }
        // One by one and by the batch, from the same line.
        let mut came = vec![right.recv_datagram().await?];
        while came.len() < datagrams.len() {
            let before = came.len();
            let count = right.recv_batch(&mut came).await?;
            assert_eq!(came.len(), before + count);
            assert!((1..=UdpSocket::BATCH_COUNT).contains(&count));
        }
        let from = left.local_addr()?;
        let expected = datagrams.iter().map(|(bytes, _)| (bytes[..].to_vec().into(), from));
        assert_eq!(came, expected.collect::<Vec<_>>());
        assert_eq!(right.try_recv_batch(&mut came).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(came.len(), datagrams.len());
        Ok(())
    })
    .unwrap();
}

#[test]
fn s113_a_batch_says_how_many_went_and_its_rest_meets_the_error() {
    everywhere(async || {
        let (left, right) = two().await?;
        let to = right.local_addr()?;
        let datagrams = [(vec![1], to), (vec![2], to), (vec![0; 65_508], to), (vec![3], to)];
        assert_eq!(left.send_batch_to(&datagrams).await?, 2);
        let error = left.send_batch_to(&datagrams[2..]).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        assert_eq!(left.try_send_batch_to(&datagrams[3..])?, 1);
        for number in 1..=3 {
            assert_eq!(right.recv_datagram().await?.0[..], [number]);
        }
        let nothing: [(&[u8], SocketAddr); 0] = [];
        assert_eq!(
            (left.send_batch_to(&nothing).await?, left.try_send_batch_to(&nothing)?),
            (0, 0)
        );
        let error = left.send_batch(&[b"whom?"]).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EDESTADDRREQ));
        left.connect(to).await?;
        assert_eq!(left.send_batch(&[&b"to"[..], b"", b"you"]).await?, 3);
        for text in [&b"to"[..], b"", b"you"] {
            assert_eq!(right.recv_datagram().await?.0[..], *text);
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn s113_an_error_between_datagrams_comes_once_and_none_of_them_is_lost() {
    everywhere(async || {
        let (left, right) = two().await?;
        left.connect(right.local_addr()?).await?;
        right.send_batch_to(&numbered(3, left.local_addr()?)).await?;
        let mut came = vec![left.recv_datagram().await?];
        drop(right);
        left.send(b"hello?").await?;
        // Whether the error or what is left of the three comes first is the system's affair: each comes once.
        let mut errors = Vec::new();
        while came.len() < 3 || errors.is_empty() {
            errors.extend(left.recv_batch(&mut came).await.err().map(|error| error.kind()));
        }
        assert_eq!(errors, [ErrorKind::ConnectionRefused]);
        assert_eq!(left.try_recv_batch(&mut came).unwrap_err().kind(), ErrorKind::WouldBlock);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s112_a_cancelled_receive_of_a_batch_loses_nothing() {
    on_both(async || {
        let (left, right) = two().await?;
        let mut came = Vec::new();
        for round in 0..3 {
            let none = timeout(Duration::ZERO, async |_| Ok(right.recv_batch(&mut came).await?));
            assert!(none.await.is_err());
            left.send_batch_to(&numbered(10, right.local_addr()?)).await?;
            while came.len() < 10 * (round + 1) {
                right.recv_batch(&mut came).await?;
            }
        }
        let numbers: Vec<_> = came.iter().map(|(bytes, _)| bytes[1]).collect();
        assert_eq!(numbers, (0..3).flat_map(|_| 0..10).collect::<Vec<_>>());
        Ok(())
    })
    .unwrap();
}

/// A socket of ours whose peer has no room for more before it is read, that peer, and what is in it: UDP over the
/// loopback interface never waits, so these are Unix sockets in disguise.
fn full_pair() -> corelane::Result<(UdpSocket, UnixDatagram, Vec<u8>)> {
    let (ours, theirs) = UnixDatagram::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let fits = |number: &u8| ours.send(&[*number]).is_ok();
    let sent: Vec<_> = (0..100).cycle().take(100_000).take_while(fits).collect();
    Ok((UdpSocket::from_std(Plain::from(OwnedFd::from(ours)))?, theirs, sent))
}

#[test]
fn s113_what_finds_no_room_waits_and_a_batch_that_is_given_up_has_not_been_sent() {
    run(async || {
        let (socket, peer, mut expected) = full_pair()?;
        let socket = std::rc::Rc::new(socket);
        let waiting = [[100, 101], [102, 103], [104, 105]].map(|numbers| {
            let socket = std::rc::Rc::clone(&socket);
            create_task(async move {
                let count = socket.send_batch(&numbers.map(|number| [number])).await?;
                Ok(numbers[..count].to_vec())
            })
        });
        settle().await;
        assert!(waiting.iter().all(|task| !task.done()));
        let nobody = ([127, 0, 0, 1], 9).into();
        let error = socket.try_send_to(b"not before the others", nobody).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let error = socket.try_send_batch_to(&[(b"nor these", nobody)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        waiting[1].cancel();
        let mut came = Vec::new();
        while !waiting.iter().all(corelane::Task::done) {
            came.extend(receive_byte(&peer));
            yield_now().await;
        }
        came.extend(std::iter::from_fn(|| receive_byte(&peer)));
        let [first, given_up, last] = waiting;
        // Nothing is lost, nothing is sent twice, and each batch says how much of it went.
        expected.extend(first.await?);
        expected.extend(last.await?);
        assert_eq!(came, expected);
        assert!(given_up.await.unwrap_err().is_cancelled());
        Ok(())
    })
    .unwrap();
}

fn receive_byte(peer: &UnixDatagram) -> Option<u8> {
    let mut byte = [0];
    peer.recv(&mut byte).ok().map(|_| byte[0])
}

#[test]
fn who_sends_and_receives_batches_without_waiting_lets_others_run() {
    run(async || {
        let (left, right) = two().await?;
        let datagrams = numbered(32, right.local_addr()?);
        let turns = std::rc::Rc::new(std::cell::Cell::new(0));
        let theirs = std::rc::Rc::clone(&turns);
        let other = create_task(async move {
            loop {
                theirs.set(theirs.get() + 1);
                yield_now().await;
            }
        });
        let mut came = Vec::new();
        for _ in 0..64 {
            left.send_batch_to(&datagrams).await?;
            came.clear();
            right.recv_batch(&mut came).await?;
        }
        assert!(turns.get() >= 32, "others ran {} times", turns.get());
        other.cancel();
        let ended: corelane::Result<()> = other.await;
        assert!(ended.unwrap_err().is_cancelled());
        Ok(())
    })
    .unwrap();
}

#[test]
fn sockets_share_an_address_when_asked_to_and_are_adopted() {
    run(async || {
        let first = UdpSocket::bind_shared("127.0.0.1:0").await?;
        let second = UdpSocket::bind_shared(first.local_addr()?).await?;
        assert_eq!(first.local_addr()?, second.local_addr()?);
        let refused = UdpSocket::bind(first.local_addr()?).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AddrInUse);
        assert!(refused.to_string().contains(&first.local_addr()?.to_string()), "{refused}");
        let adopted = UdpSocket::from_std(Plain::bind("[::1]:0")?)?;
        adopted.set_time_to_live(3)?;
        first.set_time_to_live(3)?;
        first.set_broadcast(true)?;
        let to = adopted.local_addr()?;
        adopted.send_to(b"to myself", to).await?;
        assert_eq!(adopted.recv_datagram().await?, (b"to myself"[..].into(), to));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_socket_that_outlives_its_loop_fails_and_a_dropped_one_is_closed() {
    let (socket, addr) = run(async || {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let gone = UdpSocket::bind("127.0.0.1:0").await?;
        let addr = gone.local_addr()?;
        drop(gone);
        drop(Plain::bind(addr)?);
        Ok((socket, addr))
    })
    .unwrap();
    assert_eq!(socket.try_recv_datagram().unwrap_err().kind(), ErrorKind::ConnectionAborted);
    assert_eq!(socket.try_send_to(b"late", addr).unwrap_err().kind(), ErrorKind::NotConnected);
}
