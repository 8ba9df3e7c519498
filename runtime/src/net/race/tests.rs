use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::error::Result;
use crate::{Runner, catch_cancel_plain, create_task, now, yield_now};

/// What becomes of an attempt, and after how many milliseconds.
#[derive(Clone, Copy)]
enum Fate {
    Connects(u64),
    Fails(u64),
    Hangs,
}

use Fate::{Connects, Fails, Hangs};

/// What happened when, in milliseconds: `1+` attempt 1 began, `1-` it was dropped or failed.
type Log = Rc<RefCell<Vec<String>>>;

struct Ended(Log, u16);

impl Drop for Ended {
    fn drop(&mut self) {
        note(&self.0, self.1, '-');
    }
}

fn note(log: &Log, number: u16, what: char) {
    let at = now().as_nanos() / 1_000_000;
    log.borrow_mut().push(format!("{number}{what}@{at}"));
}

/// Runs a race on virtual time; gives the winner, or the texts of the failures, with what happened.
fn run_race(delay: Option<u64>, fates: &'static [Fate]) -> (Result<u16, String>, String) {
    let mut runner = Runner::builder().virtual_clock().build();
    let outcome = runner.run(async move || {
        let log = Log::default();
        let addrs = (0..fates.len()).map(|port| ([127, 0, 0, 1], port as u16).into()).collect();
        let won = race(addrs, delay.map(Duration::from_millis), |addr| {
            let log = Rc::clone(&log);
            async move {
                let number = addr.port();
                note(&log, number, '+');
                let _ended = Ended(Rc::clone(&log), number);
                let after = |millis| sleep(Duration::from_millis(millis));
                match fates[number as usize] {
                    Connects(millis) => after(millis).await,
                    Fails(0) => return Err(io::Error::other(format!("no {number}"))),
                    Fails(millis) => {
                        after(millis).await;
                        return Err(io::Error::other(format!("no {number}")));
                    }
                    Hangs => std::future::pending().await,
                }
                Ok(number)
            }
        });
        let won = won.await.map_err(|error| error.to_string());
        Ok((won, log.take().join(" ")))
    });
    outcome.expect("the race itself does not fail")
}

#[test]
fn s1_without_a_delay_each_address_has_all_the_time_it_takes() {
    let (won, log) = run_race(None, &[Fails(5_000), Fails(0), Connects(90_000), Connects(0)]);
    assert_eq!(won, Ok(2));
    assert_eq!(log, "0+@0 0-@5000 1+@5000 1-@5000 2+@5000 2-@95000");
}

#[test]
fn s5_a_slow_address_lets_the_next_begin_and_the_faster_one_wins() {
    let (won, log) = run_race(Some(250), &[Hangs, Connects(100), Connects(0)]);
    assert_eq!(won, Ok(1));
    assert_eq!(log, "0+@0 1+@250 1-@350 0-@350");
}

#[test]
fn s5_a_slow_address_may_still_win() {
    let (won, log) = run_race(Some(250), &[Connects(300), Connects(100)]);
    assert_eq!(won, Ok(0));
    assert_eq!(log, "0+@0 1+@250 0-@300 1-@300");
}

#[test]
fn s5_a_failure_begins_the_next_at_once_and_the_delay_anew() {
    let (won, log) = run_race(Some(250), &[Fails(100), Hangs, Connects(10)]);
    assert_eq!(won, Ok(2));
    assert_eq!(log, "0+@0 0-@100 1+@100 2+@350 2-@360 1-@360");
    let (won, log) = run_race(Some(250), &[Hangs, Fails(0), Fails(10), Connects(10)]);
    assert_eq!(won, Ok(3));
    assert_eq!(log, "0+@0 1+@250 1-@250 2+@250 2-@260 3+@260 3-@270 0-@270");
}

#[test]
fn s5_without_time_between_them_all_begin_at_once() {
    let (won, log) = run_race(Some(0), &[Hangs, Hangs, Connects(10)]);
    assert_eq!(won, Ok(2));
    assert!(log.starts_with("0+@0 1+@0 2+@0 2-@10"), "{log}");
}

#[test]
fn s1_when_all_fail_there_is_one_error_that_tells_of_each() {
    let fates = &[Fails(700), Fails(0), Fails(1)];
    let (lost, _) = run_race(None, fates);
    assert_eq!(lost, Err("no 0; no 1; no 2".to_owned()));
    let (lost, log) = run_race(Some(250), fates);
    assert_eq!(lost, Err("no 1; no 2; no 0".to_owned()));
    assert_eq!(log, "0+@0 1+@250 1-@250 2+@250 2-@251 0-@700");
    assert_eq!(run_race(Some(250), &[Fails(3)]).0, Err("no 0".to_owned()));
}

#[test]
fn s2_a_race_that_is_cancelled_drops_every_attempt() {
    let mut runner = Runner::builder().virtual_clock().build();
    let ended = runner.run(async || {
        let log = Log::default();
        let theirs = Rc::clone(&log);
        let racing = create_task(async move {
            let addrs = (0..3).map(|port| ([127, 0, 0, 1], port).into()).collect();
            let racing = race(addrs, Some(Duration::ZERO), |addr| {
                let ended = Ended(Rc::clone(&theirs), addr.port());
                async move {
                    let _ended = ended;
                    std::future::pending::<io::Result<()>>().await
                }
            });
            Ok(catch_cancel_plain(racing).await.is_err())
        });
        while log.borrow().is_empty() {
            sleep(Duration::from_millis(1)).await;
            if now().as_nanos() > 5_000_000 {
                racing.cancel();
                yield_now().await;
            }
        }
        assert!(racing.await?);
        Ok(log.take())
    });
    assert_eq!(ended.expect("it was caught"), ["0-@6", "1-@6", "2-@6"]);
}

#[test]
fn s5_families_take_turns() {
    let addrs = |text: &str| -> Vec<SocketAddr> {
        let ip = |word: &str| match word.split_at(1) {
            ("4", number) => format!("127.0.0.{number}:80"),
            (_, number) => format!("[::{number}]:80"),
        };
        text.split_whitespace().map(|word| ip(word).parse().expect("an address")).collect()
    };
    let cases = [
        ("61 62 63 41 42", 1, "61 41 62 42 63"),
        ("61 62 63 41 42", 2, "61 62 41 63 42"),
        ("41 61 62 42", 1, "41 61 42 62"),
        ("61 62", 1, "61 62"),
        ("41", 3, "41"),
        ("", 1, ""),
    ];
    for (before, first_count, after) in cases {
        assert_eq!(interleave(addrs(before), first_count), addrs(after), "{before}");
    }
}
