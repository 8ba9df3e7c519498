//! Task groups: rules T121 and T130 to T148.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use corelane::sync::Event;
use corelane::{
    Error, ExceptionGroup, Result, TaskGroup, catch_cancel, catch_cancel_plain, create_task, sleep,
    spawn, task_group, timeout, yield_now,
};
use task_support::{settle, virtual_run};

const FOREVER: Duration = Duration::from_secs(1_000_000);
const SECOND: Duration = Duration::from_secs(1);

async fn fails(text: &'static str) -> Result<()> {
    Err(Error::msg(text))
}

async fn forever() -> Result<()> {
    sleep(FOREVER).await;
    Ok(())
}

/// The texts of a group's errors, nested groups in brackets.
fn texts(error: &Error) -> Vec<String> {
    let group = error.downcast_ref::<ExceptionGroup>().expect("a group of errors");
    let text = |error: &Error| match error.downcast_ref::<ExceptionGroup>() {
        Some(_) => format!("[{}]", texts(error).join(" ")),
        None => error.to_string(),
    };
    group.errors().iter().map(text).collect()
}

#[test]
fn t130_the_scope_waits_for_members_that_members_add() {
    virtual_run(async || {
        let ran = Rc::new(Cell::new(0));
        let count = Rc::clone(&ran);
        let value = task_group(async |group| {
            let inner = group.clone();
            group.add(async move {
                sleep(SECOND).await;
                let last = Rc::clone(&count);
                inner.add(async move {
                    sleep(SECOND).await;
                    last.set(last.get() + 1);
                    Ok(())
                })?;
                count.set(count.get() + 1);
                Ok(())
            })?;
            Ok("value")
        })
        .await?;
        assert_eq!((value, ran.get()), ("value", 2));
        assert_eq!(corelane::now(), corelane::Instant::ZERO + 2 * SECOND);
        Ok(())
    });
}

#[test]
fn t131_members_are_refused_while_it_shuts_down_and_after_its_end() {
    virtual_run(async || {
        let kept: Rc<RefCell<Option<TaskGroup>>> = Rc::default();
        let slot = Rc::clone(&kept);
        let failed = task_group(async |group| {
            *slot.borrow_mut() = Some(group.clone());
            group.add(fails("member"))?;
            let waited = catch_cancel_plain(sleep(FOREVER)).await;
            assert!(waited.is_err());
            let refused = group.spawn(async { panic!("must not run") });
            assert!(refused.unwrap_err().is_runtime());
            Ok(())
        });
        assert_eq!(texts(&failed.await.unwrap_err()), ["member"]);
        let group = kept.take().unwrap();
        assert!(group.add(forever()).unwrap_err().is_runtime());
        Ok(())
    });
}

#[test]
fn t133_a_failing_member_cancels_its_siblings_and_the_body_and_t139_takes_its_request_back() {
    virtual_run(async || {
        let task = create_task(async {
            let cleaned = Rc::new(Cell::new(false));
            let flag = Rc::clone(&cleaned);
            let failed = task_group(async |group| {
                group.add(async move {
                    let _ = catch_cancel_plain(sleep(FOREVER)).await;
                    sleep(SECOND).await;
                    flag.set(true);
                    Ok(())
                })?;
                group.add(fails("member"))?;
                forever().await
            });
            let error = failed.await.unwrap_err();
            assert!(cleaned.get(), "clean-up of the sibling was waited for");
            assert_eq!(texts(&error), ["member"]);
            // Nothing is left of the group's own request.
            yield_now().await;
            Ok(corelane::now())
        });
        assert_eq!(task.await?, corelane::Instant::ZERO + SECOND);
        Ok(())
    });
}

#[test]
fn t134_a_member_that_ends_cancelled_on_its_own_fails_nothing() {
    virtual_run(async || {
        let value = task_group(async |group| {
            let member = group.create_task(forever())?;
            yield_now().await;
            member.cancel();
            sleep(SECOND).await;
            Ok(5)
        });
        assert_eq!(value.await?, 5);
        Ok(())
    });
}

#[test]
fn t136_errors_come_in_the_order_of_their_ends_and_the_bodys_last() {
    virtual_run(async || {
        let failed = task_group(async |group| {
            for (name, seconds) in [("slow", 3), ("quick", 1)] {
                group.add(async move {
                    let _ = catch_cancel_plain(sleep(FOREVER)).await;
                    sleep(seconds * SECOND).await;
                    fails(name).await
                })?;
            }
            yield_now().await;
            fails("body").await
        });
        assert_eq!(texts(&failed.await.unwrap_err()), ["quick", "slow", "body"]);
        Ok(())
    });
}

