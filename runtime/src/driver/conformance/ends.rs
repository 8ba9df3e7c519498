//! Cancel, close, stale ids, and descriptors that somebody else made.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    socketpair,
};

use super::*;
use crate::driver::OpId;

/// A source with a read and a write that wait.
fn busy(rig: &mut Rig) -> (SourceId, Peer, [OpId; 2]) {
    let (source, peer) = rig.pair();
    rig.driver.set_option(source, SocketOption::SendBufferBytes(4_096)).unwrap();
    let read = rig.park(Op::Read { source, max_bytes: 100 });
    let write = rig.park(write(source, &pattern(LARGE_BYTES)));
    (source, peer, [read, write])
}

#[test]
fn a_cancelled_op_completes_once_and_leaves_its_source_usable() {
    with_tcp(|rig| {
        let (source, mut peer, [read, write]) = busy(rig);
        rig.driver.cancel(read);
        rig.driver.cancel(read);
        assert!(matches!(rig.wait(read), Outcome::Cancelled(_)));
        rig.driver.cancel(read);
        rig.expect_nothing();
        peer.write_all(b"next").unwrap();
        assert_eq!(rig.read_exactly(source, 4), b"next");
        rig.driver.cancel(write);
        assert!(matches!(rig.wait(write), Outcome::Cancelled(_)));
        assert!(rig.is_idle());
    });
}

#[test]
fn closing_a_source_completes_both_its_ops_as_cancelled_once() {
    with_tcp(|rig| {
        let (source, mut peer, [read, write]) = busy(rig);
        rig.expect_nothing();
        rig.driver.close(source);
        rig.driver.close(source);
        rig.driver.cancel(read);
        // With completions in hand a turn does not wait.
        assert_eq!(rig.turn(Park::Forever), 2);
        assert!(matches!(rig.wait(read), Outcome::Cancelled(_)));
        assert!(matches!(rig.wait(write), Outcome::Cancelled(_)));
        // The peer sees the end, after what was sent.
        peer.read_to_end(&mut Vec::new()).unwrap();
        rig.expect_nothing();
    });
}

/// A megabyte that notes when it is dropped.
struct Noting(Vec<u8>, Arc<AtomicBool>);

impl AsRef<[u8]> for Noting {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_bytes_of_a_write_come_back_however_it_ends() {
    type End = fn(&mut Rig, SourceId, OpId, Peer);
    let ends: [(&str, End); 4] = [
        ("wrote", |rig, _, _, peer| drop(rig.read_beside(peer, LARGE_BYTES))),
        ("failed", |_, _, _, peer| drop(peer)),
        ("cancelled", |rig, _, id, _| rig.driver.cancel(id)),
        ("closed", |rig, source, _, _| rig.driver.close(source)),
    ];
    for (name, end) in ends {
        WITH_TCP.into_iter().for_each(|kind| {
            let rig = &mut Rig::new(kind);
            let (source, peer) = rig.pair();
            rig.driver.set_option(source, SocketOption::SendBufferBytes(4_096)).unwrap();
            let is_dropped = Arc::new(AtomicBool::new(false));
            let owner = Noting(vec![7; LARGE_BYTES], Arc::clone(&is_dropped));
            let data = WriteData::Chunks(vec![Bytes::from_owner(owner)]);
            let id = rig.park(Op::Write { source, data });
            end(rig, source, id, peer);
            let outcome = rig.wait(id);
            assert!(!is_dropped.load(Ordering::Relaxed), "{name}: dropped by the driver");
            drop(outcome);
            assert!(is_dropped.load(Ordering::Relaxed), "{name}: kept by the driver");
        });
    }
}

#[test]
fn the_bytes_of_a_write_to_a_stale_source_come_back() {
    with_tcp(|rig| {
        let (stale, _peer) = rig.pair();
        rig.driver.close(stale);
        for driver in [&mut rig.driver, &mut Rig::new(DriverKind::VirtualClock).driver] {
            let started = driver.start(OpId::new(7), write(stale, b"unsent"));
            let Started::Done(Outcome::Failed(_, Some(unsent))) = started else {
                panic!("{started:?}")
            };
            assert_eq!(unsent.len(), 6);
        }
    });
}

#[test]
fn a_stale_id_finds_nothing_and_not_its_successor() {
    with_tcp(|rig| {
        let (stale, _peer) = rig.pair();
        rig.driver.close(stale);
        let (_successor, _other) = rig.pair();
        for op in [
            Op::Accept { source: stale },
            Op::Connected { source: stale },
            Op::Read { source: stale, max_bytes: 1 },
            write(stale, b"x"),
        ] {
            let (_, started) = rig.start(op);
            let Started::Done(Outcome::Failed(error, _)) = started else { panic!("{started:?}") };
            assert_eq!(error.kind(), ErrorKind::NotConnected);
        }
        let shutdown = rig.driver.shutdown(stale, Shutdown::Both);
        let option = rig.driver.set_option(stale, SocketOption::NoDelay(true));
        let local = rig.driver.local_addr(stale).map(drop);
        let peer = rig.driver.peer_addr(stale).map(drop);
        for result in [shutdown, option, local, peer] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::NotConnected);
        }
    });
}

