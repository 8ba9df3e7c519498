//! What is sent from where it is, what is kept for a peer that does not read, and frames through `Sink`.

mod peer;

use std::fmt::{self, Display};
use std::io::{ErrorKind, IoSlice, Read};

use bytes::Bytes;
use corelane::codec::{FrameSink, LengthDelimited};
use corelane::{
    Result, Server, StreamReader, StreamWriter, create_task, open_connection, yield_now,
};
use futures_util::SinkExt;
use peer::{pair, pattern, receive, run, settle};

/// Far more than a system keeps for a peer that does not read.
const LARGE_BYTES: usize = 4_000_000;

/// Writes without draining until the connection is gone, at most `limit_bytes`, and says how much it was.
fn flood(writer: &StreamWriter, limit_bytes: usize) -> Result<usize> {
    let piece = [b'x'; 10_000];
    let mut written = 0;
    while !writer.is_closing() && written < limit_bytes {
        writer.write(piece)?;
        written += piece.len();
    }
    Ok(written)
}

/// Formats to a part of what it is, and fails.
struct Unspeakable;

impl Display for Unspeakable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part")?;
        Err(fmt::Error)
    }
}

#[test]
fn s70_text_of_any_kind_is_written_in_its_order_and_none_by_halves() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        writer.write("text ")?;
        writer.write(String::from("string "))?;
        writer.write(vec![b'v', b' '])?;
        write!(writer, "{} of {:?} ", 1, "two")?;
        let failed = write!(writer, "{}, then {Unspeakable}", 1).unwrap_err();
        assert!(failed.downcast_ref::<fmt::Error>().is_some());
        writer.write(Bytes::from_static(b"end"))?;
        writer.write_eof();
        assert!(write!(writer, "late").unwrap_err().is_runtime());
        let expected = b"text string v 1 of \"two\" end";
        assert_eq!(receive(&mut peer, 100).await?, expected);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s83_slices_that_nothing_goes_before_leave_at_once_and_others_in_their_order() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        let large = pattern(50_000);
        let slices = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(&large)];
        writer.write_vectored(&slices)?;
        assert_eq!(writer.write_buffer_len(), 0, "nothing was kept");
        let mut got = vec![0; 50_004];
        // Without a turn: it is there already.
        peer.read_exact(&mut got)?;
        assert!(got == [b"head", &large[..]].concat());

        // Few go with what else the turn writes, and what goes before stays before.
        writer.write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"b")])?;
        assert_eq!(writer.write_buffer_len(), 2);
        writer.write_vectored(&slices)?;
        writer.write(b"z")?;
        assert!(receive(&mut peer, 50_007).await? == [b"abhead", &large[..], b"z"].concat());
        writer.write_eof();
        writer.write_vectored(&slices).unwrap_err();
        Ok(())
    })
    .unwrap();
}

#[test]
fn s83_what_the_system_does_not_take_of_slices_is_kept_and_follows() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        writer.set_send_buffer_bytes(100_000)?;
        let large = pattern(LARGE_BYTES);
        let (one, other) = large.split_at(LARGE_BYTES / 3);
        writer.write_vectored(&[IoSlice::new(one), IoSlice::new(other)])?;
        let kept = writer.write_buffer_len();
        assert!(kept > 0 && kept < LARGE_BYTES, "{kept} are kept");
        writer.write(b"end")?;
        assert!(receive(&mut peer, LARGE_BYTES).await? == large);
        assert_eq!(receive(&mut peer, 3).await?, b"end");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_peer_that_does_not_read_is_cut_off_at_the_bound() {
    run(async || {
        let (mut reader, writer, peer) = pair().await?;
        assert_eq!(writer.write_buffer_bound(), 64 << 20, "on without being asked for");
        writer.set_write_buffer_bound(900_000);
        assert_eq!(writer.write_buffer_bound(), 1 << 20);
        writer.set_send_buffer_bytes(100_000)?;
        // As much at a time as one likes, also with little before it.
        writer.write(b"head")?;
        writer.write(vec![b'x'; LARGE_BYTES])?;
        assert!(!writer.is_closing());
        writer.write(b"one byte more is too much")?;
        assert!(writer.is_closing());
        assert_eq!(reader.read(1).await.unwrap_err().kind(), ErrorKind::QuotaExceeded);
        let error = writer.drain().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
        assert!(error.to_string().contains("does not read"), "{error}");
        assert_eq!(writer.write_buffer_len(), 0, "nothing is kept any more");
        // What comes later is thrown away, as on any lost connection.
        writer.write(b"late")?;
        writer.with_buffer(|buffer| buffer.extend_from_slice(b"late"))?;
        drop(peer);
        Ok(())
    })
    .unwrap();
}

#[test]
fn writes_in_place_are_bounded_as_well_and_a_peer_that_reads_never_meets_the_bound() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        writer.set_write_buffer_bound(1 << 20);
        for _ in 0..40 {
            writer.write([b'x'; 100_000])?;
            writer.drain().await?;
            receive(&mut peer, 100_000).await?;
        }
        assert!(!writer.is_closing());
        writer.set_send_buffer_bytes(100_000)?;
        for _ in 0..40 {
            writer.with_buffer(|buffer| buffer.extend_from_slice(&[b'x'; 100_000]))?;
        }
        assert!(writer.is_closing());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_server_sets_the_bound_of_its_connections_and_the_others_go_on() {
    run(async || {
        let serve = async |mut reader: StreamReader, writer: StreamWriter| {
            if reader.read_line().await? == "flood\n" {
                writer.set_send_buffer_bytes(100_000)?;
                let written = flood(&writer, 32 << 20)?;
                assert!(written < 8 << 20, "{written} bytes before it was cut off");
                return Ok(());
            }
            writer.write(b"fine\n")
        };
        let builder = Server::builder().write_buffer_bound(1 << 20);
        let server = builder.start(serve, "127.0.0.1:0").await?;
        let addr = server.local_addrs()[0];
        let (mut slow_reader, slow) = open_connection(addr).await?;
        slow.set_receive_buffer_bytes(50_000)?;
        slow.write(b"flood\n")?;
        let (mut reader, writer) = open_connection(addr).await?;
        settle().await;
        writer.write(b"hello\n")?;
        assert_eq!(reader.read_line().await?, "fine\n");
        let got_bytes = slow_reader.read_to_end().await?.len();
        assert!(got_bytes < 8 << 20, "it was cut off, after {got_bytes} bytes");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_frame_sink_is_a_sink_that_waits_for_a_slow_peer_and_loses_nothing() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        writer.set_send_buffer_bytes(100_000)?;
        let mut sink = FrameSink::new(writer, LengthDelimited::new(1_000_000));
        let sending = create_task(async move {
            for number in 0..50_u8 {
                SinkExt::feed(&mut sink, Bytes::from(vec![number; 100_000])).await?;
            }
            SinkExt::<Bytes>::flush(&mut sink).await?;
            SinkExt::<Bytes>::close(&mut sink).await?;
            Ok(())
        });
        settle().await;
        assert!(!sending.done(), "the peer does not read");
        for number in 0..50_u8 {
            let frame = receive(&mut peer, 100_004).await?;
            assert_eq!(frame[..4], 100_000_u32.to_be_bytes());
            assert!(frame[4..].iter().all(|byte| *byte == number));
        }
        sending.await?;
        assert_eq!(receive(&mut peer, 1).await?, b"");
        yield_now().await;
        Ok(())
    })
    .unwrap();
}