#[test]
fn t140_a_request_from_outside_reaches_the_members_and_leaves_when_they_have_ended() {
    virtual_run(async || {
        for in_body in [true, false] {
            let started = corelane::now();
            let parent = create_task(async move {
                task_group(async |group| {
                    group.add(async {
                        let _ = catch_cancel_plain(sleep(FOREVER)).await;
                        sleep(SECOND).await;
                        Ok(())
                    })?;
                    if in_body { forever().await } else { Ok(()) }
                })
                .await
            });
            settle().await;
            parent.cancel_with("enough");
            settle().await;
            assert!(!parent.done());
            // Rule T143: a second one does not abandon them.
            parent.cancel();
            let error = parent.await.unwrap_err();
            assert!(error.is_cancelled());
            assert_eq!(corelane::now() - started, SECOND);
        }
        Ok(())
    });
}

#[test]
fn t141_a_request_beside_failing_members_is_delivered_again() {
    virtual_run(async || {
        let log: Rc<RefCell<Vec<String>>> = Rc::default();
        let seen = Rc::clone(&log);
        let parent = create_task(async move {
            let failed = task_group(async |group| {
                group.add(async {
                    let _ = catch_cancel_plain(sleep(FOREVER)).await;
                    fails("member").await
                })?;
                forever().await
            });
            let error = failed.await.unwrap_err();
            seen.borrow_mut().push(texts(&error).join(" "));
            let again = catch_cancel_plain(yield_now()).await;
            seen.borrow_mut().push(format!("again {}", again.is_err()));
            Ok(())
        });
        settle().await;
        parent.cancel();
        settle().await;
        assert_eq!(parent.cancelling(), 1);
        assert_eq!(*log.borrow(), ["member", "again true"]);
        parent.await
    });
}

#[test]
fn t142_a_body_that_swallows_the_request_still_gets_the_groups_error() {
    virtual_run(async || {
        let failed = task_group(async |group| {
            group.add(fails("member"))?;
            let _ = catch_cancel_plain(sleep(FOREVER)).await;
            yield_now().await;
            Ok("swallowed")
        });
        assert_eq!(texts(&failed.await.unwrap_err()), ["member"]);
        Ok(())
    });
}

#[test]
fn t144_the_error_of_an_inner_group_is_the_body_error_of_the_outer_one() {
    virtual_run(async || {
        let failed = task_group(async |outer| {
            outer.add(forever())?;
            task_group(async |inner| {
                inner.add(fails("member"))?;
                forever().await
            })
            .await
        });
        assert_eq!(texts(&failed.await.unwrap_err()), ["[member]"]);
        Ok(())
    });
}

#[test]
fn t145_a_group_in_a_handler_keeps_the_count_and_the_request_comes_once_more() {
    virtual_run(async || {
        let task = spawn(async {
            let caught = catch_cancel_plain(sleep(FOREVER)).await;
            assert!(caught.is_err());
            let failed = task_group(async |group| {
                group.add(fails("member"))?;
                forever().await
            });
            assert_eq!(texts(&failed.await.unwrap_err()), ["member"]);
            catch_cancel_plain(yield_now()).await.is_err()
        });
        settle().await;
        task.cancel();
        settle().await;
        assert_eq!(task.cancelling(), 1);
        assert!(task.await?);
        Ok(())
    });
}

