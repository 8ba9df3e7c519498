//! What a loop counts.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod peer;

use std::future::poll_fn;
use std::io::{IoSlice, Write};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use corelane::stats::LoopStats;
use corelane::{
    Result, Runner, TcpListener, TcpStream, UdpSocket, call_soon, create_task, loop_stats,
    open_connection, sleep, spawn, start_server, yield_now,
};

fn run(main: impl AsyncFnOnce() + 'static) {
    Runner::builder()
        .virtual_clock()
        .build()
        .run(async || {
            main().await;
            Ok(())
        })
        .unwrap();
}

/// What was counted during `body`.
async fn during(body: impl AsyncFnOnce()) -> (LoopStats, LoopStats) {
    let before = loop_stats().unwrap();
    body().await;
    (before, loop_stats().unwrap())
}

#[test]
fn turns_steps_tasks_timers_and_callbacks_are_counted_one_by_one() {
    run(async || {
        let (before, after) = during(async || {
            for _ in 0..5 {
                yield_now().await;
            }
        })
        .await;
        assert_eq!(after.turn_count - before.turn_count, 5);
        assert_eq!(after.step_count - before.step_count, 5);
        let (before, after) = during(async || {
            spawn(async {}).await.unwrap();
            spawn(async {}).await.unwrap();
        })
        .await;
        assert_eq!(after.task_count - before.task_count, 2);
        assert_eq!(after.unfinished_task_count, before.unfinished_task_count);
        assert_eq!(after.step_count - before.step_count, 4);
        let (before, after) = during(async || {
            sleep(Duration::from_secs(1)).await;
            sleep(Duration::from_secs(1)).await;
        })
        .await;
        assert_eq!(after.timer_count - before.timer_count, 2);
        assert_eq!(after.sleep_count - before.sleep_count, 2);
        let (before, after) = during(async || {
            call_soon(|| ());
            yield_now().await;
        })
        .await;
        assert_eq!(after.callback_count - before.callback_count, 1);
        assert_eq!(after.step_count - before.step_count, 1);
    });
}

#[test]
fn bytes_are_counted_where_they_come_and_go() {
    let echo = async || -> Result<LoopStats> {
        let server = start_server(
            async |mut reader, writer| {
                let bytes = reader.read_exactly(100_000).await?;
                writer.write(&bytes[..1000])?;
                writer.drain().await?;
                Ok(())
            },
            "127.0.0.1:0",
        )
        .await?;
        let (mut reader, writer) = open_connection(server.local_addrs()[0]).await?;
        writer.write([7; 100_000])?;
        writer.drain().await?;
        reader.read_exactly(1000).await?;
        loop_stats()
    };
    let stats = corelane::run(echo).unwrap();
    assert_eq!((stats.received_bytes, stats.sent_bytes), (101_000, 101_000));
    assert!(stats.completion_count > 0 && stats.driver_count > 0);
}

/// The bytes that `way` receives and sends, as the loop counts them.
fn bytes_of(way: impl AsyncFnOnce() -> Result<()> + 'static) -> (u64, u64) {
    let stats = peer::run(async move || {
        way().await?;
        loop_stats()
    });
    stats.map(|stats| (stats.received_bytes, stats.sent_bytes)).unwrap()
}

#[test]
fn bytes_of_a_socket_are_counted_and_those_that_are_only_looked_at_are_not() {
    let counted = bytes_of(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut client = TcpStream::connect(listener.local_addr()?).await?;
        let mut server = listener.accept().await?;
        client.write_all(&[7; 1000]).await?;
        let mut into = [0; 1000];
        server.peek(&mut into).await?;
        let mut left = &mut into[..];
        while !left.is_empty() {
            let count = server.read(left).await?;
            left = &mut left[count..];
        }
        Ok(())
    });
    assert_eq!(counted, (1000, 1000));
}

#[test]
fn bytes_of_gathered_slices_are_counted() {
    let counted = bytes_of(async || {
        let (mut near, mut far) = corelane::UnixStream::pair()?;
        let slices = [IoSlice::new(b"one"), IoSlice::new(b"three")];
        assert_eq!(near.split().1.write_vectored(&slices).await?, 8);
        assert_eq!(far.read(&mut [0; 100]).await?, 8);
        Ok(())
    });
    assert_eq!(counted, (8, 8));
    // A stream sends many by themselves, and keeps what the system does not take.
    let counted = bytes_of(async || {
        let (near, far) = corelane::UnixStream::pair()?;
        let ((_reader, writer), (mut far_reader, _far_writer)) =
            (near.into_streams(), far.into_streams());
        let large = vec![7; 1_000_000];
        writer.write_vectored(&[IoSlice::new(b"head"), IoSlice::new(&large)])?;
        far_reader.read_exactly(1_000_004).await?;
        Ok(())
    });
    assert_eq!(counted, (1_000_004, 1_000_004));
}

#[test]
fn bytes_of_a_file_that_the_system_sends_are_counted() {
    let counted = bytes_of(async || {
        let mut kept = tempfile::NamedTempFile::new()?;
        kept.write_all(&[7; 100_000])?;
        let file = corelane::fs::File::open(kept.path()).await?;
        let (near, far) = corelane::UnixStream::pair()?;
        let ((_reader, writer), (mut far_reader, _far_writer)) =
            (near.into_streams(), far.into_streams());
        let receiving = create_task(async move { Ok(far_reader.read_exactly(90_000).await?) });
        assert_eq!(writer.sendfile(&file, 10_000, None).await?, 90_000);
        receiving.await?;
        Ok(())
    });
    assert_eq!(counted, (90_000, 90_000));
}

#[test]
fn bytes_of_datagrams_are_counted() {
    let counted = bytes_of(async || {
        let (near, far) =
            (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
        near.send_to(&[7; 300], far.local_addr()?).await?;
        near.try_send_to(&[7; 30], far.local_addr()?)?;
        far.recv_datagram().await?;
        far.recv_datagram().await?;
        Ok(())
    });
    assert_eq!(counted, (330, 330));
}

#[test]
fn what_other_threads_ask_for_is_counted() {
    let (calls, wakes) = corelane::run(async || {
        let before = loop_stats()?;
        let remote = corelane::lowlevel::current_remote()?;
        for _ in 0..3 {
            remote.submit(|| ()).unwrap();
        }
        let mut is_woken = false;
        poll_fn(|context| {
            if is_woken {
                return Poll::Ready(());
            }
            is_woken = true;
            let waker = context.waker().clone();
            #[expect(clippy::disallowed_methods, reason = "a thread without a loop is to wake it")]
            thread::spawn(|| waker.wake()).join().unwrap();
            Poll::Pending
        })
        .await;
        let after = loop_stats()?;
        let wakes = after.foreign_wake_count - before.foreign_wake_count;
        Ok((after.foreign_call_count - before.foreign_call_count, wakes))
    })
    .unwrap();
    assert_eq!((calls, wakes), (3, 1));
}

#[test]
fn turns_that_are_rare_are_all_measured() {
    let stats = corelane::run(async || {
        for _ in 0..10 {
            sleep(Duration::from_millis(2)).await;
        }
        loop_stats()
    })
    .unwrap();
    // Each sleep is longer than the distance of two samples.
    // The last one is still under way.
    assert!(stats.turns.count() >= 9, "{stats:?}");
    assert!(stats.steps.count() >= 9 && stats.lateness.count() >= 9, "{stats:?}");
    assert!(stats.turns.max() >= stats.steps.quantile(0.5), "{stats:?}");
}

#[test]
fn off_a_loop_there_is_nothing_to_count() {
    assert!(loop_stats().unwrap_err().is_runtime());
}
