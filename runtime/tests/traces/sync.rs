//! `Semaphore`, `Condition` and `Barrier`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use corelane::sync::{Barrier, BoundedSemaphore, Condition, Lock, Semaphore};
use corelane::{Task, create_task, yield_now};

use crate::support::{attempt, check_run, me, outcome, settle};

fn done<T>(tasks: &[Task<T>]) -> Vec<bool> {
    tasks.iter().map(Task::done).collect()
}

#[test]
fn semaphore_basics() {
    check_run("semaphore_basics", async || {
        // A negative value cannot be written.
        ev!("negative", corelane::ValueError("unsigned"));
        let sem = Semaphore::new(2);
        for _ in 0..2 {
            sem.acquire().await?.forget();
            ev!(true, locked = sem.locked());
        }
        let worker = |i: i32| {
            let sem = sem.clone();
            create_task(async move {
                sem.acquire().await?.forget();
                ev!("permit to", i);
                Ok(())
            })
        };
        let ts = [0, 1, 2, 3].map(worker);
        settle().await;
        sem.release();
        settle().await;
        sem.release();
        sem.release();
        settle().await;
        ev!(done(&ts), locked = sem.locked());
        for _ in 0..3 {
            sem.release();
        }
        settle().await;
        ev!(done(&ts), locked = sem.locked());
        sem.acquire().await?.forget();
        sem.acquire().await?.forget();
        ev!("extra permits used", locked = sem.locked());

        let b = BoundedSemaphore::new(1);
        ev!("released too often", b.release().unwrap_err());
        {
            let _permit = b.acquire().await?;
            ev!("inside", locked = b.locked());
        }
        ev!("outside", locked = b.locked());
        Ok(())
    });
}

fn holder(sem: &Semaphore, name: &'static str) -> Task<()> {
    let sem = sem.clone();
    create_task(async move {
        let _permit = sem.acquire().await?;
        ev!("permit to", name);
        yield_now().await;
        Ok(())
    })
}

#[test]
fn semaphore_cancel_fairness() {
    check_run("semaphore_cancel_fairness", async || {
        for how in ["release then cancel", "cancel then release"] {
            ev!("--", how);
            let sem = Semaphore::new(1);
            let permit = sem.acquire().await?;
            let [a, b] = ["a", "b"].map(|name| holder(&sem, name));
            settle().await;
            if how == "release then cancel" {
                drop(permit);
                a.cancel();
            } else {
                a.cancel();
                drop(permit);
            }
            settle().await;
            ev!(outcome(&a), outcome(&b), locked = sem.locked());
        }

        let sem = Semaphore::new(1);
        let permit = sem.acquire().await?;
        let _t = holder(&sem, "waiter");
        settle().await;
        drop(permit);
        ev!("counts as locked", sem.locked());
        let permit = sem.acquire().await?;
        ev!("permit to releaser, after the waiter");
        drop(permit);
        ev!(locked = sem.locked());

        let sem = Semaphore::new(0);
        let _t = holder(&sem, "woken waiter");
        settle().await;
        sem.release();
        sem.release();
        ev!("a permit is free, but a live waiter has not run", locked = sem.locked());
        sem.acquire().await?.forget();
        ev!("permit to newcomer");
        Ok(())
    });
}

async fn wait_on<T>(cond: &Condition<T>) {
    let guard = cond.lock().await;
    drop(cond.wait(guard).await);
}

#[test]
fn condition_basics() {
    check_run("condition_basics", async || {
        let cond = Condition::new(());
        for call in ["notify", "notify_all", "wait"] {
            // Without a guard none of them can be called.
            ev!(call, "without lock", corelane::RuntimeError("unrepresentable"));
        }
        cond.notify(&cond.lock().await, 1);
        ev!("notified nobody");
        let waiter = |i: i32| {
            let cond = cond.clone();
            create_task(async move {
                let guard = cond.lock().await;
                let _guard = cond.wait(guard).await;
                ev!("waiter", i, "woke", true, locked = cond.locked());
                Ok(())
            })
        };
        let ts = [0, 1, 2, 3, 4].map(waiter);
        settle().await;
        ev!("lock released while waiting", !cond.locked());
        for n in [1, 2] {
            let guard = cond.lock().await;
            cond.notify(&guard, n);
            settle().await;
            ev!("notified", n, "but still holding the lock");
            drop(guard);
            settle().await;
        }
        cond.notify_all(&cond.lock().await);
        settle().await;
        ev!(done(&ts));
        condition_predicates().await;
        condition_shared_lock().await;
        Ok(())
    });
}

async fn condition_predicates() {
    let cond = Condition::new(Vec::new());
    let guard = cond.lock().await;
    let (guard, yes) = cond.wait_for_some(guard, |_| Some("yes")).await;
    ev!("predicate true at once", yes);
    drop(guard);
    let until = cond.clone();
    let t = create_task(async move {
        let guard = until.lock().await;
        let count = |state: &mut Vec<i32>| Some(state.len()).filter(|count| *count > 0);
        let (_guard, count) = until.wait_for_some(guard, count).await;
        ev!("predicate gave", count);
        Ok(())
    });
    settle().await;
    for add in [vec![], vec![1]] {
        let mut guard = cond.lock().await;
        guard.extend(add);
        cond.notify_all(&guard);
        drop(guard);
        settle().await;
        ev!("after notify", t.done());
    }
}

