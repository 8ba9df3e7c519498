//! Programs for what few programs do: scheduling groups, datagrams, Unix sockets, servers that are full or end, ends of
//! streams. Defects that are planted in there are found by them: the table in CONTRIBUTING says which.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use corelane::sim::{Check, Failure, Place, Simulation, draw};
use corelane::{
    ConnectionChange, Result, SchedulingGroup, Server, StreamReader, StreamWriter, Task, UdpSocket,
    call_soon, create_task, gather, now, open_connection, open_unix_connection, sleep, spawn,
    start_server, start_unix_server, timeout, yield_now,
};

const SEED_COUNT: u64 = 40;
const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn die(sides: u64) -> u64 {
    draw("program", sides).unwrap_or(0)
}

/// Up to half a millisecond.
fn moment() -> Duration {
    Duration::from_micros(die(500))
}

/// Runs `program` on a host by itself, which must not take longer than a minute.
fn alone(program: impl AsyncFn() -> Result<()> + Clone + Sync + 'static) {
    Check::new(SEED_COUNT).run(|sim| {
        let (host, program) = (sim.host("only")?, program.clone());
        sim.run(host, async move || timeout(60 * SECOND, async |_| program().await).await)
    });
}

/// Runs `program` on a client; it is given the host that `serve` has run on.
fn between(
    serve: impl AsyncFn(Place) -> Result<Server> + Clone + Sync + 'static,
    program: impl AsyncFn(Place) -> Result<()> + Clone + Sync + 'static,
) {
    Check::new(SEED_COUNT).run(|sim: &mut Simulation| -> Result<(), Failure> {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let (serve, program) = (serve.clone(), program.clone());
        let _serving = sim.run(server, async move || serve(server).await)?;
        sim.run(client, async move || timeout(60 * SECOND, async |_| program(server).await).await)
    });
}

/// Tasks that are always ready, and count their steps.
fn busy(group: &SchedulingGroup, task_count: usize) -> (Rc<Cell<u64>>, Vec<Task<()>>) {
    let steps = Rc::new(Cell::new(0));
    let tasks = (0..task_count).map(|_| {
        let (steps, group) = (Rc::clone(&steps), group.clone());
        group.clone().spawn(async move {
            loop {
                assert_eq!(SchedulingGroup::current(), group);
                steps.set(steps.get() + 1);
                yield_now().await;
            }
        })
    });
    let tasks = tasks.collect();
    (steps, tasks)
}

#[test]
fn groups_have_their_shares_and_what_one_has_not_used_is_gone() {
    alone(async || {
        let [front, back, idle] =
            [("front", 600), ("back", 200), ("idle", 200)].map(|(n, s)| SchedulingGroup::new(n, s));
        let (front, back, idle) = (front?, back?, idle?);
        let (many, tasks) = busy(&front, 3);
        let (few, others) = busy(&back, 3);
        sleep(20 * MILLI).await;
        let ratio = many.get() as f64 / few.get() as f64;
        assert!((2.4..3.6).contains(&ratio), "{} to {}", many.get(), few.get());
        // It was not there, and has now no more than its share.
        let (before, begun) = (few.get(), many.get());
        let (late, rest) = busy(&idle, 3);
        sleep(20 * MILLI).await;
        let ratio = late.get() as f64 / (few.get() - before) as f64;
        assert!((0.8..1.25).contains(&ratio), "{} to {}", late.get(), few.get() - before);
        assert!(many.get() > begun);
        for task in tasks.into_iter().chain(others).chain(rest) {
            task.cancel();
        }
        // Nothing that was ready is forgotten, however many there are for one slice.
        let counted = Rc::new(Cell::new(0));
        let counts = (0..500).map(|_| {
            let (counted, group) = (Rc::clone(&counted), if die(2) == 0 { &front } else { &back });
            group.spawn(async move { counted.set(counted.get() + 1) })
        });
        gather(counts.collect::<Vec<_>>()).await?;
        assert_eq!(counted.get(), 500);
        // One that has a thousand tasks ready does not keep the other waiting for all of them.
        counted.set(0);
        let counts = (0..1_000).map(|_| {
            let counted = Rc::clone(&counted);
            front.spawn(async move { counted.set(counted.get() + 1) })
        });
        let (counts, seen) = (counts.collect::<Vec<_>>(), Rc::clone(&counted));
        let few = back.spawn(async move {
            for _ in 0..3 {
                yield_now().await;
            }
            seen.get()
        });
        assert!(few.await? < 1_000);
        gather(counts).await?;
        Ok(())
    });
}

