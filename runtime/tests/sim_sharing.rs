//! Listeners that share a port in simulation: who gets how many connections, as on Linux.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use corelane::lowlevel::CpuSteering;
use corelane::sim::{Failure, Place, Simulation, check, check_twice};
use corelane::{
    ConnectBuilder, Result, Server, StreamReader, StreamWriter, open_connection, sleep,
};

const SECOND: Duration = Duration::from_secs(1);

/// How many connections came to each listener.
type Counts = Rc<RefCell<Vec<usize>>>;

/// So many listeners on one port, each of which counts what comes.
fn share(
    sim: &mut Simulation,
    server: Place,
    count: usize,
) -> Result<(Vec<Server>, Counts), Failure> {
    let counts: Counts = Rc::new(RefCell::new(vec![0; count]));
    let mut servers = Vec::new();
    for number in 0..count {
        let counts = Rc::clone(&counts);
        let handler = async move |mut reader: StreamReader, _writer: StreamWriter| {
            counts.borrow_mut()[number] += 1;
            reader.read_line().await?;
            Ok(())
        };
        let listen = async move || {
            Ok(Server::builder().reuse_port(true).start(handler, server.addr(7)).await?)
        };
        servers.push(sim.run(server, listen)?);
    }
    Ok((servers, counts))
}

/// Connects so many times, and says what came of it.
fn connect(
    sim: &mut Simulation,
    client: Place,
    to: SocketAddr,
    count: usize,
) -> Result<(), Failure> {
    sim.run(client, async move || {
        let mut streams = Vec::new();
        for _ in 0..count {
            streams.push(open_connection(to).await?);
        }
        sleep(SECOND).await;
        Ok(())
    })
}

#[test]
fn some_listeners_get_more_than_others_and_many_connections_are_spread_over_all() {
    let mut patterns = BTreeSet::new();
    check_twice(10, |sim| {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let (_servers, counts) = share(sim, server, 4)?;
        connect(sim, client, server.addr(7), 8)?;
        let few = counts.borrow().clone();
        assert_eq!(few.iter().sum::<usize>(), 8);
        patterns.insert(few);
        connect(sim, client, server.addr(7), 392)?;
        let many = counts.borrow();
        assert!(many.iter().all(|count| (60..140).contains(count)), "{many:?}");
        Ok(())
    });
    assert!(patterns.len() > 5, "each world has its own hash: {patterns:?}");
    assert!(patterns.iter().any(|few| few.contains(&0)), "{patterns:?}");
}

#[test]
fn one_pair_of_addresses_comes_to_one_listener_each_time() {
    check_twice(20, |sim| {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let (_servers, counts) = share(sim, server, 4)?;
        for _ in 0..5 {
            sim.run(client, async move || {
                let from = ConnectBuilder::new().local_addr(client.addr(999));
                let streams = from.open(server.addr(7)).await?;
                sleep(SECOND).await;
                drop(streams);
                Ok(())
            })?;
        }
        assert_eq!(counts.borrow().iter().max(), Some(&5));
        Ok(())
    });
}

#[test]
fn a_client_is_not_sent_to_another_listener_while_its_own_has_no_room() {
    check_twice(10, |sim| {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let busy = sim.beside(server)?;
        let accepted = Rc::new(Cell::new(0));
        // One that accepts all at once, and one on a loop that makes no turn.
        let mut servers = Vec::new();
        for place in [server, busy] {
            let accepts = Rc::clone(&accepted);
            let count = async move |mut reader: StreamReader, _writer: StreamWriter| {
                accepts.set(accepts.get() + 1);
                reader.read_line().await?;
                Ok(())
            };
            let builder = Server::builder().reuse_port(true).backlog(4);
            servers.push(
                sim.run(place, async move || Ok(builder.start(count, server.addr(7)).await?))?,
            );
        }
        sim.stall(busy, 60 * SECOND);
        let connecting: Vec<_> = (0..64)
            .map(|_| {
                sim.spawn(client, async move || {
                    let streams = open_connection(server.addr(7)).await?;
                    let _ = corelane::catch_cancel_plain(sleep(3_600 * SECOND)).await;
                    drop(streams);
                    Ok(())
                })
            })
            .collect();
        sim.run_for(30 * SECOND)?;
        let at_once = accepted.get();
        assert!((16..60).contains(&at_once), "{at_once} of 64");
        sim.run_for(60 * SECOND)?;
        assert_eq!(accepted.get(), 64, "the others waited");
        drop(connecting);
        Ok(())
    });
}

