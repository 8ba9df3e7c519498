//! One suite that every driver passes: the contract of the seam, a test a promise.

use std::io::{ErrorKind, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::driver::buf::BUF_BYTES;
use crate::driver::{
    DriverKind, EVENTS_PER_TURN, Keep, Op, Outcome, Park, SocketOption, SourceId, SourceKind,
    SourceSpec, Started, WriteData,
};

mod datagrams;
mod ends;
mod others;
mod peer;
mod rig;
mod unix;

use peer::Peer;
use rig::{Rig, pattern, write};

const ALL: [DriverKind; 3] = [DriverKind::Mio, DriverKind::VirtualClock, DriverKind::Simulated];
/// Those that connect hosts.
const WITH_TCP: [DriverKind; 2] = [DriverKind::Mio, DriverKind::Simulated];
/// Those that have descriptors, and whatever the system has behind them.
const WITH_SOCKETS: [DriverKind; 1] = [DriverKind::Mio];

fn on_all(test: fn(&mut Rig)) {
    ALL.into_iter().for_each(|kind| test(&mut Rig::new(kind)));
}

fn with_tcp(test: fn(&mut Rig)) {
    WITH_TCP.into_iter().for_each(|kind| test(&mut Rig::new(kind)));
}

fn with_sockets(test: fn(&mut Rig)) {
    WITH_SOCKETS.into_iter().for_each(|kind| test(&mut Rig::new(kind)));
}

#[allow(clippy::disallowed_methods, reason = "another thread is the subject")]
fn in_a_thread<T: Send + 'static>(
    body: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::spawn(body)
}

// ---- time and threads

#[test]
fn now_never_goes_back() {
    on_all(|rig| {
        let mut before = rig.driver.now();
        for _ in 0..1_000 {
            rig.turn(Park::No);
            let now = rig.driver.now();
            assert!(now >= before);
            before = now;
        }
    });
}

#[test]
fn a_turn_reaches_its_deadline_and_does_not_pass_it_by_waiting_for_another() {
    on_all(|rig| {
        // Far, near, far again: what was set for one deadline must not serve for an earlier one.
        for millis in [3_600_000, 2, 3_600_000, 1] {
            let deadline = rig.driver.now() + Duration::from_millis(millis);
            if millis > 1_000 {
                rig.driver.unparker().unpark();
                rig.turn(Park::Until(deadline));
                continue;
            }
            let mut turns = 0;
            while rig.driver.now() < deadline {
                rig.turn(Park::Until(deadline));
                turns += 1;
            }
            assert!(turns <= 4, "it turned {turns} times instead of waiting");
        }
    });
}

#[test]
fn a_deadline_that_moves_away_is_not_reached_early() {
    on_all(|rig| {
        for _ in 0..5 {
            let deadline = rig.driver.now() + Duration::from_millis(1);
            rig.driver.unparker().unpark();
            rig.turn(Park::Until(deadline));
            let later = deadline + Duration::from_millis(1);
            while rig.driver.now() < later {
                rig.turn(Park::Until(later));
            }
        }
    });
}

#[test]
fn an_unpark_from_another_thread_ends_a_turn() {
    on_all(|rig| {
        for _ in 0..20 {
            let unparker = rig.driver.unparker();
            let ringer = in_a_thread(move || unparker.unpark());
            rig.turn(Park::Forever);
            ringer.join().unwrap();
        }
    });
}

#[test]
fn an_unpark_before_a_turn_ends_it_and_an_unparker_outlives_its_driver() {
    on_all(|rig| {
        let unparker = rig.driver.unparker();
        for _ in 0..3 {
            unparker.unpark();
            rig.turn(Park::Forever);
        }
        *rig = Rig::new(DriverKind::VirtualClock);
        unparker.unpark();
    });
}

// ---- accept and connect

#[test]
fn an_accept_waits_and_gives_one_connection_with_its_address() {
    with_tcp(|rig| {
        let (listener, addr) = rig.listen();
        let accept = rig.park(Op::Accept { source: listener });
        rig.expect_nothing();
        let peers: Vec<_> = (0..3).map(|_| rig.connect(addr).unwrap()).collect();
        let mut accepted = vec![rig.wait(accept)];
        // The other two came with the same edge.
        accepted.extend((0..2).map(|_| rig.run(Op::Accept { source: listener })));
        for (outcome, peer) in accepted.into_iter().zip(&peers) {
            let Outcome::Accepted { source } = outcome else { panic!("{outcome:?}") };
            assert_eq!(rig.driver.peer_addr(source).unwrap(), peer.local_addr().unwrap());
            assert_eq!(rig.driver.local_addr(source).unwrap(), addr);
        }
        rig.park(Op::Accept { source: listener });
    });
}

