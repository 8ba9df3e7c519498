use std::collections::BTreeMap;

use super::*;

fn workload(distribution: KeyDistribution, sizes: SizeDistribution) -> Workload {
    Workload {
        keys: 1_000,
        key_bytes: 16,
        distribution,
        sizes,
        get_parts: 9,
        set_parts: 1,
        verify_every: 0,
        remote: None,
    }
}

fn draws(workload: &Workload) -> Draws {
    Draws::new(workload, &Tables::new(workload), 7)
}

/// Pearson's statistic in units of its standard deviation above its mean, which for so many classes
/// is nearly normal: above 3.1 once in a thousand seeds.
fn excess(observed: &[u64], expected: &[f64]) -> f64 {
    assert!(expected.iter().all(|count| *count >= 5.0), "a class is too rare for the test");
    let chi: f64 = observed
        .iter()
        .zip(expected)
        .map(|(seen, expected)| (*seen as f64 - expected).powi(2) / expected)
        .sum();
    let freedom = (observed.len() - 1) as f64;
    (chi - freedom) / (2.0 * freedom).sqrt()
}

const DRAWS: u32 = 1_000_000;

fn key_counts(distribution: KeyDistribution) -> Vec<u64> {
    let mut draws = draws(&workload(distribution, SizeDistribution::Fixed(1)));
    let mut counts = vec![0; 1_000];
    (0..DRAWS).for_each(|_| counts[draws.draw_for(0).key as usize] += 1);
    counts
}

/// What each key should get, from the weights of the ranks.
fn expected(weight: impl Fn(u32) -> f64) -> Vec<f64> {
    let sum: f64 = (0..1_000).map(&weight).sum();
    let mut expected = vec![0.0; 1_000];
    for rank in 0..1_000 {
        expected[scatter(rank, 1_000) as usize] = weight(rank) / sum * f64::from(DRAWS);
    }
    expected
}

#[test]
fn a_million_keys_are_distributed_as_they_should_be() {
    let uniform = excess(&key_counts(KeyDistribution::Uniform), &expected(|_| 1.0));
    assert!(uniform.abs() < 3.1, "uniform: {uniform}");
    for exponent in [0.5, 0.99, 1.2] {
        let weights = expected(|rank| f64::from(rank + 1).powf(-exponent));
        let zipf = excess(&key_counts(KeyDistribution::Zipf(exponent)), &weights);
        assert!(zipf.abs() < 3.1, "zipf {exponent}: {zipf}");
    }
    let hotspot = KeyDistribution::Hotspot { keys: 0.1, requests: 0.9 };
    let weights = expected(|rank| if rank < 100 { 9.0 } else { 1.0 / 9.0 });
    let hot = excess(&key_counts(hotspot), &weights);
    assert!(hot.abs() < 3.1, "hotspot: {hot}");
}

#[test]
fn the_test_of_the_distribution_finds_a_wrong_one() {
    let weights = expected(|rank| f64::from(rank + 1).powf(-0.99));
    assert!(excess(&key_counts(KeyDistribution::Zipf(0.97)), &weights) > 10.0);
}

#[test]
fn gauss_keys_lie_around_their_mean() {
    let counts = key_counts(KeyDistribution::Gauss { mean: 0.5, deviation: 0.1 });
    let within =
        |low: usize, high: usize| counts[low..high].iter().sum::<u64>() as f64 / f64::from(DRAWS);
    assert!((within(400, 600) - 0.6827).abs() < 0.003, "{}", within(400, 600));
    assert!((within(300, 700) - 0.9545).abs() < 0.003, "{}", within(300, 700));
    // What falls outside makes no hot key of the last one.
    let counts = key_counts(KeyDistribution::Gauss { mean: 0.95, deviation: 0.2 });
    assert!((1_000..10_000).contains(&counts[999]), "{}", counts[999]);
}

#[test]
fn a_sequence_meets_every_key_in_turn() {
    let mut draws = draws(&workload(KeyDistribution::Sequence, SizeDistribution::Fixed(1)));
    let keys: Vec<u32> = (0..1_001).map(|_| draws.draw_for(0).key).collect();
    assert!(keys.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 1_000));
    assert_eq!(keys[0], keys[1_000]);
}

fn size_draws(sizes: SizeDistribution) -> Vec<u32> {
    let mut draws = draws(&workload(KeyDistribution::Uniform, sizes));
    (0..100_000).map(|_| draws.size()).collect()
}

#[test]
fn sizes_are_distributed_as_they_should_be() {
    assert!(size_draws(SizeDistribution::Fixed(7)).iter().all(|size| *size == 7));

    let mut counts = [0; 11];
    size_draws(SizeDistribution::Uniform(20, 30))
        .iter()
        .for_each(|s| counts[*s as usize - 20] += 1);
    let uniform = excess(&counts, &[100_000.0 / 11.0; 11]);
    assert!(uniform < 3.5, "{uniform}");

    let entries = vec![(32, 80), (64, 0), (1_024, 20)];
    let list = SizeDistribution::Weighted { entries, source: "list".to_owned() };
    let mut counts = BTreeMap::new();
    size_draws(list).iter().for_each(|size| *counts.entry(*size).or_insert(0u64) += 1);
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [32, 1_024]);
    assert!((79_500..80_500).contains(&counts[&32]), "{counts:?}");
}

