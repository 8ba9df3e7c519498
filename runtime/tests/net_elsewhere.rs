//! Connections that one loop accepts and another serves, and listeners that share an address by CPU.

mod peer;

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::time::Duration;

use corelane::lowlevel::CpuSteering;
use corelane::{
    ConnectionChange, Error, ReportKind, Result, Server, StreamReader, StreamWriter,
    set_report_handler, sleep, to_thread, yield_now,
};
use peer::{run, settle};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Sends every line back.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write_bytes(line)?;
    }
    Ok(())
}

/// A connection to a listener of this thread, both ends.
fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    near.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok((near, listener.accept()?.0))
}

/// Says something and hears it back.
async fn ask(mut near: TcpStream) -> Result<TcpStream> {
    to_thread(move || {
        near.write_all(b"well?\n")?;
        let mut answer = [0; 6];
        near.read_exact(&mut answer)?;
        assert_eq!(&answer, b"well?\n");
        Ok(near)
    })
    .await
}

#[test]
fn a_server_without_an_address_serves_what_it_is_given_and_counts_it() {
    run(async || {
        let server = Server::builder().unbound()?.start(echo)?;
        assert!(server.is_serving());
        assert!(server.local_addrs().is_empty());
        let (near, far) = pair()?;
        server.admit(far)?;
        assert_eq!(server.connection_count(), 1);
        let near = ask(near).await?;
        server.close();
        assert_eq!(server.connection_count(), 1, "connections go on");
        drop(ask(near).await?);
        server.wait_closed().await;
        assert_eq!(server.connection_count(), 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_closed_server_refuses_what_it_is_given_and_closes_it() {
    run(async || {
        let server = Server::builder().unbound()?.start(echo)?;
        server.close();
        let (mut near, far) = pair()?;
        let error = server.admit(far).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        assert_eq!(near.read(&mut [0])?, 0, "its other end sees the end");
        Ok(())
    })
    .unwrap();
}

#[test]
fn an_observer_hears_of_each_connection_twice() {
    let (count, total) = (Arc::new(AtomicIsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (theirs, all) = (Arc::clone(&count), Arc::clone(&total));
    let builder = Server::builder().observe(move |change| {
        let difference = match change {
            ConnectionChange::Opened => 1,
            ConnectionChange::Ended => -1,
        };
        theirs.fetch_add(difference, Ordering::Relaxed);
        all.fetch_add(1, Ordering::Relaxed);
    });
    run(async move || {
        let server = builder.start(echo, "127.0.0.1:0").await?;
        let accepted = TcpStream::connect(server.local_addrs()[0])?;
        let (near, far) = pair()?;
        server.admit(far)?;
        let (accepted, near) = (ask(accepted).await?, ask(near).await?);
        assert_eq!(count.load(Ordering::Relaxed), 2);
        drop((accepted, near));
        server.close();
        server.wait_closed().await;
        assert_eq!(count.load(Ordering::Relaxed), 0);
        assert_eq!(total.load(Ordering::Relaxed), 4);
        Ok(())
    })
    .unwrap();
}

#[test]
fn an_observer_hears_of_connections_that_the_end_of_the_loop_cuts_off() {
    let count = Arc::new(AtomicIsize::new(0));
    let theirs = Arc::clone(&count);
    let builder = Server::builder().observe(move |change| {
        let opened = change == ConnectionChange::Opened;
        theirs.fetch_add(if opened { 1 } else { -1 }, Ordering::Relaxed);
    });
    let near = run(async move || {
        let server = builder.unbound()?.start(echo)?;
        let (near, far) = pair()?;
        server.admit(far)?;
        ask(near).await
    });
    assert_eq!(count.load(Ordering::Relaxed), 0);
    drop(near.unwrap());
}

#[test]
fn a_server_that_only_accepts_gives_its_connections_away_and_counts_none() {
    run(async || {
        let target = Rc::new(Server::builder().unbound()?.start(echo)?);
        let theirs = Rc::clone(&target);
        let give = move |socket: TcpStream| theirs.admit(socket).expect("it serves");
        let door = Server::builder().bind("127.0.0.1:0").await?.start_raw(give)?;
        let nears = [(); 3].map(|()| TcpStream::connect(door.local_addrs()[0]));
        for near in nears {
            drop(ask(near?).await?);
        }
        assert_eq!(door.connection_count(), 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_panic_of_who_takes_connections_is_reported_and_the_next_one_comes() {
    run(async || {
        let reports: Rc<RefCell<Vec<_>>> = Rc::default();
        let theirs = Rc::clone(&reports);
        set_report_handler(move |report| {
            let text = report.error.as_ref().map(Error::to_string).unwrap_or_default();
            theirs.borrow_mut().push((report.kind, text));
        });
        let taken: Rc<RefCell<Vec<TcpStream>>> = Rc::default();
        let hand = Rc::clone(&taken);
        let door = Server::builder().bind("127.0.0.1:0").await?.start_raw(move |socket| {
            hand.borrow_mut().push(socket);
            assert_ne!(hand.borrow().len(), 1, "the first is too much");
        })?;
        let _nears = [(); 2].map(|()| TcpStream::connect(door.local_addrs()[0]));
        while taken.borrow().len() < 2 {
            yield_now().await;
        }
        let reports = reports.borrow();
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].0, ReportKind::ClientCallback);
        assert!(reports[0].1.contains("the first is too much"), "{}", reports[0].1);
        Ok(())
    })
    .unwrap();
}

#[test]
fn connections_of_unix_sockets_are_not_given_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("door");
    run(async move || {
        let bound = Server::builder().bind_unix(&path)?;
        let error = bound.start_raw(|_| ()).unwrap_err();
        assert_eq!(error.io_kind(), Some(ErrorKind::InvalidInput));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_paused_server_accepts_nothing_until_it_is_resumed() {
    run(async || {
        let server = Server::builder().start(echo, "127.0.0.1:0").await?;
        server.pause();
        server.pause();
        // One accept may be under way.
        let first = TcpStream::connect(server.local_addrs()[0])?;
        let first = ask(first).await?;
        let mut second = TcpStream::connect(server.local_addrs()[0])?;
        second.write_all(b"well?\n")?;
        settle().await;
        assert_eq!(server.connection_count(), 1);
        server.resume();
        let mut answer = [0; 6];
        let second = to_thread(move || {
            second.read_exact(&mut answer)?;
            Ok(second)
        });
        drop((first, second.await?));
        Ok(())
    })
    .unwrap();
}

/// The CPUs that this thread may run on.
fn cpus() -> Vec<usize> {
    let mask = sched_getaffinity(None).expect("the system tells");
    (0..CpuSet::MAX_CPU).filter(|&cpu| mask.is_set(cpu)).collect()
}

/// Connects `count` times from a thread that runs on `cpu`, where loopback packets come in then.
async fn connect_from(cpu: usize, addr: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    to_thread(move || {
        let (before, mut mask) = (sched_getaffinity(None)?, CpuSet::new());
        mask.set(cpu);
        sched_setaffinity(None, &mask)?;
        let connected: std::io::Result<Vec<_>> =
            (0..count).map(|_| TcpStream::connect(addr)).collect();
        sched_setaffinity(None, &before)?;
        Ok(connected?)
    })
    .await
}

/// Three servers on one address, in the order in which they listen.
async fn sharing() -> Result<Vec<Server>> {
    let builder = Server::builder().reuse_port(true);
    let first = builder.start(echo, "127.0.0.1:0").await?;
    let addr = first.local_addrs()[0];
    Ok(vec![first, builder.start(echo, addr).await?, builder.start(echo, addr).await?])
}

/// How many connections each server has, when there are as many as this in all or a while has passed.
async fn counts(servers: &[Server], total: usize) -> Vec<usize> {
    let counts = || servers.iter().map(Server::connection_count);
    for _ in 0..20_000 {
        if counts().sum::<usize>() >= total {
            break;
        }
        sleep(Duration::from_millis(1)).await;
    }
    counts().collect()
}

const COUNT: usize = 20;

#[test]
fn connections_go_to_the_listener_of_the_cpu_that_they_come_in_on() {
    run(async || {
        let cpus = cpus();
        let servers = sharing().await?;
        let addr = servers[0].local_addrs()[0];
        // Whichever CPU it is, there is one listener for it, and never the first.
        let named = cpus.iter().enumerate().map(|(nth, &cpu)| (cpu, 1 + nth % 2));
        let steering = named.clone().fold(CpuSteering::new(), |steering, (cpu, listener)| {
            steering.cpu(cpu as u32, listener as u32)
        });
        servers[2].steer(&steering)?;
        let mut expected = vec![0; 3];
        let mut held = Vec::new();
        for (cpu, listener) in named.take(2) {
            held.extend(connect_from(cpu, addr, COUNT).await?);
            expected[listener] += COUNT;
            assert_eq!(counts(&servers, held.len()).await, expected, "from CPU {cpu}");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_last_listener_takes_the_number_of_one_that_stops() {
    run(async || {
        let servers = sharing().await?;
        let addr = servers[0].local_addrs()[0];
        servers[0].close();
        let all_to_the_first =
            cpus().iter().fold(CpuSteering::new(), |steering, &cpu| steering.cpu(cpu as u32, 0));
        servers[1].steer(&all_to_the_first)?;
        let _held = connect_from(cpus()[0], addr, COUNT).await?;
        assert_eq!(counts(&servers, COUNT).await, [0, 0, COUNT]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn steering_that_names_no_cpu_leaves_the_choice_to_the_system() {
    run(async || {
        let servers = sharing().await?;
        let addr = servers[0].local_addrs()[0];
        let all_to_the_first =
            cpus().iter().fold(CpuSteering::new(), |steering, &cpu| steering.cpu(cpu as u32, 0));
        servers[1].steer(&all_to_the_first)?;
        servers[1].steer(&CpuSteering::new())?;
        // A hash that gives sixty connections all to one of three has some other fault.
        let _held = connect_from(cpus()[0], addr, 3 * COUNT).await?;
        let counts = counts(&servers, 3 * COUNT).await;
        assert!(counts.iter().filter(|&&count| count > 0).count() > 1, "{counts:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_listener_that_shares_nothing_cannot_be_steered() {
    run(async || {
        let server = Server::builder().start(echo, "127.0.0.1:0").await?;
        let error = server.steer(&CpuSteering::new().cpu(0, 0)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        Ok(())
    })
    .unwrap();
}
