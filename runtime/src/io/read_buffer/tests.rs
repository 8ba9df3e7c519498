use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::driver::buf::BufPool;

fn found(text: &[u8], separators: &[&[u8]]) -> Option<(usize, usize)> {
    let mut search = Search::new(separators).unwrap();
    search.find(text).map(|found| (found.start, found.end))
}

#[test]
fn s44_a_match_covers_the_separator() {
    assert_eq!(found(b"abc|rest", &[b"|"]), Some((3, 4)));
    assert_eq!(found(b"abc", &[b"|"]), None);
    assert_eq!(found(b"", &[b"|"]), None);
}

#[test]
fn s46_the_match_that_ends_earliest_wins() {
    assert_eq!(found(b"ABCDEFG", &[b"DEF", b"BCDE"]), Some((1, 5)));
    assert_eq!(found(b"one\ntwo\rthree", &[b"\r", b"\n"]), Some((3, 4)));
}

#[test]
fn s46_of_two_matches_with_one_end_the_shorter_counts() {
    for separators in [[&b"\r\n"[..], b"\n"], [&b"\n"[..], b"\r\n"]] {
        assert_eq!(found(b"x\r\ny", &separators), Some((2, 3)));
    }
    assert_eq!(found(b"some dataA", &[b"A", b"ome dataA"]), Some((9, 10)));
}

#[test]
fn s46_no_separator_and_an_empty_one_are_value_errors() {
    assert!(Search::new(&[]).is_err());
    assert!(Search::new(&[b"a", b""]).is_err());
}

#[test]
fn s45_bytes_that_can_belong_to_no_separator_are_counted() {
    let separators: [&[u8]; 1] = [b"||||"];
    let mut search = Search::new(&separators).unwrap();
    assert_eq!(search.settled_bytes(), 0);
    assert_eq!(search.find(b"abcdefgh"), None);
    assert_eq!(search.settled_bytes(), 5);
}

#[test]
fn s54_a_separator_split_over_chunks_is_found() {
    let separators: [&[u8]; 1] = [b"\r\n\r\n"];
    let mut search = Search::new(&separators).unwrap();
    let text = b"head\r\n\r\nbody";
    for end in 0..8 {
        assert_eq!(search.find(&text[..end]), None, "{end}");
    }
    assert_eq!(search.find(&text[..8]), Some(Match { start: 4, end: 8 }));
}

/// A received chunk; a full one has no room behind its bytes.
fn chunk(bytes: &[u8], full: bool) -> Buf {
    let mut chunk = BufPool::new().take();
    if full {
        let padding_bytes = chunk.spare_bytes() - bytes.len();
        chunk.append(&vec![0xAA; padding_bytes]);
        chunk.append(bytes);
        chunk.advance(padding_bytes);
    } else {
        chunk.append(bytes);
    }
    chunk
}

#[test]
fn a_chunk_for_an_empty_buffer_is_not_copied() {
    let chunk = chunk(b"hello", true);
    let place = chunk.as_ptr();
    let mut buffer = ReadBuffer::default();
    buffer.push(chunk);
    assert_eq!(buffer.unread().as_ptr(), place);
}

#[test]
fn an_emptied_buffer_holds_no_memory() {
    let ways: [fn(&mut ReadBuffer); 2] = [|b| b.consume(5), |b| drop(b.take(5))];
    for empty in ways {
        let mut buffer = ReadBuffer::default();
        buffer.push(chunk(b"hello", false));
        empty(&mut buffer);
        assert!(buffer.0.is_nothing());
    }
}

#[test]
fn room_made_for_a_message_is_made_once() {
    let mut buffer = ReadBuffer::default();
    buffer.push(chunk(&[1; 10_000], true));
    buffer.reserve_total(30_000);
    let place = buffer.unread().as_ptr();
    for _ in 0..2 {
        buffer.push(chunk(&[2; 10_000], false));
    }
    assert_eq!(buffer.unread().as_ptr(), place);
    let message = buffer.take(30_000);
    assert_eq!(message.as_ptr(), place);
    assert_eq!((message[9_999], message[10_000], message.len()), (1, 2, 30_000));
}

#[test]
fn a_message_that_outgrows_its_room_is_copied_a_bounded_number_of_times() {
    let mut buffer = ReadBuffer::default();
    let mut places = Vec::new();
    for number in 0..200_u8 {
        buffer.push(chunk(&[number; 5_000], true));
        places.push(buffer.unread().as_ptr());
    }
    places.dedup();
    assert!(places.len() <= 10, "it moved {} times", places.len());
    let message = buffer.take(200 * 5_000);
    assert!((0..200).all(|number| message[number * 5_000] == number as u8));
}

#[test]
fn a_small_piece_does_not_pin_a_large_message() {
    let mut buffer = ReadBuffer::default();
    buffer.push(chunk(&[1; 16_000], false));
    buffer.push(chunk(&[2; 16_000], false));
    let range = buffer.unread().as_ptr_range();
    assert!(!range.contains(&buffer.take(10).as_ptr()));
    assert!(range.contains(&buffer.take(10_000).as_ptr()));
}

/// What the rules say, said as plainly as possible.
fn naive(text: &[u8], separators: &[&[u8]]) -> Option<Match> {
    (1..=text.len()).find_map(|end| {
        let shortest = separators
            .iter()
            .filter(|separator| text[..end].ends_with(separator))
            .min_by_key(|separator| separator.len())?;
        Some(Match { start: end - shortest.len(), end })
    })
}

proptest! {
    #[test]
    fn s46_s54_the_search_agrees_with_a_naive_one_however_the_bytes_are_cut(
        text in vec(0_u8..3, 0..60),
        separators in vec(vec(0_u8..3, 1..5), 1..4),
        cuts in vec(0_usize..60, 0..12),
    ) {
        let separators: Vec<&[u8]> = separators.iter().map(Vec::as_slice).collect();
        let mut ends: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        ends.push(text.len());
        ends.sort_unstable();
        let mut search = Search::new(&separators).unwrap();
        for end in ends {
            let expected = naive(&text[..end], &separators);
            prop_assert_eq!(search.find(&text[..end]), expected);
            if expected.is_some() {
                break;
            }
        }
    }

    #[test]
    fn s47_bytes_come_out_as_they_went_in(
        steps in vec((0_u8..4, any::<bool>(), vec(any::<u8>(), 0..20), 0_usize..25), 0..40),
    ) {
        let mut buffer = ReadBuffer::default();
        let mut model: Vec<u8> = Vec::new();
        for (kind, full, bytes, count) in steps {
            let count = count.min(model.len());
            match kind {
                0 | 1 => {
                    buffer.push(chunk(&bytes, full));
                    model.extend_from_slice(&bytes);
                }
                2 => {
                    let expected: Vec<u8> = model.drain(..count).collect();
                    prop_assert_eq!(&buffer.take(count)[..], &expected[..]);
                }
                _ => {
                    buffer.consume(count);
                    model.drain(..count);
                }
            }
            prop_assert_eq!(buffer.unread(), &model[..]);
            prop_assert_eq!(buffer.len(), model.len());
        }
    }
}
