use super::*;

/// The row of a benchmark on which each side gave these samples.
fn row(sides: &[(Side, &[f64])]) -> Row {
    let bench = Bench { name: "spawn_join", unit: "ns", what: "spawn and join", sides: Vec::new() };
    let taken = sides.iter().map(|(side, samples)| {
        let mut taken = Taken::new(*side);
        for sample in *samples {
            taken.add(|_| Ok::<_, ()>(Ok(Reading::from(*sample)))).unwrap();
        }
        if samples.is_empty() {
            taken.add(|_| Ok::<_, ()>(Err("io_uring is blocked".to_owned()))).unwrap();
        }
        taken
    });
    Row::of(&bench, taken.collect())
}

fn ratio(row: &Row, side: Side) -> Option<f64> {
    row.other(side.name()).unwrap().ratio
}

#[test]
fn ours_are_the_samples_of_both_ends_of_the_rounds() {
    let row = row(&[
        (Side::Corelane, &[10.0, 12.0, 11.0]),
        (Side::Tokio, &[110.0, 100.0, 130.0]),
        (Side::Corelane, &[12.0, 14.0, 16.0]),
    ]);
    assert_eq!(row.corelane.median, Some(12.0));
    assert_eq!(row.corelane.best, Some(10.0));
    assert_eq!(row.corelane.spread_pct.unwrap().round(), 60.0);
    assert_eq!(row.a_a_pct.unwrap().round(), 27.0);
    assert_eq!(ratio(&row, Side::Tokio), Some(12.0 / 110.0));
    assert_eq!(row.other("tokio").unwrap().spread_pct.unwrap().round(), 30.0);
}

#[test]
fn the_best_rival_is_the_smallest_median_and_never_the_bare_program() {
    let row = row(&[
        (Side::Corelane, &[20.0]),
        (Side::Tokio, &[200.0]),
        (Side::Monoio, &[40.0, 10.0, 50.0]),
        (Side::Smol, &[45.0]),
        (Side::Bare, &[14.0]),
        (Side::Corelane, &[20.0]),
    ]);
    assert_eq!(row.best_rival.as_deref(), Some("monoio"));
    assert_eq!(ratio(&row, Side::Monoio), Some(0.5));
    assert!((ratio(&row, Side::Bare).unwrap() - 20.0 / 14.0).abs() < 1e-9);
}

#[test]
fn a_ratio_needs_both_sides() {
    let nothing = row(&[(Side::Corelane, &[]), (Side::Tokio, &[200.0]), (Side::Corelane, &[])]);
    assert_eq!(ratio(&nothing, Side::Tokio), None);
    assert_eq!(nothing.best_rival.as_deref(), Some("tokio"));
    let zero = row(&[(Side::Corelane, &[20.0]), (Side::Tokio, &[0.0]), (Side::Corelane, &[20.0])]);
    assert_eq!(ratio(&zero, Side::Tokio), None);
}

#[test]
fn a_side_that_failed_is_not_asked_again_and_keeps_its_samples() {
    let mut taken = Taken::new(Side::Glommio);
    taken.add(|_| Ok::<_, ()>(Ok(Reading::from(5.0)))).unwrap();
    taken.add(|_| Ok::<_, ()>(Err("no memory".to_owned()))).unwrap();
    taken.add(|_| -> Result<_, ()> { panic!("asked again") }).unwrap();
    let figures = Figures::of(taken, Some(10.0));
    assert_eq!((figures.median, figures.ratio), (Some(5.0), Some(2.0)));
    assert_eq!(figures.not_available.as_deref(), Some("no memory"));
}

#[test]
fn a_difference_within_the_a_a_spread_is_marked() {
    let row = row(&[
        (Side::Corelane, &[100.0]),
        (Side::Tokio, &[110.0]),
        (Side::Smol, &[150.0]),
        (Side::Corelane, &[110.0]),
    ]);
    assert!(row.ratio(row.other("tokio")).starts_with('~'));
    assert!(!row.ratio(row.other("smol")).starts_with('~'));
}

#[test]
fn a_table_names_the_best_rival_and_explains_each_bench() {
    let two = row(&[(Side::Corelane, &[17.6]), (Side::Tokio, &[198.4]), (Side::Corelane, &[17.6])]);
    let text = render(&[two], true);
    for word in ["17.6", "198", "0.09", "tokio", "spawn and join"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert!(text.is_ascii() && !text.contains("corelane/side"), "{text}");
}

#[test]
fn with_more_rivals_a_second_table_ranks_them_and_says_why_one_is_missing() {
    let many = row(&[
        (Side::Corelane, &[17.6]),
        (Side::Tokio, &[198.4]),
        (Side::Glommio, &[]),
        (Side::Monoio, &[37.4]),
        (Side::Corelane, &[17.6]),
    ]);
    let text = render(&[many], true);
    assert!(text.contains("spawn_join on glommio: not available: io_uring is blocked"), "{text}");
    let ranks = text.split("corelane/side").nth(1).unwrap();
    let place = |word| ranks.find(word).unwrap();
    assert!(place("corelane") < place("monoio") && place("monoio") < place("tokio"), "{text}");
    assert!(place("tokio") < place("glommio"), "{text}");
}

#[test]
fn single_times_of_all_samples_are_added_up_and_weighed_against_the_clock() {
    let mut taken = Taken::new(Side::Corelane);
    for times in [[1_000, 3_000], [2_000, 90_000]] {
        taken.add(|_| Ok::<_, ()>(Ok(Reading::with(2.0, times)))).unwrap();
    }
    taken.add(|_| Ok::<_, ()>(Ok(Reading::from(5.0)))).unwrap();
    let figures = Figures::of(taken, None);
    let times = figures.times.as_ref().unwrap();
    assert_eq!((times.count, times.max_ns.map(|ns| ns / 100)), (4, Some(900)));
    let (share, mean) = (figures.overhead_pct.unwrap(), times.mean_ns.unwrap());
    assert!(share > 0.0 && mean > 20_000.0, "{share} % of {mean}");
    assert_eq!((figures.worst, figures.median_deviation), (Some(5.0), Some(0.0)));
    let bench = Bench { name: "xshard_rtt", unit: "us", what: "there and back", sides: Vec::new() };
    let mut taken = Taken::new(Side::Corelane);
    taken.add(|_| Ok::<_, ()>(Ok(Reading::with(2.0, [1, 1])))).unwrap();
    let row = Row::of(&bench, vec![taken]);
    let (name, percent) = heaviest_overhead(std::slice::from_ref(&row)).unwrap();
    assert!(name == "xshard_rtt on corelane" && percent > 100.0, "{name}: {percent}");
    let text = render(&[row], true);
    assert!(text.contains("single times") && text.is_ascii(), "{text}");
}