#[test]
fn a_connection_is_made_and_carries_bytes_both_ways() {
    with_tcp(|rig| {
        let (listener, addr) = rig.listen();
        let local = Some("127.0.0.1:0".parse().unwrap());
        let client = rig.driver.open(SourceSpec::Connect { addr, local }).unwrap();
        assert!(matches!(rig.run(Op::Connected { source: client }), Outcome::Connected));
        let Outcome::Accepted { source: server, .. } = rig.run(Op::Accept { source: listener })
        else {
            panic!("nothing was accepted")
        };
        for (from, to) in [(client, server), (server, client)] {
            assert!(matches!(rig.run(write(from, b"over")), Outcome::Wrote(_)));
            assert_eq!(rig.read_exactly(to, 4), b"over");
        }
    });
}

#[test]
fn a_refused_connection_fails_with_connection_refused() {
    with_tcp(|rig| {
        let (listener, addr) = rig.listen();
        rig.driver.close(listener);
        let error = match rig.driver.open(SourceSpec::Connect { addr, local: None }) {
            Err(error) => error,
            Ok(source) => match rig.run(Op::Connected { source }) {
                Outcome::Failed(error, _) => error,
                other => panic!("{other:?}"),
            },
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn s10_a_failed_bind_names_the_address() {
    with_tcp(|rig| {
        let (_listener, addr) = rig.listen();
        let spec = SourceSpec::Listen { addr, backlog: Some(8), reuse_port: false };
        let error = rig.driver.open(spec).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
    });
}

#[test]
fn listeners_share_a_port_when_asked_to() {
    with_tcp(|rig| {
        let spec = |addr| SourceSpec::Listen { addr, backlog: Some(8), reuse_port: true };
        let first = rig.driver.open(spec("127.0.0.1:0".parse().unwrap())).unwrap();
        let addr = rig.driver.local_addr(first).unwrap();
        let second = rig.driver.open(spec(addr)).unwrap();
        assert_eq!(rig.driver.local_addr(second).unwrap(), addr);
    });
}

// ---- reads

#[test]
fn a_read_waits_for_bytes_and_ends_with_the_stream() {
    with_tcp(|rig| {
        let (source, mut peer) = rig.pair();
        let read = rig.park(Op::Read { source, max_bytes: 100 });
        rig.expect_nothing();
        peer.write_all(b"hello").unwrap();
        let Outcome::Read(buf) = rig.first_of(read) else { panic!("no bytes") };
        assert_eq!(&buf[..], b"hello");
        drop(peer);
        for _ in 0..2 {
            assert!(matches!(rig.run(Op::Read { source, max_bytes: 100 }), Outcome::Eof));
        }
    });
}

#[test]
fn a_read_goes_on_after_pieces_that_were_all_there_was_and_ends_once() {
    with_tcp(|rig| {
        let (source, mut peer) = rig.pair();
        let read = rig.park(Op::Read { source, max_bytes: 100 });
        for piece in [b"one", b"two", b"six"] {
            peer.write_all(piece).unwrap();
            let Outcome::Read(buf) = rig.wait(read) else { panic!("the read ended") };
            assert_eq!(&buf[..], piece);
            rig.expect_nothing();
        }
        // As much as fits may not be all there is, and so the owner is asked.
        peer.write_all(&[7; 150]).unwrap();
        assert!(matches!(rig.wait(read), Outcome::Filled(buf) if buf.len() == 100));
        assert!(rig.is_idle());
        assert_eq!(rig.read_exactly(source, 50), [7; 50]);
        let read = rig.park(Op::Read { source, max_bytes: 100 });
        drop(peer);
        assert!(matches!(rig.wait(read), Outcome::Eof));
        assert!(rig.is_idle());
    });
}

#[test]
fn bytes_and_the_end_that_came_with_one_edge_are_both_found() {
    with_tcp(|rig| {
        let (source, mut peer) = rig.pair();
        peer.write_all(b"bye").unwrap();
        drop(peer);
        std::thread::yield_now();
        let read = rig.park(Op::Read { source, max_bytes: 100 });
        assert!(
            matches!(rig.first_of(read), Outcome::Read(buf) | Outcome::Filled(buf) if &buf[..] == b"bye")
        );
        assert!(matches!(rig.run(Op::Read { source, max_bytes: 100 }), Outcome::Eof));
    });
}

#[test]
fn what_a_limited_read_leaves_is_found_without_a_new_edge() {
    with_tcp(|rig| {
        let (source, mut peer) = rig.pair();
        let sent = pattern(BUF_BYTES);
        peer.write_all(&sent).unwrap();
        // One byte, a few, and then reads that fill their room exactly.
        let mut got = rig.read_exactly(source, 1);
        for count in [10, 100, BUF_BYTES - 111] {
            got.extend(rig.read_exactly(source, count));
        }
        assert_eq!(got, sent);
        rig.park(Op::Read { source, max_bytes: 1 });
        rig.expect_nothing();
    });
}

#[test]
fn a_read_that_filled_its_buffer_is_followed_by_the_rest() {
    with_tcp(|rig| {
        let (source, peer) = rig.pair();
        let sent = pattern(5 * BUF_BYTES);
        let sender = rig.send_beside(peer, sent.clone());
        let mut got = Vec::new();
        while got.len() < sent.len() {
            let buf = rig.read(source, usize::MAX);
            assert!(!buf.is_empty() && buf.len() <= BUF_BYTES);
            got.extend_from_slice(&buf);
        }
        assert!(got == sent);
        sender.join(rig);
    });
}

#[test]
fn urgent_data_does_not_hide_what_comes_after_it() {
    with_sockets(|rig| {
        let (source, mut peer) = rig.pair();
        peer.write_all(b"before").unwrap();
        rustix::net::send(peer.system(), b"!", rustix::net::SendFlags::OOB).unwrap();
        peer.write_all(b"after").unwrap();
        // All three are there before the first receive, which stops at the urgent byte.
        std::thread::yield_now();
        assert_eq!(&rig.read(source, 100)[..], b"before");
        assert_eq!(&rig.read(source, 100)[..], b"after");
    });
}

#[test]
fn a_reset_fails_the_read_that_waits() {
    with_tcp(|rig| {
        let (source, peer) = rig.pair();
        let read = rig.park(Op::Read { source, max_bytes: 100 });
        peer.reset();
        let outcome = rig.wait(read);
        assert!(
            matches!(&outcome, Outcome::Failed(error, _) if error.kind() == ErrorKind::ConnectionReset),
            "{outcome:?}"
        );
    });
}

#[test]
fn one_turn_serves_a_bounded_number_of_sources_and_the_next_ones_the_rest() {
    with_tcp(|rig| {
        let mut peers = Vec::new();
        for _ in 0..EVENTS_PER_TURN + 50 {
            let (source, peer) = rig.pair();
            rig.park(Op::Read { source, max_bytes: 8 });
            peers.push(peer);
        }
        // First empty out the edges of being writable.
        while rig.turn(Park::No) > 0 {}
        rig.expect_nothing();
        peers.iter_mut().for_each(|peer| peer.write_all(b"x").unwrap());
        let mut served = 0;
        while served < EVENTS_PER_TURN + 50 {
            let count = rig.turn(Park::Until(rig.driver.now() + Duration::from_secs(10)));
            assert!((1..=EVENTS_PER_TURN).contains(&count), "{count} in one turn");
            served += count;
        }
        assert_eq!(served, EVENTS_PER_TURN + 50);
        rig.expect_nothing();
    });
}

// ---- writes

#[test]
fn a_write_that_fits_is_done_at_once_and_gives_its_storage_back() {
    with_tcp(|rig| {
        let (source, mut peer) = rig.pair();
        let mut data = BytesMut::with_capacity(1_000);
        data.extend_from_slice(b"answer");
        let storage = data.as_ptr();
        let op = Op::Write { source, data: WriteData::Buf(data) };
        let (_, Started::Done(Outcome::Wrote(WriteData::Buf(back)))) = rig.start(op) else {
            panic!("it should have been done at once")
        };
        assert_eq!((&back[..], back.capacity(), back.as_ptr()), (&b"answer"[..], 1_000, storage));
        let mut got = [0; 6];
        peer.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"answer");
        let nothing = WriteData::Chunks(Vec::new());
        let (_, started) = rig.start(Op::Write { source, data: nothing });
        assert!(matches!(started, Started::Done(Outcome::Wrote(_))));
    });
}

#[test]
fn what_is_sent_at_once_is_what_needs_no_waiting_and_a_write_sends_the_rest() {
    with_tcp(|rig| {
        let (source, peer) = rig.pair();
        rig.driver.set_option(source, SocketOption::SendBufferBytes(4_096)).unwrap();
        assert_eq!(rig.driver.try_send(source, b"").unwrap(), 0);
        let sent = pattern(LARGE_BYTES);
        let at_once = rig.driver.try_send(source, &sent).unwrap();
        assert!(at_once < LARGE_BYTES, "no socket takes a megabyte unread");
        // It is not tried again before there is room.
        assert_eq!(rig.driver.try_send(source, b"more").unwrap(), 0);
        let rest = rig.park(write(source, &sent[at_once..]));
        let drain = rig.read_beside(peer, LARGE_BYTES);
        assert!(matches!(rig.wait(rest), Outcome::Wrote(_)));
        let (peer, got) = drain.join(rig);
        assert!(got == sent, "bytes were lost or moved");
        drop(peer);
        rig.expect_nothing();
        // The first send after the end may still succeed, the peer then says that it is gone.
        let failed = (0..100).find_map(|_| {
            rig.expect_nothing();
            rig.driver.try_send(source, b"nobody").err()
        });
        let kind = failed.unwrap().kind();
        assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind}");
        rig.driver.close(source);
        let stale = rig.driver.try_send(source, b"stale").unwrap_err();
        assert_eq!(stale.kind(), ErrorKind::NotConnected);
    });
}

/// More than the system's buffers of both ends take while nobody reads.
const LARGE_BYTES: usize = 1 << 20;

/// Starts a write far larger than the system's buffers and drains it from another thread.
fn a_large_write(rig: &mut Rig, make: fn(&[u8]) -> WriteData) {
    let (source, mut peer) = rig.pair();
    rig.driver.set_option(source, SocketOption::SendBufferBytes(16_384)).unwrap();
    let sent = pattern(LARGE_BYTES);
    let id = rig.park(Op::Write { source, data: make(&sent) });
    rig.expect_nothing();
    // The other direction is free meanwhile.
    peer.write_all(b"ping").unwrap();
    assert_eq!(rig.read_exactly(source, 4), b"ping");
    let drain = rig.read_beside(peer, LARGE_BYTES);
    let Outcome::Wrote(back) = rig.wait(id) else { panic!("the write failed") };
    assert_eq!(back.len(), LARGE_BYTES);
    assert!(drain.join(rig).1 == sent, "bytes were lost or moved");
    assert!(rig.is_idle());
}

#[test]
fn a_write_that_does_not_fit_goes_on_until_all_is_sent_in_order() {
    with_tcp(|rig| a_large_write(rig, |bytes| WriteData::Buf(BytesMut::from(bytes))));
}

#[test]
fn slices_are_gathered_and_arrive_in_order_however_many_they_are() {
    with_tcp(|rig| {
        a_large_write(rig, |bytes| {
            // Unequal pieces, empty ones among them, more than one call takes.
            let mut rest = Bytes::copy_from_slice(bytes);
            let mut chunks = Vec::new();
            for size in (0..7_001).step_by(7).cycle() {
                if rest.is_empty() {
                    break;
                }
                chunks.push(rest.split_to(size.min(rest.len())));
            }
            WriteData::Chunks(chunks)
        });
    });
}

#[test]
fn a_write_to_a_peer_that_has_gone_fails() {
    with_tcp(|rig| {
        let (source, peer) = rig.pair();
        rig.driver.set_option(source, SocketOption::SendBufferBytes(4_096)).unwrap();
        let id = rig.park(write(source, &pattern(LARGE_BYTES)));
        drop(peer);
        let outcome = rig.wait(id);
        let Outcome::Failed(error, _) = outcome else { panic!("{outcome:?}") };
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));
    });
}

#[test]
fn a_half_closed_connection_still_reads() {
    with_tcp(|rig| {
        let (source, mut peer) = rig.pair();
        rig.driver.shutdown(source, Shutdown::Write).unwrap();
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
        peer.write_all(b"still here").unwrap();
        assert_eq!(rig.read_exactly(source, 10), b"still here");
        let outcome = rig.run(write(source, b"too late"));
        assert!(
            matches!(outcome, Outcome::Failed(error, _) if error.kind() == ErrorKind::BrokenPipe)
        );
    });
}
