use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn bytes_of(data: &WriteData) -> Vec<u8> {
    match data {
        WriteData::Buf(buf) => buf.to_vec(),
        WriteData::Chunks(chunks) => chunks.concat(),
    }
}

/// Calls what it is given when its thread-local is destroyed.
struct AtExit(fn() -> bool, std::sync::mpsc::Sender<bool>);

impl Drop for AtExit {
    fn drop(&mut self) {
        let done = std::panic::catch_unwind(self.0);
        self.1.send(done.unwrap_or(false)).expect("the test is waiting");
    }
}

#[test]
fn a_thread_that_is_ending_writes_without_a_pool() {
    thread_local! {
        static EARLIER: std::cell::OnceCell<AtExit> = const { std::cell::OnceCell::new() };
        static LATER: std::cell::OnceCell<AtExit> = const { std::cell::OnceCell::new() };
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let write = || {
        let mut outgoing = Outgoing::default();
        outgoing.write(b"bytes");
        outgoing.len() == 5
    };
    #[expect(clippy::disallowed_methods, reason = "the end of a thread is the subject")]
    let thread = std::thread::spawn(move || {
        // Whichever way round thread-locals are destroyed, one of the two outlives the pool.
        EARLIER.with(|cell| cell.get_or_init(|| AtExit(write, sender.clone())).1.clone());
        write();
        LATER.with(|cell| cell.get_or_init(|| AtExit(write, sender)).1.clone());
    });
    thread.join().unwrap();
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [true, true]);
}

#[test]
fn s70_small_writes_leave_as_one_buffer() {
    let mut outgoing = Outgoing::default();
    outgoing.write(b"a");
    outgoing.write(b"b");
    let mut tail = outgoing.take_tail();
    tail.extend_from_slice(b"c");
    outgoing.put_tail(tail);
    assert!(matches!(outgoing.take(3), WriteData::Buf(buf) if &buf[..] == b"abc"));
    assert_eq!(outgoing.len(), 0);
}

#[test]
fn s83_large_slices_keep_their_place_and_are_not_copied() {
    let large = Bytes::from(vec![7; 5_000 + 1]);
    let mut outgoing = Outgoing::default();
    outgoing.write(b"before");
    outgoing.write_shared(large.clone());
    outgoing.write(b"behind");
    let WriteData::Chunks(chunks) = outgoing.take(outgoing.len()) else {
        panic!("a large slice was copied");
    };
    assert_eq!(chunks.len(), 3);
    assert_eq!(&chunks[0][..], b"before");
    assert_eq!(chunks[1].as_ptr(), large.as_ptr());
    assert_eq!(&chunks[2][..], b"behind");
}

#[test]
fn an_idle_writer_holds_no_buffer_and_the_next_one_uses_it() {
    let mut first = Outgoing::default();
    first.write(b"request");
    let sent = first.take(7);
    assert!(first.holds_nothing());
    let WriteData::Buf(buf) = &sent else { panic!("a small write is one buffer") };
    let place = buf.as_ptr();
    reclaim(sent);
    let mut second = Outgoing::default();
    second.write(b"answer");
    assert_eq!(second.tail().as_ptr(), place);
}

#[test]
fn storage_that_was_sent_in_pieces_is_whole_again() {
    let mut outgoing = Outgoing::default();
    outgoing.write(&[1; FIRST_BYTES]);
    let first = outgoing.take(FIRST_BYTES - 1);
    drop(first);
    reclaim(outgoing.take(1));
    assert!(POOL.with_borrow(|idle| idle.last().unwrap().capacity()) >= FIRST_BYTES);
}

#[test]
fn a_buffer_that_grew_large_is_not_kept() {
    let mut outgoing = Outgoing::default();
    outgoing.write(&vec![1; KEEP_BYTES + 1]);
    reclaim(outgoing.take(outgoing.len()));
    POOL.with_borrow(|idle| assert!(idle.iter().all(|buf| buf.capacity() <= KEEP_BYTES)));
}

proptest! {
    #[test]
    fn s83_bytes_leave_in_the_order_of_the_writes(
        steps in vec((0_u8..3, 0_usize..3 * 5_000), 0..24),
    ) {
        let mut outgoing = Outgoing::default();
        let mut model: Vec<u8> = Vec::new();
        for (number, (kind, count)) in steps.into_iter().enumerate() {
            let bytes: Vec<u8> = (0..count).map(|place| (place + number) as u8).collect();
            match kind {
                0 => outgoing.write(&bytes),
                1 => outgoing.write_shared(Bytes::from(bytes.clone())),
                _ => {
                    let count = count.min(model.len());
                    let expected: Vec<u8> = model.drain(..count).collect();
                    prop_assert_eq!(bytes_of(&outgoing.take(count)), expected);
                }
            }
            if kind < 2 {
                model.extend_from_slice(&bytes);
            }
            prop_assert_eq!(outgoing.len(), model.len());
        }
        prop_assert_eq!(bytes_of(&outgoing.take(model.len())), model);
    }
}

#[test]
fn what_is_appended_follows_in_its_order_and_shares_what_was_shared() {
    let large = |byte| Bytes::from(vec![byte; 5_000]);
    for (first, second) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut early = Outgoing::default();
        let mut late = Outgoing::default();
        early.write(b"one ");
        if first {
            early.write_shared(large(1));
        }
        if second {
            late.write(b"two ");
            late.write_shared(large(2));
        }
        late.write(b"three");
        let mut expected = b"one ".to_vec();
        expected.extend(vec![1; if first { 5_000 } else { 0 }]);
        if second {
            expected.extend_from_slice(b"two ");
            expected.extend(vec![2; 5_000]);
        }
        expected.extend_from_slice(b"three");
        early.append(late);
        assert_eq!(early.len(), expected.len());
        assert_eq!(bytes_of(&early.take(expected.len())), expected);
        assert!(early.holds_nothing());
    }
    let mut empty = Outgoing::default();
    empty.append(Outgoing::default());
    assert!(empty.holds_nothing());
}
