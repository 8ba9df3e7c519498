//! The decoders: whatever the bytes and however they arrive, the frames are the same, and what is encoded comes
//! back.
#![no_main]

mod feeding;

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use corelane::StreamReader;
use corelane::codec::{Decoder, Encoder, Frames, LengthDelimited, Unread};
use feeding::Feeding;
use libfuzzer_sys::fuzz_target;

const MAX_FRAME_BYTES: usize = 5_000;

fuzz_target!(|input: &[u8]| {
    let [shape, piece, bytes @ ..] = input else { return };
    let mut codec = LengthDelimited::new(MAX_FRAME_BYTES).width_bytes(usize::from(shape % 8) + 1);
    if shape & 8 != 0 {
        codec = codec.little_endian();
    }
    let piece_bytes = usize::from(*piece) + 1;

    let whole = frames_of(codec, bytes, bytes.len().max(1));
    let in_pieces = frames_of(codec, bytes, piece_bytes);
    assert_eq!(whole, in_pieces);

    let mut encoded = BytesMut::new();
    for frame in &whole.0 {
        codec.encode(frame, &mut encoded).expect("it was decoded, so it is allowed");
    }
    assert!(bytes.starts_with(&encoded));
    for frame in &whole.0 {
        let back = codec.decode(&mut Unread::of(&mut encoded));
        assert_eq!(back.expect("it was encoded").as_ref(), Some(frame));
    }
});

/// The frames, and the kind of error that ended them.
fn frames_of(
    codec: LengthDelimited,
    bytes: &[u8],
    piece_bytes: usize,
) -> (Vec<Bytes>, Option<io::ErrorKind>) {
    let (feed, reader) = StreamReader::fed(1_000).expect("a limit above 0");
    let mut frames = Frames::new(reader, codec);
    let mut got = Vec::new();
    let mut feeding = Feeding::new(feed, bytes, piece_bytes);
    loop {
        let step = pin!(frames.next()).poll(&mut Context::from_waker(Waker::noop()));
        match step {
            Poll::Ready(None) => return (got, None),
            Poll::Ready(Some(Ok(frame))) => got.push(frame),
            Poll::Ready(Some(Err(error))) => return (got, Some(error.kind())),
            Poll::Pending => feeding.go_on(),
        }
    }
}
