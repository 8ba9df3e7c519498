//! Many seeds: on several threads, and what is said of the one that fails.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use corelane::sim::{Check, Failure, Fault, Faults, Simulation, check};
use corelane::{Result, now, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// What a check panics with.
fn refusal(body: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(body)).expect_err("it should have been refused");
    *payload.downcast::<String>().unwrap()
}

/// Two stalls at a time are too many for it.
fn fragile(sim: &mut Simulation) -> Result<(), Failure> {
    let (one, other) = (sim.host("one")?, sim.host("other")?);
    let mut faults = Faults::new();
    for number in 0..3 {
        faults = faults
            .and(Fault::stall("one", SECOND / 10).at(number * 5 * SECOND))
            .and(Fault::delay(SECOND..=SECOND))
            .and(Fault::reset().one_in(3));
    }
    sim.faults(faults.and(Fault::stall("one", 60 * SECOND).at(3 * SECOND)));
    sim.faults(Fault::stall("other", 40 * SECOND).during(7 * SECOND..1_000 * SECOND));
    let late = |place, sim: &mut Simulation| {
        sim.spawn(place, async || {
            let begun = now();
            sleep(20 * SECOND).await;
            Ok(now() - begun > 25 * SECOND)
        })
    };
    let (one, other) = (late(one, sim), late(other, sim));
    sim.run_until(|| one.done() && other.done())?;
    match one.result()? && other.result()? {
        true => Err(corelane::Error::value("both were late").into()),
        false => Ok(()),
    }
}

#[test]
fn a_run_that_fails_is_run_again_with_fewer_and_smaller_faults() {
    let text = refusal(|| check(1, fragile));
    assert!(text.contains("both were late"), "{text}");
    assert!(text.contains("2 of its 11 faults are enough"), "{text}");
    let left = text.split_once("with these instead it fails too").unwrap().1;
    assert!(left.contains(".and(Fault::stall(\"one\", "), "{left}");
    assert!(left.contains(".and(Fault::stall(\"other\", "), "{left}");
    assert!(!left.contains("reset") && !left.contains("delay"), "{left}");
    // Shorter than they were.
    assert!(!left.contains("from_secs(60)") && !left.contains("from_secs(40)"), "{left}");
}

#[test]
fn what_fails_without_any_fault_is_said_to() {
    let text = refusal(|| {
        check(1, |sim| {
            let host = sim.host("only")?;
            sim.faults(Fault::stall("only", SECOND));
            sim.run(host, async || Err(corelane::Error::value("always")))
        });
    });
    assert!(text.contains("it fails without any of its 1 faults too"), "{text}");
}

#[test]
fn a_program_that_panics_does_so_with_its_own_words() {
    let caught = catch_unwind(AssertUnwindSafe(|| {
        check(3, |sim| {
            sim.host("only")?;
            sim.faults(Fault::stall("only", SECOND));
            assert_ne!(sim.seed(), 2, "two is too many");
            Ok(())
        });
    }));
    let text = *caught.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("two is too many"), "{text}");
}

/// The test below, in a process of its own: what is printed beside a panic cannot be caught.
const WITHIN: &str = "CORELANE_TEST_PRINTS";

#[test]
fn a_panic_is_reported_like_an_error() {
    if std::env::var_os(WITHIN).is_some() {
        check(1, |sim| {
            let host = sim.host("only")?;
            drop(sim.spawn(host, async || {
                sleep(1_000 * SECOND).await;
                Ok(())
            }));
            sim.run(host, async || {
                sleep(SECOND).await;
                panic!("as it should")
            })
        });
    }
    let this = std::env::current_exe().unwrap();
    let printed = std::process::Command::new(this)
        .args(["a_panic_is_reported_like_an_error", "--exact", "--nocapture"])
        .env(WITHIN, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&printed.stderr);
    assert!(!printed.status.success(), "{text}");
    for part in
        ["as it should", "the program panicked", "at 1", "tasks of only:", "Sleep", "last draws:"]
    {
        assert!(text.to_lowercase().contains(&part.to_lowercase()), "no {part} in {text}");
    }
    assert!(
        text.contains("CORELANE_SEED=0 cargo test a_panic_is_reported_like_an_error"),
        "{text}"
    );
}

#[test]
fn threads_find_the_lowest_seed_that_fails_and_no_other() {
    for threads in [1, 2, 5] {
        let text = refusal(|| {
            Check::new(200).threads(threads).run(|sim| {
                let host = sim.host("only")?;
                let seed = sim.seed();
                sim.run(host, async move || {
                    sleep(SECOND).await;
                    if seed % 40 == 37 { Err(corelane::Error::value("unlucky")) } else { Ok(()) }
                })
            });
        });
        assert!(text.contains("seed 37;"), "{text}");
        assert!(text.contains("CORELANE_SEED=37 cargo test threads_find_the_lowest"), "{text}");
    }
}

#[test]
fn a_check_has_worlds_of_other_settings_also_when_it_looks_for_fewer_faults() {
    let minute = 60 * SECOND;
    let text = refusal(|| {
        Check::new(20).threads(2).world(|world| world.calm().time_limit(minute)).run(|sim| {
            let host = sim.host("only")?;
            sim.faults(Fault::stall("only", SECOND));
            sim.run(host, async move || {
                sleep(2 * minute).await;
                Ok(())
            })
        });
    });
    assert!(text.contains("it goes on after 60s of its time"), "{text}");
    assert!(text.contains("seed 0;"), "{text}");
    assert!(text.contains("it fails without any of its 1 faults too"), "{text}");
}

#[test]
fn traces_are_those_of_the_seeds_in_their_order() {
    let program = |sim: &mut Simulation| {
        let host = sim.host("only")?;
        sim.run(host, async || {
            sleep(SECOND).await;
            Ok(())
        })
    };
    let traces = Check::new(40).twice().threads(4).traces(program);
    for (seed, trace) in traces.into_iter().enumerate() {
        let mut sim = Simulation::new(seed as u64);
        program(&mut sim).unwrap();
        sim.shut_down().unwrap();
        assert_eq!(sim.trace(), trace);
    }
}
