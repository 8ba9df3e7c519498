use super::*;

/// Normal numbers with this mean and standard deviation.
fn normal(rng: &mut Rng, mean: f64, deviation: f64) -> f64 {
    mean + deviation * rng.normal()
}

#[test]
fn mann_whitney_is_what_the_tables_say() {
    let low: Vec<f64> = (0..5).map(f64::from).collect();
    let high: Vec<f64> = (10..15).map(f64::from).collect();
    let p = |a: &[f64], b: &[f64]| mann_whitney(a, b).unwrap();
    // Complete separation is two ways of all.
    assert!((p(&low[..3], &high[..3]) - 0.1).abs() < 1e-12);
    assert!((p(&low[..4], &high[..4]) - 2.0 / 70.0).abs() < 1e-12);
    assert!((p(&low, &high) - 2.0 / 252.0).abs() < 1e-12);
    assert!((p(&high, &low) - 2.0 / 252.0).abs() < 1e-12);
    // U = 2 of 5 and 5 has a one-sided p of 4/252.
    let a = [1.0, 2.0, 3.0, 4.0, 7.0];
    let b = [5.0, 6.0, 8.0, 9.0, 10.0];
    assert!((p(&a, &b) - 8.0 / 252.0).abs() < 1e-12, "{}", p(&a, &b));
    assert!((p(&[1.0, 1.0], &[1.0, 1.0]) - 1.0).abs() < 1e-12);
    // Of values that are alike each has their middle rank: here nothing leans to a side.
    assert!((p(&[1.0, 3.0], &[2.0; 4]) - 1.0).abs() < 1e-12);
    assert_eq!(mann_whitney(&[], &[1.0]), None);
    // Ten million ways.
    assert_eq!(mann_whitney(&[0.0; 13], &[0.0; 13]), None);
    assert_eq!(mann_whitney(&[0.0; 40], &[0.0; 40]), None);
}

#[test]
fn students_quantiles_are_those_of_the_tables() {
    for (freedom, quantile) in [(1, 12.706), (4, 2.776), (30, 2.042), (40, 2.021), (120, 1.980)] {
        assert!((student_95(freedom) - quantile).abs() < 1e-3, "{freedom}");
    }
}

#[test]
fn the_interval_of_pairs_covers_the_truth_as_often_as_it_says() {
    let mut rng = Rng::new(11);
    for pairs in [3, 5, 10, 25] {
        let trials = 4_000;
        let covered = (0..trials)
            .filter(|_| {
                let differences: Vec<f64> =
                    (0..pairs).map(|_| normal(&mut rng, 0.1, 0.03)).collect();
                let (estimate, _) = paired(&differences).unwrap();
                (estimate.low..=estimate.high).contains(&0.1)
            })
            .count();
        let share = covered as f64 / f64::from(trials);
        assert!((0.935..0.965).contains(&share), "{pairs} pairs: {share}");
    }
}

#[test]
fn the_interval_of_two_groups_covers_the_truth_as_often_as_it_says() {
    let mut rng = Rng::new(12);
    let trials = 4_000;
    let covered = (0..trials)
        .filter(|_| {
            let a: Vec<f64> = (0..5).map(|_| normal(&mut rng, 0.0, 0.03)).collect();
            let b: Vec<f64> = (0..8).map(|_| normal(&mut rng, 0.1, 0.06)).collect();
            let estimate = unpaired(&a, &b).unwrap();
            (estimate.low..=estimate.high).contains(&0.1)
        })
        .count();
    let share = covered as f64 / f64::from(trials);
    assert!((0.935..0.97).contains(&share), "{share}");
}

#[test]
fn the_permutation_test_is_exact_and_rejects_as_often_as_it_says() {
    // All five point one way: two of 32 ways are as lopsided.
    let (_, p) = paired(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    assert!((p - 2.0 / 32.0).abs() < 1e-12);
    let mut rng = Rng::new(13);
    let trials = 1_000;
    let rejected = (0..trials)
        .filter(|_| {
            let differences: Vec<f64> = (0..8).map(|_| normal(&mut rng, 0.0, 1.0)).collect();
            paired(&differences).unwrap().1 <= 0.05
        })
        .count();
    assert!((25..=70).contains(&rejected), "{rejected} of {trials}");
    let many: Vec<f64> = (0..30).map(|i| 1.0 + f64::from(i % 3)).collect();
    let p = paired(&many).unwrap().1;
    assert!(p > 0.0 && p < 0.01, "what was seen is one of the ways: {p}");
    assert_eq!(paired(&[1.0]), None);
}
