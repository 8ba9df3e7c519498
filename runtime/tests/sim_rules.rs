//! Faults by rules: each does what it says, where and when it says so, and a run of any of them can be had again.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use corelane::sim::{
    Failure, Fault, FaultKind, Faults, Place, Reason, Simulation, check, check_twice,
};
use corelane::{
    ConnectBuilder, Result, Server, StreamReader, StreamWriter, create_task, now, open_connection,
    sleep, start_server, timeout,
};

const SECOND: Duration = Duration::from_secs(1);

/// Sends every line back.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write_bytes(line)?;
    }
    Ok(())
}

/// A server, and a client that is connected to it.
fn pair(sim: &mut Simulation) -> Result<(Server, Place, (StreamReader, StreamWriter)), Failure> {
    let (server, client) = (sim.host("server")?, sim.host("client")?);
    let serving = sim.run(server, async move || Ok(start_server(echo, server.addr(7)).await?))?;
    let streams = sim.run(client, async move || Ok(open_connection(server.addr(7)).await?))?;
    Ok((serving, client, streams))
}

async fn ask(streams: &mut (StreamReader, StreamWriter), line: &str) -> Result<String> {
    streams.1.write(line.as_bytes())?;
    let answer = streams.0.read_line().await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Asks for an echo at `place`, and gives the answer and how long it took.
fn timed(
    sim: &mut Simulation,
    place: Place,
    mut streams: (StreamReader, StreamWriter),
) -> Result<(String, Duration, (StreamReader, StreamWriter)), Failure> {
    sim.run(place, async move || {
        let begun = now();
        let answer = ask(&mut streams, "hello\n").await?;
        Ok((answer, now() - begun, streams))
    })
}

#[test]
fn a_delay_makes_messages_late_on_its_way_and_in_its_time() {
    check_twice(50, |sim| {
        let (_server, client, streams) = pair(sim)?;
        let begun = sim.now() - corelane::Instant::ZERO;
        let late =
            Fault::delay(SECOND..=2 * SECOND).from("server").during(begun..begun + 10 * SECOND);
        sim.faults(late);
        let (answer, took, streams) = timed(sim, client, streams)?;
        assert_eq!(answer, "hello\n");
        assert!(took >= SECOND && took < 3 * SECOND, "{took:?}");
        sim.run_for(20 * SECOND)?;
        let (_, took, _streams) = timed(sim, client, streams)?;
        assert!(took < SECOND, "{took:?}");
        Ok(())
    });
}

#[test]
fn what_is_lost_is_sent_again_and_a_slow_way_passes_so_much_a_second() {
    check_twice(50, |sim| {
        let (_server, client, streams) = pair(sim)?;
        let begun = sim.now() - corelane::Instant::ZERO;
        sim.faults(Fault::loss().to("server").during(begun..begun + SECOND));
        let (_, took, mut streams) = timed(sim, client, streams)?;
        assert!(took >= Duration::from_millis(200) && took < SECOND, "{took:?}");
        sim.run_for(SECOND)?;
        sim.faults(Fault::slow(1_000).to("server"));
        sim.run(client, async move || {
            let begun = now();
            let line = format!("{}\n", "x".repeat(4_999));
            assert_eq!(ask(&mut streams, &line).await?, line);
            let took = now() - begun;
            assert!(took >= 5 * SECOND && took < 6 * SECOND, "{took:?}");
            Ok(())
        })
    });
}

#[test]
fn s81_a_reset_fails_both_sides_and_only_as_often_as_it_may() {
    check_twice(100, |sim| {
        let (_server, client, streams) = pair(sim)?;
        sim.faults(Fault::reset().from("client").times(1));
        let failure = sim.run(client, async move || {
            let mut streams = streams;
            let error = ask(&mut streams, "hello\n").await.unwrap_err();
            assert_eq!(error.io_kind(), Some(ErrorKind::ConnectionReset));
            Ok(())
        });
        failure?;
        // The next one is left alone.
        let server = "10.0.0.1:7";
        let streams = sim.run(client, async move || Ok(open_connection(server).await?))?;
        timed(sim, client, streams).map(drop)
    });
}

#[test]
fn nobody_is_told_of_a_half_open_connection_but_who_sends_or_probes_finds_out() {
    check_twice(50, |sim| {
        let (_server, client, streams) = pair(sim)?;
        let probing = sim.run(client, async move || {
            let streams = open_connection("10.0.0.1:7").await?;
            streams.1.set_keepalive(Some(60 * SECOND))?;
            Ok(streams)
        })?;
        sim.faults(Fault::half_open().from("client").times(2));
        sim.run(client, async move || {
            let (mut streams, mut probing) = (streams, probing);
            probing.1.write(b"from the one that probes\n")?;
            streams.1.write(b"from the one that sends\n")?;
            let deaf = create_task(timeout(120 * SECOND, async move |_| {
                let sent = streams.0.read_line().await.map(|line| line.len());
                Ok(sent.map_err(|error| error.kind()))
            }));
            assert!(deaf.await.unwrap_err().is_timeout());
            let begun = now();
            let probed = probing.0.read_line().await.unwrap_err();
            assert_eq!(probed.kind(), ErrorKind::TimedOut);
            assert!(now() - begun < 900 * SECOND);
            Ok(())
        })
    });
}

#[test]
fn who_sends_into_silence_gives_up_after_a_quarter_of_an_hour() {
    check_twice(20, |sim| {
        let (_server, client, streams) = pair(sim)?;
        sim.faults(Fault::partition());
        sim.run(client, async move || {
            let mut streams = streams;
            let connects = create_task(async { Ok(open_connection("10.0.0.1:7").await?) });
            let begun = now();
            let error = ask(&mut streams, "anybody?\n").await.unwrap_err();
            assert_eq!(error.io_kind(), Some(ErrorKind::TimedOut));
            let took = now() - begun;
            assert!(took >= 900 * SECOND && took < 1_000 * SECOND, "{took:?}");
            // A connection had given up before.
            assert!(connects.done());
            assert_eq!(connects.await.unwrap_err().io_kind(), Some(ErrorKind::TimedOut));
            Ok(())
        })
    });
}

#[test]
fn a_partition_by_rule_ends_with_its_time_and_loses_nothing() {
    check_twice(50, |sim| {
        let (_server, client, streams) = pair(sim)?;
        let begun = sim.now() - corelane::Instant::ZERO;
        let window = begun + SECOND..begun + 60 * SECOND;
        sim.faults(Fault::partition().from("server").to("client").during(window));
        sim.run_for(2 * SECOND)?;
        let (answer, took, streams) = timed(sim, client, streams)?;
        assert_eq!(answer, "hello\n");
        assert!(took > 57 * SECOND && took < 59 * SECOND, "{took:?}");
        let (_, took, _streams) = timed(sim, client, streams)?;
        assert!(took < SECOND);
        Ok(())
    });
}

#[test]
fn s28_a_server_without_descriptors_waits_and_goes_on_and_a_client_is_told() {
    check_twice(50, |sim| {
        let (_server, client, _streams) = pair(sim)?;
        let begun = sim.now() - corelane::Instant::ZERO;
        let window = begun..begun + 10 * SECOND;
        sim.faults(Fault::no_descriptors("server").during(window.clone()));
        sim.faults(Fault::no_descriptors("client").during(window).times(1));
        sim.run(client, async move || {
            let refused = open_connection("10.0.0.1:7").await.map(drop).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EMFILE));
            let begun = now();
            // The system of the server takes the connection, and the server once it can.
            let mut streams = ConnectBuilder::new().open("10.0.0.1:7").await?;
            assert_eq!(ask(&mut streams, "late\n").await?, "late\n");
            let took = now() - begun;
            assert!(took > 9 * SECOND && took < 12 * SECOND, "{took:?}");
            Ok(())
        })
    });
}

