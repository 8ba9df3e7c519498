use super::*;

#[test]
fn t15_a_watcher_that_nobody_reads_is_not_kept_for_the_next_run() {
    static PLACE: OnceLock<Arc<Watcher>> = OnceLock::new();
    let refused = made_once(&PLACE, |_, _| Err(io::ErrorKind::WouldBlock.into()));
    assert_eq!(refused.err().map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
    assert!(PLACE.get().is_none());
    let mut starts = 0;
    for _ in 0..2 {
        let made = made_once(&PLACE, |_, _| {
            starts += 1;
            Ok(())
        });
        assert!(made.is_ok());
    }
    assert_eq!(starts, 1);
}
