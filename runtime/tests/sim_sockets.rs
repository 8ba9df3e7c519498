//! UDP and Unix sockets in simulation: what differs from the system's, and what goes wrong.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use corelane::sim::{Failure, Fault, Place, Simulation, check, check_twice};
use corelane::{
    Result, StreamReader, StreamWriter, UdpSocket, open_unix_connection, sleep, start_unix_server,
    timeout,
};

const SECOND: Duration = Duration::from_secs(1);
const COUNT: u8 = 100;

/// Sends numbers from one host to another, and gives them as they came until nothing comes any more.
fn numbers(sim: &mut Simulation, from: Place, to: Place) -> Result<Vec<u8>, Failure> {
    let sends_to = to.addr(9);
    let receives = sim.spawn(to, async move || {
        let socket = UdpSocket::bind(sends_to).await?;
        let mut got = Vec::new();
        while let Ok((bytes, sender)) =
            timeout(5 * SECOND, async |_| Ok(socket.recv_datagram().await?)).await
        {
            assert_eq!(sender.ip(), from.ip());
            got.push(bytes[0]);
        }
        Ok(got)
    });
    sim.run_for(SECOND / 1_000)?;
    sim.run(from, async move || {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        for number in 0..COUNT {
            socket.send_to(&[number], sends_to).await?;
        }
        Ok(())
    })?;
    sim.run_until(|| receives.done())?;
    Ok(receives.result()?)
}

fn hosts(sim: &mut Simulation) -> Result<(Place, Place), Failure> {
    Ok((sim.host("one")?, sim.host("other")?))
}

fn is_sorted(numbers: &[u8]) -> bool {
    numbers.is_sorted()
}

