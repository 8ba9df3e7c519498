//! Code that was written against futures-io, over our streams.

mod peer;

use std::io::{ErrorKind, Read, Write};
use std::task::Poll;

use corelane::{ConnectBuilder, Duplex, UnixStream, create_task, run, yield_now};
use futures_util::TryStreamExt;
use futures_util::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_buf};
use peer::{pair, pattern, poll_once, receive, reset, settle};

#[test]
fn lines_come_out_whole_however_they_arrived() {
    run(async || {
        let (reader, _writer, mut peer) = pair().await?;
        let lines = create_task(async move {
            Ok(AsyncBufReadExt::lines(reader).try_collect::<Vec<_>>().await?)
        });
        for piece in ["on", "e\ntwo\nth", "ree\n", "four"] {
            peer.write_all(piece.as_bytes())?;
            settle().await;
        }
        drop(peer);
        assert_eq!(lines.await?, ["one", "two", "three", "four"]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_write_that_is_dropped_half_way_loses_nothing_of_what_was_taken() {
    run(async || {
        let (_reader, mut writer, mut peer) = pair().await?;
        let all = pattern(20_000_000);
        {
            let mut writing = Box::pin(AsyncWriteExt::write_all(&mut writer, &all));
            for _ in 0..100 {
                assert!(poll_once(&mut writing).await.is_pending());
                yield_now().await;
            }
        }
        // Everything up to some place is on its way, and nothing behind it.
        let closing = create_task(async move { Ok(AsyncWriteExt::close(&mut writer).await?) });
        let got = receive(&mut peer, all.len()).await?;
        assert!(got.len() > 65_536 && got == all[..got.len()]);
        closing.await
    })
    .unwrap();
}

#[test]
fn a_read_that_is_dropped_leaves_its_bytes_to_the_next() {
    run(async || {
        let (mut reader, _writer, mut peer) = pair().await?;
        let mut ten = [0; 10];
        {
            let mut reading = Box::pin(AsyncReadExt::read(&mut reader, &mut ten));
            assert!(poll_once(&mut reading).await.is_pending());
            peer.write_all(b"0123456789")?;
            settle().await;
        }
        assert_eq!(AsyncReadExt::read(&mut reader, &mut []).await?, 0);
        assert_eq!(AsyncReadExt::read(&mut reader, &mut ten[..4]).await?, 4);
        AsyncReadExt::read_exact(&mut reader, &mut ten[4..]).await?;
        assert_eq!(&ten, b"0123456789");
        drop(peer);
        assert_eq!(AsyncReadExt::read(&mut reader, &mut ten).await?, 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_copy_between_two_connections_goes_no_faster_than_its_slower_side() {
    run(async || {
        let (mut from, from_writer, mut source) = pair().await?;
        let (_to_reader, mut to, mut sink) = pair().await?;
        let watched = to.clone();
        let copying = create_task(async move {
            let count = copy_buf(&mut from, &mut to).await?;
            AsyncWriteExt::close(&mut to).await?;
            drop(from_writer);
            Ok(count)
        });
        let all = pattern(30_000_000);
        source.set_nonblocking(true)?;
        let mut sent = 0;
        for _ in 0..2_000 {
            sent += source.write(&all[sent..]).unwrap_or(0);
            yield_now().await;
            assert!(watched.write_buffer_len() <= 65_536 + 16_384);
        }
        assert!(sent < all.len(), "nobody reads, and yet all of it went somewhere");
        let got = create_task(async move {
            let mut got = Vec::new();
            while got.len() < 30_000_000 {
                let more = receive(&mut sink, 100_000.min(30_000_000 - got.len())).await?;
                got.extend(more);
            }
            assert_eq!(receive(&mut sink, 1).await?, b"", "the end follows");
            Ok(got)
        });
        while sent < all.len() {
            sent += source.write(&all[sent..]).unwrap_or(0);
            yield_now().await;
        }
        drop(source);
        assert_eq!(copying.await?, all.len() as u64);
        assert!(got.await? == all);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_duplex_is_read_written_and_closed() {
    run(async || {
        let (reader, writer, peer) = pair().await?;
        let mut near = Duplex::new(reader, writer);
        let far = Duplex::from(ConnectBuilder::new().adopt(peer)?);
        let answering = create_task(async move {
            let (mut read, mut write) = AsyncReadExt::split(far);
            futures_util::io::copy(&mut read, &mut write).await?;
            Ok(write.close().await?)
        });
        near.write_all(b"hello").await?;
        near.flush().await?;
        let mut five = [0; 5];
        near.read_exact(&mut five).await?;
        assert_eq!(&five, b"hello");
        near.close().await?;
        assert_eq!(near.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(near.fill_buf().await?.is_empty());
        answering.await
    })
    .unwrap();
}

#[test]
fn a_reset_is_an_error_for_both_directions() {
    run(async || {
        let (mut reader, mut writer, peer) = pair().await?;
        let mut to = [0; 10];
        let mut reading = Box::pin(AsyncReadExt::read(&mut reader, &mut to));
        assert!(matches!(poll_once(&mut reading).await, Poll::Pending));
        reset(peer)?;
        assert_eq!(reading.await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let failed = AsyncWriteExt::write(&mut writer, b"x").await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::ConnectionReset);
        assert!(AsyncWriteExt::flush(&mut writer).await.is_err());
        Ok(())
    })
    .unwrap();
}

#[test]
fn vectored_writes_leave_together() {
    run(async || {
        let (_reader, mut writer, mut peer) = pair().await?;
        let slices = [&b"ab"[..], b"cd"].map(std::io::IoSlice::new);
        assert_eq!(AsyncWriteExt::write_vectored(&mut writer, &slices).await?, 4);
        AsyncWriteExt::flush(&mut writer).await?;
        let mut got = [0; 10];
        assert_eq!(peer.read(&mut got)?, 4);
        Ok(())
    })
    .unwrap();
}

#[test]
fn bare_sockets_read_and_write_too() {
    run(async || {
        let (mut left, right) = UnixStream::pair()?;
        AsyncWriteExt::write_all(&mut left, b"one\ntwo\n").await?;
        AsyncWriteExt::close(&mut left).await?;
        let (reader, mut writer) = right.into_split();
        let mut text = String::new();
        BufReader::new(reader).read_to_string(&mut text).await?;
        assert_eq!(text, "one\ntwo\n");
        AsyncWriteExt::write_all(&mut writer, b"three").await?;
        drop(writer);
        let mut answer = Vec::new();
        left.read_to_end(&mut answer).await?;
        assert_eq!(answer, b"three");
        Ok(())
    })
    .unwrap();
}