#[test]
fn lognormal_sizes_have_their_median_and_their_spread() {
    let mut sizes = size_draws(SizeDistribution::LogNormal { median: 1_000, sigma: 0.5 });
    sizes.sort_unstable();
    let at = |share: f64| f64::from(sizes[(share * sizes.len() as f64) as usize]);
    assert!((at(0.5) / 1_000.0 - 1.0).abs() < 0.02, "{}", at(0.5));
    // One standard deviation above the median lies e^0.5.
    assert!((at(0.8413) / 1_648.7 - 1.0).abs() < 0.02, "{}", at(0.8413));
}

#[test]
fn operations_come_in_their_parts_and_one_in_so_many_reads_is_verified() {
    let mut asked = workload(KeyDistribution::Uniform, SizeDistribution::Fixed(3));
    asked.verify_every = 4;
    let all: Vec<Draw> = {
        let mut draws = draws(&asked);
        (0..100_000).map(|_| draws.draw_for(0)).collect()
    };
    let sets = all.iter().filter(|draw| draw.set_bytes.is_some()).count();
    assert!((9_700..10_300).contains(&sets), "{sets}");
    let verified = all.iter().filter(|draw| draw.verify).count();
    assert_eq!(verified, (100_000 - sets) / 4);
    (asked.get_parts, asked.set_parts) = (1, 0);
    assert!((0..100).all(|_| draws(&asked).draw_for(0).set_bytes.is_none()));
    (asked.get_parts, asked.set_parts) = (0, 1);
    assert_eq!(draws(&asked).draw_for(0).set_bytes, Some(3));
}

#[test]
fn one_seed_gives_one_stream_and_another_seed_another() {
    let asked = workload(KeyDistribution::Zipf(0.99), SizeDistribution::Fixed(3));
    let stream = |seed| {
        let mut draws = Draws::new(&asked, &Tables::new(&asked), seed);
        (0..100).map(|_| draws.draw_for(0)).collect::<Vec<_>>()
    };
    assert_eq!(stream(1), stream(1));
    assert_ne!(stream(1), stream(2));
}

#[test]
fn scattering_ranks_is_a_permutation() {
    for keys in [1, 2, 10, 1_000, 65_536, 99_999] {
        let mut seen: Vec<u32> = (0..keys).map(|rank| scatter(rank, keys)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), keys as usize);
    }
}

#[test]
fn a_key_is_its_number_and_a_value_tells_whose_it_is() {
    let mut out = Vec::new();
    push_key(42, 16, &mut out);
    assert_eq!(out, b"key:000000000042");
    out.clear();
    push_key(99_999_999, MIN_KEY_BYTES, &mut out);
    assert_eq!(out, b"key:099999999");
    assert!(is_value_of(27, b"bbb", (1, 3)));
    for wrong in [&b"bbbb"[..], b"", b"bba"] {
        assert!(!is_value_of(27, wrong, (1, 3)), "{wrong:?}");
    }
}

#[test]
fn exactly_the_share_that_was_asked_for_is_of_another_shard_and_the_rest_of_the_reading_one() {
    let shards = 3;
    for percent in [0, 33, 50, 100] {
        let mut asked = workload(KeyDistribution::Zipf(0.99), SizeDistribution::Fixed(1));
        asked.remote = Some(Remote { percent, shards });
        let owners: Vec<u16> = asked.owners(shards).collect();
        let mut draws = draws(&asked);
        for shard in 0..shards {
            let drawn: Vec<Draw> = (0..10_000).map(|_| draws.draw_for(shard)).collect();
            let is_remote = |draw: &Draw| owners[draw.key as usize] != shard;
            assert!(drawn.iter().all(|draw| draw.remote == Some(is_remote(draw))));
            let remote = drawn.iter().filter(|draw| is_remote(draw)).count();
            assert_eq!(remote, percent as usize * 100, "{percent} % on shard {shard}");
        }
    }
}

#[test]
fn keys_that_are_chosen_by_their_shard_keep_their_shares_among_themselves() {
    let mut asked = workload(KeyDistribution::Zipf(0.99), SizeDistribution::Fixed(1));
    asked.remote = Some(Remote { percent: 0, shards: 2 });
    let owners: Vec<u16> = asked.owners(2).collect();
    let mut draws = draws(&asked);
    let mut counts = vec![0; 1_000];
    (0..DRAWS).for_each(|_| counts[draws.draw_for(1).key as usize] += 1);
    let all = expected(|rank| f64::from(rank + 1).powf(-0.99));
    let own = |key: &usize| owners[*key] == 1;
    let sum: f64 = (0..1_000).filter(own).map(|key| all[key]).sum();
    let expected: Vec<f64> =
        (0..1_000).filter(own).map(|key| all[key] / sum * f64::from(DRAWS)).collect();
    let observed: Vec<u64> = (0..1_000).filter(own).map(|key| counts[key]).collect();
    assert_eq!(observed.iter().sum::<u64>(), u64::from(DRAWS), "others were asked for");
    assert!(excess(&observed, &expected) < 3.1);
}

#[test]
fn a_distribution_without_a_wanted_key_still_asks_for_one() {
    // One key gets everything, and so the shards but its own are never drawn.
    let hot = KeyDistribution::Hotspot { keys: 0.0001, requests: 1.0 };
    let mut asked = workload(hot, SizeDistribution::Fixed(1));
    asked.remote = Some(Remote { percent: 50, shards: 2 });
    let owners: Vec<u16> = asked.owners(2).collect();
    let mut draws = draws(&asked);
    for shard in [0, 1, 0, 1] {
        let draw = draws.draw_for(shard);
        assert_eq!(draw.remote, Some(owners[draw.key as usize] != shard));
    }
}
