use std::net::TcpStream;

use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;

/// A driver with a listener, and the listener's address.
fn listening() -> (MioDriver, SourceId, SocketAddr) {
    let mut driver = MioDriver::new().unwrap();
    let addr = "127.0.0.1:0".parse().unwrap();
    let spec = SourceSpec::Listen { addr, backlog: Some(128), reuse_port: false };
    let listener = driver.open(spec).unwrap();
    let addr = driver.local_addr(listener).unwrap();
    (driver, listener, addr)
}

fn turn(driver: &mut MioDriver, millis: u64) -> Vec<Completion> {
    let mut done = Vec::new();
    let deadline = driver.now() + Duration::from_millis(millis);
    driver.turn(Park::Until(deadline), &mut done).unwrap();
    done
}

/// What the one op comes to that waits.
fn completed(driver: &mut MioDriver) -> Outcome {
    let limit = driver.now() + Duration::from_secs(20);
    loop {
        assert!(driver.now() < limit, "it never ended");
        // An event of another source ends a turn, too.
        if let Some(completion) = turn(driver, 10_000).pop() {
            return completion.outcome;
        }
    }
}

/// Accepts the connection that is waiting or on its way.
fn accept(driver: &mut MioDriver, listener: SourceId) -> SourceId {
    let started = driver.start(OpId::new(0), Op::Accept { source: listener });
    let outcome = match started {
        Started::Done(outcome) => outcome,
        Started::Parked => completed(driver),
    };
    let Outcome::Accepted { source, .. } = outcome else { panic!("{outcome:?}") };
    source
}

#[test]
fn s3_accepted_and_connecting_sockets_send_small_segments_at_once() {
    let (mut driver, listener, addr) = listening();
    let connecting = driver.open(SourceSpec::Connect { addr, local: None }).unwrap();
    let accepted = accept(&mut driver, listener);
    for source in [connecting, accepted] {
        assert!(sockopt::tcp_nodelay(&driver.source(source).unwrap().descriptor).unwrap());
    }
}

#[test]
fn a_short_read_and_a_full_socket_clear_their_bits() {
    use std::io::Write as _;

    let (mut driver, listener, addr) = listening();
    let mut peer = TcpStream::connect(addr).unwrap();
    let source = accept(&mut driver, listener);
    let read = Op::Read { source, max_bytes: 100 };
    assert!(matches!(driver.start(OpId::new(1), read), Started::Parked));
    peer.write_all(b"short").unwrap();
    while turn(&mut driver, 10_000).is_empty() {}
    assert_eq!(driver.source(source).unwrap().readiness(), (false, true));
    let data = crate::driver::WriteData::Chunks(vec![vec![7; 8 << 20].into()]);
    let write = Op::Write { source, data };
    assert!(matches!(driver.start(OpId::new(2), write), Started::Parked));
    assert_eq!(driver.source(source).unwrap().readiness(), (false, false));
}

#[test]
fn an_accept_that_leaves_nobody_waiting_clears_the_bit() {
    let (mut driver, listener, addr) = listening();
    for _ in 0..3 {
        let _peer = TcpStream::connect(addr).unwrap();
        let source = accept(&mut driver, listener);
        assert_eq!(driver.source(listener).unwrap().readiness(), (false, false));
        driver.close(source);
    }
    let _peers = [addr; 3].map(|addr| TcpStream::connect(addr).unwrap());
    let accepted = [listener; 3].map(|listener| accept(&mut driver, listener));
    assert!(accepted.iter().all(|source| driver.source(*source).is_ok()));
    assert_eq!(driver.source(listener).unwrap().readiness(), (false, false));
}

#[test]
fn the_timer_is_set_only_for_a_deadline_earlier_than_the_one_it_is_set_to() {
    let mut driver = MioDriver::new().unwrap();
    let start = driver.now();
    let mut set_to_after = |millis| {
        driver.bell.unpark();
        let deadline = start + Duration::from_millis(millis);
        driver.turn(Park::Until(deadline), &mut Vec::new()).unwrap();
        driver.armed.map(|armed| armed - start)
    };
    let minute = Some(Duration::from_secs(60));
    assert_eq!(set_to_after(60_000), minute);
    assert_eq!(set_to_after(90_000), minute);
    assert_eq!(set_to_after(30_000), Some(Duration::from_secs(30)));
    // A deadline that has passed needs no timer.
    assert_eq!(set_to_after(0), Some(Duration::from_secs(30)));
}

/// The child half of the test below: its limit of descriptors must not starve other tests.
const CHILD: &str = "CORELANE_TEST_OUT_OF_DESCRIPTORS";

#[test]
fn an_accept_without_descriptors_fails_and_the_next_one_finds_the_connection() {
    if std::env::var_os(CHILD).is_none() {
        let name = "driver::mio::tests::\
                    an_accept_without_descriptors_fails_and_the_next_one_finds_the_connection";
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let (mut driver, listener, addr) = listening();
    let _peer = TcpStream::connect(addr).unwrap();
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..before }).unwrap();
    let op = || Op::Accept { source: listener };
    assert!(matches!(driver.start(OpId::new(0), op()), Started::Parked));
    let done = turn(&mut driver, 10_000);
    let Outcome::Failed(error, _) = &done[0].outcome else { panic!("{done:?}") };
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
    setrlimit(Resource::Nofile, before).unwrap();
    // No new edge comes for it: the bit has to have survived.
    assert!(matches!(driver.start(OpId::new(0), op()), Started::Done(Outcome::Accepted { .. })));
}
