//! Signals of simulated processes: who hears them, and what they do if nobody does.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use corelane::sim::{Fault, FaultKind, Faults, Reason, Simulation, check, check_twice};
use corelane::{
    Result, catch_cancel_plain, open_connection, signal, sleep, spawn, start_server, timeout,
};
use futures_util::StreamExt;
use libc::{SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGSTOP, SIGTERM, SIGWINCH};

const SECOND: Duration = Duration::from_secs(1);

async fn hour() -> Result<()> {
    sleep(3_600 * SECOND).await;
    Ok(())
}

#[test]
fn each_stream_on_the_host_hears_the_signal_and_no_other_does() {
    check_twice(60, |sim| {
        let (host, other) = (sim.host("server")?, sim.host("other")?);
        let beside = sim.beside(host)?;
        let heard = Rc::new(RefCell::new(Vec::new()));
        for (place, number, name) in [
            (host, SIGHUP, "first"),
            (host, SIGHUP, "second"),
            (beside, SIGHUP, "beside"),
            (host, SIGTERM, "another signal"),
            (other, SIGHUP, "another host"),
        ] {
            let hears = Rc::clone(&heard);
            drop(sim.spawn(place, async move || {
                let mut stream = signal(number)?;
                assert_eq!(stream.number(), number);
                while stream.next().await.is_some() {
                    hears.borrow_mut().push(name);
                }
                Ok(())
            }));
        }
        sim.run_for(SECOND)?;
        for _ in 0..2 {
            sim.signal(beside, SIGHUP)?;
            sim.run_for(SECOND)?;
            let mut heard = heard.take();
            heard.sort_unstable();
            assert_eq!(heard, ["beside", "first", "second"]);
        }
        sim.shut_down()
    });
}

#[test]
fn signals_that_come_while_nobody_looks_are_one_and_a_cancelled_wait_loses_none() {
    check_twice(60, |sim| {
        let host = sim.host("only")?;
        let mut stream = sim.run(host, async || Ok(signal(SIGHUP)?))?;
        for _ in 0..3 {
            sim.signal(host, SIGHUP)?;
        }
        sim.run_for(SECOND)?;
        let mut stream = sim.run(host, async move || {
            stream.recv().await;
            let more = timeout(SECOND, async |_| {
                stream.recv().await;
                Ok(())
            })
            .await;
            assert!(more.unwrap_err().is_timeout());
            Ok(stream)
        })?;
        sim.faults(Fault::signal("only", SIGHUP).at(5 * SECOND));
        sim.run(host, async move || {
            stream.recv().await;
            Ok(())
        })
    });
}

#[test]
fn numbers_that_no_process_can_hear_or_get_are_refused() {
    let mut sim = Simulation::new(1);
    let host = sim.host("only").unwrap();
    let heard = sim.run(host, async || {
        let refused = [0, -3, 65, SIGKILL, SIGSTOP].map(|number| signal(number).unwrap_err());
        Ok(refused.map(|error| error.kind()))
    });
    assert_eq!(heard.unwrap(), [ErrorKind::InvalidInput; 5]);
    for number in [0, -3, 65, SIGSTOP] {
        let refused = sim.signal(host, number).unwrap_err();
        assert_eq!(refused.io_kind(), Some(ErrorKind::InvalidInput), "{refused}");
        assert!(refused.to_string().contains(&number.to_string()), "{refused}");
    }
    let stops = sim.signal(host, SIGSTOP).unwrap_err().to_string();
    assert!(stops.contains("stall"), "{stops}");
}

#[test]
#[should_panic(expected = "signal 65 does not exist")]
fn a_fault_of_a_signal_that_does_not_exist_is_refused_where_it_is_made() {
    let _ = Fault::signal("server", 65);
}

#[test]
fn a_process_that_does_not_hear_a_signal_ends_by_it_and_its_peers_notice() {
    check_twice(60, |sim| {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let begun = Rc::new(Cell::new(0));
        let begins = Rc::clone(&begun);
        sim.start(
            server,
            || (),
            async move |_| {
                begins.set(begins.get() + 1);
                let hold = async |mut reader: corelane::StreamReader, _writer| {
                    reader.read_line().await?;
                    Ok(())
                };
                start_server(hold, server.addr(7)).await?.serve_forever().await
            },
        )?;
        sim.run_for(SECOND)?;
        let mut streams =
            sim.run(client, async move || Ok(open_connection(server.addr(7)).await?))?;
        for number in [SIGCHLD, SIGPIPE, SIGWINCH] {
            sim.signal(server, number)?;
        }
        sim.run_for(SECOND)?;
        assert!(!streams.0.at_eof(), "those do nothing");
        let number = [SIGTERM, SIGHUP, SIGKILL, 64][sim.seed() as usize % 4];
        sim.signal(server, number)?;
        sim.run(client, async move || {
            assert!(streams.0.read_line().await.map_or(true, |line| line.is_empty()));
            sleep(3_600 * SECOND).await;
            let refused = open_connection(server.addr(7)).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            Ok(())
        })?;
        assert_eq!(begun.get(), 1, "it does not come back by itself");
        // Somebody starts it again.
        sim.faults(
            Fault::kill("server", SECOND).at((sim.now() - corelane::Instant::ZERO) + SECOND),
        );
        sim.run_for(3 * SECOND)?;
        assert_eq!(begun.get(), 2);
        Ok(())
    });
}

