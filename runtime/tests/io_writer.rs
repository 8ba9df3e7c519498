//! Writing over real sockets on the loopback interface (rules S70 to S84).

mod peer;

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use corelane::{Error, Result, StreamWriter, create_task, yield_now};
use peer::{pair, pattern, poll_once, receive, reset, run, settle};

#[test]
fn s70_what_a_turn_writes_arrives_together() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        writer.write(b"")?;
        for word in ["one ", "two ", "three "] {
            writer.write(word.as_bytes())?;
        }
        writer.write_bytes("four ".into())?;
        writer.with_buffer(|buf| buf.extend_from_slice(b"five"))?;
        assert_eq!(writer.write_buffer_len(), 23);
        peer.set_nonblocking(true)?;
        let mut got = [0; 100];
        assert_eq!(peer.read(&mut got).unwrap_err().kind(), ErrorKind::WouldBlock);
        yield_now().await;
        assert_eq!(writer.write_buffer_len(), 0);
        let count = peer.read(&mut got)?;
        assert_eq!(&got[..count], b"one two three four five");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s70_many_bytes_leave_at_once() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        writer.write(pattern(100_000))?;
        let mut got = vec![0; 50_000];
        peer.read_exact(&mut got)?;
        assert_eq!(got, pattern(100_000)[..50_000]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s71_water_marks_follow_one_another() {
    run(async || {
        let (_reader, writer, _peer) = pair().await?;
        assert_eq!(writer.write_buffer_limits(), (16_384, 65_536));
        writer.set_write_buffer_limits(Some(4_000), None)?;
        assert_eq!(writer.write_buffer_limits(), (1_000, 4_000));
        writer.set_write_buffer_limits(None, Some(100))?;
        assert_eq!(writer.write_buffer_limits(), (100, 400));
        assert!(writer.set_write_buffer_limits(Some(1), Some(2)).unwrap_err().is_value());
        Ok(())
    })
    .unwrap();
}

/// Writes until the other end, which does not read, can take no more: more than `above_bytes` are left.
async fn stall(writer: &StreamWriter, above_bytes: usize) -> Result<Vec<u8>> {
    let piece = pattern(100_000);
    let mut written = Vec::new();
    while writer.write_buffer_len() <= above_bytes {
        writer.write(&piece)?;
        written.extend_from_slice(&piece);
        yield_now().await;
    }
    Ok(written)
}

#[test]
fn s72_drains_wait_for_a_stalled_peer_and_all_go_on_in_order() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        writer.drain().await?;
        let written = stall(&writer, 1_000_000).await?;
        let order = Rc::new(RefCell::new(Vec::new()));
        let drains: Vec<_> = (0..3)
            .map(|number| {
                let (writer, order) = (writer.clone(), order.clone());
                create_task(async move {
                    writer.drain().await?;
                    order.borrow_mut().push((number, writer.write_buffer_len() <= 16_384));
                    Ok(())
                })
            })
            .collect();
        settle().await;
        assert!(order.borrow().is_empty(), "a drain did not wait");
        drains[1].cancel();
        assert_eq!(receive(&mut peer, written.len()).await?, written);
        settle().await;
        assert_eq!(*order.borrow(), [(0, true), (2, true)]);
        assert_eq!(writer.write_buffer_len(), 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s73_a_waiting_drain_fails_with_what_ended_the_connection() {
    run(async || {
        let (_reader, writer, peer) = pair().await?;
        stall(&writer, 1_000_000).await?;
        let mut drain = Box::pin(writer.drain());
        assert!(poll_once(&mut drain).await.is_pending());
        reset(peer)?;
        let kind = drain.await.unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind:?}");
        assert_eq!(writer.wait_closed().await.unwrap_err().kind(), kind);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s73_a_drain_that_waits_ends_when_the_connection_is_given_up() {
    run(async || {
        let (mut reader, writer, _peer) = pair().await?;
        stall(&writer, 1_000_000).await?;
        let mut drain = Box::pin(writer.drain());
        assert!(poll_once(&mut drain).await.is_pending());
        writer.abort();
        drain.await?;
        assert_eq!(writer.drain().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(reader.read(1).await?.len(), 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s74_a_drain_while_closing_lets_others_run() {
    run(async || {
        let (_reader, writer, _peer) = pair().await?;
        writer.close();
        assert!(poll_once(&mut Box::pin(writer.drain())).await.is_pending());
        // One turn later the end is there to be noticed.
        assert_eq!(writer.drain().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s75_after_a_half_close_the_peer_can_answer() {
    run(async || {
        let (mut reader, writer, mut peer) = pair().await?;
        writer.write(b"last")?;
        writer.write_eof();
        writer.write_eof();
        assert!(writer.can_write_eof());
        assert!(writer.write(b"more").unwrap_err().is_runtime());
        assert!(writer.write_bytes("more".into()).unwrap_err().is_runtime());
        assert!(writer.with_buffer(|_| ()).unwrap_err().is_runtime());
        yield_now().await;
        let mut got = String::new();
        peer.read_to_string(&mut got)?;
        assert_eq!(got, "last");
        peer.write_all(b"answer")?;
        peer.shutdown(Shutdown::Write)?;
        assert_eq!(reader.read_to_end().await?, "answer");
        assert!(!writer.is_closing());
        writer.close();
        writer.wait_closed().await?;
        Ok(())
    })
    .unwrap();
}

#[test]
fn s76_close_sends_what_is_left_however_slow_the_peer() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        let mut written = stall(&writer, 1_000_000).await?;
        writer.write(b"the very last")?;
        written.extend_from_slice(b"the very last");
        writer.close();
        writer.close();
        assert!(writer.is_closing());
        writer.write(b"discarded")?;
        writer.with_buffer(|buf| buf.extend_from_slice(b"discarded too"))?;
        let got = receive(&mut peer, written.len() + 1).await?;
        assert_eq!(got.len(), written.len());
        assert!(got == written, "bytes were changed");
        writer.wait_closed().await?;
        writer.wait_closed().await?;
        Ok(())
    })
    .unwrap();
}

#[test]
fn s76_what_was_written_in_place_before_a_close_inside_is_sent() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        writer.write(b"before ")?;
        let inner = writer.with_buffer(|buf| {
            buf.extend_from_slice(b"inside");
            let inner = writer.write(b"refused");
            writer.close();
            inner
        })?;
        assert!(inner.unwrap_err().is_runtime());
        writer.wait_closed().await?;
        let mut got = String::new();
        peer.read_to_string(&mut got)?;
        assert_eq!(got, "before inside");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_panic_inside_with_buffer_leaves_the_connection_usable() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        writer.write(b"before ")?;
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            writer.with_buffer(|_| panic!("inside"))
        }));
        assert!(panicked.is_err());
        writer.write(b"behind")?;
        writer.close();
        writer.wait_closed().await?;
        let mut got = String::new();
        peer.read_to_string(&mut got)?;
        assert_eq!(got, "before behind");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s78_closing_ends_the_own_reader_after_what_is_buffered() {
    run(async || {
        let (mut reader, writer, mut peer) = pair().await?;
        peer.write_all(b"rest")?;
        settle().await;
        writer.close();
        assert_eq!(reader.read_to_end().await?, "rest");
        assert!(reader.at_eof());

        let (mut reader, writer, _peer) = pair().await?;
        let mut read = Box::pin(reader.read(1));
        assert!(poll_once(&mut read).await.is_pending());
        writer.close();
        assert_eq!(read.await?.len(), 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s79_dropping_the_last_writer_closes_and_dropping_the_reader_does_not() {
    run(async || {
        let (reader, writer, mut peer) = pair().await?;
        drop(reader);
        settle().await;
        let second = writer.clone();
        drop(writer);
        settle().await;
        second.write(b"still here")?;
        drop(second);
        yield_now().await;
        let mut got = String::new();
        peer.read_to_string(&mut got)?;
        assert_eq!(got, "still here");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s79_without_a_reader_bytes_pile_up_at_the_peer_and_not_here() {
    run(async || {
        let (reader, _writer, mut peer) = pair().await?;
        drop(reader);
        peer.set_nonblocking(true)?;
        let piece = pattern(100_000);
        let mut taken_bytes = 0;
        loop {
            match peer.write(&piece) {
                Ok(count) => taken_bytes += count,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    settle().await;
                    if peer.write(&piece).is_err() {
                        break;
                    }
                }
            }
            assert!(taken_bytes < 100_000_000, "somebody reads");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn s81_writing_to_a_reset_connection_is_no_error_at_the_call() {
    run(async || {
        let (_reader, writer, peer) = pair().await?;
        reset(peer)?;
        for _ in 0..5 {
            writer.write(b"into the void")?;
            writer.write_bytes(pattern(10_000).into())?;
            yield_now().await;
        }
        assert_eq!(writer.write_buffer_len(), 0);
        assert_eq!(writer.drain().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s83_bytes_arrive_in_order_whatever_they_were_written_with() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        let text = pattern(3_000_000);
        let mut rest = &text[..];
        let mut turn = 0_usize;
        let writing = async {
            while !rest.is_empty() {
                let count = (turn * 7_919 % 90_000 + 1).min(rest.len());
                let (piece, behind) = rest.split_at(count);
                rest = behind;
                match turn % 3 {
                    0 => writer.write(piece)?,
                    1 => writer.write_bytes(piece.to_vec().into())?,
                    _ => writer.with_buffer(|buf| buf.extend_from_slice(piece))?,
                }
                turn += 1;
                if turn.is_multiple_of(4) {
                    writer.drain().await?;
                }
            }
            Ok::<_, Error>(())
        };
        #[expect(clippy::disallowed_methods, reason = "the other end, which may block")]
        let receiver = std::thread::spawn(move || {
            let mut got = vec![0; 3_000_000];
            peer.read_exact(&mut got).map(|()| got)
        });
        writing.await?;
        writer.close();
        writer.wait_closed().await?;
        assert!(receiver.join().unwrap()? == text, "bytes were changed");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s84_a_cancelled_drain_loses_nothing() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        let written = stall(&writer, 1_000_000).await?;
        let (mut first, mut last) = (Box::pin(writer.drain()), Box::pin(writer.drain()));
        assert!(poll_once(&mut first).await.is_pending());
        for _ in 0..100 {
            let mut drain = Box::pin(writer.drain());
            assert!(poll_once(&mut drain).await.is_pending());
        }
        assert!(poll_once(&mut last).await.is_pending());
        let drainers: Vec<_> = (0..5)
            .map(|_| {
                let writer = writer.clone();
                create_task(async move { Ok(writer.drain().await?) })
            })
            .collect();
        settle().await;
        // The first, one in the middle and the last are cancelled; the others are not disturbed.
        for number in [0, 2, 4] {
            assert!(drainers[number].cancel());
        }
        settle().await;
        for (number, drainer) in drainers.iter().enumerate() {
            assert_eq!(drainer.done(), number % 2 == 0, "drainer {number}");
        }
        assert!(receive(&mut peer, written.len()).await? == written, "bytes were changed");
        // Those that were given up stood between these two.
        first.await?;
        last.await?;
        writer.drain().await?;
        for (number, drainer) in drainers.into_iter().enumerate() {
            match drainer.await {
                Err(error) => assert!(number % 2 == 0 && error.is_cancelled(), "{number}: {error}"),
                Ok(()) => assert_eq!(number % 2, 1),
            }
        }
        Ok(())
    })
    .unwrap();
}

/// A megabyte whose owner asks the loop for the time when it is dropped: something of the loop that was
/// borrowed then would be borrowed twice.
struct Asking(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Asking {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let _ = corelane::now();
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn g10_what_was_written_may_use_the_loop_when_it_is_dropped() {
    run(async || {
        let drop_count = Arc::new(AtomicUsize::new(0));
        let asking =
            |count_bytes| Bytes::from_owner(Asking(pattern(count_bytes), Arc::clone(&drop_count)));
        // Sent at once.
        let (_reader, writer, mut peer) = pair().await?;
        writer.write_bytes(asking(20_000))?;
        settle().await;
        assert_eq!(drop_count.load(Ordering::Relaxed), 1);
        peer.read_exact(&mut vec![0; 20_000])?;
        // Sent in parts.
        writer.write_bytes(asking(8 << 20))?;
        receive(&mut peer, 8 << 20).await?;
        settle().await;
        assert_eq!(drop_count.load(Ordering::Relaxed), 2);
        // Given up while it waits.
        writer.write_bytes(asking(8 << 20))?;
        settle().await;
        writer.abort();
        settle().await;
        assert_eq!(drop_count.load(Ordering::Relaxed), 3);
        // Refused.
        let (_reader, writer, peer) = pair().await?;
        writer.write_bytes(asking(8 << 20))?;
        settle().await;
        reset(peer)?;
        settle().await;
        assert_eq!(drop_count.load(Ordering::Relaxed), 4);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s70_lines_are_written_one_after_the_other() {
    run(async || {
        let (_reader, writer, mut peer) = peer::pair().await?;
        writer.write_lines([&b"one"[..], b"", b"two"])?;
        writer.write_lines(["three".to_owned()])?;
        yield_now().await;
        let mut got = [0; 11];
        peer.read_exact(&mut got)?;
        assert_eq!(&got, b"onetwothree");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s3_options_of_the_socket_are_set_and_a_linger_that_would_block_is_refused() {
    run(async || {
        let (_reader, writer, mut peer) = peer::pair().await?;
        writer.set_nodelay(false)?;
        writer.set_keepalive(Some(Duration::from_secs(60)))?;
        writer.set_time_to_live(9)?;
        writer.set_send_buffer_bytes(16_384)?;
        writer.set_receive_buffer_bytes(16_384)?;
        let refused = writer.set_linger(Some(Duration::from_secs(1))).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        writer.set_linger(Some(Duration::ZERO))?;
        writer.abort();
        assert_eq!(peer.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(writer.set_nodelay(true).unwrap_err().kind(), ErrorKind::NotConnected);
        Ok(())
    })
    .unwrap();
}
