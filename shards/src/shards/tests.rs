use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[test]
fn threads_that_were_made_are_joined_when_a_later_one_cannot_be() {
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    let builder = Shards::builder().placement(Placement::Unpinned(3)).handle_signals(false);
    let spawn = |seat: Seat| {
        if seat.id.index() == 2 {
            return Err(io::Error::from(io::ErrorKind::WouldBlock).into());
        }
        #[expect(clippy::disallowed_methods, reason = "a shard is a thread")]
        let thread = thread::spawn(move || {
            let outcome = run(seat, async |_| Ok(()));
            ENDED.fetch_add(1, Ordering::SeqCst);
            outcome
        });
        Ok(thread)
    };
    let run = builder.run_on(spawn, drop);
    assert_eq!(run.unwrap_err().io_kind(), Some(io::ErrorKind::WouldBlock));
    assert_eq!(ENDED.load(Ordering::SeqCst), 2);
}