async fn condition_shared_lock() {
    let lock = Lock::new(());
    let [c1, c2] = [(); 2].map(|()| Condition::with_lock(lock.clone()));
    let _ts = [(&c1, "c1"), (&c2, "c2")].map(|(cond, name)| {
        let cond = cond.clone();
        create_task(async move {
            wait_on(&cond).await;
            ev!("woke on", name);
            Ok(())
        })
    });
    settle().await;
    c2.notify_all(&lock.acquire().await);
    settle().await;
    c1.notify_all(&c2.lock().await);
    settle().await;
}

#[test]
fn condition_cancel() {
    check_run("condition_cancel", async || {
        let cond = Condition::new(());
        let waiter = |name: &'static str| {
            let cond = cond.clone();
            create_task(async move {
                let guard = cond.lock().await;
                match cond.wait_caught(guard).await {
                    Ok(_guard) => ev!(name, "woke"),
                    Err((_guard, cancelled)) => {
                        let (locked, cancelling) = (cond.locked(), me().cancelling());
                        ev!(name, "cancelled", locked = locked, cancelling = cancelling);
                        cancelled.resume().await;
                    }
                }
                Ok(())
            })
        };
        let t = waiter("simple");
        settle().await;
        t.cancel();
        settle().await;
        ev!(outcome(&t), locked = cond.locked());

        let t = waiter("contended");
        settle().await;
        let guard = cond.lock().await;
        t.cancel();
        settle().await;
        ev!("needs the lock", t.done());
        t.cancel();
        settle().await;
        ev!("still needs the lock", t.done());
        drop(guard);
        settle().await;
        ev!(outcome(&t), locked = cond.locked());

        for (how, queues) in [("notification passed on", false), ("while re-acquiring", true)] {
            let [a, b] = ["a", "b"].map(waiter);
            settle().await;
            let guard = cond.lock().await;
            cond.notify(&guard, 1);
            if queues {
                settle().await;
            }
            a.cancel();
            drop(guard);
            settle().await;
            ev!(how, outcome(&a), outcome(&b));
        }
        Ok(())
    });
}

#[test]
fn barrier_basics() {
    check_run("barrier_basics", async || {
        ev!("zero parties", Barrier::new(0).unwrap_err());
        let bar = Barrier::new(3)?;
        ev!(parties = bar.parties(), n_waiting = bar.n_waiting(), broken = bar.broken());
        let got = Rc::new(RefCell::new(BTreeMap::<_, Vec<_>>::new()));
        let worker = |name: &'static str| {
            let (bar, got) = (bar.clone(), Rc::clone(&got));
            create_task(async move {
                let first = bar.wait().await?;
                got.borrow_mut().insert(name, vec![first]);
                let second = bar.wait().await?;
                got.borrow_mut().entry(name).or_default().push(second);
                Ok(())
            })
        };
        let mut ts: Vec<_> = ["a", "b"].map(worker).into();
        settle().await;
        let released: Vec<_> = got.borrow().keys().copied().collect();
        ev!(n_waiting = bar.n_waiting(), released = released);
        ts.push(worker("c"));
        settle().await;
        for (name, indices) in got.borrow().iter() {
            ev!(name, indices[0]);
        }
        let mut second: Vec<_> = got.borrow().values().map(|indices| indices[1]).collect();
        second.sort_unstable();
        ev!("second round is a permutation", second);
        ev!(done = done(&ts), n_waiting = bar.n_waiting());
        let one = Barrier::new(1)?;
        ev!("one party", one.wait().await?, one.wait().await?);
        Ok(())
    });
}

#[test]
fn barrier_cancel_abort_reset() {
    check_run("barrier_cancel_abort_reset", async || {
        let bar = Barrier::new(2)?;
        let wait = || {
            let bar = bar.clone();
            create_task(async move { Ok(bar.wait().await?) })
        };
        let a = wait();
        settle().await;
        a.cancel();
        settle().await;
        ev!(outcome(&a), n_waiting = bar.n_waiting(), broken = bar.broken());
        let [b, c] = [wait(), wait()];
        settle().await;
        ev!(outcome(&b), outcome(&c));

        let d = wait();
        settle().await;
        bar.abort();
        settle().await;
        ev!("aborted", outcome(&d), n_waiting = bar.n_waiting(), broken = bar.broken());
        attempt("wait on broken", wait()).await;
        bar.reset();
        ev!("reset", broken = bar.broken());

        let e = wait();
        settle().await;
        bar.reset();
        settle().await;
        let e = outcome(&e);
        ev!("reset while filling", e, n_waiting = bar.n_waiting(), broken = bar.broken());
        let [f, g] = [wait(), wait()];
        settle().await;
        ev!(outcome(&f), outcome(&g));
        Ok(())
    });
}