#[test]
fn g7_clocks_of_hosts_differ_and_a_timer_is_on_time_by_the_clock_of_its_own() {
    check_twice(50, |sim| {
        let places = [sim.host("fast")?, sim.host("slow")?, sim.host("ahead")?, sim.host("right")?];
        sim.faults(Fault::drift("fast", 100_000).during(SECOND..Duration::MAX));
        sim.faults(Fault::drift("slow", -100_000).during(Duration::ZERO..5_000 * SECOND));
        sim.faults(Fault::ahead("ahead", 60 * SECOND).at(10 * SECOND));
        let ended = Rc::new(RefCell::new(Vec::new()));
        let mut tasks = Vec::new();
        for (number, place) in places.into_iter().enumerate() {
            let ended = Rc::clone(&ended);
            tasks.push(sim.spawn(place, async move || {
                let begun = now();
                sleep(1_000 * SECOND).await;
                let took = now() - begun;
                assert!(took >= 1_000 * SECOND && took < 1_001 * SECOND, "{took:?}");
                ended.borrow_mut().push(number);
                Ok(())
            }));
        }
        let mut at = Vec::new();
        while ended.borrow().len() < 4 {
            let count = ended.borrow().len();
            sim.run_until(|| ended.borrow().len() > count)?;
            at.push((sim.now() - corelane::Instant::ZERO).as_secs());
        }
        assert_eq!(*ended.borrow(), [0, 2, 3, 1]);
        assert_eq!(at, [909, 940, 1_000, 1_111]);
        tasks.into_iter().try_for_each(|task| Ok(task.result()?))
    });
}