#[test]
fn s3_options_are_taken_and_a_silly_one_is_refused_or_rounded() {
    with_tcp(|rig| {
        let (source, _peer) = rig.pair();
        for option in [
            SocketOption::NoDelay(false),
            SocketOption::KeepAlive(Some(Duration::from_millis(1))),
            SocketOption::KeepAlive(None),
            SocketOption::ReceiveBufferBytes(1),
        ] {
            rig.driver.set_option(source, option).unwrap();
        }
    });
}

#[test]
fn an_adopted_unix_socket_works_as_a_stream_and_has_no_internet_address() {
    with_sockets(|rig| {
        let (ours, mut peer) = UnixStream::pair().unwrap();
        let kept = ours.try_clone().unwrap();
        let spec = SourceSpec::Adopt { descriptor: ours.into(), kind: SourceKind::UnixStream };
        let source = rig.driver.open(spec).unwrap();
        let read = rig.park(Op::Read { source, max_bytes: 100 });
        peer.write_all(b"in").unwrap();
        assert!(
            matches!(rig.first_of(read), Outcome::Read(buf) | Outcome::Filled(buf) if &buf[..] == b"in")
        );
        assert!(matches!(rig.run(write(source, b"out")), Outcome::Wrote(_)));
        let mut got = [0; 3];
        peer.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"out");
        assert_eq!(rig.driver.local_addr(source).unwrap_err().kind(), ErrorKind::Unsupported);
        // Closed here, the file lives on in its copy, and must not speak to the driver any more.
        rig.driver.close(source);
        peer.write_all(b"late").unwrap();
        rig.expect_nothing();
        drop(kept);
    });
}

#[test]
fn an_adopted_unix_listener_accepts_and_what_follows_a_descriptor_is_found() {
    with_sockets(|rig| {
        // An abstract name of this process: no file, and none left behind.
        let name = format!("corelane-conformance-{}", std::process::id());
        let addr = UnixAddr::from_abstract_name(name).unwrap();
        let descriptor = UnixListener::bind_addr(&addr).unwrap().into();
        let spec = SourceSpec::Adopt { descriptor, kind: SourceKind::Listener };
        let listener = rig.driver.open(spec).unwrap();
        let mut peer = UnixStream::connect_addr(&addr).unwrap();
        let Outcome::Accepted { source } = rig.run(Op::Accept { source: listener }) else {
            panic!("nothing was accepted")
        };
        // A receive stops where a message with descriptors ends, whatever comes behind it.
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let stdin = std::io::stdin();
        let descriptors = [stdin.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let with = [IoSlice::new(b"with")];
        rustix::net::sendmsg(&peer, &with, &mut control, SendFlags::empty()).unwrap();
        peer.write_all(b"without").unwrap();
        assert_eq!(&rig.read(source, 100)[..], b"with");
        assert_eq!(&rig.read(source, 100)[..], b"without");
        drop(peer);
        assert!(matches!(rig.run(Op::Read { source, max_bytes: 1 }), Outcome::Eof));
    });
}

#[test]
fn an_adopted_socket_of_messages_gives_them_one_by_one_though_they_came_together() {
    with_sockets(|rig| {
        for kind in [SourceKind::Stream, SourceKind::UnixStream] {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let (descriptor, peer) =
                socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
            let source = rig.driver.open(SourceSpec::Adopt { descriptor, kind }).unwrap();
            let first = rig.park(Op::Read { source, max_bytes: 100 });
            for message in [b"one", b"two"] {
                rustix::net::send(&peer, message, SendFlags::empty()).unwrap();
            }
            assert!(
                matches!(rig.first_of(first), Outcome::Read(buf) | Outcome::Filled(buf) if &buf[..] == b"one")
            );
            assert_eq!(&rig.read(source, 100)[..], b"two");
        }
    });
}

#[test]
fn an_adopted_pipe_is_read_to_its_end_and_written_until_nobody_reads() {
    with_sockets(|rig| {
        let mut adopt = |descriptor| {
            let spec = SourceSpec::Adopt { descriptor, kind: SourceKind::Pipe };
            rig.driver.open(spec).unwrap()
        };
        let (reader, writer) = std::io::pipe().unwrap();
        let (reader, writer) = (adopt(reader.into()), adopt(writer.into()));
        let read = rig.park(Op::Read { source: reader, max_bytes: 100 });
        assert!(matches!(rig.run(write(writer, b"through")), Outcome::Wrote(_)));
        assert!(
            matches!(rig.first_of(read), Outcome::Read(buf) | Outcome::Filled(buf) if &buf[..] == b"through")
        );
        // A pipe holds 64 KiB: the rest waits for its reader, who then goes.
        let large = rig.park(write(writer, &pattern(100_000)));
        assert_eq!(rig.read_exactly(reader, 70_000), &pattern(100_000)[..70_000]);
        assert!(matches!(rig.wait(large), Outcome::Wrote(_)));
        rig.driver.close(reader);
        let outcome = rig.run(write(writer, b"nobody"));
        assert!(
            matches!(outcome, Outcome::Failed(error, _) if error.kind() == ErrorKind::BrokenPipe)
        );
    });
}

#[test]
#[should_panic(expected = "at most one read")]
fn a_second_read_of_one_source_is_refused() {
    let mut rig = Rig::new(DriverKind::Mio);
    let (source, mut peer) = rig.pair();
    rig.park(Op::Read { source, max_bytes: 1 });
    peer.write_all(b"x").unwrap();
    rig.start(Op::Read { source, max_bytes: 1 });
}
