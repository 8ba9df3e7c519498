//! Scheduling groups: shares, order within a group, what is inherited, what is counted.
//!
//! On a virtual clock a step takes a microsecond for the account, and as long as `advance` says beyond that, so
//! that shares are exact.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]
#![allow(clippy::disallowed_methods, reason = "one test needs a real clock")]

mod peer;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use corelane::stats::{Exposition, GroupStats};
use corelane::{
    LocalKey, Runner, SchedulingGroup, advance, call_soon, create_task, gather, loop_stats, now,
    sleep, spawn, task, yield_now,
};
use peer::within_limit;

fn run(main: impl AsyncFnOnce() + 'static) {
    let body = async || {
        main().await;
        Ok(())
    };
    within_limit(|| Runner::builder().virtual_clock().build().run(body)).unwrap();
}

fn group(name: &str, shares: u32) -> SchedulingGroup {
    SchedulingGroup::new(name, shares).unwrap()
}

/// What one group of this loop has done.
fn stats_of(group: &SchedulingGroup) -> GroupStats {
    let groups = loop_stats().unwrap().groups;
    groups.into_iter().find(|stats| stats.name == group.name()).unwrap()
}

/// So many tasks that compute for `each` in every step, for ever, and count their steps.
fn busy(group: &SchedulingGroup, task_count: usize, each: Duration) -> Rc<Cell<u64>> {
    let steps = Rc::new(Cell::new(0));
    for _ in 0..task_count {
        let steps = Rc::clone(&steps);
        drop(group.spawn(async move {
            loop {
                steps.set(steps.get() + 1);
                advance(each);
                yield_now().await;
            }
        }));
    }
    steps
}

fn assert_ratio(one: u64, other: u64, expected: f64) {
    let ratio = one as f64 / other as f64;
    assert!((0.97..1.03).contains(&(ratio / expected)), "{one} to {other}, not {expected} to 1");
}

#[test]
fn groups_get_time_in_proportion_to_their_shares() {
    run(async || {
        let (small, large) = (group("small", 100), group("large", 300));
        let few = busy(&small, 1, Duration::ZERO);
        let many = busy(&large, 1, Duration::ZERO);
        yield_now().await;
        let ours = SchedulingGroup::default();
        let before = stats_of(&ours).step_count;
        while many.get() < 30_000 {
            yield_now().await;
        }
        assert_ratio(many.get(), few.get(), 3.0);
        // The default group, in which this is the only task, has a thousand.
        assert_ratio(stats_of(&ours).step_count - before, few.get(), 10.0);
    });
}

#[test]
fn it_is_time_that_is_divided_and_not_steps() {
    run(async || {
        let (short, long) = (group("short", 200), group("long", 200));
        let many = busy(&short, 3, Duration::from_micros(9));
        let few = busy(&long, 1, Duration::from_micros(999));
        while few.get() < 200 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_ratio(many.get(), few.get(), 100.0);
        assert_ratio(
            stats_of(&short).run_time.as_micros() as u64,
            stats_of(&long).run_time.as_micros() as u64,
            1.0,
        );
    });
}

#[test]
fn the_number_of_tasks_does_not_change_a_share() {
    run(async || {
        let (crowd, loner) = (group("crowd", 500), group("loner", 500));
        let theirs = busy(&crowd, 1_000, Duration::from_micros(1));
        let own = busy(&loner, 1, Duration::from_micros(1));
        while own.get() < 20_000 {
            sleep(Duration::from_micros(50)).await;
        }
        assert_ratio(theirs.get(), own.get(), 1.0);
    });
}

#[test]
fn a_group_saves_nothing_up_while_it_sleeps() {
    run(async || {
        let (awake, sleeper) = (group("awake", 100), group("sleeper", 100));
        let theirs = busy(&awake, 1, Duration::from_micros(9));
        // A second of the other's running would be a second of credit.
        sleep(Duration::from_secs(1)).await;
        assert!(theirs.get() > 50_000);
        let before = theirs.get();
        let own = busy(&sleeper, 1, Duration::from_micros(9));
        while own.get() < 1_000 {
            sleep(Duration::from_micros(50)).await;
        }
        assert_ratio(theirs.get() - before, own.get(), 1.0);
    });
}

