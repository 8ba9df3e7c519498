//! Reading and writing by `poll_…` calls over real sockets: what the bridges to other crates stand on.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod peer;

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::task::Poll;

use corelane::{
    ConnectBuilder, Result, StreamReader, StreamWriter, catch_cancel, create_task, yield_now,
};
use peer::{pair, pattern, receive, reset, run, settle};

/// What a writer's buffer may hold at most with the default water marks.
const MOST_BYTES: usize = 65_536 + 16_384;

async fn write_some(writer: &mut StreamWriter, bytes: &[u8]) -> io::Result<usize> {
    poll_fn(|context| writer.poll_write(context, bytes)).await
}

async fn flush(writer: &mut StreamWriter) -> io::Result<()> {
    poll_fn(|context| writer.poll_flush(context)).await
}

/// Writes until the writer has to wait, and says how much that was.
async fn fill(writer: &mut StreamWriter, piece_bytes: usize) -> io::Result<usize> {
    let repeated = pattern(piece_bytes + 251);
    let (mut written, mut waits) = (0, 0);
    while waits < 50 {
        let bytes = &repeated[written % 251..][..piece_bytes];
        let step = poll_fn(|context| Poll::Ready(writer.poll_write(context, bytes))).await;
        match step {
            Poll::Ready(count) => (written, waits) = (written + count?, 0),
            Poll::Pending => {
                waits += 1;
                yield_now().await;
            }
        }
        assert!(writer.write_buffer_len() <= MOST_BYTES);
    }
    Ok(written)
}

