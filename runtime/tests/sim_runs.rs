//! Programs in simulation: what they may rely on, that a run can be had again, and how one fails.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use corelane::sim::{Check, Failure, Place, Reason, Simulation, check, check_twice};
use corelane::sync::{Event, Queue};
use corelane::{
    Result, Server, StreamReader, StreamWriter, create_task, gather, now, open_connection, sleep,
    spawn, start_server, timeout, wait_for, yield_now,
};

/// Sends every line back.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write_bytes(line)?;
        writer.drain().await?;
    }
    Ok(())
}

/// A server at `place`, once it listens.
fn serve(sim: &mut Simulation, place: Place, port: u16) -> Result<Server, Failure> {
    sim.run(place, async move || Ok(start_server(echo, place.addr(port)).await?))
}

/// Clients that each send lines and expect them back, at intervals of their own.
fn echo_program(sim: &mut Simulation) -> Result<(), Failure> {
    let server = sim.host("server")?;
    let clients = [sim.host("one")?, sim.host("two")?];
    let _server = serve(sim, server, 7)?;
    let mut talks = Vec::new();
    for (number, client) in clients.into_iter().enumerate() {
        talks.push(sim.spawn(client, async move || {
            let (mut reader, writer) = open_connection(server.addr(7)).await?;
            for line in 0..2 {
                let text = format!("line {line} of {number}, {}\n", "x".repeat(100 * line));
                writer.write(text.as_bytes())?;
                assert_eq!(reader.read_line().await?, text);
                sleep(Duration::from_millis(number as u64)).await;
            }
            Ok(())
        }));
    }
    sim.run_until(|| talks.iter().all(|talk| talk.done()))?;
    for talk in talks {
        talk.result().map_err(Failure::from)?;
    }
    Ok(())
}

#[test]
fn a_thousand_seeds_run_twice_do_the_same_on_however_many_threads() {
    let traces = Check::new(1_000).threads(3).traces(echo_program);
    assert!(Check::new(1_000).threads(1).traces(echo_program) == traces);
}

/// What a check panics with.
fn refusal(body: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(body)).expect_err("it should have been refused");
    *payload.downcast::<String>().unwrap()
}

#[test]
#[allow(clippy::disallowed_methods, reason = "it is what is to be caught")]
fn a_program_that_reads_the_systems_clock_is_caught() {
    let text = refusal(|| {
        check_twice(1, |sim| {
            let host = sim.host("only")?;
            sim.run(host, async || {
                let begun = std::time::Instant::now();
                yield_now().await;
                sleep(begun.elapsed()).await;
                Ok(())
            })
        });
    });
    assert!(text.contains("two runs with one seed differ"), "{text}");
    assert!(text.contains("CORELANE_SEED=0 cargo test a_program_that_reads"), "{text}");
}

#[test]
#[allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "it is what is to be caught"
)]
fn a_program_that_iterates_a_hash_map_of_the_standard_library_is_caught() {
    let text = refusal(|| {
        check_twice(3, |sim| {
            let (server, client) = (sim.host("server")?, sim.host("client")?);
            let _server = serve(sim, server, 7)?;
            sim.run(client, async move || {
                let names: HashSet<u32> = (0..64).collect();
                let (_reader, writer) = open_connection(server.addr(7)).await?;
                for name in names {
                    writer.write(format!("{name}\n").as_bytes())?;
                }
                writer.drain().await?;
                Ok(())
            })
        });
    });
    assert!(text.contains("two runs with one seed differ"), "{text}");
}

#[test]
fn other_seeds_find_other_ways_through_a_program() {
    let mut orders = Vec::new();
    let mut traces = Vec::new();
    for seed in 0..50 {
        let mut sim = Simulation::new(seed);
        let host = sim.host("only").unwrap();
        let order = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&order);
        sim.run(host, async move || {
            let task = |number| {
                let seen = Rc::clone(&seen);
                spawn(async move { seen.borrow_mut().push(number) })
            };
            gather((0..4).map(task).collect::<Vec<_>>()).await?;
            Ok(())
        })
        .unwrap();
        orders.push(order.take());
        traces.push(sim.trace());
    }
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 50);
    orders.sort_unstable();
    orders.dedup();
    assert!(orders.len() > 12, "of 24 orders only {} were seen", orders.len());
}

