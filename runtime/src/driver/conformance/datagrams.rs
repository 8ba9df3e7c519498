//! What every driver with sockets does with datagrams.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::rig::{Rig, pattern};
use super::with_sockets;
use crate::driver::{
    Addressed, DATAGRAM_BATCH_COUNT, Datagram, Op, OpId, Outcome, Outgoing, SourceId, SourceSpec,
    Started,
};

/// More than one op brings.
const MANY: usize = 100;

/// A socket of the driver's, and a plain one.
fn pair(rig: &mut Rig) -> (SourceId, SocketAddr, UdpSocket) {
    let addr = "127.0.0.1:0".parse().unwrap();
    let source = rig.driver.open(SourceSpec::Datagrams { addr, reuse_port: false }).unwrap();
    let peer = UdpSocket::bind(addr).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (source, rig.driver.local_addr(source).unwrap(), peer)
}

fn send(source: SourceId, bytes: &[u8], to: Option<SocketAddr>) -> Op {
    Op::SendTo { source, datagram: Box::new(Addressed { bytes: bytes.to_vec(), to }) }
}

fn came(outcome: Outcome) -> Vec<std::io::Result<Datagram>> {
    match outcome {
        Outcome::Datagrams(datagrams) => datagrams,
        other => panic!("wanted datagrams, got {other:?}"),
    }
}

/// Receives until there are `count`.
fn receive(rig: &mut Rig, source: SourceId, count: usize) -> Vec<Datagram> {
    let mut all = Vec::new();
    while all.len() < count {
        let some = came(rig.run(Op::ReceiveFrom { source }));
        assert!(!some.is_empty(), "an op that brings nothing has not ended");
        all.extend(some.into_iter().map(Result::unwrap));
    }
    all
}

#[test]
fn a_receive_waits_for_a_datagram_and_brings_it_whole_with_its_sender() {
    with_sockets(|rig| {
        let (source, addr, peer) = pair(rig);
        let waiting = rig.park(Op::ReceiveFrom { source });
        rig.expect_nothing();
        let largest = pattern(65_507);
        peer.send_to(&largest, addr).unwrap();
        let datagrams = came(rig.wait(waiting));
        let [Ok(Datagram { bytes, from })] = &datagrams[..] else { panic!("{datagrams:?}") };
        assert!(bytes[..] == largest);
        assert_eq!(*from, peer.local_addr().unwrap());
        // An op that has ended leaves nothing behind that would receive.
        peer.send_to(b"later", addr).unwrap();
        rig.expect_nothing();
        assert_eq!(&receive(rig, source, 1)[0].bytes[..], b"later");
    });
}

#[test]
fn datagrams_stay_apart_and_in_order_however_many_ops_they_take() {
    with_sockets(|rig| {
        let (source, addr, peer) = pair(rig);
        for number in 0..MANY {
            // Some are empty, which ends nothing.
            peer.send_to(&vec![number as u8; number % 3], addr).unwrap();
        }
        let came = receive(rig, source, MANY);
        assert_eq!(came.len(), MANY);
        for (number, datagram) in came.iter().enumerate() {
            assert_eq!(datagram.bytes[..], vec![number as u8; number % 3]);
        }
        rig.park(Op::ReceiveFrom { source });
    });
}

#[test]
fn a_datagram_is_sent_whole_at_once_or_refused() {
    with_sockets(|rig| {
        let (source, addr, peer) = pair(rig);
        let to = peer.local_addr().unwrap();
        assert!(matches!(
            rig.start(send(source, b"over", Some(to))).1,
            Started::Done(Outcome::Sent)
        ));
        assert!(rig.driver.try_send_to(source, b"and", Some(to)).unwrap());
        let mut got = [0; 8];
        assert_eq!(peer.recv_from(&mut got).unwrap(), (4, addr));
        assert_eq!(peer.recv_from(&mut got).unwrap(), (3, addr));
        for (bytes, to, code) in [
            (&[0; 65_508][..], Some(to), libc::EMSGSIZE),
            (&b"to nobody"[..], None, libc::EDESTADDRREQ),
        ] {
            let outcome = rig.run(send(source, bytes, to));
            let Outcome::Failed(error, None) = outcome else { panic!("{outcome:?}") };
            assert_eq!(error.raw_os_error(), Some(code));
            let error = rig.driver.try_send_to(source, bytes, to).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(code));
        }
    });
}

