use super::*;
use crate::record::{Intervals, recorders};

#[test]
fn a_trend_is_one_whatever_its_shape_and_noise_is_none() {
    assert!((trend(&[1.0, 2.0, 30.0, 31.0, 99.0]) - 1.0).abs() < 1e-12);
    assert!((trend(&[5.0, 4.0, 3.0, 2.0, 1.0]) + 1.0).abs() < 1e-12);
    assert!(trend(&[3.0, 3.0, 3.0]).abs() < 1e-12);
    // By hand: 1 - 6 (0 + 4 + 1 + 1 + 4) / (5 · 24).
    assert!((trend(&[1.0, 4.0, 2.0, 5.0, 3.0]) - 0.5).abs() < 1e-12);
}

#[test]
fn a_server_is_warm_when_five_intervals_are_alike() {
    let cold = [[100.0, 900.0, 990.0], [200.0, 500.0, 700.0], [400.0, 240.0, 400.0]];
    let warm = [[500.0, 200.0, 300.0], [498.0, 203.0, 260.0], [501.0, 201.0, 310.0]];
    let later = [[499.0, 199.0, 280.0], [500.0, 202.0, 290.0]];
    let all: Vec<Block> = [&cold[..], &warm, &later].concat();
    for count in 0..all.len() {
        assert!(!is_steady(&all[..count]), "{count} intervals");
    }
    assert!(is_steady(&all));
    let mut silent = all.clone();
    silent.last_mut().unwrap()[0] = 0.0;
    assert!(!is_steady(&silent), "a server that answers nothing is not warm");
    let slower: Vec<Block> = (0..9).map(|i| [500.0, 200.0 + f64::from(i), 300.0]).collect();
    assert!(!is_steady(&slower), "it still changes, if slowly");
}

#[test]
fn only_what_every_thread_has_handed_over_is_looked_at() {
    let (mut ends, mut collector) =
        recorders(2, Intervals { origin_ns: 0, length_ns: 100, digits: 3 });
    let (mut slow, mut fast) = (ends.pop().unwrap(), ends.pop().unwrap());
    let mut watch = Watch::new(0);
    for number in 0..6 {
        for recorder in [&mut slow, &mut fast] {
            recorder.record(Metric::Warmup, 1_000 + number % 2);
            recorder.count_done();
        }
        fast.roll(number * 100 + 100);
        while collector.collect(Duration::ZERO).is_ok() {}
        assert!(!watch.is_warm(&collector), "the other thread is behind");
    }
    // One of its intervals holds all; the five before it are empty.
    slow.roll(599);
    slow.roll(600);
    while collector.collect(Duration::ZERO).is_ok() {}
    let _ = watch.is_warm(&collector);
    assert_eq!(watch.seen, 6);
    assert_eq!(watch.blocks.iter().map(|block| block[0]).sum::<f64>(), 12.0);
}

#[test]
fn a_search_gives_a_warm_up_no_more_than_its_trials_have() {
    let half = Duration::from_millis(500);
    assert_eq!(Warmup::Automatic.at_most(half), Warmup::Fixed(half));
    let short = Warmup::Fixed(Duration::from_millis(3));
    assert_eq!(short.at_most(half), short);
}

#[test]
fn each_way_not_to_be_steady_is_seen_by_itself() {
    let with = |of: usize, values: [f64; 5]| {
        let mut blocks = vec![[500.0, 200.0, 300.0]; 5];
        blocks.iter_mut().zip(values).for_each(|(block, value)| block[of] = value);
        is_steady(&blocks)
    };
    assert!(with(0, [500.0, 498.0, 501.0, 499.0, 500.0]));
    assert!(!with(0, [500.0, 495.0, 490.0, 485.0, 480.0]), "answers fall, if by little");
    assert!(!with(0, [410.0, 400.0, 430.0, 425.0, 440.0]), "answers have risen, if not each time");
    assert!(!with(1, [210.0, 200.0, 230.0, 225.0, 240.0]), "the median has risen likewise");
    assert!(!with(2, [300.0, 301.0, 302.0, 303.0, 304.0]), "the p99 rises each time");
    assert!(with(2, [210.0, 200.0, 230.0, 225.0, 240.0]), "a p99 may differ from end to end");
    assert!(!with(0, [0.0; 5]), "silence is as steady as can be");
}

#[test]
fn values_that_are_alike_share_their_rank() {
    // By hand: ranks of 0.5, 0.5, 2.5 and 2.5, so 4 / sqrt(5 · 4).
    assert!((trend(&[1.0, 1.0, 2.0, 2.0]) - 4.0 / 20f64.sqrt()).abs() < 1e-12);
}

#[test]
fn the_intervals_of_a_ramp_are_left_out() {
    let (mut ends, mut collector) =
        recorders(1, Intervals { origin_ns: 0, length_ns: 100, digits: 3 });
    let mut recorder = ends.pop().unwrap();
    let mut watch = Watch::new(2);
    for number in 0..6 {
        (0..=number).for_each(|_| recorder.count_done());
        recorder.roll(number * 100 + 100);
        while collector.collect(Duration::ZERO).is_ok() {}
        let _ = watch.is_warm(&collector);
    }
    let answers: Vec<f64> = watch.blocks.iter().map(|block| block[0]).collect();
    assert_eq!(answers, [3.0, 4.0, 5.0, 6.0]);
}
