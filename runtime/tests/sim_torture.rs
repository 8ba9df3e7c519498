//! One program that leans on much of the runtime at once. Defects that are planted in there are found by it: the table
//! in CONTRIBUTING says which, and after how many seeds.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use corelane::sim::{Check, Failure, Fault, Place, Simulation};
use corelane::sync::{Queue, Semaphore};
use corelane::{
    Result, StreamReader, StreamWriter, create_task, gather, now, open_connection, sleep,
    start_server, timeout, wait_for, yield_now,
};

/// More than a connection, a reader and a writer hold.
const COUNT: usize = 300_000;
const MILLI: Duration = Duration::from_millis(1);

/// Bytes of which each place can be told from its neighbours.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|place| (place % 251) as u8).collect()
}

/// Sends everything back, and how much that was at the end.
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
    writer.write(format!("{count}").as_bytes())?;
    writer.write_eof();
    writer.close();
    Ok(())
}

/// All that is sent comes back in its order, and the end comes after it.
async fn streams(server: Place) -> Result<()> {
    let (mut reader, writer) = open_connection(server.addr(7)).await?;
    let sends = create_task(async move {
        for piece in pattern(COUNT).chunks(7_001) {
            writer.write(piece)?;
            writer.drain().await?;
        }
        writer.write_eof();
        Ok(writer)
    });
    let mut got = Vec::new();
    loop {
        let piece = reader.read(30_000).await?;
        if piece.is_empty() {
            break;
        }
        got.extend_from_slice(&piece);
    }
    let end = got.split_off(COUNT.min(got.len()));
    assert!(got == pattern(COUNT), "bytes were lost or moved");
    assert_eq!(end, COUNT.to_string().as_bytes());
    drop(sends.await?);
    Ok(())
}

/// What a peer resets fails, and does not just end.
async fn resets(server: Place) -> Result<()> {
    let (mut reader, writer) = open_connection(server.addr(8)).await?;
    writer.write(b"go\n")?;
    writer.write(pattern(400_000))?;
    let failed = reader.read_to_end().await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::ConnectionReset);
    Ok(())
}

/// Each item is taken once and in its order, whoever gives up waiting.
async fn queues() -> Result<()> {
    const ITEMS: u32 = 40;
    let queue: Queue<u32> = Queue::new(2);
    let taken = Rc::new(RefCell::new(Vec::new()));
    let takers = (0..3).map(|number| {
        let (queue, taken) = (queue.clone(), Rc::clone(&taken));
        create_task(async move {
            while taken.borrow().len() < ITEMS as usize {
                if let Ok(item) = wait_for(queue.get(), number * MILLI / 50).await {
                    taken.borrow_mut().push(item);
                }
                yield_now().await;
            }
            Ok(())
        })
    });
    let takers: Vec<_> = takers.collect();
    let waits: corelane::Task<()> = {
        let (queue, taken) = (queue.clone(), Rc::clone(&taken));
        create_task(async move {
            // It waits for as long as there are items, and is no poorer than the others.
            loop {
                let item = queue.get().await?;
                taken.borrow_mut().push(item);
            }
        })
    };
    for item in 0..ITEMS {
        queue.put(item).await?;
        sleep(MILLI / 40).await;
    }
    gather(takers).await?;
    waits.cancel();
    assert!(waits.await.unwrap_err().is_cancelled());
    assert_eq!(*taken.borrow(), (0..ITEMS).collect::<Vec<_>>());
    Ok(())
}

/// Who gives up at the moment at which it was given something leaves it to the next in line.
async fn handovers() -> Result<()> {
    for round in 0..30 {
        let queue: Queue<u32> = Queue::new(0);
        let (hasty, patient) = (queue.clone(), queue.clone());
        let first = create_task(async move { wait_for(hasty.get(), MILLI / 50).await });
        sleep(MILLI / 100).await;
        let second = create_task(async move { Ok(patient.get().await?) });
        sleep(MILLI / 100 + MILLI * round / 5_000).await;
        queue.put_nowait(1)?;
        if first.await.is_ok() {
            queue.put_nowait(2)?;
        }
        timeout(Duration::from_secs(1), async |_| second.await).await?;
    }
    // The same by hand: it was given one, and is cancelled before it can take it.
    for _ in 0..5 {
        let queue: Queue<u32> = Queue::new(0);
        let (hasty, patient) = (queue.clone(), queue.clone());
        let first = create_task(async move { Ok(hasty.get().await?) });
        sleep(MILLI).await;
        let second = create_task(async move { Ok(patient.get().await?) });
        sleep(MILLI).await;
        queue.put_nowait(1)?;
        first.cancel();
        assert_eq!(timeout(Duration::from_secs(1), async |_| second.await).await?, 1);
        assert!(first.await.unwrap_err().is_cancelled());
    }
    Ok(())
}

