//! What is watched rather than read, and what never waits.

use std::fs::File;
use std::io::Seek as _;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::*;

fn adopt(rig: &mut Rig, descriptor: impl Into<OwnedFd>, kind: SourceKind) -> SourceId {
    let descriptor = descriptor.into();
    rig.driver.open(SourceSpec::Adopt { descriptor, kind }).unwrap()
}

#[test]
fn a_watch_ends_when_the_process_does() {
    with_sockets(|rig| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        let source = adopt(rig, pidfd_open(pid, PidfdFlags::empty()).unwrap(), SourceKind::Process);
        let watch = rig.park(Op::Watch { source });
        rig.expect_nothing();
        drop(child.stdin.take());
        assert!(matches!(rig.wait(watch), Outcome::Happened));
        // It has happened for everybody who asks later.
        assert!(matches!(rig.run(Op::Watch { source }), Outcome::Happened));
        assert_eq!(child.wait().unwrap().code(), Some(0));
    });
}

#[test]
fn a_watch_of_a_pipe_ends_when_the_reading_end_has_gone() {
    with_sockets(|rig| {
        let (mut reading, sending) = std::io::pipe().unwrap();
        let source = adopt(rig, sending, SourceKind::PipeEnd);
        let watch = rig.park(Op::Watch { source });
        assert!(matches!(rig.run(write(source, b"abc")), Outcome::Wrote(_)));
        let mut seen = [0; 3];
        reading.read_exact(&mut seen).unwrap();
        rig.expect_nothing();
        drop(reading);
        assert!(matches!(rig.wait(watch), Outcome::Happened));
    });
}

#[test]
fn a_write_that_waits_for_a_pipe_goes_on_beside_a_watch() {
    with_sockets(|rig| {
        let (mut reading, sending) = std::io::pipe().unwrap();
        let source = adopt(rig, sending, SourceKind::PipeEnd);
        let watch = rig.park(Op::Watch { source });
        let large = rig.park(write(source, &pattern(LARGE_BYTES)));
        let reader = in_a_thread(move || {
            let mut seen = vec![0; LARGE_BYTES];
            reading.read_exact(&mut seen).unwrap();
            seen
        });
        assert!(matches!(rig.wait(large), Outcome::Wrote(_)));
        assert_eq!(reader.join().unwrap(), pattern(LARGE_BYTES));
        assert!(matches!(rig.wait(watch), Outcome::Happened));
    });
}

#[test]
fn a_watch_is_cancelled_like_any_op() {
    with_sockets(|rig| {
        let (reading, sending) = std::io::pipe().unwrap();
        let source = adopt(rig, sending, SourceKind::PipeEnd);
        let watch = rig.park(Op::Watch { source });
        rig.driver.cancel(watch);
        assert!(matches!(rig.wait(watch), Outcome::Cancelled(_)));
        let watch = rig.park(Op::Watch { source });
        rig.driver.close(source);
        assert!(matches!(rig.wait(watch), Outcome::Cancelled(_)));
        drop(reading);
    });
}

#[test]
fn what_the_system_cannot_wait_for_is_read_and_written_at_once() {
    with_sockets(|rig| {
        let mut file = tempfile::tempfile().unwrap();
        let source = adopt(rig, file.try_clone().unwrap(), SourceKind::Pipe);
        let (_, started) = rig.start(write(source, b"on a disk"));
        assert!(matches!(started, Started::Done(Outcome::Wrote(_))));
        file.rewind().unwrap();
        assert_eq!(rig.read_exactly(source, 9), b"on a disk");
        let (_, started) = rig.start(Op::Read { source, max_bytes: 10 });
        assert!(matches!(started, Started::Done(Outcome::Eof)));
        rig.driver.close(source);

        let file = tempfile::tempfile().unwrap();
        let source = adopt(rig, file, SourceKind::PipeEnd);
        let (_, started) = rig.start(write(source, b"on a disk"));
        assert!(matches!(started, Started::Done(Outcome::Wrote(_))));
        // Nothing ever happens to it.
        rig.park(Op::Watch { source });
        rig.expect_nothing();
        rig.driver.close(source);
        rig.turn(Park::No);

        let null = adopt(rig, File::open("/dev/null").unwrap(), SourceKind::Pipe);
        let (_, started) = rig.start(Op::Read { source: null, max_bytes: 10 });
        assert!(matches!(started, Started::Done(Outcome::Eof)));
    });
}

