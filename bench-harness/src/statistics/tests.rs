use super::*;
use crate::record::new_histogram;

fn block(values: impl Iterator<Item = u64>) -> Interval {
    let mut histogram = new_histogram::<u32>();
    values.for_each(|value| histogram.saturating_record(value));
    let mut interval = Interval::default();
    interval.add(Metric::Response, &histogram);
    interval
}

#[test]
fn moments_agree_with_the_textbook() {
    let mut moments = Moments::default();
    assert_eq!(moments.variation(), None);
    [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter().for_each(|value| moments.add(value));
    let expected = (32.0f64 / 7.0).sqrt() / 5.0;
    assert!((moments.variation().unwrap() - expected).abs() < 1e-12);
}

#[test]
fn a_percentile_needs_enough_samples() {
    assert_eq!((min_samples(50.0), min_samples(90.0), min_samples(90.1)), (6, 54, 568));
    assert_eq!(min_samples(99.0), 568);
    assert_eq!(min_samples(99.9), 5_689);
    assert_eq!(min_samples(99.99), 57_079);
    assert!(min_samples(99.999) > 500_000);
}

#[test]
fn the_interval_covers_the_true_percentile_about_as_often_as_it_says() {
    // Uniform draws from 1 to 200: values below 2048 have a bucket each, the p90 is 180.
    let mut rng = Rng::new(7);
    let trials = 40;
    let covered = (0..trials)
        .filter(|trial| {
            let blocks: Vec<Interval> = (0..25)
                .map(|_| block((0..40).map(|_| 1 + rng.below(200)).collect::<Vec<_>>().into_iter()))
                .collect();
            let (low, high) = percentile_interval(&blocks, Metric::Response, 90.0, *trial).unwrap();
            (low..=high).contains(&180)
        })
        .count();
    assert!((33..=40).contains(&covered), "{covered} of {trials} intervals cover the truth");
}

#[test]
fn too_few_blocks_give_no_interval() {
    let blocks: Vec<Interval> = (0..9).map(|_| block(1..100)).collect();
    assert_eq!(percentile_interval(&blocks, Metric::Response, 50.0, 1), None);
}

#[test]
fn drift_compares_the_halves() {
    let mut blocks: Vec<Interval> = (0..10).map(|_| block(1..1_000)).collect();
    assert_eq!(drift_percent(&blocks, Metric::Response, 50.0), Some(0.0));
    blocks.extend((0..10).map(|_| block((1..1_000).map(|value| value * 2))));
    let drift = drift_percent(&blocks, Metric::Response, 50.0).unwrap();
    assert!((drift - 100.0).abs() < 1.0, "{drift}");
    assert_eq!(drift_percent(&blocks[..2], Metric::Response, 99.9), None);
}

#[test]
fn the_median_of_an_even_number_lies_between() {
    assert_eq!(median(&mut []), None);
    assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.5));
}

#[test]
fn a_percentile_is_the_least_value_that_so_many_do_not_exceed() {
    let at = |counts: &[u64], percentile| percentile_of(&[10, 20, 30], counts, percentile);
    assert_eq!(
        [0.0, 33.0, 34.0, 50.0, 66.0, 67.0, 100.0].map(|p| at(&[1, 1, 1], p)),
        [Some(10), Some(10), Some(20), Some(20), Some(20), Some(30), Some(30)]
    );
    assert_eq!(at(&[0, 5, 0], 1.0), Some(20));
    assert_eq!(at(&[0, 0, 0], 50.0), None);
}

#[test]
fn the_interval_of_a_ratio_holds_it_and_needs_enough_blocks_of_both() {
    let of = |count: u64, factor: u64| {
        let blocks: Vec<Interval> =
            (0..count).map(|i| block((1..100 + i).map(|value| value * factor))).collect();
        Blocks::new(&blocks, Metric::Response)
    };
    let (few, single, double) = (of(9, 1), of(12, 1), of(24, 2));
    let (low, high) = Blocks::ratio_interval(&single, &double, Some(50.0), 1).unwrap();
    assert!(low > 0.5 && high < 0.9, "the logarithm of two, not [{low}, {high}]");
    // Twice as many blocks are no more requests in each.
    let (low, high) = Blocks::ratio_interval(&single, &double, None, 1).unwrap();
    assert!(low > -0.1 && high < 0.2, "[{low}, {high}]");
    for (a, b) in [(&few, &single), (&single, &few)] {
        assert_eq!(Blocks::ratio_interval(a, b, Some(50.0), 1), None);
    }
}
