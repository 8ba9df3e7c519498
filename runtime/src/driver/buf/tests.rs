use super::*;

/// A buffer with these bytes in it.
fn filled(pool: &BufPool, bytes: &[u8]) -> Buf {
    let mut buf = pool.take();
    assert_eq!(buf.append(bytes), bytes.len());
    buf
}

fn idle_count() -> usize {
    POOL.with(|pool| pool.idle.borrow().len())
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
fn a_thread_that_is_ending_has_buffers_without_a_pool() {
    thread_local! {
        static EARLIER: std::cell::OnceCell<AtExit> = const { std::cell::OnceCell::new() };
        static LATER: std::cell::OnceCell<AtExit> = const { std::cell::OnceCell::new() };
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let use_pool = || {
        let pool = BufPool::new();
        filled(&pool, b"bytes").freeze().len() == 5
    };
    #[expect(clippy::disallowed_methods, reason = "the end of a thread is the subject")]
    let thread = std::thread::spawn(move || {
        // Whichever way round thread-locals are destroyed, one of the two outlives the pool.
        EARLIER.with(|cell| cell.get_or_init(|| AtExit(use_pool, sender.clone())).1.clone());
        use_pool();
        LATER.with(|cell| cell.get_or_init(|| AtExit(use_pool, sender)).1.clone());
    });
    thread.join().unwrap();
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [true, true]);
}

#[test]
fn bytes_are_used_from_the_front() {
    let pool = BufPool::new();
    let mut buf = filled(&pool, b"hello world");
    buf.advance(6);
    assert_eq!(&buf[..], b"world");
    assert_eq!(&buf.split_to(2)[..], b"wo");
    assert_eq!(buf.append(b"!"), 1);
    assert_eq!(&buf.freeze()[..], b"rld!");
}

#[test]
fn a_dropped_buffer_is_taken_again_and_is_empty() {
    let pool = BufPool::new();
    let buf = filled(&pool, b"used");
    let storage = buf.as_ptr();
    drop(buf);
    assert_eq!(idle_count(), 1);
    let again = pool.take();
    assert_eq!((again.as_ptr(), again.len(), again.spare_bytes()), (storage, 0, BUF_BYTES));
}

#[test]
fn small_pieces_are_copied_and_large_ones_share_the_storage() {
    let pool = BufPool::new();
    let mut buf = filled(&pool, &[7; BUF_BYTES]);
    let start = buf.as_ptr();
    let small = buf.split_to(COPY_LIMIT_BYTES);
    assert_ne!(small.as_ptr(), start);
    let large = buf.split_to(COPY_LIMIT_BYTES + 1);
    assert_eq!(large.as_ptr(), start.wrapping_add(COPY_LIMIT_BYTES));
    // Pieces are out, so nothing may be appended behind them.
    assert_eq!(buf.append(b"x"), 0);
    assert_eq!(buf.len(), BUF_BYTES - 2 * COPY_LIMIT_BYTES - 1);
    // The storage goes back when the last that sees it goes.
    drop(buf);
    assert_eq!(idle_count(), 0);
    drop(large);
    assert_eq!(idle_count(), 1);
    assert_eq!(small.len(), COPY_LIMIT_BYTES);
}

#[test]
fn a_frozen_rest_is_right_whatever_was_taken_before() {
    let pool = BufPool::new();
    let bytes: Vec<u8> = (0..BUF_BYTES).map(|at| (at % 251) as u8).collect();
    for taken in [0, 1, COPY_LIMIT_BYTES, COPY_LIMIT_BYTES + 1, BUF_BYTES - 1, BUF_BYTES] {
        let mut buf = filled(&pool, &bytes);
        assert_eq!(buf.split_to(taken)[..], bytes[..taken]);
        assert_eq!(buf.freeze()[..], bytes[taken..]);
    }
}

#[test]
fn a_pool_keeps_what_one_turn_hands_out_and_nothing_after_its_loop() {
    let pool = BufPool::new();
    let bufs: Vec<_> = (0..EVENTS_PER_TURN + 10).map(|_| pool.take()).collect();
    drop(bufs);
    assert_eq!(idle_count(), EVENTS_PER_TURN);
    let second = BufPool::new();
    drop(pool);
    assert_eq!(idle_count(), EVENTS_PER_TURN);
    drop(second);
    assert_eq!(idle_count(), 0);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "another thread is the subject")]
fn a_piece_that_is_dropped_by_a_thread_without_a_loop_is_freed() {
    let pool = BufPool::new();
    let piece = filled(&pool, &[1; BUF_BYTES]).freeze();
    std::thread::spawn(move || {
        assert_eq!(piece.len(), BUF_BYTES);
        drop(piece);
        assert_eq!(idle_count(), 0);
    })
    .join()
    .unwrap();
    assert_eq!(idle_count(), 0);
}

#[test]
#[should_panic(expected = "past the end")]
fn advancing_past_the_end_is_refused() {
    let pool = BufPool::new();
    filled(&pool, b"abc").advance(4);
}
