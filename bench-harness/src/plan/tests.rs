use super::*;

fn rate(per_second: f64) -> Rate {
    Rate::per_second(per_second).unwrap()
}

fn all(schedule: Schedule) -> Vec<u64> {
    let mut cursor = schedule;
    std::iter::from_fn(move || cursor.advance()).collect()
}

#[test]
fn request_i_is_due_at_exactly_i_over_rate_also_after_a_billion() {
    for per_second in [0.1, 1.0, 3.0, 1_000.0, 33_333.333, 1e6, 3e6] {
        let rate = rate(per_second);
        for index in [0, 1, 2, 3, 7, 1_000, 999_999_999, 1_000_000_000] {
            let exact = u128::from(index) * 1_000_000_000_000 / (per_second * 1e3).round() as u128;
            assert_eq!(u128::from(rate.offset_ns(index)), exact, "{per_second}/s, request {index}");
        }
    }
    // A third of a microsecond does not fit in nanoseconds, yet nothing drifts.
    assert_eq!(rate(3e6).offset_ns(3_000_000_000), 1_000 * SECOND_NS);
}

#[test]
fn the_slowest_and_the_fastest_rate_work() {
    let slow = all(Schedule::new(rate(0.1), Arrival::Constant, 1, (5, 40 * SECOND_NS), (0, 1)));
    assert_eq!(slow, [5, 10 * SECOND_NS + 5, 20 * SECOND_NS + 5, 30 * SECOND_NS + 5]);

    let fast = all(Schedule::new(rate(3e6), Arrival::Constant, 1, (0, 10_000_000), (0, 1)));
    assert_eq!(fast.len(), 30_000);
    assert_eq!(&fast[..4], [0, 333, 666, 1_000]);
}

#[test]
fn a_schedule_holds_as_many_requests_as_its_rate_promises() {
    for (per_second, duration_ns) in [(0.1, 35 * SECOND_NS), (7.0, SECOND_NS), (1e5, 12_345_678)] {
        let schedule =
            Schedule::new(rate(per_second), Arrival::Constant, 1, (100, 100 + duration_ns), (0, 1));
        let promised = (per_second * duration_ns as f64 / 1e9).ceil();
        assert_eq!(all(schedule).len() as f64, promised);
    }
}

#[test]
fn threads_share_one_schedule_without_gap_or_overlap() {
    for arrival in [Arrival::Constant, Arrival::Poisson, Arrival::Uniform(50), Arrival::Burst(5)] {
        let span = (1_000, SECOND_NS / 10);
        let whole = all(Schedule::new(rate(77_777.0), arrival, 9, span, (0, 1)));
        for threads in [2, 3, 7] {
            let mut parts: Vec<u64> = (0..threads)
                .flat_map(|k| all(Schedule::new(rate(77_777.0), arrival, 9, span, (k, threads))))
                .collect();
            parts.sort_unstable();
            assert_eq!(parts, whole, "{arrival}, {threads} threads");
        }
    }
}

/// Kolmogorov-Smirnov distance of the gaps of an arrival, in units of their mean, from a cumulative
/// distribution. The 99 % critical value is 1.63 / sqrt(n), and rounding to whole nanoseconds adds at
/// most 1 / mean.
fn assert_gaps(arrival: Arrival, cumulative: impl Fn(f64) -> f64) {
    let mean_ns = 333.0;
    let times = all(Schedule::new(rate(1e9 / mean_ns), arrival, 41, (0, 200_000_000), (0, 1)));
    let mut gaps: Vec<f64> = times.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
    let count = gaps.len() as f64;
    let mean = gaps.iter().sum::<f64>() / count;
    assert!((mean / mean_ns - 1.0).abs() < 0.005, "mean gap {mean} instead of {mean_ns}");
    gaps.sort_unstable_by(f64::total_cmp);
    let distance = gaps
        .iter()
        .enumerate()
        .map(|(i, gap)| ((i as f64 + 0.5) / count - cumulative(gap / mean_ns)).abs())
        .fold(0.0, f64::max);
    let limit = 1.63 / count.sqrt() + 1.0 / mean_ns;
    assert!(distance < limit, "{arrival}: distance {distance}, limit {limit}");
}