#[test]
fn the_first_sigint_interrupts_the_main_of_run_and_what_it_cleans_up_takes_its_time() {
    check_twice(60, |sim| {
        let host = sim.host("only")?;
        sim.faults(Fault::signal("only", SIGINT).at(5 * SECOND));
        let cleaned = Rc::new(Cell::new(false));
        let cleans = Rc::clone(&cleaned);
        let failure = sim.run(host, async move || {
            let waited = catch_cancel_plain(sleep(3_600 * SECOND)).await;
            sleep(SECOND).await;
            cleans.set(true);
            Ok(waited?)
        });
        let failure = failure.unwrap_err();
        let is_interrupted = matches!(failure.reason(), Reason::Ended(e) if e.is_interrupted());
        assert!(is_interrupted, "{failure}");
        assert!(cleaned.get());
        assert_eq!((sim.now() - corelane::Instant::ZERO).as_secs(), 6);
        Ok(())
    });
}

#[test]
fn a_main_that_ends_with_a_value_after_a_sigint_has_that_outcome() {
    check(20, |sim| {
        let host = sim.host("only")?;
        sim.faults(Fault::signal("only", SIGINT).at(SECOND));
        let value = sim.run(host, async || {
            let _ = catch_cancel_plain(sleep(3_600 * SECOND)).await;
            Ok(42)
        })?;
        assert_eq!(value, 42);
        // The next run is another one.
        assert_eq!(
            sim.run(host, async || {
                sleep(SECOND).await;
                Ok(1)
            })?,
            1
        );
        Ok(())
    });
}

#[test]
fn a_second_sigint_ends_the_process_at_once() {
    check_twice(40, |sim| {
        let host = sim.host("only")?;
        let ended = Rc::new(Cell::new(false));
        let ends = Rc::clone(&ended);
        sim.start(
            host,
            || (),
            async move |_| {
                let _ = catch_cancel_plain(std::future::pending::<()>()).await;
                sleep(SECOND).await;
                ends.set(true);
                std::future::pending().await
            },
        )?;
        sim.run_for(SECOND)?;
        sim.signal(host, SIGINT)?;
        sim.run_for(10 * SECOND)?;
        assert!(ended.get(), "the first one cancels what was started");
        let beside = sim.beside(host)?;
        let other = sim.spawn(beside, std::future::pending::<Result<()>>);
        sim.run_for(SECOND)?;
        assert!(!other.done());
        sim.signal(host, SIGINT)?;
        assert!(other.done(), "all loops of the host are one process");
        Ok(())
    });
}

#[test]
fn a_stream_of_sigint_keeps_the_main_from_being_interrupted() {
    check_twice(40, |sim| {
        let host = sim.host("only")?;
        sim.faults(
            Faults::new()
                .and(Fault::signal("only", SIGINT).at(SECOND))
                .and(Fault::signal("only", SIGINT).at(2 * SECOND)),
        );
        let heard = sim.run(host, async || {
            let mut interrupts = signal(SIGINT)?;
            let counter = spawn(async move {
                interrupts.recv().await;
                interrupts.recv().await;
                corelane::now()
            });
            counter.await
        })?;
        assert_eq!((heard - corelane::Instant::ZERO).as_secs(), 2);
        // It has gone, so the next one interrupts.
        sim.faults(Fault::signal("only", SIGINT).at(9 * SECOND));
        let failure = sim.run(host, hour).unwrap_err();
        assert!(failure.to_string().contains("interrupt"), "{failure}");
        Ok(())
    });
}

#[test]
fn signals_may_be_drawn_and_what_fails_by_one_is_found_with_nothing_else() {
    let failed = std::panic::catch_unwind(|| {
        check(60, |sim| {
            let host = sim.host("server")?;
            sim.start(host, || (), async |_| hour().await)?;
            let beside = sim.beside(host)?;
            let lives = sim.spawn(beside, std::future::pending::<Result<()>>);
            sim.faults(Faults::any().at_most(8).also(&[FaultKind::Signal]));
            sim.run_for(100 * SECOND)?;
            assert!(!lives.done(), "it was to live");
            Ok(())
        });
    });
    assert!(failed.is_err(), "no signal ended the process in sixty seeds");
}
