//! Programs for what few programs do: scheduling groups, datagrams, Unix sockets, servers that are full or end, ends of
//! streams, queues that end. Defects that are planted in there are found by them: the table in CONTRIBUTING says which.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use corelane::sim::{Check, Failure, Place, Simulation, draw};
use corelane::sync::{PriorityQueue, Queue};
use corelane::{
    ConnectionChange, Result, SchedulingGroup, Server, StreamReader, StreamWriter, Task, UdpSocket,
    call_soon, create_task, gather, now, open_connection, open_unix_connection, sleep, spawn,
    start_server, start_unix_server, timeout, wait_for, yield_now,
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

#[test]
fn queues_join_and_shut_down_whoever_waits() {
    alone(async || {
        let queue: Queue<u32> = Queue::new(3);
        let worked = Rc::new(Cell::new(0));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (queue, worked) = (queue.clone(), Rc::clone(&worked));
                create_task(async move {
                    while queue.get().await.is_ok() {
                        sleep(moment()).await;
                        worked.set(worked.get() + 1);
                        queue.task_done()?;
                    }
                    Ok(())
                })
            })
            .collect();
        let givers = (0..4).map(|_| {
            let queue = queue.clone();
            create_task(async move {
                for item in 0..5 {
                    queue.put(item).await?;
                }
                // Some give up while the queue is full: their items are not in it.
                let given = wait_for(queue.put(9), moment() / 20).await;
                Ok(5 + u32::from(given.is_ok()))
            })
        });
        let given: u32 = gather(givers.collect::<Vec<_>>()).await?.into_iter().sum();
        queue.join().await;
        assert_eq!(worked.get(), given);
        queue.shutdown(false);
        gather(workers).await?;
        let full: Queue<u32> = Queue::new(1);
        full.put(1).await?;
        let stuck: Vec<_> = (0..3)
            .map(|_| {
                let full = full.clone();
                create_task(async move { Ok(full.put(2).await.is_err()) })
            })
            .collect();
        sleep(moment()).await;
        full.shutdown(die(2) == 0);
        assert_eq!(gather(stuck).await?, [true; 3]);
        Ok(())
    });
}

#[test]
fn a_priority_queue_gives_the_smallest_whoever_waits() {
    alone(async || {
        let queue: PriorityQueue<(u64, u32)> = PriorityQueue::new(0);
        for number in 0..30 {
            queue.put((die(5), number)).await?;
        }
        let mut last = (0, 0);
        for number in 0..30 {
            let item = queue.get().await?;
            assert!(number == 0 || item > last, "{item:?} after {last:?}");
            last = item;
        }
        Ok(())
    });
}