#[test]
fn g5_with_fifo_tasks_run_in_the_order_in_which_they_became_ready() {
    for seed in 0..50 {
        let mut sim = Simulation::builder(seed).fifo().build();
        let host = sim.host("only").unwrap();
        let order = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&order);
        sim.run(host, async move || {
            for number in 0..8 {
                let seen = Rc::clone(&seen);
                drop(spawn(async move { seen.borrow_mut().push(number) }));
            }
            sleep(Duration::from_secs(1)).await;
            Ok(())
        })
        .unwrap();
        assert_eq!(order.take(), (0..8).collect::<Vec<_>>());
    }
}

#[test]
fn a_day_passes_at_once_and_a_timer_is_never_early() {
    check(100, |sim| {
        let (one, other) = (sim.host("one")?, sim.host("other")?);
        let day = Duration::from_secs(86_400);
        let sleeper = sim.spawn(one, async move || {
            let begun = now();
            sleep(day).await;
            Ok(now() - begun)
        });
        let slept = sim.run(other, async move || {
            let begun = now();
            sleep(day).await;
            Ok(now() - begun)
        })?;
        sim.run_until(|| sleeper.done())?;
        for slept in [slept, sleeper.result()?] {
            assert!(slept >= day && slept < day + Duration::from_millis(1), "{slept:?}");
        }
        Ok(())
    });
}

#[test]
fn a_run_in_which_nothing_can_happen_any_more_fails_and_says_who_waits() {
    let mut sim = Simulation::new(41);
    let (server, client) = (sim.host("server").unwrap(), sim.host("client").unwrap());
    let _server = serve(&mut sim, server, 7).unwrap();
    let failure = sim
        .run(client, async move || {
            let (mut reader, _writer) = open_connection(server.addr(7)).await?;
            let waits = corelane::task().name("who waits").create(async move {
                // It has asked for nothing, so nothing will come.
                Ok(reader.read_line().await?)
            });
            waits.await
        })
        .unwrap_err();
    assert!(matches!(failure.reason(), Reason::Stuck), "{failure}");
    let text = failure.to_string();
    for part in
        ["nothing can happen", "tasks of client", "who waits", "last draws", "CORELANE_SEED=41"]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    // What is stuck can be ended.
    sim.shut_down().unwrap();
}

#[test]
fn a_run_that_has_no_end_ends_at_its_limits() {
    let forever = async || -> Result<()> {
        loop {
            sleep(Duration::from_secs(1)).await;
        }
    };
    let mut sim = Simulation::builder(1).step_limit(1_000).build();
    let host = sim.host("only").unwrap();
    let failure = sim.run(host, forever).unwrap_err();
    assert!(matches!(failure.reason(), Reason::StepLimit(1_000)), "{failure}");
    let mut sim = Simulation::builder(1).time_limit(Duration::from_secs(60)).build();
    let host = sim.host("only").unwrap();
    let failure = sim.run(host, forever).unwrap_err();
    assert!(matches!(failure.reason(), Reason::TimeLimit(_)), "{failure}");
    let minute = Duration::from_secs(60);
    assert!(sim.now().as_nanos() > minute.as_nanos() as u64);
}

#[test]
fn a_panic_in_main_goes_on_and_one_in_another_task_does_not() {
    let mut sim = Simulation::new(3);
    let host = sim.host("only").unwrap();
    let text = sim.run(host, async || {
        let task = create_task(async { if true { panic!("over there") } else { Ok(()) } });
        Ok(task.await.unwrap_err().panic_message().map(str::to_owned))
    });
    assert_eq!(text.unwrap().as_deref(), Some("over there"));
    let caught = catch_unwind(AssertUnwindSafe(|| {
        sim.run(host, async || if true { panic!("in main") } else { Ok(()) })
    }));
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"in main"));
}