#[test]
fn a_wait_for_readiness_takes_nothing_and_a_try_finds_what_came() {
    with_tcp(|rig| {
        let (source, mut peer) = rig.pair();
        let mut seen = [0; 8];
        assert_eq!(rig.driver.try_receive(source, &mut seen, Keep::No).unwrap(), None);
        let ready = rig.park(Op::Readable { source });
        rig.expect_nothing();
        peer.write_all(b"abcdef").unwrap();
        assert!(matches!(rig.wait(ready), Outcome::Ready));
        for _ in 0..2 {
            let seen = &mut seen[..4];
            assert_eq!(rig.driver.try_receive(source, seen, Keep::Yes).unwrap(), Some(4));
            assert_eq!(seen, b"abcd");
        }
        assert_eq!(rig.driver.try_receive(source, &mut seen, Keep::No).unwrap(), Some(6));
        // Beside a wait it may be tried all the same.
        let ready = rig.park(Op::Readable { source });
        assert_eq!(rig.driver.try_receive(source, &mut seen, Keep::No).unwrap(), None);
        drop(peer);
        assert!(matches!(rig.wait(ready), Outcome::Ready));
        assert_eq!(rig.driver.try_receive(source, &mut seen, Keep::No).unwrap(), Some(0));
    });
}

#[test]
fn a_wait_for_room_ends_when_the_peer_has_read() {
    with_tcp(|rig| {
        let (source, mut peer) = rig.pair();
        assert!(matches!(rig.run(Op::Writable { source }), Outcome::Ready));
        let mut sent = 0;
        loop {
            let slices = [IoSlice::new(&[3; 1_000]), IoSlice::new(&[7; 100])];
            match rig.driver.try_send_vectored(source, &slices).unwrap() {
                0 => break,
                count => sent += count,
            }
        }
        let room = rig.park(Op::Writable { source });
        rig.expect_nothing();
        assert_eq!(rig.driver.try_send(source, b"x").unwrap(), 0, "beside the wait");
        peer.read_exact(&mut vec![0; sent]).unwrap();
        assert!(matches!(rig.wait(room), Outcome::Ready));
        assert_eq!(rig.driver.try_send(source, b"x").unwrap(), 1);
    });
}

#[test]
fn a_descriptor_that_is_taken_ends_what_waits_and_stays_open() {
    with_sockets(|rig| {
        let (source, mut peer) = rig.pair();
        let read = rig.park(Op::Read { source, max_bytes: 100 });
        let descriptor = rig.driver.take(source).unwrap();
        assert!(matches!(rig.wait(read), Outcome::Cancelled(None)));
        assert!(rig.driver.take(source).is_err(), "the id is stale");
        peer.write_all(b"abc").unwrap();
        // Nothing is told of it any more.
        rig.expect_nothing();
        let source = adopt(rig, descriptor, SourceKind::Stream);
        assert_eq!(rig.read_exactly(source, 3), b"abc");
    });
}

#[test]
fn who_was_refused_on_a_shared_descriptor_waits_until_there_is_room() {
    with_sockets(|rig| {
        let (source, mut peer) = rig.pair();
        let shared = TcpStream::from(rig.driver.share(source).unwrap());
        let fill = || std::iter::from_fn(|| (&shared).write(&[7; 10_000]).ok()).sum();
        rig.driver.forget_room(source);
        let sent: usize = fill();
        let room = rig.park(Op::Writable { source });
        rig.expect_nothing();
        peer.read_exact(&mut vec![0; sent]).unwrap();
        assert!(matches!(rig.wait(room), Outcome::Ready));
        // Room that an event tells of before anybody waits.
        rig.driver.forget_room(source);
        let sent: usize = fill();
        peer.read_exact(&mut vec![0; sent]).unwrap();
        rig.expect_nothing();
        assert!(matches!(rig.run(Op::Writable { source }), Outcome::Ready));
        // Who was not refused says so, and need not wait.
        rig.driver.forget_room(source);
        rig.driver.found_room(source);
        assert!(matches!(rig.run(Op::Writable { source }), Outcome::Ready));
        // The other descriptor lives on alone.
        rig.driver.close(source);
        assert_eq!((&shared).write(b"still").unwrap(), 5);
        assert!(rig.driver.share(source).is_err());
        rig.driver.forget_room(source);
        rig.driver.found_room(source);
    });
}