#[test]
fn who_wakes_up_waits_for_one_slice_of_the_others_at_most() {
    run(async || {
        let background = group("background", 100);
        let steps = busy(&background, 10_000, Duration::from_micros(9));
        for _ in 0..200 {
            let begun = now();
            sleep(Duration::from_millis(1)).await;
            let late = now() - begun - Duration::from_millis(1);
            // A slice of 100 µs, and what was begun before it was over.
            assert!(late <= Duration::from_micros(120), "{late:?}");
        }
        assert!(steps.get() > 15_000, "the background takes what is left: {}", steps.get());
    });
}

#[test]
fn a_group_alone_takes_all_time_whatever_its_shares() {
    run(async || {
        let steps = busy(&group("background", 1), 1, Duration::from_micros(9));
        sleep(Duration::from_millis(100)).await;
        // Ten microseconds each, of which the clock sees nine.
        assert!(steps.get() >= 11_000, "{}", steps.get());
    });
}

#[test]
fn g1_order_is_fifo_within_a_group() {
    run(async || {
        let orders: [Rc<RefCell<Vec<u32>>>; 2] = Default::default();
        let groups = [SchedulingGroup::default(), group("other", 37)];
        let mut tasks = Vec::new();
        for number in 0..500 {
            for (group, order) in groups.iter().zip(&orders) {
                let (order, again) = (Rc::clone(order), Rc::clone(order));
                if number % 3 == 0 {
                    let push = move || order.borrow_mut().push(number);
                    group.call_soon(push).unwrap();
                    continue;
                }
                tasks.push(group.spawn(async move {
                    order.borrow_mut().push(number);
                    yield_now().await;
                    again.borrow_mut().push(1_000 + number);
                }));
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        let firsts = 0..500;
        let seconds = (0..500).filter(|number| number % 3 != 0).map(|number| 1_000 + number);
        let expected: Vec<u32> = firsts.chain(seconds).collect();
        for order in orders {
            let (first, second): (Vec<u32>, Vec<u32>) =
                order.borrow().iter().partition(|number| **number < 1_000);
            assert_eq!([first, second].concat(), expected);
        }
    });
}

#[test]
fn tasks_and_callbacks_inherit_the_group_of_what_creates_them() {
    run(async || {
        static KEY: LocalKey<u32> = LocalKey::new();
        let background = group("background", 100);
        let there = background.clone();
        background
            .create_task(async move {
                let current = SchedulingGroup::current;
                assert_eq!(current(), there);
                assert_eq!(spawn(async { SchedulingGroup::current() }).await?, there);
                KEY.set(7);
                let nested = create_task(async move {
                    yield_now().await;
                    assert_eq!(KEY.get(), Some(7));
                    Ok((SchedulingGroup::current(), spawn(async { KEY.get() }).await?))
                });
                assert_eq!(nested.await?, (there.clone(), Some(7)));
                let seen: Rc<RefCell<Vec<SchedulingGroup>>> = Rc::default();
                let (from_callback, from_task, out) =
                    (Rc::clone(&seen), Rc::clone(&seen), Rc::clone(&seen));
                call_soon(move || {
                    from_callback.borrow_mut().push(SchedulingGroup::current());
                    drop(spawn(async move {
                        from_task.borrow_mut().push(SchedulingGroup::current());
                    }));
                });
                // And out of it again, by a call and by a task.
                let push = move || out.borrow_mut().push(SchedulingGroup::current());
                SchedulingGroup::default().call_soon(push)?;
                let outside = task().group(&SchedulingGroup::default());
                assert!(outside.spawn(async move { current() }).await?.is_default());
                while seen.borrow().len() < 3 {
                    yield_now().await;
                }
                let seen = seen.borrow();
                assert_eq!(seen.iter().filter(|group| **group == there).count(), 2);
                assert_eq!(seen.iter().filter(|group| group.is_default()).count(), 1);
                assert_eq!(current(), there);
                Ok(())
            })
            .await
            .unwrap();
        assert!(SchedulingGroup::current().is_default());
        assert!(spawn(async { SchedulingGroup::current() }).await.unwrap().is_default());
        // A slot that was a member's is nobody's for the next task.
        let next: Vec<_> = (0..50).map(|_| spawn(async { SchedulingGroup::current() })).collect();
        assert!(gather(next).await.unwrap().iter().all(SchedulingGroup::is_default));
    });
}

#[test]
fn a_loop_has_seven_groups_besides_the_default() {
    run(async || {
        let groups: Vec<_> = (0..8).map(|number| group(&format!("group-{number}"), 1)).collect();
        for group in &groups[..7] {
            assert_eq!(group.spawn(async { SchedulingGroup::current() }).await.unwrap(), *group);
        }
        let refused = task().group(&groups[7]).try_create(async { Ok(()) });
        assert!(refused.unwrap_err().to_string().contains("seven scheduling groups"));
        assert!(groups[7].call_soon(|| ()).is_err());
        // Those that are known are as good as before.
        assert!(groups[6].spawn(async { true }).await.unwrap());
    });
}

#[test]
fn shares_are_checked_and_told() {
    assert!(SchedulingGroup::new("none", 0).is_err());
    assert!(SchedulingGroup::new("too many", SchedulingGroup::MAX_SHARES + 1).is_err());
    let most = group("most", SchedulingGroup::MAX_SHARES);
    assert_eq!((most.name(), most.shares()), ("most", 1_000_000));
    assert_ne!(most, group("most", SchedulingGroup::MAX_SHARES));
    assert_eq!(SchedulingGroup::default().shares(), SchedulingGroup::DEFAULT_SHARES);
    assert!(SchedulingGroup::current().is_default());
    assert!(most.call_soon(|| ()).is_err(), "there is no loop here");
}

#[test]
fn what_each_group_does_is_counted() {
    run(async || {
        assert!(loop_stats().unwrap().groups.is_empty());
        let background = group("background", 50);
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                background.spawn(async {
                    advance(Duration::from_micros(99));
                    yield_now().await;
                    call_soon(|| ());
                })
            })
            .collect();
        gather(tasks).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let stats = stats_of(&background);
        assert_eq!((stats.task_count, stats.step_count, stats.shares), (4, 8, 50));
        assert!(stats.callback_count >= 4, "{stats:?}");
        assert!(stats.turn_count >= 4 && stats.turn_count <= 16, "{stats:?}");
        let expected = Duration::from_micros(4 * 99 + 8 + stats.callback_count);
        assert_eq!(stats.run_time, expected);
        let of_loop = loop_stats().unwrap();
        let sum: u64 = of_loop.groups.iter().map(|group| group.task_count).sum();
        assert_eq!(sum, of_loop.task_count);
        let mut text = Exposition::new();
        of_loop.describe(&mut text, &[("loop", "main")]);
        let text = text.to_string();
        for line in [
            "corelane_group_tasks_total{loop=\"main\",group=\"background\"} 4",
            "corelane_group_steps_total{loop=\"main\",group=\"background\"} 8",
            "corelane_group_shares{loop=\"main\",group=\"default\"} 1000",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    });
}

#[test]
fn steps_are_still_counted_for_the_loop() {
    run(async || {
        let background = group("background", 50);
        background.spawn(async {}).await.unwrap();
        let before = loop_stats().unwrap();
        background.spawn(async { yield_now().await }).await.unwrap();
        call_soon(|| ());
        sleep(Duration::from_secs(1)).await;
        let after = loop_stats().unwrap();
        // Two of the task, and two of this one: when it was told, and when it was woken.
        assert_eq!(after.step_count - before.step_count, 4);
        assert_eq!(after.timer_count - before.timer_count, 1);
        assert_eq!(after.callback_count - before.callback_count, 1);
    });
}

#[test]
fn cancelling_reaches_tasks_of_a_group_that_has_hardly_any_share() {
    run(async || {
        let background = group("background", 1);
        let dropped = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let dropped = Rc::clone(&dropped);
                background.spawn(async move {
                    let _guard = CountDrop(dropped);
                    loop {
                        yield_now().await;
                    }
                })
            })
            .collect();
        background.spawn(async {}).await.unwrap();
        for task in &tasks {
            task.cancel();
        }
        for task in tasks {
            assert!(task.await.unwrap_err().is_cancelled());
        }
        assert_eq!(dropped.get(), 10);
    });
}

