use super::*;

#[test]
fn split_mix_gives_the_published_sequence_of_seed_1234567() {
    let mut state = 1_234_567;
    let drawn: [u64; 3] = std::array::from_fn(|_| split_mix(&mut state));
    assert_eq!(drawn, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
}

#[test]
fn the_generator_gives_the_published_sequence_of_state_1_2_3_4() {
    let mut rng = Rng([1, 2, 3, 4]);
    let drawn: [u64; 4] = std::array::from_fn(|_| rng.next_u64());
    assert_eq!(drawn, [41943041, 58720359, 3588806011781223, 3591011842654386]);
}

#[test]
fn one_seed_gives_one_sequence_and_two_seeds_give_two() {
    let sequence = |seed| {
        let mut rng = Rng::new(seed);
        std::array::from_fn::<u64, 8, _>(|_| rng.next_u64())
    };
    assert_eq!(sequence(41), sequence(41));
    assert_ne!(sequence(0), sequence(1));
}

#[test]
fn numbers_below_a_bound_reach_each_value_about_equally_often() {
    let mut rng = Rng::new(7);
    let mut counts = [0_u32; 6];
    for _ in 0..60_000 {
        counts[usize::try_from(rng.below(6)).unwrap()] += 1;
    }
    assert!(counts.iter().all(|&count| (9_500..10_500).contains(&count)), "{counts:?}");
}