#[test]
fn a_batch_goes_in_order_as_far_as_it_can_and_no_further_than_one_call() {
    with_sockets(|rig| {
        let (source, addr, peer) = pair(rig);
        let to = Some(peer.local_addr().unwrap());
        let texts: Vec<_> = (0..MANY).map(|number| vec![number as u8; number % 3]).collect();
        let datagrams: Vec<_> = texts.iter().map(|bytes| Outgoing { bytes, to }).collect();
        let mut sent = 0;
        while sent < MANY {
            let count = rig.driver.try_send_batch(source, &datagrams[sent..]).unwrap();
            assert_eq!(count, DATAGRAM_BATCH_COUNT.min(MANY - sent));
            sent += count;
        }
        let mut got = [0; 8];
        for text in &texts {
            assert_eq!(peer.recv_from(&mut got).unwrap(), (text.len(), addr));
            assert_eq!(got[..text.len()], text[..]);
        }
        let too_long = Outgoing { bytes: &[0; 65_508], to };
        let fine = Outgoing { bytes: b"fine", to };
        assert_eq!(rig.driver.try_send_batch(source, &[fine, too_long, fine]).unwrap(), 1);
        let error = rig.driver.try_send_batch(source, &[too_long, fine]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        assert_eq!(rig.driver.try_send_batch(source, &[]).unwrap(), 0);
        assert_eq!(peer.recv_from(&mut got).unwrap(), (4, addr));
        rig.driver.close(source);
        let error = rig.driver.try_send_batch(source, &[fine]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
    });
}

/// What is there when the call ends is all there was: nothing is left that no event tells of.
#[test]
fn many_datagrams_of_any_size_are_received_by_few_ops_and_none_is_forgotten() {
    with_sockets(|rig| {
        let (source, addr, peer) = pair(rig);
        for count in [1, DATAGRAM_BATCH_COUNT - 1, DATAGRAM_BATCH_COUNT, 1] {
            let waiting = rig.park(Op::ReceiveFrom { source });
            let sizes: Vec<_> = (0..count).map(|number| (number * 193) % 3_000).collect();
            for size in &sizes {
                peer.send_to(&pattern(*size), addr).unwrap();
            }
            let mut all: Vec<_> = came(rig.wait(waiting)).into_iter().map(Result::unwrap).collect();
            if all.len() < count {
                all.extend(receive(rig, source, count - all.len()));
            }
            assert!(all.iter().zip(&sizes).all(|(one, size)| one.bytes == pattern(*size)));
            assert_eq!(all.len(), count);
        }
        rig.park(Op::ReceiveFrom { source });
    });
}

#[test]
fn a_socket_with_a_peer_hears_nobody_else_and_is_told_that_nobody_is_there() {
    with_sockets(|rig| {
        let (source, addr, peer) = pair(rig);
        rig.driver.set_peer(source, peer.local_addr().unwrap()).unwrap();
        assert_eq!(rig.driver.peer_addr(source).unwrap(), peer.local_addr().unwrap());
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"stranger", addr).unwrap();
        peer.send_to(b"peer", addr).unwrap();
        assert_eq!(&receive(rig, source, 1)[0].bytes[..], b"peer");
        drop(peer);
        assert!(matches!(rig.run(send(source, b"hello?", None)), Outcome::Sent));
        let errors = came(rig.run(Op::ReceiveFrom { source }));
        let [Err(error)] = &errors[..] else { panic!("{errors:?}") };
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // The socket goes on.
        rig.park(Op::ReceiveFrom { source });
    });
}

#[test]
fn a_receive_that_is_cancelled_or_closed_completes_once_and_takes_nothing() {
    with_sockets(|rig| {
        let (source, addr, peer) = pair(rig);
        let cancelled = rig.park(Op::ReceiveFrom { source });
        rig.driver.cancel(cancelled);
        peer.send_to(b"for the next", addr).unwrap();
        let is_cancelled =
            |rig: &mut Rig, id: OpId| matches!(rig.wait(id), Outcome::Cancelled(None));
        assert!(is_cancelled(rig, cancelled));
        assert_eq!(&receive(rig, source, 1)[0].bytes[..], b"for the next");
        let closed = rig.park(Op::ReceiveFrom { source });
        rig.driver.close(source);
        assert!(is_cancelled(rig, closed));
        assert!(rig.is_idle());
        // Its address is free again.
        drop(UdpSocket::bind(addr).unwrap());
        for op in [Op::ReceiveFrom { source }, send(source, b"late", Some(addr))] {
            let outcome = rig.run(op);
            let Outcome::Failed(error, _) = outcome else { panic!("{outcome:?}") };
            assert_eq!(error.kind(), ErrorKind::NotConnected);
        }
    });
}