#[test]
fn what_a_group_creates_and_calls_soon_is_of_the_group_and_in_its_order() {
    alone(async || {
        let group = SchedulingGroup::new("background", 50)?;
        let order = Rc::new(RefCell::new(Vec::new()));
        let (seen, own) = (Rc::clone(&order), group.clone());
        let parent = group.create_task(async move {
            for number in 0..20 {
                let (seen, own) = (Rc::clone(&seen), own.clone());
                call_soon(move || {
                    assert_eq!(SchedulingGroup::current(), own);
                    seen.borrow_mut().push(number);
                });
            }
            sleep(moment()).await;
            spawn(async { SchedulingGroup::current() }).await
        });
        assert_eq!(parent.await?, group);
        assert!(SchedulingGroup::current().is_default());
        assert_eq!(*order.borrow(), (0..20).collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn datagrams_within_a_host_are_received_once_and_in_order_by_whoever_waits() {
    alone(async || {
        let (to, from) =
            (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
        from.connect(to.local_addr()?).await?;
        let sends = create_task(async move {
            for number in 0..60_u8 {
                from.send(&[number]).await?;
                if die(3) == 0 {
                    sleep(moment()).await;
                }
            }
            Ok(())
        });
        let mut got = Vec::new();
        while got.len() < 60 {
            match die(3) {
                0 => got.extend(to.try_recv_datagram().ok().map(|(bytes, _)| bytes[0])),
                1 => got.push(to.recv_datagram().await?.0[0]),
                _ => {
                    // What one who gives up was about to get is there for the next.
                    let waits = timeout(moment() / 4, async |_| Ok(to.recv_datagram().await?));
                    let received = waits.await;
                    got.extend(received.ok().map(|(bytes, _)| bytes[0]));
                }
            }
            if die(4) == 0 {
                sleep(moment()).await;
            }
        }
        assert_eq!(got, (0..60).collect::<Vec<_>>());
        sends.await
    });
}

/// Sends everything back, and then the number of bytes.
async fn mirror(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let mut count = 0;
    loop {
        let piece = reader.read(10_000).await?;
        if piece.is_empty() {
            break;
        }
        count += piece.len();
        writer.write_bytes(piece)?;
        writer.drain().await?;
    }
    writer.write(format!(" {count}").as_bytes())
}

/// What comes back of so many bytes that are sent in pieces.
async fn reflect(mut reader: StreamReader, writer: StreamWriter, count: usize) -> Result<()> {
    let pattern: Vec<u8> = (0..count).map(|place| (place % 251) as u8).collect();
    let (sent, patient) = (pattern.clone(), writer.clone());
    let sends = create_task(async move {
        for piece in sent.chunks(1 + die(20_000) as usize) {
            writer.write(piece)?;
            writer.drain().await?;
        }
        // Nothing more is written, and nobody flushes.
        sleep(moment()).await;
        writer.write_eof();
        Ok(writer)
    });
    // A second one waits for room all the time.
    let waits = create_task(async move { Ok(patient.drain().await?) });
    let got = reader.read_to_end().await?;
    let (got, told) = got.split_at(count.min(got.len()));
    assert!(got == pattern, "bytes were lost or moved");
    assert_eq!(told, format!(" {count}").as_bytes());
    drop(sends.await?);
    waits.await
}

#[test]
fn each_half_of_a_stream_ends_by_itself_also_on_a_unix_socket() {
    between(
        async |place| Ok(start_server(mirror, place.addr(7)).await?),
        async |server| {
            let (reader, writer) = open_connection(server.addr(7)).await?;
            reflect(reader, writer, 150_000).await
        },
    );
    alone(async || {
        for _ in 0..2 {
            let server = start_unix_server(mirror, "/run/mirror").await?;
            let (reader, writer) = open_unix_connection("/run/mirror").await?;
            reflect(reader, writer, 100_000).await?;
            server.close();
            server.wait_closed().await;
            assert!(open_unix_connection("/run/mirror").await.is_err());
        }
        Ok(())
    });
}

#[test]
fn who_finds_a_unix_socket_full_waits_until_there_is_room() {
    alone(async || {
        let builder = Server::builder().backlog(1);
        let server = builder.start_unix(mirror, "/run/full").await?;
        server.pause();
        let asking = (0..8).map(|_| {
            create_task(async {
                let (reader, writer) = open_unix_connection("/run/full").await?;
                reflect(reader, writer, 100).await
            })
        });
        let asking: Vec<_> = asking.collect();
        sleep(50 * MILLI).await;
        server.resume();
        gather(asking).await?;
        Ok(())
    });
}

#[test]
fn a_writer_that_is_dropped_sends_what_it_has_and_ends() {
    between(
        async |place| {
            let says = async |_reader: StreamReader, writer: StreamWriter| {
                let other = writer.clone();
                writer.write(vec![1; 90_000])?;
                drop(writer);
                sleep(moment()).await;
                // The last one has it all sent.
                other.write([2; 10])
            };
            Ok(start_server(says, place.addr(7)).await?)
        },
        async |server| {
            let (mut reader, _writer) = open_connection(server.addr(7)).await?;
            let got = reader.read_to_end().await?;
            assert_eq!((got.len(), got.last()), (90_010, Some(&2)));
            Ok(())
        },
    );
}

#[test]
fn all_who_wait_for_room_in_a_writer_are_told() {
    between(
        async |place| {
            let reads_late = async |mut reader: StreamReader, _writer: StreamWriter| {
                sleep(5 * MILLI).await;
                reader.read_to_end().await?;
                Ok(())
            };
            Ok(start_server(reads_late, place.addr(7)).await?)
        },
        async |server| {
            let (_reader, writer) = open_connection(server.addr(7)).await?;
            writer.write(vec![1; 200_000])?;
            let waiting = (0..8).map(|_| {
                let writer = writer.clone();
                create_task(async move { Ok(writer.drain().await?) })
            });
            gather(waiting.collect::<Vec<_>>()).await?;
            Ok(())
        },
    );
}

/// Ready when it has been woken once.
async fn woken(wakers: Rc<RefCell<Vec<Waker>>>) -> Result<()> {
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            wakers.borrow_mut().push(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
    Ok(())
}

#[test]
fn however_many_tasks_another_loop_wakes_all_of_them_run() {
    // More than one turn takes in.
    const COUNT: usize = 3_000;
    Check::new(4).world(|world| world.calm()).run(|sim| {
        let (one, other) = (sim.host("one")?, sim.host("other")?);
        let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
        let waiting: Vec<_> = (0..COUNT)
            .map(|_| {
                let wakers = Rc::clone(&wakers);
                sim.spawn(one, async move || woken(wakers).await)
            })
            .collect();
        sim.run_until(|| wakers.borrow().len() == COUNT)?;
        sim.run_for(MILLI)?;
        sim.run(other, async move || {
            wakers.take().into_iter().for_each(Waker::wake);
            Ok(())
        })?;
        sim.run_until(|| waiting.iter().all(|task| task.done()))
    });
}

thread_local! {
    /// How many connections there are, and how many there were at most.
    static OPEN: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

fn count_connections(change: ConnectionChange) {
    let (open, most) = OPEN.get();
    let open = match change {
        ConnectionChange::Opened => open + 1,
        _ => open - 1,
    };
    OPEN.set((open, most.max(open)));
}

#[test]
fn a_server_that_is_full_or_paused_goes_on_when_there_is_room() {
    alone(async || {
        OPEN.set((0, 0));
        let echo = async |mut reader: StreamReader, writer: StreamWriter| {
            writer.write_bytes(reader.read_line().await?)?;
            sleep(moment()).await;
            Ok(())
        };
        let builder = Server::builder().max_connections(3).observe(count_connections);
        let server = builder.start(echo, "127.0.0.1:7").await?;
        let ask = async || {
            let (mut reader, writer) = open_connection("127.0.0.1:7").await?;
            writer.write(b"hello\n")?;
            assert_eq!(reader.read_to_end().await?, "hello\n");
            Ok(())
        };
        let asking: Vec<_> = (0..12).map(|_| create_task(ask())).collect();
        gather(asking).await?;
        sleep(10 * MILLI).await;
        assert_eq!(OPEN.get(), (0, 3), "open at the end, and at most");
        server.pause();
        let waits: Vec<_> = (0..3).map(|_| create_task(ask())).collect();
        sleep(SECOND).await;
        // One may have been on its way in.
        let taken = waits.iter().filter(|task| task.done()).count();
        assert!(taken <= 1 && server.connection_count() == 0, "{taken} while it paused");
        server.resume();
        gather(waits).await?;
        Ok(())
    });
}

#[test]
fn a_server_that_is_closed_waits_for_its_connections_and_takes_no_more() {
    alone(async || {
        let server = start_server(mirror, "127.0.0.1:7").await?;
        let (reader, writer) = open_connection("127.0.0.1:7").await?;
        writer.write(b"x")?;
        sleep(10 * MILLI).await;
        server.close();
        let gone = timeout(SECOND, async |_| {
            server.wait_closed().await;
            Ok(())
        });
        assert!(gone.await.unwrap_err().is_timeout(), "there is a connection");
        assert!(open_connection("127.0.0.1:7").await.is_err());
        drop((reader, writer));
        let begun = now();
        server.wait_closed().await;
        assert!(now() - begun < SECOND);
        Ok(())
    });
}
