//! The read buffer and the search for separators: a program of feeds and reads against a plain list of bytes.
#![no_main]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use corelane::{ReadError, StreamReader};
use libfuzzer_sys::fuzz_target;

/// The longest piece that is fed at a time: some larger than a receive buffer.
const LARGEST_BYTES: usize = 20_000;

fuzz_target!(|program: &[u8]| {
    let mut steps = program.iter().copied();
    let limit_bytes = 1 + usize::from(steps.next().unwrap_or(0)) * 8;
    let (feed, mut reader) = StreamReader::fed(limit_bytes).expect("a limit above 0");
    let mut model: Vec<u8> = Vec::new();
    while let (Some(op), Some(argument)) = (steps.next(), steps.next()) {
        let count = usize::from(argument);
        match op % 8 {
            0 => {
                // Few different bytes, so that separators are found.
                let bytes: Vec<u8> = (0..count)
                    .map(|_| b"ab\r\n"[usize::from(steps.next().unwrap_or(0) % 4)])
                    .collect();
                feed.feed_data(&bytes);
                model.extend(bytes);
            }
            1 => {
                let bytes = vec![argument; (count * 80).min(LARGEST_BYTES)];
                feed.feed_data(&bytes);
                model.extend(bytes);
            }
            2 if count > 0 => {
                if let Some(got) = once(reader.read(count)) {
                    let got = got.expect("it is fed well");
                    assert!(!got.is_empty() && got.len() <= count);
                    assert!(model.drain(..got.len()).eq(got.iter().copied()));
                } else {
                    assert!(model.is_empty());
                }
            }
            3 => match once(reader.read_exactly(count * 100)) {
                Some(got) => {
                    let got = got.expect("it is fed well");
                    assert!(model.drain(..count * 100).eq(got.iter().copied()));
                }
                None => assert!(model.len() < count * 100),
            },
            4 => read_until(&mut reader, &mut model, limit_bytes, &[b"\r\n", b"\n"]),
            5 => read_until(&mut reader, &mut model, limit_bytes, &[b"abba", b"ba\r"]),
            6 => {
                let there = reader.buffer().to_vec();
                assert!(model.starts_with(&there));
                reader.consume(count.min(there.len()));
                model.drain(..count.min(there.len()));
            }
            _ => {
                let there = reader.buffer().len();
                let got = reader.take(count.min(there));
                assert!(model.drain(..got.len()).eq(got.iter().copied()));
            }
        }
    }
    feed.feed_eof();
    let rest = once(reader.read_to_end()).expect("it has ended").expect("it is fed well");
    assert!(rest == model);
    assert!(reader.at_eof());
});

/// Polls a read once and gives it up.
fn once<F: Future>(read: F) -> Option<F::Output> {
    match pin!(read).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn read_until(
    reader: &mut StreamReader,
    model: &mut Vec<u8>,
    limit_bytes: usize,
    separators: &[&[u8]],
) {
    // What the rules say, as plainly as possible: the match that ends first, and of those the shortest.
    let found = (1..=model.len()).find_map(|end| {
        let ending = separators.iter().filter(|separator| model[..end].ends_with(separator));
        ending.map(|separator| (end - separator.len(), end)).max()
    });
    match (once(reader.read_until(separators)), found) {
        (Some(Ok(got)), Some((start, end))) => {
            assert!(start <= limit_bytes);
            assert!(model.drain(..end).eq(got.iter().copied()));
        }
        (Some(Err(ReadError::LimitOverrun { consumed })), found) => {
            assert!(consumed > limit_bytes && consumed <= model.len());
            assert!(found.is_none_or(|(start, _)| start >= consumed));
        }
        (None, None) => {}
        (got, found) => panic!("{got:?} where {found:?} was to be found"),
    }
}
