//! Lines as a stream: whatever the bytes and however they arrive, each is what `next_line` gives, and nothing is
//! lost but lines that are too long.
#![no_main]

mod feeding;

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use corelane::{ReadError, StreamFeed, StreamReader};
use futures_core::Stream;
use feeding::Feeding;
use libfuzzer_sys::fuzz_target;

/// A line, or that it was too long.
type Line = Option<Bytes>;

fuzz_target!(|input: &[u8]| {
    let [limit, piece, bytes @ ..] = input else { return };
    let (limit_bytes, piece_bytes) = (usize::from(*limit) + 1, usize::from(*piece) + 1);

    let (feed, reader) = StreamReader::fed(limit_bytes).expect("a limit above 0");
    let mut lines = reader.lines();
    let streamed =
        collect(feed, bytes, piece_bytes, |context| Pin::new(&mut lines).poll_next(context));
    let (feed, mut reader) = StreamReader::fed(limit_bytes).expect("a limit above 0");
    let awaited = collect(feed, bytes, piece_bytes, |context| {
        pin!(reader.next_line()).poll(context).map(Result::transpose)
    });
    assert_eq!(streamed, awaited);

    if streamed.iter().all(Option::is_some) {
        assert!(streamed.into_iter().flatten().flatten().eq(bytes.iter().copied()));
    }
});

/// All lines, while the bytes come in pieces, each when the one before is used up.
fn collect(
    feed: StreamFeed,
    bytes: &[u8],
    piece_bytes: usize,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>>,
) -> Vec<Line> {
    let mut feeding = Feeding::new(feed, bytes, piece_bytes);
    let mut got = Vec::new();
    loop {
        match poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(None) => return got,
            Poll::Ready(Some(Ok(line))) => got.push(Some(line)),
            Poll::Ready(Some(Err(ReadError::LineTooLong { .. }))) => got.push(None),
            Poll::Ready(Some(Err(error))) => panic!("{error}"),
            Poll::Pending => feeding.go_on(),
        }
    }
}
