//! Opening connections over the loopback interface (rules S1 to S5).
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod peer;

use std::collections::BTreeSet;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use corelane::{ConnectBuilder, IpFamily, create_task, open_connection, yield_now};
use peer::{run, settle};

#[test]
fn s1_a_refused_port_is_connection_refused_and_named() {
    run(async || {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let error = open_connection(addr).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s1_addresses_are_tried_in_order() {
    run(async || {
        let refused = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let other = TcpListener::bind("127.0.0.1:0")?;
        let addrs = [refused, listener.local_addr()?, other.local_addr()?];
        let (_reader, writer) = open_connection(addrs).await?;
        assert_eq!(writer.peer_addr()?, listener.local_addr()?);
        assert_eq!(writer.local_addr()?, listener.accept()?.1);
        let error = open_connection([refused, refused]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s1_a_name_is_an_address() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (_reader, writer) =
            open_connection(("localhost", listener.local_addr()?.port())).await?;
        assert_eq!(writer.peer_addr()?, listener.local_addr()?);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s2_cancelling_closes_the_half_open_socket() {
    run(async || {
        let (addr, _kept) = deaf_listener()?;
        // A table that changes while it is read may show a socket twice, or not.
        let ours = |addr: SocketAddr| {
            let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
            let port = format!("0100007F:{:04X} 02", addr.port());
            let lines = table.lines().filter(|line| line.contains(&port));
            let local = lines.filter_map(|line| line.split_whitespace().nth(1));
            local.map(String::from).collect::<BTreeSet<_>>().len()
        };
        let connecting = create_task(async move { Ok(open_connection(addr).await?) });
        settle().await;
        assert!(!connecting.done(), "the backlog is not full");
        assert!((0..100).any(|_| ours(addr) == 1));
        connecting.cancel();
        assert!(connecting.await.unwrap_err().is_cancelled());
        assert_eq!(ours(addr), 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s2_s3_a_connected_socket_can_be_given() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let socket = TcpStream::connect(listener.local_addr()?)?;
        let same = socket.try_clone()?;
        same.set_nodelay(false)?;
        let (mut reader, writer) = ConnectBuilder::new().adopt(socket)?;
        assert!(same.nodelay()?);
        let (mut peer, _) = listener.accept()?;
        peer.write_all(b"there")?;
        assert_eq!(&reader.read_exactly(5).await?[..], b"there");
        writer.write(b"back")?;
        yield_now().await;
        let mut got = [0; 4];
        peer.read_exact(&mut got)?;
        assert_eq!(&got, b"back");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s4_a_limit_of_nothing_is_refused() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let opened = ConnectBuilder::new().limit_bytes(0).open(listener.local_addr()?).await;
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::InvalidInput);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s5_the_local_address_can_be_chosen() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let local: SocketAddr = "127.0.0.5:0".parse().unwrap();
        let builder = ConnectBuilder::new().local_addr(local);
        let (_reader, writer) = builder.open(listener.local_addr()?).await?;
        assert_eq!(writer.local_addr()?.ip(), local.ip());
        Ok(())
    })
    .unwrap();
}

/// A listener whose backlog is full and answers no further connection, and what fills it.
fn deaf_listener() -> corelane::Result<(SocketAddr, impl Sized)> {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    listener.listen(0)?;
    let addr = listener.local_addr()?.as_socket().unwrap();
    let fills_it = TcpStream::connect(addr)?;
    Ok((addr, (listener, fills_it)))
}

#[test]
fn s5_an_address_that_does_not_answer_is_overtaken() {
    run(async || {
        let (deaf, _kept) = deaf_listener()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addrs = [deaf, listener.local_addr()?];
        let builder = ConnectBuilder::new().happy_eyeballs_delay(Duration::from_millis(10));
        let (_reader, writer) = builder.open(addrs).await?;
        assert_eq!(writer.peer_addr()?, addrs[1]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s5_one_family_can_be_chosen_and_the_local_address_chooses_its_own() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let v4 = listener.local_addr()?;
        let v6 = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v4.port()));
        let local = ConnectBuilder::new().local_addr("127.0.0.1:0".parse().unwrap());
        for builder in [ConnectBuilder::new().family(IpFamily::V4), local] {
            let (_reader, writer) = builder.open([v6, v4]).await?;
            assert_eq!(writer.peer_addr()?, v4);
            let error = builder.open(v6).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
        let error = ConnectBuilder::new().family(IpFamily::V6).open(v4).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn off_a_loop_there_are_no_connections() {
    let mut opening = pin!(open_connection("127.0.0.1:1"));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(matches!(opening.as_mut().poll(&mut context), Poll::Ready(Err(_))));
}