#[test]
fn t165_a_function_for_a_thread_runs_in_the_simulation() {
    check(50, |sim| {
        let host = sim.host("only")?;
        sim.run(host, async || {
            let here = std::thread::current().id();
            let there = corelane::to_thread(move || Ok(std::thread::current().id())).await?;
            assert_eq!(here, there);
            let failed = corelane::to_thread(|| -> Result<()> { panic!("blocked") }).await;
            assert_eq!(failed.unwrap_err().panic_message(), Some("blocked"));
            // One that was not begun never runs.
            let is_run = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
            let runs = std::sync::Arc::clone(&is_run);
            let call = create_task(corelane::to_thread(move || {
                runs.store(true, std::sync::atomic::Ordering::Relaxed);
                Ok(())
            }));
            call.cancel();
            assert!(call.await.unwrap_err().is_cancelled());
            assert!(!is_run.load(std::sync::atomic::Ordering::Relaxed));
            Ok(())
        })
    });
}

#[test]
fn a_task_is_woken_by_another_loop() {
    check(200, |sim| {
        let (one, other) = (sim.host("one")?, sim.host("other")?);
        let waker: Rc<RefCell<Option<std::task::Waker>>> = Rc::default();
        let is_set = Rc::new(Cell::new(false));
        let (left, told) = (Rc::clone(&waker), Rc::clone(&is_set));
        let waits = sim.spawn(one, async move || {
            std::future::poll_fn(|context| {
                left.borrow_mut().replace(context.waker().clone());
                if told.get() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
            Ok(())
        });
        sim.run_until(|| waker.borrow().is_some())?;
        sim.run_for(Duration::from_secs(1))?;
        sim.run(other, async move || {
            is_set.set(true);
            let waker = waker.take();
            waker.unwrap().wake();
            Ok(())
        })?;
        sim.run_until(|| waits.done())
    });
}

#[test]
fn loops_of_one_host_share_a_port_and_all_of_them_get_connections() {
    let mut sim = Simulation::new(5);
    let first = sim.host("server").unwrap();
    let places = [first, sim.beside(first).unwrap(), sim.beside(first).unwrap()];
    let counts = Rc::new(RefCell::new([0; 3]));
    let mut servers = Vec::new();
    for (number, place) in places.into_iter().enumerate() {
        let counts = Rc::clone(&counts);
        let server = sim.run(place, async move || {
            let count = async move |_reader, _writer| {
                counts.borrow_mut()[number] += 1;
                Ok(())
            };
            Ok(Server::builder().reuse_port(true).start(count, place.addr(7)).await?)
        });
        servers.push(server.unwrap());
    }
    let client = sim.host("client").unwrap();
    sim.run(client, async move || {
        for _ in 0..60 {
            let (mut reader, _writer) = open_connection(first.addr(7)).await?;
            reader.read_to_end().await?;
        }
        Ok(())
    })
    .unwrap();
    let counts = counts.borrow();
    assert_eq!(counts.iter().sum::<i32>(), 60);
    assert!(counts.iter().all(|count| *count > 5), "{counts:?}");
}

#[test]
fn what_is_not_there_is_refused() {
    let mut sim = Simulation::new(9);
    let (one, other) = (sim.host("one").unwrap(), sim.host("other").unwrap());
    let kind = |sim: &mut Simulation, place: Place, addr: std::net::SocketAddr| {
        sim.run(place, async move || Ok(open_connection(addr).await.map(drop).unwrap_err().kind()))
            .unwrap()
    };
    assert_eq!(kind(&mut sim, one, other.addr(7)), ErrorKind::ConnectionRefused);
    let nowhere = "10.9.9.9:7".parse().unwrap();
    assert_eq!(kind(&mut sim, one, nowhere), ErrorKind::HostUnreachable);
    sim.run(one, async move || {
        let elsewhere = start_server(echo, other.addr(7)).await.map(drop).unwrap_err();
        assert_eq!(elsewhere.kind(), ErrorKind::AddrNotAvailable);
        let server = start_server(echo, one.addr(7)).await?;
        let again = start_server(echo, one.addr(7)).await.map(drop).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AddrInUse);
        assert!(again.to_string().contains(&one.addr(7).to_string()), "{again}");
        drop(server);
        let pipe = std::os::unix::net::UnixStream::pair()?.0;
        let adopted = corelane::ConnectBuilder::new().adopt_unix(pipe).map(drop).unwrap_err();
        assert_eq!(adopted.kind(), ErrorKind::Unsupported);
        Ok(())
    })
    .unwrap();
    // Each host has a loopback of its own.
    let _server = serve(&mut sim, other, 9).unwrap();
    assert_eq!(kind(&mut sim, one, "127.0.0.1:9".parse().unwrap()), ErrorKind::ConnectionRefused);
}

#[test]
fn items_meet_takers_and_deadlines_hold_on_every_way() {
    check_twice(200, |sim| {
        let host = sim.host("only")?;
        sim.run(host, async || {
            let queue: Queue<u32> = Queue::new(2);
            let (giver, taker) = (queue.clone(), queue.clone());
            let gives = create_task(async move {
                for item in 0..50 {
                    giver.put(item).await?;
                }
                Ok(())
            });
            let takes = create_task(async move {
                let mut taken = Vec::new();
                while taken.len() < 50 {
                    // What a take that timed out was about to get stays in the queue.
                    if let Ok(item) = wait_for(taker.get(), Duration::from_nanos(1)).await {
                        taken.push(item);
                    }
                    yield_now().await;
                }
                Ok(taken)
            });
            gives.await?;
            assert_eq!(takes.await?, (0..50).collect::<Vec<_>>());
            let never = Event::new();
            let late = timeout(Duration::from_secs(5), async |_| {
                never.wait().await;
                Ok(())
            });
            assert!(late.await.unwrap_err().is_timeout());
            Ok(())
        })
    });
}

/// Bytes of which each place can be told from its neighbours.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|place| (place % 251) as u8).collect()
}