#[test]
fn s72_a_polled_write_waits_for_a_peer_that_does_not_read_and_memory_stays_bounded() {
    run(async || {
        for piece_bytes in [1_000, 16_384, 1_000_000] {
            let (_reader, mut writer, mut peer) = pair().await?;
            let written = fill(&mut writer, piece_bytes).await?;
            let blocked = create_task(async move {
                let count = write_some(&mut writer, b"the end").await?;
                assert_eq!(count, 7);
                flush(&mut writer).await?;
                assert_eq!(writer.write_buffer_len(), 0);
                Ok(())
            });
            settle().await;
            assert!(!blocked.done());
            let got = receive(&mut peer, written + 7).await?;
            assert!(got[..written] == pattern(written) && &got[written..] == b"the end");
            blocked.await?;
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_flush_sends_at_once_and_waits_until_the_system_has_everything() {
    run(async || {
        let (_reader, mut writer, mut peer) = pair().await?;
        flush(&mut writer).await?;
        assert_eq!(write_some(&mut writer, b"now").await?, 3);
        flush(&mut writer).await?;
        // No turn has ended in between.
        let mut got = [0; 3];
        peer.read_exact(&mut got)?;
        assert_eq!(&got, b"now");

        let written = fill(&mut writer, 100_000).await?;
        let mut flushing = create_task(async move {
            flush(&mut writer).await?;
            Ok(writer.write_buffer_len())
        });
        settle().await;
        assert!(!flushing.done());
        assert!(receive(&mut peer, written).await? == pattern(written));
        assert_eq!((&mut flushing).await?, 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn slices_are_written_as_one_and_only_as_far_as_there_is_room() {
    run(async || {
        let (_reader, mut writer, mut peer) = pair().await?;
        let large = pattern(100_000);
        let slices = [&b"one "[..], b"", b"two ", &large].map(IoSlice::new);
        let count = poll_fn(|context| writer.poll_write_vectored(context, &slices)).await?;
        assert_eq!(count, 65_536);
        let got = receive(&mut peer, count).await?;
        assert!(got.starts_with(b"one two ") && got[8..] == large[..count - 8]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_waiting_clone_does_not_take_the_place_of_another() {
    run(async || {
        let (_reader, mut writer, mut peer) = pair().await?;
        let written = fill(&mut writer, 100_000).await?;
        let waiting: Vec<_> = (0..3)
            .map(|number| {
                let mut clone = writer.clone();
                create_task(async move {
                    if number == 1 {
                        flush(&mut clone).await?;
                        return Ok(0);
                    }
                    Ok(write_some(&mut clone, b"x").await?)
                })
            })
            .collect();
        settle().await;
        assert!(waiting.iter().all(|task| !task.done()));
        receive(&mut peer, written + 2).await?;
        for task in waiting {
            task.await?;
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_handle_that_is_dropped_while_it_waits_leaves_the_line() {
    run(async || {
        let (_reader, mut writer, mut peer) = pair().await?;
        let written = fill(&mut writer, 100_000).await?;
        let mut gone = writer.clone();
        let first = poll_fn(|context| Poll::Ready(gone.poll_write(context, b"x"))).await;
        assert!(first.is_pending());
        drop(gone);
        let next = create_task(async move {
            write_some(&mut writer, b"y").await?;
            flush(&mut writer).await?;
            Ok(())
        });
        let got = receive(&mut peer, written + 1).await?;
        assert_eq!(got.last(), Some(&b'y'));
        next.await
    })
    .unwrap();
}

#[test]
fn s75_a_shutdown_sends_what_is_left_then_the_end_and_reading_goes_on() {
    run(async || {
        let (mut reader, mut writer, mut peer) = pair().await?;
        let written = fill(&mut writer, 100_000).await?;
        let shutting = create_task(async move {
            poll_fn(|context| writer.poll_shutdown(context)).await?;
            // Again: nothing to be done.
            poll_fn(|context| writer.poll_shutdown(context)).await?;
            let refused = write_some(&mut writer, b"more").await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::BrokenPipe);
            Ok(writer)
        });
        settle().await;
        assert!(!shutting.done());
        assert_eq!(receive(&mut peer, written + 1).await?.len(), written, "the end follows");
        let writer = shutting.await?;
        peer.write_all(b"answer")?;
        assert_eq!(&reader.read_exactly(6).await?[..], b"answer");
        assert!(!writer.is_closing());
        Ok(())
    })
    .unwrap();
}

#[test]
fn s81_a_reset_ends_every_wait_with_its_error() {
    run(async || {
        let (mut reader, mut writer, peer) = pair().await?;
        fill(&mut writer, 100_000).await?;
        let (mut flushing, mut closing) = (writer.clone(), writer.clone());
        let waits = [
            create_task(async move { Ok(write_some(&mut writer, b"x").await.map(drop)) }),
            create_task(async move { Ok(flush(&mut flushing).await) }),
            create_task(async move { Ok(poll_fn(|context| closing.poll_shutdown(context)).await) }),
            create_task(async move {
                Ok(poll_fn(|context| reader.poll_fill_buf(context).map_ok(drop)).await)
            }),
        ];
        settle().await;
        reset(peer)?;
        for wait in waits {
            let kind = wait.await?.unwrap_err().kind();
            assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind:?}");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn s76_a_closed_writer_refuses_what_is_polled_and_flushes_the_rest() {
    run(async || {
        let (_reader, mut writer, mut peer) = pair().await?;
        let written = fill(&mut writer, 100_000).await?;
        writer.close();
        assert_eq!(write_some(&mut writer, b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let flushing = create_task(async move { Ok(flush(&mut writer).await?) });
        settle().await;
        assert!(!flushing.done());
        assert_eq!(receive(&mut peer, written + 1).await?.len(), written);
        flushing.await
    })
    .unwrap();
}

/// Reads what is there without waiting for more.
fn take_now(reader: &mut StreamReader, context: &mut std::task::Context<'_>) -> Option<Vec<u8>> {
    let Poll::Ready(Ok(unread)) = reader.poll_fill_buf(context) else { return None };
    let unread = unread.to_vec();
    reader.consume(unread.len());
    Some(unread)
}

#[test]
fn s47_a_polled_read_that_is_given_up_loses_nothing() {
    run(async || {
        let (mut reader, _writer, mut peer) = pair().await?;
        assert_eq!(poll_fn(|context| Poll::Ready(take_now(&mut reader, context))).await, None);
        peer.write_all(b"first second")?;
        settle().await;
        let unread =
            poll_fn(|context| Poll::Ready(reader.poll_fill_buf(context).map_ok(|b| b.len())));
        assert!(matches!(unread.await, Poll::Ready(Ok(12))));
        reader.consume(6);
        let rest = poll_fn(|context| Poll::Ready(take_now(&mut reader, context))).await;
        assert_eq!(rest.as_deref(), Some(&b"second"[..]));
        drop(peer);
        settle().await;
        let end = poll_fn(|context| Poll::Ready(take_now(&mut reader, context))).await;
        assert_eq!(end.as_deref(), Some(&b""[..]));
        Ok(())
    })
    .unwrap();
}

#[test]
fn g26_a_read_beside_a_task_is_a_second_wait_so_a_request_stays_with_the_reader() {
    run(async || {
        let (mut reader, _writer, _peer) = pair().await?;
        let stubborn = create_task(async {
            // Refuses for a while, and would so keep alive whoever hands requests on to it.
            let refused = catch_cancel(std::future::pending::<Result<()>>()).await;
            assert!(refused.is_err());
            for _ in 0..3 {
                settle().await;
            }
            Ok(())
        });
        let both = create_task(async move {
            drop(futures_util::join!(stubborn, reader.read(1)));
            Ok(())
        });
        settle().await;
        both.cancel();
        settle().await;
        assert!(both.done());
        assert!(both.await.unwrap_err().is_cancelled());
        Ok(())
    })
    .unwrap();
}

/// Both ends in one loop: each side's writes are the other side's reads.
#[test]
fn two_polled_ends_talk_to_each_other_through_full_buffers() {
    run(async || {
        let (mut reader, mut writer, peer) = pair().await?;
        let (mut far_reader, mut far_writer) = ConnectBuilder::new().adopt(peer)?;
        let all = pattern(3_000_000);
        let sent = all.clone();
        let sending = create_task(async move {
            let mut count = 0;
            while count < sent.len() {
                count += write_some(&mut writer, &sent[count..]).await?;
            }
            poll_fn(|context| writer.poll_shutdown(context)).await?;
            Ok(writer)
        });
        let echoing = create_task(async move {
            loop {
                let bytes = far_reader.read(100_000).await?;
                let mut count = 0;
                while count < bytes.len() {
                    count += write_some(&mut far_writer, &bytes[count..]).await?;
                }
                if bytes.is_empty() {
                    return Ok(poll_fn(|context| far_writer.poll_shutdown(context)).await?);
                }
            }
        });
        assert!(reader.read_to_end().await? == all);
        echoing.await?;
        drop(sending.await?);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s75_an_end_that_is_polled_for_inside_with_buffer_comes_after_what_is_written_there() {
    run(async || {
        let (mut reader, writer, mut peer) = pair().await?;
        let mut other = writer.clone();
        poll_fn(|context| {
            let inside = writer.with_buffer(|buffer| {
                buffer.extend_from_slice(b"lent");
                let flushed = other.poll_flush(context);
                assert!(flushed.is_pending(), "the system does not have it");
                other.poll_shutdown(context)
            });
            assert!(inside.unwrap().is_pending());
            Poll::Ready(())
        })
        .await;
        poll_fn(|context| other.poll_shutdown(context)).await?;
        assert_eq!(receive(&mut peer, 5).await?, b"lent");
        // The other way is open, and a wait inside for nothing at all comes to its end.
        peer.write_all(b"answer")?;
        assert_eq!(&reader.read_exactly(6).await?[..], b"answer");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s76_a_close_inside_with_buffer_waits_for_what_is_written_there_though_somebody_flushes() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        let mut other = writer.clone();
        poll_fn(|context| {
            let inside = writer.with_buffer(|buffer| {
                buffer.extend_from_slice(b"lent");
                other.close();
                other.poll_flush(context)
            });
            assert!(inside.unwrap().is_pending());
            Poll::Ready(())
        })
        .await;
        writer.wait_closed().await?;
        assert_eq!(receive(&mut peer, 5).await?, b"lent");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_flush_inside_a_with_buffer_that_writes_nothing_is_woken() {
    run(async || {
        let (_reader, writer, _peer) = pair().await?;
        let mut other = writer.clone();
        let mut is_first = true;
        poll_fn(|context| {
            if !std::mem::take(&mut is_first) {
                return other.poll_flush(context);
            }
            writer.with_buffer(|_| other.poll_flush(context)).unwrap()
        })
        .await?;
        Ok(())
    })
    .unwrap();
}