#[test]
fn t145_with_no_suspension_left_the_task_ends_cancelled() {
    virtual_run(async || {
        let task = spawn(async {
            let _ = catch_cancel_plain(sleep(FOREVER)).await;
            let failed = task_group(async |group| {
                group.add(fails("member"))?;
                forever().await
            });
            failed.await.is_err()
        });
        settle().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn t146_a_panic_of_a_member_counts_as_a_failure() {
    virtual_run(async || {
        let failed = task_group(async |group| {
            group.spawn(async { panic!("member panics") }).map(drop)?;
            forever().await
        });
        let error = failed.await.unwrap_err();
        let group = error.downcast_ref::<ExceptionGroup>().unwrap();
        assert_eq!(group.errors()[0].panic_message(), Some("member panics"));
        Ok(())
    });
}

#[test]
fn t148_an_empty_group_leaves_without_suspending() {
    virtual_run(async || {
        let flag = Rc::new(Cell::new(false));
        let set = Rc::clone(&flag);
        drop(spawn(async move { set.set(true) }));
        task_group(async |_| Ok(())).await?;
        assert!(!flag.get(), "nobody else has run");
        Ok(())
    });
}

#[test]
fn t121_a_timeout_around_a_group_cancels_all_and_a_failure_prevails() {
    virtual_run(async || {
        for failing in [false, true] {
            let limited = timeout(SECOND, async |_| {
                task_group(async |group| {
                    group.add(async move {
                        let caught = catch_cancel_plain(sleep(FOREVER)).await;
                        match caught {
                            Err(_) if failing => fails("member").await,
                            Err(cancelled) => cancelled.resume().await,
                            Ok(()) => Ok(()),
                        }
                    })?;
                    forever().await
                })
                .await
            });
            let error = limited.await.unwrap_err();
            if failing {
                assert_eq!(texts(&error), ["member"]);
            } else {
                assert!(error.is_timeout());
            }
            yield_now().await;
        }
        Ok(())
    });
}

#[test]
fn a_group_that_is_dropped_cancels_its_members() {
    virtual_run(async || {
        let ended = Event::new();
        let told = ended.clone();
        let limited = async {
            let mut group = std::pin::pin!(task_group(async |group| {
                group.add(async move {
                    let _ = catch_cancel_plain(sleep(FOREVER)).await;
                    told.set();
                    Ok(())
                })?;
                forever().await
            }));
            assert!(futures_util::poll!(group.as_mut()).is_pending());
            yield_now().await;
        };
        limited.await;
        ended.wait().await;
        assert_eq!(corelane::now(), corelane::Instant::ZERO);
        Ok(())
    });
}

#[test]
fn g29_a_body_that_returns_the_carrier_leaves_as_cancelled() {
    virtual_run(async || {
        let left = catch_cancel(task_group(async |_| Err::<(), _>(Error::cancelled()))).await;
        assert!(left.is_err());
        Ok(())
    });
}

#[test]
fn e8_a_group_splits_by_predicate_at_any_depth() {
    let nested = ExceptionGroup::new("inner", vec![Error::timed_out(), Error::msg("b")]);
    let group = ExceptionGroup::new("outer", vec![Error::msg("a"), nested.into()]);
    let (timeouts, rest) = group.split(|error| error.is_timeout());
    let (timeouts, rest) = (Error::from(timeouts.unwrap()), Error::from(rest.unwrap()));
    assert_eq!(texts(&timeouts), [format!("[{}]", Error::timed_out())]);
    assert_eq!(texts(&rest), ["a", "[b]"]);
    assert!(group.subgroup(Error::is_panic).is_none());
    assert_eq!(group.message(), "outer");
}

#[test]
fn t135_a_failing_body_cancels_the_members_and_waits_for_them() {
    virtual_run(async || {
        let cleaned = Rc::new(Cell::new(false));
        let flag = Rc::clone(&cleaned);
        let failed = task_group(async |group| {
            group.add(async move {
                let _ = catch_cancel_plain(sleep(FOREVER)).await;
                sleep(SECOND).await;
                flag.set(true);
                Ok(())
            })?;
            yield_now().await;
            fails("body").await
        });
        assert_eq!(texts(&failed.await.unwrap_err()), ["body"]);
        assert!(cleaned.get());
        Ok(())
    });
}

#[test]
fn t137_cancelled_members_are_no_part_of_the_error_and_t138_failing_clean_up_is() {
    virtual_run(async || {
        let failed = task_group(async |group| {
            group.add(forever())?;
            group.add(async {
                let _ = catch_cancel_plain(sleep(FOREVER)).await;
                fails("clean-up").await
            })?;
            yield_now().await;
            group.add(fails("first"))?;
            forever().await
        });
        assert_eq!(texts(&failed.await.unwrap_err()), ["first", "clean-up"]);
        Ok(())
    });
}

#[test]
fn t143_a_second_request_does_not_abandon_members_and_does_not_reach_them() {
    virtual_run(async || {
        let parent = create_task(async {
            task_group(async |group| {
                drop(group.spawn(async {
                    let _ = catch_cancel_plain(sleep(FOREVER)).await;
                    let again = catch_cancel_plain(sleep(SECOND)).await;
                    assert!(again.is_ok(), "one request is all a member gets");
                })?);
                Ok(())
            })
            .await
        });
        settle().await;
        parent.cancel();
        settle().await;
        parent.cancel();
        assert!(parent.await.unwrap_err().is_cancelled());
        assert_eq!(corelane::now(), corelane::Instant::ZERO + SECOND);
        Ok(())
    });
}

#[test]
fn t147_leaving_takes_two_hops_after_the_last_member() {
    virtual_run(async || {
        let gate = Event::new();
        let opened = gate.clone();
        let left = Rc::new(Cell::new(false));
        let flag = Rc::clone(&left);
        let parent = create_task(async move {
            let left = task_group(async |group| group.spawn(async move { opened.wait().await }));
            drop(left.await?);
            flag.set(true);
            Ok(())
        });
        settle().await;
        gate.set();
        let mut hops = 0;
        while !left.get() {
            yield_now().await;
            hops += 1;
        }
        // One in which the member ends, then the two of the aggregate.
        assert_eq!(hops, 3);
        parent.await
    });
}
