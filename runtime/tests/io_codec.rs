//! Frames over real sockets: cut by decoders, written by encoders, and lines as a stream.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod everywhere;
mod peer;

use std::io::{self, ErrorKind, Read, Write};

use bytes::{Buf, Bytes, BytesMut};
use corelane::codec::{Decoder, Encoder, FrameSink, Frames, LengthDelimited, Unread};
use corelane::{ReadError, Result, create_task};
use everywhere::sent;
use futures_util::StreamExt;
use peer::{pair, pattern, poll_once, receive, reset, run, settle};
use proptest::prelude::*;

/// Frames as [`LengthDelimited`] writes them.
fn framed(frames: &[&[u8]]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    for frame in frames {
        LengthDelimited::new(1_000_000).encode(frame, &mut bytes).unwrap();
    }
    bytes.to_vec()
}

#[test]
fn frames_come_out_whole_however_they_arrived() {
    run(async || {
        let (reader, _writer, mut peer) = pair().await?;
        let long = pattern(100_000);
        let frames: [&[u8]; 5] = [b"one", b"", b"two", &long, b"three"];
        let bytes = framed(&frames);
        let reading = create_task(async move {
            let mut frames = Frames::new(reader, LengthDelimited::new(100_000));
            let mut got = Vec::new();
            while let Some(frame) = frames.next().await {
                got.push(frame?);
            }
            assert!(frames.next().await.is_none());
            Ok(got)
        });
        // Byte by byte through the first heads, then in pieces.
        for piece in bytes[..20].chunks(1).chain(bytes[20..].chunks(7_001)) {
            peer.write_all(piece)?;
            settle().await;
        }
        drop(peer);
        assert!(reading.await? == frames);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_frame_that_is_given_up_is_there_for_the_next_call() {
    run(async || {
        let (reader, _writer, mut peer) = pair().await?;
        let mut frames = Frames::new(reader, LengthDelimited::new(100));
        let bytes = framed(&[b"first", b"second"]);
        peer.write_all(&bytes[..7])?;
        settle().await;
        assert!(poll_once(&mut Box::pin(frames.next())).await.is_pending());
        peer.write_all(&bytes[7..])?;
        assert_eq!(frames.next().await.unwrap()?, "first");
        // What is left goes with the reader.
        let (mut reader, _) = frames.into_parts();
        assert_eq!(&reader.read_exactly(10).await?[..], b"\0\0\0\x06second");
        Ok(())
    })
    .unwrap();
}

/// Gives a frame whenever there is a full stop, and what is left at the end.
struct Sentences {
    limit_bytes: Option<usize>,
}

impl Decoder for Sentences {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, unread: &mut Unread<'_>) -> io::Result<Option<Bytes>> {
        if unread.first() == Some(&b'!') {
            return Err(io::Error::other("shouting"));
        }
        let end = unread.iter().position(|byte| *byte == b'.');
        Ok(end.map(|end| unread.copy_to_bytes(end + 1)))
    }

    fn decode_eof(&mut self, unread: &mut Unread<'_>) -> io::Result<Option<Bytes>> {
        let whole = self.decode(unread)?;
        let rest = unread.remaining();
        Ok(whole.or_else(|| (rest > 0).then(|| unread.split_to(rest))))
    }

    fn limit_bytes(&self) -> Option<usize> {
        self.limit_bytes
    }
}

#[test]
fn the_end_of_the_stream_is_the_decoders_to_judge() {
    run(async || {
        let (reader, _writer) = sent(b"One. Two. And", 100).await?;
        let frames = Frames::new(reader, Sentences { limit_bytes: None });
        let got: Vec<_> = frames.map(|frame| frame.unwrap()).collect().await;
        assert_eq!(got, ["One.", " Two.", " And"]);

        let (reader, _writer) = sent(b"\0\0\0\x05half", 100).await?;
        let mut frames = Frames::new(reader, LengthDelimited::new(100));
        let error = frames.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(frames.next().await.is_none());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_frame_that_is_too_long_is_refused_before_it_fills_the_memory() {
    run(async || {
        for (limit_bytes, refused) in [(None, 1_000), (Some(5_000), 5_000)] {
            let (reader, _writer) = sent(&[b'x'; 20_000], 1_000).await?;
            let mut frames = Frames::new(reader, Sentences { limit_bytes });
            let error = frames.next().await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(error.to_string().contains(&refused.to_string()), "{error}");
            assert!(frames.next().await.is_none());
        }
        // A stranger's claim is refused at once.
        let (reader, _writer) = sent(b"\xff\xff\xff\xffx", 1_000).await?;
        let mut frames = Frames::new(reader, LengthDelimited::new(4_000));
        assert_eq!(frames.next().await.unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
        // A limit of the decoder's own may be larger than the reader's.
        let long = pattern(30_000);
        let (reader, _writer) = sent(&framed(&[&long]), 1_000).await?;
        let mut frames = Frames::new(reader, LengthDelimited::new(30_000));
        assert!(frames.next().await.unwrap()? == long);
        Ok(())
    })
    .unwrap();
}

#[test]
fn after_an_error_there_are_no_more_frames() {
    run(async || {
        let (reader, _writer) = sent(b"Quiet.!Loud.", 100).await?;
        let mut frames = Frames::new(reader, Sentences { limit_bytes: None });
        assert_eq!(frames.next().await.unwrap()?, "Quiet.");
        assert_eq!(frames.next().await.unwrap().unwrap_err().to_string(), "shouting");
        assert!(frames.next().await.is_none());

        let (reader, _writer, peer) = pair().await?;
        let mut frames = Frames::new(reader, Sentences { limit_bytes: None });
        reset(peer)?;
        let error = frames.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(frames.next().await.is_none());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_sink_writes_frames_and_waits_for_a_slow_peer() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        let mut sink = FrameSink::new(writer, LengthDelimited::new(100_000));
        sink.feed("one")?;
        sink.send(b"two").await?;
        corelane::yield_now().await;
        let mut got = [0; 14];
        peer.read_exact(&mut got)?;
        assert_eq!(got[..], framed(&[b"one", b"two"]));
        // One that cannot be written leaves no trace.
        assert_eq!(sink.feed(pattern(100_001)).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(sink.writer().write_buffer_len(), 0);

        let sending = create_task(async move {
            for _ in 0..300 {
                sink.send(pattern(100_000)).await?;
                assert!(sink.writer().write_buffer_len() <= 165_540);
            }
            Ok(sink.into_parts().0)
        });
        settle().await;
        assert!(!sending.done());
        assert_eq!(receive(&mut peer, 300 * 100_004).await?.len(), 300 * 100_004);
        drop(sending.await?);
        Ok(())
    })
    .unwrap();
}

proptest! {
    #[test]
    fn lengths_of_every_width_and_order_come_back(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
        width_bytes in 1..=8_usize,
        is_little in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut codec = LengthDelimited::new(255).width_bytes(width_bytes);
        if is_little {
            codec = codec.little_endian();
        }
        let mut bytes = BytesMut::new();
        let mut written = Vec::new();
        for frame in frames {
            let fits = codec.encode(&frame, &mut bytes).is_ok();
            prop_assert_eq!(fits, frame.len() <= 255);
            if fits {
                written.push(frame);
            }
        }
        let mut late = bytes.split_off(cut.index(bytes.len() + 1));
        let mut got = Vec::new();
        for _ in 0..2 {
            while let Some(frame) = codec.decode(&mut Unread::of(&mut bytes)).unwrap() {
                got.push(frame.to_vec());
            }
            bytes.unsplit(late.split());
        }
        prop_assert_eq!(got, written);
        prop_assert!(bytes.is_empty());
    }
}

#[test]
fn s53_lines_as_a_stream_are_those_of_next_line() {
    run(async || {
        let texts: [&[u8]; 5] = [
            b"",
            b"one\ntwo\n\nfour",
            b"short\nmuch too long for the limit\nshort\n",
            b"no newline and too long for the limit as well",
            b"0123456789\n01234567890\n",
        ];
        for text in texts {
            let (mut reader, _writer) = sent(text, 10).await?;
            settle().await;
            let mut expected = Vec::new();
            loop {
                match reader.next_line().await {
                    Ok(Some(line)) => expected.push(line),
                    Ok(None) => break,
                    Err(error) => expected.push(error.to_string().into()),
                }
            }
            let (reader, _writer) = sent(text, 10).await?;
            settle().await;
            let lines = reader.lines();
            let got: Vec<_> =
                lines.map(|line| line.unwrap_or_else(|e| e.to_string().into())).collect().await;
            assert_eq!(got, expected, "{text:?}");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn lines_end_with_the_connections_error_and_give_their_reader_back() {
    run(async || {
        let (reader, _writer, mut peer) = pair().await?;
        let mut lines = reader.lines();
        peer.write_all(b"one\ntw")?;
        assert_eq!(lines.next().await.unwrap()?, "one\n");
        settle().await;
        let mut reader = lines.into_reader();
        assert_eq!(reader.read(10).await?, "tw");
        let mut lines = reader.lines();
        reset(peer)?;
        let error = lines.next().await.unwrap().unwrap_err();
        assert!(matches!(error, ReadError::Io(_)), "{error}");
        assert!(lines.next().await.is_none());
        Result::Ok(())
    })
    .unwrap();
}

/// Panics in the middle of a frame, if told to.
struct Torn;

impl Encoder<bool> for Torn {
    type Error = io::Error;

    fn encode(&mut self, is_torn: bool, to: &mut BytesMut) -> io::Result<()> {
        to.extend_from_slice(b"ha");
        assert!(!is_torn, "half a frame");
        to.extend_from_slice(b"lf\n");
        Ok(())
    }
}

#[test]
fn nothing_is_left_of_a_frame_whose_encoder_panics() {
    run(async || {
        let (_reader, writer, mut peer) = pair().await?;
        let mut sink = FrameSink::new(writer, Torn);
        sink.feed(false)?;
        let torn = std::panic::AssertUnwindSafe(|| sink.feed(true));
        std::panic::catch_unwind(torn).unwrap_err();
        sink.feed(false)?;
        sink.writer().close();
        assert_eq!(receive(&mut peer, 100).await?, b"half\nhalf\n");
        Ok(())
    })
    .unwrap();
}