#[test]
fn s72_more_than_a_connection_holds_arrives_whole_both_ways_on_every_way() {
    const COUNT: usize = 200_000;
    check_twice(40, |sim| {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let _server = sim.run(server, async move || {
            let mirror = async |mut reader: StreamReader, writer: StreamWriter| {
                loop {
                    let piece = reader.read(10_000).await?;
                    if piece.is_empty() {
                        return Ok(());
                    }
                    writer.write_bytes(piece)?;
                    writer.drain().await?;
                }
            };
            Ok(start_server(mirror, server.addr(7)).await?)
        })?;
        sim.run(client, async move || {
            let (mut reader, writer) = open_connection(server.addr(7)).await?;
            let sends = create_task(async move {
                writer.write(pattern(COUNT))?;
                writer.drain().await?;
                writer.write_eof();
                Ok(writer)
            });
            let mut got = Vec::new();
            while got.len() < COUNT {
                // A reader that is slow at times.
                if got.len() % 7 == 0 {
                    sleep(Duration::from_millis(20)).await;
                }
                let piece = reader.read(30_000).await?;
                assert!(!piece.is_empty(), "it ended after {} bytes", got.len());
                got.extend_from_slice(&piece);
            }
            assert!(got == pattern(COUNT), "bytes were lost or moved");
            assert!(reader.read(1).await?.is_empty());
            drop(sends.await?);
            Ok(())
        })
    });
}

#[test]
fn s81_a_peer_that_resets_fails_both_halves_and_nobody_else() {
    check(100, |sim| {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let kinds = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&kinds);
        let _server = sim.run(server, async move || {
            let talker = async move |mut reader: StreamReader, writer: StreamWriter| {
                writer.write(pattern(500_000))?;
                let drained = writer.drain().await.map_err(|error| error.kind());
                let read = reader.read_to_end().await.map(|all| all.len());
                seen.borrow_mut().push((drained, read.map_err(|error| error.kind())));
                Ok(())
            };
            Ok(start_server(talker, server.addr(7)).await?)
        })?;
        sim.run(client, async move || {
            let (mut reader, writer) = open_connection(server.addr(7)).await?;
            reader.read_exactly(100).await?;
            writer.abort();
            Ok(())
        })?;
        sim.run_for(Duration::from_secs(5))?;
        let reset = ErrorKind::ConnectionReset;
        assert_eq!(*kinds.borrow(), [(Err(reset), Err(reset))]);
        Ok(())
    });
}

#[test]
fn a_program_of_the_system_is_refused_before_it_runs() {
    let mut sim = Simulation::new(1);
    let host = sim.host("only").unwrap();
    let file = std::env::temp_dir().join(format!("corelane-simulated-{}", std::process::id()));
    let touched = file.clone();
    let refused = sim.run(host, async move || {
        let touch = corelane::create_subprocess_exec("touch", [touched]);
        Ok(touch.spawn().await.map(drop)?)
    });
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("cannot start touch: a simulation starts no programs"), "{refused}");
    assert!(!file.exists());
}
