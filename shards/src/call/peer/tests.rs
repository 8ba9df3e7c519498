use super::*;

#[test]
fn each_number_of_a_permit_is_of_one_group_and_says_which() {
    for (permit_count, group_permit_count) in [(1, 1), (1, 3), (8, 1), (1024, 128), (5, 1024)] {
        let limits = Limits { lane_capacity: 1, permit_count, group_permit_count, call_depth: 1 };
        let mut numbers = 0..limits.all_permits();
        for group in 0..GROUP_COUNT as GroupPlace {
            let (count, first) = limits.permits_of(group);
            for number in first..first + count {
                assert_eq!(numbers.next(), Some(number), "they are in one row");
                assert_eq!(limits.group_of(number), group);
            }
        }
        assert_eq!(numbers.next(), None);
    }
}

#[test]
fn the_calls_of_a_group_have_numbers_and_permits_of_their_own() {
    let limits = Limits { lane_capacity: 1, permit_count: 2, group_permit_count: 1, call_depth: 1 };
    let line = Line::new(limits);
    let mut numbers = Vec::new();
    for group in [0, 3, 0, 1, 3] {
        let mut calls = line.calls(group).borrow_mut();
        let permit = calls.try_take_permit();
        numbers.push((group, permit));
    }
    assert_eq!(numbers, [(0, true), (3, true), (0, true), (1, true), (3, false)]);
    assert_eq!(line.all_calls().count(), 3, "those that were used");
}
