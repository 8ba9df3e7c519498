use super::*;

fn names(filter: &str) -> Vec<&'static str> {
    choose(all(), filter).unwrap().iter().map(|bench| bench.name).collect()
}

#[test]
fn a_whole_name_chooses_one_bench_and_a_part_all_that_contain_it() {
    assert_eq!(names("spawn_join"), ["spawn_join"]);
    assert_eq!(names("spawn_"), ["spawn_join", "spawn_join_one"]);
    assert_eq!(names("").len(), all().len());
    let text = choose(all(), "nothing").err().unwrap().to_string();
    assert!(text.contains("nothing") && text.contains("spawn_join"), "{text}");
}

#[test]
fn no_two_benches_have_one_name_and_no_bench_has_a_side_twice() {
    let all = all();
    for (place, bench) in all.iter().enumerate() {
        assert!(all[..place].iter().all(|other| other.name != bench.name), "{}", bench.name);
        let mut sides: Vec<Side> = bench.sides.iter().map(|(side, _)| *side).collect();
        assert_eq!(sides[0], Side::Corelane, "{}", bench.name);
        sides.dedup();
        assert_eq!(sides.len(), bench.sides.len(), "{}", bench.name);
        assert!(sides.is_sorted(), "{}", bench.name);
    }
}

#[test]
fn a_round_begins_and_ends_with_ours() {
    let all = all();
    let places = places(&all[0]);
    assert_eq!(places.len(), all[0].sides.len() + 1);
    assert_eq!(places[0].side(), Side::Corelane);
    assert_eq!(places[places.len() - 1].side(), Side::Corelane);
}
