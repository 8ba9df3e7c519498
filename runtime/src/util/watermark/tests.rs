use super::*;

fn marks(high: Option<usize>, low: Option<usize>) -> (usize, usize) {
    let marks = Watermarks::new(high, low).expect("these marks are in order");
    (marks.high_bytes(), marks.low_bytes())
}

#[test]
fn s71_a_missing_mark_follows_from_the_other() {
    assert_eq!(marks(None, None), (65_536, 16_384));
    assert_eq!(marks(None, Some(100)), (400, 100));
    assert_eq!(marks(Some(100), None), (100, 25));
    assert_eq!(marks(Some(3), None), (3, 0));
    assert_eq!(marks(Some(100), Some(100)), (100, 100));
    assert_eq!(marks(Some(0), None), (0, 0));
    assert_eq!(marks(None, Some(0)), (0, 0));
    assert_eq!(marks(None, Some(usize::MAX)), (usize::MAX, usize::MAX));
    assert_eq!(Watermarks::default(), Watermarks::DEFAULT);
}

#[test]
fn s71_a_high_mark_below_the_low_one_is_refused() {
    assert!(Watermarks::new(Some(99), Some(100)).is_err());
    assert!(Watermarks::new(Some(0), Some(1)).is_err());
}

#[test]
fn s71_pauses_above_high_and_goes_on_at_low() {
    let marks = Watermarks::new(Some(10), Some(4)).expect("these marks are in order");
    assert!(!marks.is_paused(false, 10));
    assert!(marks.is_paused(false, 11));
    assert!(marks.is_paused(true, 5));
    assert!(!marks.is_paused(true, 4));
}

#[test]
fn s71_with_marks_of_zero_any_byte_pauses_and_none_goes_on() {
    let marks = Watermarks::new(Some(0), None).expect("these marks are in order");
    assert!(marks.is_paused(false, 1));
    assert!(marks.is_paused(true, 1));
    assert!(!marks.is_paused(true, 0));
}
