//! Code that was written against tokio's I/O traits, over our streams and without tokio's runtime.

mod peer;

use std::io::{ErrorKind, Read, Write};

use corelane::{ConnectBuilder, Duplex, UnixStream, create_task, run, yield_now};
use peer::{pair, pattern, poll_once, receive, reset, settle};
use tokio::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional, split,
};

#[test]
fn copy_bidirectional_carries_both_ways_and_both_ends() {
    run(async || {
        let (reader, writer, mut left) = pair().await?;
        let (other_reader, other_writer, mut right) = pair().await?;
        let proxy = create_task(async move {
            let mut one = Duplex::new(reader, writer);
            let mut other = Duplex::new(other_reader, other_writer);
            Ok(copy_bidirectional(&mut one, &mut other).await?)
        });
        let (there, back) = (pattern(500_000), pattern(300_000));
        left.set_nonblocking(true)?;
        let mut sent = 0;
        let mut got = Vec::new();
        while got.len() < there.len() {
            if sent < there.len() {
                sent += left.write(&there[sent..]).unwrap_or(0);
            }
            let more = receive(&mut right, 1_000.min(there.len() - got.len())).await?;
            got.extend(more);
        }
        assert!(got == there);
        // One direction ends; the other goes on.
        left.shutdown(std::net::Shutdown::Write)?;
        assert_eq!(receive(&mut right, 1).await?, b"");
        let mut right = Duplex::from(ConnectBuilder::new().adopt(right)?);
        let answer = back.clone();
        let answering = create_task(async move {
            right.write_all(&answer).await?;
            Ok(right.shutdown().await?)
        });
        assert!(receive(&mut left, back.len()).await? == back);
        answering.await?;
        assert_eq!(receive(&mut left, 1).await?, b"", "the end follows");
        assert_eq!(proxy.await?, (500_000, 300_000));
        Ok(())
    })
    .unwrap();
}

#[test]
fn lines_of_a_buffered_reader_need_no_second_buffer() {
    run(async || {
        let (reader, _writer, mut peer) = pair().await?;
        peer.write_all(b"one\r\ntwo\nthree")?;
        drop(peer);
        let mut lines = AsyncBufReadExt::lines(reader);
        for expected in ["one", "two", "three"] {
            assert_eq!(lines.next_line().await?.as_deref(), Some(expected));
        }
        assert_eq!(lines.next_line().await?, None);
        Ok(())
    })
    .unwrap();
}

#[test]
fn dropped_reads_and_writes_lose_nothing() {
    run(async || {
        let (mut reader, mut writer, mut peer) = pair().await?;
        let mut ten = [0; 10];
        {
            let mut reading = Box::pin(AsyncReadExt::read(&mut reader, &mut ten));
            assert!(poll_once(&mut reading).await.is_pending());
            peer.write_all(b"0123456789")?;
            settle().await;
        }
        AsyncReadExt::read_exact(&mut reader, &mut ten).await?;
        assert_eq!(&ten, b"0123456789");

        let all = pattern(20_000_000);
        {
            let mut writing = Box::pin(AsyncWriteExt::write_all(&mut writer, &all));
            for _ in 0..100 {
                assert!(poll_once(&mut writing).await.is_pending());
                yield_now().await;
            }
        }
        let ending = create_task(async move { Ok(writer.shutdown().await?) });
        let got = receive(&mut peer, all.len()).await?;
        assert!(got.len() > 65_536 && got == all[..got.len()]);
        ending.await
    })
    .unwrap();
}

#[test]
fn a_split_duplex_echoes_through_slow_and_fast_peers() {
    run(async || {
        let (reader, writer, peer) = pair().await?;
        let (mut read, mut write) = split(Duplex::new(reader, writer));
        assert!(write.is_write_vectored());
        let echoing = create_task(async move {
            tokio::io::copy(&mut read, &mut write).await?;
            Ok(write.shutdown().await?)
        });
        let mut far = Duplex::from(ConnectBuilder::new().adopt(peer)?);
        for count_bytes in [1, 10, 16_384, 16_385, 65_536] {
            far.write_all(&pattern(count_bytes)).await?;
            far.flush().await?;
            let mut back = vec![0; count_bytes];
            far.read_exact(&mut back).await?;
            assert!(back == pattern(count_bytes));
        }
        far.shutdown().await?;
        assert_eq!(far.read(&mut [0; 1]).await?, 0);
        echoing.await
    })
    .unwrap();
}

#[test]
fn a_reset_and_a_closed_end_are_errors() {
    run(async || {
        let (mut reader, mut writer, peer) = pair().await?;
        reset(peer)?;
        let failed = AsyncReadExt::read(&mut reader, &mut [0; 1]).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::ConnectionReset);
        let failed = AsyncWriteExt::write(&mut writer, b"x").await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::ConnectionReset);

        let (_reader, mut writer, mut peer) = pair().await?;
        AsyncWriteExt::write_all(&mut writer, b"bye").await?;
        writer.shutdown().await?;
        let failed = AsyncWriteExt::write(&mut writer, b"x").await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::BrokenPipe);
        let mut got = Vec::new();
        peer.read_to_end(&mut got)?;
        assert_eq!(got, b"bye");
        Ok(())
    })
    .unwrap();
}

#[test]
fn bare_sockets_are_copied_between_as_well() {
    run(async || {
        let (mut left, mut proxied) = UnixStream::pair()?;
        let (mut onward, mut right) = UnixStream::pair()?;
        let proxy =
            create_task(async move { Ok(copy_bidirectional(&mut proxied, &mut onward).await?) });
        let all = pattern(500_000);
        let expected = all.clone();
        let sending = create_task(async move {
            AsyncWriteExt::write_all(&mut left, &all).await?;
            AsyncWriteExt::shutdown(&mut left).await?;
            let mut answer = String::new();
            left.read_to_string(&mut answer).await?;
            Ok(answer)
        });
        let mut got = Vec::new();
        right.read_to_end(&mut got).await?;
        assert!(got == expected);
        AsyncWriteExt::write_all(&mut right, b"thanks").await?;
        drop(right);
        assert_eq!(sending.await?, "thanks");
        assert_eq!(proxy.await?, (500_000, 6));
        Ok(())
    })
    .unwrap();
}
