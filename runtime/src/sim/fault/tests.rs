use super::*;
use crate::sim::Faults;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_fault_is_printed_as_the_code_that_makes_it() {
    let cases = [
        (Fault::loss(), "Fault::loss()"),
        (
            Fault::delay(Duration::ZERO..=3 * SECOND / 2).to("b").from("a").one_in(7).times(2),
            "Fault::delay(Duration::ZERO..=Duration::from_millis(1500)).from(\"a\").to(\"b\").one_in(7)\
             .times(2)",
        ),
        (
            Fault::partition().between("a", "b").during(SECOND..2 * SECOND),
            "Fault::partition().between(\"a\", \"b\")\
             .during(Duration::from_secs(1)..Duration::from_secs(2))",
        ),
        (
            Fault::crash("a", Duration::from_nanos(1_001)).wiping().at(SECOND),
            "Fault::crash(\"a\", Duration::from_nanos(1001)).wiping().at(Duration::from_secs(1))",
        ),
        (Fault::drift("a", -30), "Fault::drift(\"a\", -30)"),
        // It is about what happens on one host, and no way leads to or from there.
        (Fault::no_descriptors("a").from("b").one_in(2), "Fault::no_descriptors(\"a\").one_in(2)"),
        (Fault::signal("a", 15).at(SECOND), "Fault::signal(\"a\", 15).at(Duration::from_secs(1))"),
    ];
    for (fault, code) in &cases {
        assert_eq!(fault.to_string(), *code);
    }
    let all = cases.into_iter().fold(Faults::new(), |all, (fault, _)| all.and(fault)).to_string();
    assert!(all.starts_with("Faults::new()\n    .and(Fault::loss())\n    .and("), "{all}");
}

#[test]
fn drawn_faults_are_the_seeds_and_within_their_bounds() {
    let hosts = ["a".to_owned(), "b".to_owned()];
    let window = SECOND..9 * SECOND;
    let bounds = Faults::any().at_most(6).within(window.clone()).task_panics(&["worker"]);
    let mut counts = [0; 7];
    let mut printed = String::new();
    for seed in 0..500 {
        let drawn = bounds.clone().draw(seed, &hosts);
        assert_eq!(drawn, bounds.clone().draw(seed, &hosts));
        counts[drawn.len()] += 1;
        for fault in drawn {
            assert!(
                window.start <= fault.window.start && fault.window.end <= window.end,
                "{fault}"
            );
            assert!(fault.window.start < fault.window.end, "{fault}");
            printed += &fault.to_string();
        }
    }
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
    for name in [
        "delay",
        "loss",
        "duplication",
        "reset",
        "half_open",
        "slow",
        "partition",
        "no_descriptors",
        "drift",
        "ahead",
        "stall",
        "task_panic",
        "from(\"a\")",
        "to(\"b\")",
        "between(",
    ] {
        assert!(printed.contains(name), "{name} was never drawn");
    }
    for name in ["kill", "crash", "wiping"] {
        assert!(!printed.contains(name), "{name} was not asked for");
    }
}
