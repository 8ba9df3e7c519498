//! UDP sockets over the loopback interface. A datagram that was sent there has arrived when the call that
//! sent it returns.

mod everywhere;
mod peer;

use std::io::ErrorKind;
use std::net::UdpSocket as Plain;
use std::time::Duration;

use corelane::{UdpSocket, create_task, timeout, yield_now};
use everywhere::{everywhere, on_both};
use peer::run;

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
