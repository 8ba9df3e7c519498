use bytes::Bytes;

use super::*;

fn lengths(slices: &[IoSlice<'_>]) -> Vec<usize> {
    slices.iter().map(|slice| slice.len()).collect()
}

#[test]
fn gathering_skips_what_was_sent_and_what_is_empty() {
    let chunks: Vec<_> = [3, 0, 5, 2].map(|size| Bytes::from(vec![b'x'; size])).into();
    for (sent, expected) in
        [(0, vec![3, 5, 2]), (2, vec![1, 5, 2]), (3, vec![5, 2]), (7, vec![1, 2]), (10, vec![])]
    {
        let mut slices = [IoSlice::new(&[]); GATHER_LIMIT];
        let count = gather(&chunks, sent, &mut slices);
        assert_eq!(lengths(&slices[..count]), expected, "after {sent} bytes");
    }
}

#[test]
fn gathering_stops_where_the_list_is_full() {
    let chunks = vec![Bytes::from_static(b"ab"); GATHER_LIMIT + 9];
    let mut slices = [IoSlice::new(&[]); GATHER_LIMIT];
    assert_eq!(gather(&chunks, 5, &mut slices), GATHER_LIMIT);
    assert_eq!(lengths(&slices[..2]), [1, 2]);
}

#[test]
fn the_clock_carries_nanoseconds_into_seconds() {
    let clock = Clock { origin: Timespec { tv_sec: 10, tv_nsec: 900_000_000 } };
    let at = |nanos| {
        let time = clock.system_time(Instant::from_nanos(nanos));
        (time.tv_sec, time.tv_nsec)
    };
    assert_eq!(at(0), (10, 900_000_000));
    assert_eq!(at(100_000_000), (11, 0));
    assert_eq!(at(3_250_000_000), (14, 150_000_000));
    assert!(at(u64::MAX).0 > 10);
}