#[test]
fn who_waits_at_a_listener_that_goes_is_reset_and_the_next_ones_come_to_the_others() {
    check_twice(20, |sim| {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let (mut servers, counts) = share(sim, server, 3)?;
        // They are in queues, as this loop does not accept.
        sim.stall(server, 10 * SECOND);
        let waiting: Vec<_> = (0..12)
            .map(|_| {
                sim.spawn(client, async move || {
                    let (mut reader, _writer) = open_connection(server.addr(7)).await?;
                    Ok(reader.read_line().await?.is_empty())
                })
            })
            .collect();
        sim.run_for(SECOND)?;
        let gone = servers.remove(0);
        drop(gone);
        sim.run_for(20 * SECOND)?;
        let reset = waiting.iter().filter(|task| task.done() && task.result().is_err()).count();
        let taken: usize = counts.borrow().iter().skip(1).sum();
        assert_eq!((counts.borrow()[0], reset + taken), (0, 12));
        connect(sim, client, server.addr(7), 40)?;
        assert_eq!(counts.borrow()[0], 0);
        assert_eq!(counts.borrow().iter().sum::<usize>(), taken + 40);
        Ok(())
    });
}

#[test]
fn steering_by_cpu_says_who_gets_what_and_the_last_listener_takes_the_place_of_one_that_goes() {
    check_twice(10, |sim| {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let (mut servers, counts) = share(sim, server, 3)?;
        // The first listener gets nothing, the last one three of four CPUs.
        let steering = CpuSteering::new().cpu(0, 2).cpu(1, 2).cpu(2, 1).cpu(3, 2);
        servers[0].steer(&steering)?;
        connect(sim, client, server.addr(7), 80)?;
        let before = counts.borrow().clone();
        assert_eq!(before[0], 0);
        assert!((4..37).contains(&before[1]), "{before:?}");
        // Now the last one is the second, and nobody the third: those the hash spreads.
        drop(servers.remove(1));
        connect(sim, client, server.addr(7), 80)?;
        let after = counts.borrow();
        assert_eq!(after[1], before[1]);
        assert!(after[0] > 10 && after[2] - before[2] > after[0], "{before:?} {after:?}");
        Ok(())
    });
}

#[test]
fn only_listeners_that_share_can_be_steered() {
    check(3, |sim| {
        let host = sim.host("server")?;
        sim.run(host, async move || {
            let alone = async |_: StreamReader, _: StreamWriter| Ok(());
            let server = corelane::start_server(alone, host.addr(7)).await?;
            let refused = server.steer(&CpuSteering::new().cpu(0, 0)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            Ok(())
        })
    });
}

#[test]
fn who_listens_on_the_very_address_gets_what_comes_there() {
    check(10, |sim| {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let counts: Counts = Rc::new(RefCell::new(vec![0; 2]));
        let mut servers = Vec::new();
        for (number, addr) in [server.addr(7), "0.0.0.0:7".parse().unwrap()].into_iter().enumerate()
        {
            let counts = Rc::clone(&counts);
            let count = async move |mut reader: StreamReader, _writer: StreamWriter| {
                counts.borrow_mut()[number] += 1;
                reader.read_line().await?;
                Ok(())
            };
            let builder = Server::builder().reuse_port(true);
            servers.push(sim.run(server, async move || Ok(builder.start(count, addr).await?))?);
        }
        connect(sim, client, server.addr(7), 20)?;
        assert_eq!(*counts.borrow(), [20, 0]);
        let beside = sim.beside(server)?;
        connect(sim, beside, "127.0.0.1:7".parse().unwrap(), 5)?;
        assert_eq!(*counts.borrow(), [20, 5]);
        Ok(())
    });
}