#[test]
fn poisson_gaps_are_exponential() {
    assert_gaps(Arrival::Poisson, |gap| 1.0 - (-gap).exp());
}

#[test]
fn uniform_gaps_are_uniform_around_their_mean() {
    for percent in [30, 100] {
        let spread = f64::from(percent) / 100.0;
        let cumulative = |gap: f64| ((gap - 1.0 + spread) / (2.0 * spread)).clamp(0.0, 1.0);
        assert_gaps(Arrival::Uniform(percent), cumulative);
    }
}

#[test]
fn a_burst_is_due_at_once_and_the_rate_stays() {
    let times = all(Schedule::new(rate(1_000.0), Arrival::Burst(4), 1, (7, SECOND_NS + 7), (0, 1)));
    assert_eq!(times.len(), 1_000);
    for (group, burst) in times.chunks(4).enumerate() {
        assert_eq!(burst, [7 + group as u64 * 4_000_000; 4]);
    }
}

#[test]
fn one_seed_gives_one_schedule_and_another_seed_another() {
    let times =
        |seed| all(Schedule::new(rate(1e4), Arrival::Poisson, seed, (0, SECOND_NS / 10), (0, 1)));
    assert_eq!(times(1), times(1));
    assert_ne!(times(1), times(2));
}

#[test]
fn a_rate_outside_the_range_is_refused() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 2e9] {
        assert!(Rate::per_second(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_ramp_loses_no_request_and_the_rate_rises_evenly_to_the_whole() {
    for arrival in [Arrival::Constant, Arrival::Poisson, Arrival::Burst(5)] {
        let end_ns = 3 * SECOND_NS;
        let whole = || Schedule::new(rate(10_000.0), arrival, 3, (7, end_ns + 7), (0, 1));
        let (flat, ramped) = (all(whole()), all(whole().ramped(SECOND_NS)));
        // Half a second of requests is missing in a ramp of a second, and the rest is the same, later.
        for (flat, ramped) in
            flat.iter().zip(&ramped).filter(|(_, ramped)| **ramped > SECOND_NS + 7)
        {
            assert_eq!(*ramped, flat + SECOND_NS / 2, "{arrival}");
        }
        assert!(ramped.is_sorted());
        let until = |at_ns: u64| ramped.iter().filter(|due| **due < at_ns).count() as f64;
        let in_ramp = until(SECOND_NS);
        assert!((in_ramp / 5_000.0 - 1.0).abs() < 0.05, "{arrival}: {in_ramp}");
        let share = until(SECOND_NS / 2) / in_ramp;
        assert!((share - 0.25).abs() < 0.02, "{arrival}: a quarter in the first half, not {share}");
    }
}

#[test]
fn threads_with_a_ramp_and_a_limit_share_one_schedule() {
    for arrival in [Arrival::Constant, Arrival::Poisson, Arrival::Uniform(50), Arrival::Burst(5)] {
        let part = |k, threads| {
            let span = (1_000, u64::MAX);
            let schedule = Schedule::new(rate(77_777.0), arrival, 9, span, (k, threads));
            let mut schedule = schedule.ramped(SECOND_NS / 50);
            schedule.set_limit(1_003);
            schedule
        };
        let whole = all(part(0, 1));
        assert_eq!(whole.len(), 1_003);
        assert_eq!(
            part(0, 1).first_from(whole[500]),
            whole.partition_point(|due| *due < whole[500]) as u64
        );
        for threads in [2, 7] {
            let mut parts: Vec<u64> = (0..threads).flat_map(|k| all(part(k, threads))).collect();
            parts.sort_unstable();
            assert_eq!(parts, whole, "{arrival}, {threads} threads");
        }
    }
}