#[test]
fn g10_a_task_that_is_to_panic_does_and_its_joiner_is_told() {
    check_twice(50, |sim| {
        let host = sim.host("only")?;
        sim.faults(Fault::task_panic("worker").at(5 * SECOND));
        let is_dropped = Rc::new(Cell::new(false));
        struct Noting(Rc<Cell<bool>>);
        impl Drop for Noting {
            fn drop(&mut self) {
                self.0.set(std::thread::panicking());
            }
        }
        let held = Noting(Rc::clone(&is_dropped));
        sim.run(host, async move || {
            let work = async move {
                let _held = held;
                loop {
                    sleep(SECOND).await;
                }
            };
            let worker = corelane::task().name("worker").create::<()>(work);
            let other = corelane::task().name("other").spawn(sleep(60 * SECOND));
            let error = worker.await.unwrap_err();
            assert_eq!(error.panic_message(), Some("a fault has worker panic"));
            assert!(now() < corelane::Instant::ZERO + 6 * SECOND);
            other.await
        })?;
        assert!(is_dropped.get(), "it was dropped as in a panic");
        Ok(())
    });
}

/// A server that counts its requests in what it stores, and in memory.
fn counting(sim: &mut Simulation) -> Result<Place, Failure> {
    let server = sim.host("server")?;
    sim.start(
        server,
        || Cell::new(0_u32),
        async move |stored| {
            let memory = Rc::new(Cell::new(0_u32));
            let count = async move |mut reader: StreamReader, writer: StreamWriter| {
                while reader.next_line().await?.is_some() {
                    stored.set(stored.get() + 1);
                    memory.set(memory.get() + 1);
                    writer.write(format!("{} {}\n", stored.get(), memory.get()).as_bytes())?;
                }
                Ok(())
            };
            start_server(count, server.addr(7)).await?.serve_forever().await?;
            Ok(())
        },
    )?;
    Ok(server)
}

/// Asks until there is an answer.
async fn persist(server: Place) -> Result<String> {
    loop {
        let attempt = timeout(SECOND, async move |_| {
            let mut streams = open_connection(server.addr(7)).await?;
            ask(&mut streams, "count\n").await
        });
        match attempt.await {
            Ok(answer) if !answer.is_empty() => return Ok(answer),
            _ => sleep(SECOND / 10).await,
        }
    }
}

#[test]
fn a_host_that_ends_comes_back_with_what_it_stored_and_nothing_else() {
    let falls = [
        (Fault::kill("server", 10 * SECOND), "2 1\n"),
        (Fault::crash("server", 10 * SECOND), "2 1\n"),
        (Fault::kill("server", 10 * SECOND).wiping(), "1 1\n"),
        (Fault::crash("server", 10 * SECOND).wiping(), "1 1\n"),
    ];
    for (fall, answer) in falls {
        check_twice(25, |sim| {
            let (server, client) = (counting(sim)?, sim.host("client")?);
            sim.faults(fall.clone().at(5 * SECOND));
            sim.run(client, async move || {
                assert_eq!(persist(server).await?, "1 1\n");
                sleep(6 * SECOND).await;
                assert_eq!(persist(server).await?, answer);
                assert!(now() > corelane::Instant::ZERO + 15 * SECOND);
                Ok(())
            })
        });
    }
}