/// No permit is lost, whoever gives up.
async fn permits() -> Result<()> {
    let semaphore = Rc::new(Semaphore::new(2));
    let tasks = (0..6).map(|number| {
        let semaphore = Rc::clone(&semaphore);
        create_task(async move {
            for _ in 0..10 {
                if let Ok(permit) = wait_for(semaphore.acquire(), number * MILLI / 50).await {
                    sleep(MILLI / 30).await;
                    drop(permit);
                }
                yield_now().await;
            }
            Ok(())
        })
    });
    gather(tasks.collect::<Vec<_>>()).await?;
    let both = (semaphore.acquire().await, semaphore.acquire().await);
    drop(both);
    Ok(())
}

/// Timers keep their time and their order.
async fn timers() -> Result<()> {
    let order = Rc::new(RefCell::new(Vec::new()));
    let sleeps = (0..20).map(|number: u32| {
        let order = Rc::clone(&order);
        create_task(async move {
            let (begun, time) = (now(), MILLI * (number * 7 % 20));
            sleep(time).await;
            let took = now() - begun;
            assert!(took >= time, "{took:?} instead of {time:?}");
            // A turn takes some microseconds.
            assert!(took < time + MILLI, "{took:?} instead of {time:?}");
            order.borrow_mut().push(number * 7 % 20);
            Ok(())
        })
    });
    gather(sleeps.collect::<Vec<_>>()).await?;
    assert!(order.borrow().is_sorted(), "{order:?}");
    // So close to each other that the loop turns shortly before each.
    let close = (0..200).map(|number: u32| {
        create_task(async move {
            let (begun, time) = (now(), MILLI * number / 2_000);
            sleep(time).await;
            assert!(now() - begun >= time, "{:?} instead of {time:?}", now() - begun);
            Ok(())
        })
    });
    gather(close.collect::<Vec<_>>()).await?;
    Ok(())
}

/// Whoever waits for another loop is woken by it.
fn wakes(sim: &mut Simulation, one: Place, other: Place) -> Result<(), Failure> {
    let waker: Rc<RefCell<Option<std::task::Waker>>> = Rc::default();
    let left = Rc::clone(&waker);
    let waits = sim.spawn(one, async move || {
        let mut is_first = true;
        std::future::poll_fn(|context| {
            left.borrow_mut().replace(context.waker().clone());
            if std::mem::take(&mut is_first) {
                std::task::Poll::Pending
            } else {
                std::task::Poll::Ready(())
            }
        })
        .await;
        Ok(())
    });
    sim.run_until(|| waker.borrow().is_some() || waits.done())?;
    sim.run(other, async move || {
        waker.borrow().iter().for_each(std::task::Waker::wake_by_ref);
        Ok(())
    })?;
    sim.run_until(|| waits.done())
}

fn torture(sim: &mut Simulation) -> Result<(), Failure> {
    let (server, client) = (sim.host("server")?, sim.host("client")?);
    let _servers = sim.run(server, async move || {
        let reset = async |mut reader: StreamReader, writer: StreamWriter| {
            reader.read_line().await?;
            sleep(50 * MILLI).await;
            // With bytes that even its loop has not read.
            writer.abort();
            Ok(())
        };
        Ok((
            start_server(mirror, server.addr(7)).await?,
            start_server(reset, server.addr(8)).await?,
        ))
    })?;
    sim.faults(Fault::no_descriptors("server").times(1));
    wakes(sim, client, server)?;
    sim.run(client, async move || {
        let all = timeout(Duration::from_secs(60), async move |_| {
            let parts = vec![
                create_task(streams(server)),
                create_task(resets(server)),
                create_task(queues()),
                create_task(permits()),
            ];
            gather(parts).await?;
            handovers().await?;
            timers().await
        });
        all.await
    })
}

#[test]
fn much_at_once_goes_well() {
    Check::new(40).run(torture);
}