struct CountDrop(Rc<Cell<u32>>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_panic_in_a_callback_of_a_group_stops_nobody() {
    run(async || {
        let reports = Rc::new(Cell::new(0));
        let seen = Rc::clone(&reports);
        corelane::set_report_handler(move |_| seen.set(seen.get() + 1));
        let background = group("background", 10);
        background.call_soon(|| panic!("of a callback")).unwrap();
        let failed = background.spawn(async { panic!("of a task") });
        assert!(failed.await.unwrap_err().is_panic());
        assert_eq!(background.spawn(async { 7 }).await.unwrap(), 7);
        assert_eq!(reports.get(), 1);
        assert!(SchedulingGroup::current().is_default());
    });
}

#[test]
fn a_closing_loop_drops_what_its_groups_have_left() {
    let dropped = Rc::new(Cell::new(0));
    let mut event_loop =
        corelane::lowlevel::EventLoop::new(&corelane::lowlevel::LoopConfig::default()).unwrap();
    event_loop
        .enter(|| {
            // It takes the turn, so that the others have been dealt out and wait.
            drop(group("hog", 1_000_000).spawn(async {}));
            let background = group("background", 10);
            for _ in 0..3 {
                let guard = CountDrop(Rc::clone(&dropped));
                background.call_soon(move || drop(guard)).unwrap();
                let guard = CountDrop(Rc::clone(&dropped));
                drop(background.spawn(async move { drop(guard) }));
            }
        })
        .unwrap();
    event_loop.turn(false).unwrap();
    assert_eq!(dropped.get(), 0, "one group runs in a turn");
    event_loop.close();
    assert_eq!(dropped.get(), 6);
}

/// Spins for so long, in one step.
fn compute(length: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < length {
        std::hint::spin_loop();
    }
}

#[test]
fn on_a_real_clock_the_background_does_not_take_the_foregrounds_time() {
    let main = async || {
        let background = group("background", 5);
        let counts = [(); 2].map(|()| Rc::new(Cell::new(0_u64)));
        let groups = [SchedulingGroup::default(), background];
        for (group, count) in groups.iter().zip(&counts) {
            // The background has ten times the tasks.
            let task_count = if group.is_default() { 4 } else { 40 };
            for _ in 0..task_count {
                let count = Rc::clone(count);
                drop(group.spawn(async move {
                    loop {
                        compute(Duration::from_micros(20));
                        count.set(count.get() + 1);
                        yield_now().await;
                    }
                }));
            }
        }
        while counts[0].get() < 5_000 {
            sleep(Duration::from_millis(5)).await;
        }
        let [ours, theirs] = counts.map(|count| count.get());
        // Two hundred to one by shares; by the number of tasks it would be one to ten. Of whom the system takes
        // the processor away while it runs, that time is counted too: so there is room between the two.
        assert!(theirs > 0 && ours > theirs, "{ours} to {theirs}");
        Ok(())
    };
    within_limit(|| Runner::new().run(main)).unwrap();
}