#[test]
fn a_peer_of_a_killed_process_is_told_at_once_and_of_a_crashed_host_when_it_is_back() {
    for (fall, is_silent) in
        [(Fault::kill("server", 60 * SECOND), false), (Fault::crash("server", 60 * SECOND), true)]
    {
        check_twice(50, |sim| {
            let (server, client) = (counting(sim)?, sim.host("client")?);
            let mut streams =
                sim.run(client, async move || Ok(open_connection(server.addr(7)).await?))?;
            sim.faults(fall.clone().at(5 * SECOND));
            sim.run_for(6 * SECOND)?;
            sim.run(client, async move || {
                let begun = now();
                let answer = ask(&mut streams, "anybody?\n").await;
                assert!(answer.as_ref().map_or(true, |line| line.is_empty()), "{answer:?}");
                let connected = timeout(SECOND, async move |_| {
                    Ok(open_connection(server.addr(7)).await.map(drop).map_err(|e| e.kind()))
                });
                if is_silent {
                    let error = answer.unwrap_err();
                    assert_eq!(error.io_kind(), Some(ErrorKind::ConnectionReset));
                    assert!(now() - begun > 50 * SECOND);
                } else {
                    assert!(now() - begun < SECOND);
                    assert_eq!(connected.await?, Err(ErrorKind::ConnectionRefused));
                }
                Ok(())
            })
        });
    }
}

#[test]
fn a_main_that_fails_fails_the_run() {
    let mut sim = Simulation::new(3);
    let host = sim.host("only").unwrap();
    let main = async |_| {
        sleep(SECOND).await;
        Err(corelane::Error::value("no more"))
    };
    sim.start(host, || (), main).unwrap();
    let failure = sim.run_for(2 * SECOND).unwrap_err();
    assert!(matches!(failure.reason(), Reason::Ended(_)), "{failure}");
    assert!(failure.to_string().contains("no more"), "{failure}");
    // A task that waits is said to be created where it was started.
    let mut sim = Simulation::new(3);
    let host = sim.host("only").unwrap();
    sim.start(host, || (), async |_| std::future::pending().await).unwrap();
    let failure = sim.run_until(|| false).unwrap_err();
    assert!(failure.to_string().contains("created at runtime/tests/sim_rules.rs"), "{failure}");
}

#[test]
#[should_panic(expected = "\"nowhere\", which is not there")]
fn a_fault_at_a_host_that_is_not_there_is_refused() {
    let mut sim = Simulation::new(3);
    sim.host("only").unwrap();
    sim.faults(Fault::stall("nowhere", SECOND));
}

/// Clients that ask until they have an answer, in the midst of anything.
fn survivors(sim: &mut Simulation) -> Result<(), Failure> {
    let server = counting(sim)?;
    let clients = [sim.host("one")?, sim.host("two")?];
    let all = [FaultKind::Kill, FaultKind::Crash, FaultKind::Wiping];
    sim.faults(Faults::any().at_most(6).within(Duration::ZERO..30 * SECOND).also(&all));
    let ask = |client| {
        sim.spawn(client, async move || {
            for _ in 0..20 {
                persist(server).await?;
                sleep(SECOND).await;
            }
            Ok(())
        })
    };
    let talks: Vec<_> = clients.into_iter().map(ask).collect();
    sim.run_until(|| talks.iter().all(|talk| talk.done()))?;
    // A client whose host has ended has ended with it.
    talks.into_iter().try_for_each(|talk| match talk.result() {
        Err(error) if !error.is_cancelled() => Err(error.into()),
        _ => Ok(()),
    })
}

#[test]
fn any_faults_are_survived_and_two_runs_with_one_seed_do_the_same() {
    check_twice(60, survivors);
}

#[test]
fn a_failure_says_which_faults_there_were() {
    let mut sim = Simulation::new(1);
    let host = sim.host("only").unwrap();
    sim.faults(Fault::stall("only", SECOND).at(SECOND));
    let failure = sim
        .run(host, async || {
            corelane::sync::Event::new().wait().await;
            Ok(())
        })
        .unwrap_err();
    let text = failure.to_string();
    assert!(text.contains("Fault::stall(\"only\", Duration::from_secs(1))"), "{text}");
    check(1, |_| Ok(()));
}