#[test]
fn datagrams_overtake_each_other_between_hosts_and_not_within_one() {
    check_twice(30, |sim| {
        let (one, other) = hosts(sim)?;
        let mut got = numbers(sim, one, other)?;
        assert!(!is_sorted(&got), "a hundred of them kept their order");
        got.sort_unstable();
        assert_eq!(got, (0..COUNT).collect::<Vec<_>>());
        let beside = sim.beside(one)?;
        assert_eq!(numbers(sim, beside, one)?, (0..COUNT).collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn datagrams_are_lost_and_come_twice_when_a_fault_says_so() {
    check_twice(30, |sim| {
        let (one, other) = hosts(sim)?;
        sim.faults(Fault::loss().one_in(3));
        let got = numbers(sim, one, other)?.len();
        assert!((40..95).contains(&got), "{got} of {COUNT}");
        Ok(())
    });
    check_twice(30, |sim| {
        let (one, other) = hosts(sim)?;
        sim.faults(Fault::duplication().from("one").times(10));
        let mut got = numbers(sim, one, other)?;
        assert_eq!(got.len(), usize::from(COUNT) + 10);
        got.sort_unstable();
        got.dedup();
        assert_eq!(got.len(), usize::from(COUNT));
        Ok(())
    });
}

#[test]
fn datagrams_do_not_wait_for_a_partition_to_end_nor_for_room() {
    check(20, |sim| {
        let (one, other) = hosts(sim)?;
        sim.partition(one, other);
        assert!(numbers(sim, one, other)?.is_empty());
        sim.heal(one, other);
        assert_eq!(numbers(sim, one, other)?.len(), usize::from(COUNT));
        sim.run(one, async move || {
            let (from, to) =
                (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
            for _ in 0..100 {
                from.send_to(&[7; 10_000], to.local_addr()?).await?;
            }
            sleep(SECOND).await;
            let mut count = 0;
            while to.try_recv_datagram().is_ok() {
                count += 1;
            }
            assert!((1..10).contains(&count), "{count} in 64 KiB");
            Ok(())
        })
    });
}

#[test]
fn sockets_that_share_an_address_get_the_same_peers_each_time() {
    check_twice(20, |sim| {
        let (one, other) = hosts(sim)?;
        sim.run(other, async move || {
            let sockets = [
                UdpSocket::bind_shared(other.addr(9)).await?,
                UdpSocket::bind_shared(other.addr(9)).await?,
            ];
            let mut counts = [0; 2];
            let mut talkers = Vec::new();
            for _ in 0..20 {
                talkers.push(UdpSocket::bind("0.0.0.0:0").await?);
            }
            let mut chosen = vec![None; talkers.len()];
            for _ in 0..3 {
                for (number, talker) in talkers.iter().enumerate() {
                    talker.send_to(b"x", other.addr(9)).await?;
                    sleep(SECOND).await;
                    let got = sockets.iter().position(|socket| socket.try_recv_datagram().is_ok());
                    assert!(chosen[number].is_none() || chosen[number] == got);
                    chosen[number] = got;
                    counts[got.unwrap()] += 1;
                }
            }
            assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
            Ok(())
        })?;
        // Nobody is there: who has a peer is told.
        sim.run(one, async move || {
            let socket = UdpSocket::bind(one.addr(0)).await?;
            socket.connect(other.addr(9)).await?;
            socket.send(b"anybody?").await?;
            assert_eq!(
                socket.recv_datagram().await.unwrap_err().kind(),
                ErrorKind::ConnectionRefused
            );
            Ok(())
        })
    });
}

#[test]
fn of_sockets_that_share_an_address_the_one_that_is_connected_gets_what_its_peer_sends() {
    check_twice(20, |sim| {
        let (one, _) = hosts(sim)?;
        sim.run(one, async move || {
            let addr = one.addr(9);
            let peers = [UdpSocket::bind(one.addr(0)).await?, UdpSocket::bind(one.addr(0)).await?];
            let connected = UdpSocket::bind_shared(addr).await?;
            connected.connect(peers[0].local_addr()?).await?;
            // Sent from anywhere, they have two others to go to.
            let others = [UdpSocket::bind_shared(addr).await?, UdpSocket::bind_shared(addr).await?];
            for (number, peer) in peers.iter().enumerate() {
                peer.send_to(b"x", addr).await?;
                sleep(SECOND).await;
                assert_eq!(connected.try_recv_datagram().is_ok(), number == 0);
                let elsewhere = others.iter().filter(|other| other.try_recv_datagram().is_ok());
                assert_eq!(elsewhere.count(), number);
            }
            Ok(())
        })
    });
}

/// Sends every line back.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write_bytes(line)?;
    }
    Ok(())
}

/// Asks at a path; gives the answer, or why there is none.
async fn ask(path: &str) -> Result<String, ErrorKind> {
    let (mut reader, writer) = open_unix_connection(path).await.map_err(|error| error.kind())?;
    writer.write(b"hello\n").map_err(|_| ErrorKind::Other)?;
    let line = reader.read_line().await.map_err(|error| error.kind())?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

#[test]
fn s101_a_unix_socket_is_its_hosts_and_its_file_stays_behind_when_its_process_is_killed() {
    check_twice(30, |sim| {
        let (one, other) = hosts(sim)?;
        sim.start(
            one,
            || (),
            async |_: Rc<()>| {
                start_unix_server(echo, "/run/echo").await?.serve_forever().await?;
                Ok(())
            },
        )?;
        let begun = sim.now() - corelane::Instant::ZERO;
        sim.faults(Fault::kill("one", 10 * SECOND).at(begun + 5 * SECOND));
        let beside = sim.beside(one)?;
        sim.run_for(SECOND)?;
        let asks = async || Ok(ask("/run/echo").await);
        assert_eq!(sim.run(beside, asks)?, Ok("hello\n".into()));
        assert_eq!(sim.run(other, asks)?, Err(ErrorKind::NotFound));
        sim.run_for(9 * SECOND)?;
        // All of its host has ended with it: who is there asks when it is back, at first too early.
        let found = sim.run(beside, async || {
            let mut seen = Vec::new();
            loop {
                let answer = ask("/run/echo").await;
                if seen.last() != Some(&answer) {
                    seen.push(answer.clone());
                }
                if answer.is_ok() {
                    return Ok(seen);
                }
                sleep(SECOND / 1_000_000).await;
            }
        })?;
        let refused = Err(ErrorKind::ConnectionRefused);
        assert!(
            [&[Ok("hello\n".into())][..], &[refused, Ok("hello\n".into())]].contains(&&found[..])
        );
        Ok(())
    });
}

#[test]
fn s101_a_unix_socket_that_is_closed_takes_its_file_along() {
    check(20, |sim| {
        let host = sim.host("only")?;
        sim.run(host, async || {
            let server = start_unix_server(echo, "/run/echo").await?;
            assert_eq!(
                start_unix_server(echo, "/run/echo").await.unwrap_err().kind(),
                ErrorKind::AddrInUse
            );
            assert_eq!(ask("/run/echo").await, Ok("hello\n".into()));
            server.close();
            assert_eq!(ask("/run/echo").await, Err(ErrorKind::NotFound));
            let _again = start_unix_server(echo, "/run/echo").await?;
            assert_eq!(ask("/run/echo").await, Ok("hello\n".into()));
            let nobody = open_unix_connection("/run/nobody").await.unwrap_err();
            assert!(nobody.to_string().contains("/run/nobody"), "{nobody}");
            Ok(())
        })
    });
}
