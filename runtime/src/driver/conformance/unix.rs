//! What every driver with sockets does with Unix sockets, and with listeners that are only bound.

use std::io::{ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};

use super::rig::{Rig, write};
use super::{with_sockets, with_tcp};
use crate::driver::{End, Op, Outcome, SourceId, SourceSpec};

/// An abstract name of this process: no file, and none left behind.
fn addr(what: &str) -> UnixAddr {
    let name = format!("corelane-conformance-{what}-{}", std::process::id());
    UnixAddr::from_abstract_name(name).unwrap()
}

fn listen(rig: &mut Rig, addr: &UnixAddr, backlog: Option<u32>) -> SourceId {
    rig.driver.open(SourceSpec::ListenUnix { addr: addr.clone(), backlog }).unwrap()
}

fn accept(rig: &mut Rig, listener: SourceId) -> SourceId {
    match rig.run(Op::Accept { source: listener }) {
        Outcome::Accepted { source } => source,
        other => panic!("wanted a connection, got {other:?}"),
    }
}

#[test]
fn s10_a_listener_that_is_only_bound_refuses_until_it_listens() {
    with_tcp(|rig| {
        let spec = SourceSpec::Listen {
            addr: "127.0.0.1:0".parse().unwrap(),
            backlog: None,
            reuse_port: false,
        };
        let listener = rig.driver.open(spec).unwrap();
        let addr = rig.driver.local_addr(listener).unwrap();
        assert_ne!(addr.port(), 0);
        let refused = rig.connect(addr).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        rig.driver.listen(listener, 8).unwrap();
        let _peer = rig.connect(addr).unwrap();
        accept(rig, listener);
    });
}

#[test]
fn s100_unix_sockets_listen_connect_and_say_where_and_who_they_are() {
    with_sockets(|rig| {
        let addr = addr("both");
        let listener = listen(rig, &addr, Some(8));
        let client = rig.driver.open(SourceSpec::ConnectUnix { addr: addr.clone() }).unwrap();
        assert!(matches!(rig.run(Op::Connected { source: client }), Outcome::Connected));
        let server = accept(rig, listener);
        assert!(matches!(rig.run(write(client, b"over")), Outcome::Wrote(_)));
        assert_eq!(&rig.read(server, 10)[..], b"over");
        let name = |source, end| rig.driver.unix_addr(source, end).unwrap();
        let bound = addr.as_abstract_name();
        assert_eq!(name(client, End::Peer).as_abstract_name(), bound);
        assert_eq!(name(server, End::Local).as_abstract_name(), bound);
        assert!(name(client, End::Local).is_unnamed() && name(server, End::Peer).is_unnamed());
        let credentials = rig.driver.peer_credentials(server).unwrap();
        assert_eq!(credentials.process_id, Some(std::process::id()));
    });
}

#[test]
fn s100_a_unix_listener_whose_queue_is_full_says_so() {
    with_sockets(|rig| {
        let addr = addr("full");
        let listener = listen(rig, &addr, None);
        let connect = || SourceSpec::ConnectUnix { addr: addr.clone() };
        let refused = rig.driver.open(connect()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        rig.driver.listen(listener, 0).unwrap();
        let mut peer = UnixStream::connect_addr(&addr).unwrap();
        assert_eq!(rig.driver.open(connect()).unwrap_err().kind(), ErrorKind::WouldBlock);
        let server = accept(rig, listener);
        assert!(matches!(rig.run(write(server, b"room")), Outcome::Wrote(_)));
        let mut got = [0; 4];
        peer.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"room");
        rig.driver.open(connect()).unwrap();
    });
}

#[test]
fn s80_other_and_stale_sources_have_no_unix_address_and_no_credentials() {
    with_tcp(|rig| {
        let (source, mut peer) = rig.pair();
        peer.write_all(b"x").unwrap();
        for kind in [ErrorKind::Unsupported, ErrorKind::NotConnected] {
            assert_eq!(rig.driver.unix_addr(source, End::Peer).unwrap_err().kind(), kind);
            assert_eq!(rig.driver.peer_credentials(source).unwrap_err().kind(), kind);
            rig.driver.close(source);
        }
        assert_eq!(rig.driver.listen(source, 1).unwrap_err().kind(), ErrorKind::NotConnected);
    });
}
