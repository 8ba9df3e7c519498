//! Task-local context: rules T11, T42 and T168, and where callbacks get theirs.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use corelane::lowlevel::{EventLoop, LoopConfig};
use corelane::{
    DriverKind, Error, LocalContext, LocalKey, Result, Runner, call_soon, catch_cancel,
    create_task, sleep, spawn, task, to_thread, yield_now,
};
use task_support::virtual_run;

static USER: LocalKey<&'static str> = LocalKey::new();
static REQUEST: LocalKey<u64> = LocalKey::sendable();

/// Notes who the user is when it is dropped.
struct Notes(Rc<RefCell<Vec<Option<&'static str>>>>);

impl Drop for Notes {
    fn drop(&mut self) {
        self.0.borrow_mut().push(USER.get());
    }
}

#[test]
fn t42_a_child_begins_with_a_copy_and_neither_sees_the_others_changes() {
    virtual_run(async || {
        USER.set("parent");
        let child = spawn(async {
            assert_eq!(USER.get(), Some("parent"));
            yield_now().await;
            assert_eq!(USER.get(), Some("parent"), "not what the parent set meanwhile");
            USER.set("child");
            yield_now().await;
            USER.get()
        });
        USER.set("changed");
        for _ in 0..3 {
            yield_now().await;
            assert_eq!(USER.get(), Some("changed"));
        }
        assert_eq!(child.await?, Some("child"));
        Ok(())
    });
}

#[test]
fn t42_the_copy_is_made_at_creation_not_at_the_first_step() {
    virtual_run(async || {
        let early = spawn(async { USER.get() });
        USER.set("late");
        let late = spawn(async { USER.get() });
        USER.clear();
        assert_eq!((early.await?, late.await?), (None, Some("late")));
        Ok(())
    });
}

#[test]
fn t42_tasks_that_set_something_never_leak_it_into_others() {
    virtual_run(async || {
        let setters: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .map(|name| {
                spawn(async move {
                    assert_eq!(USER.get(), None);
                    USER.set(name);
                    for _ in 0..5 {
                        yield_now().await;
                        assert_eq!(USER.get(), Some(name));
                    }
                })
            })
            .collect();
        let plain = spawn(async {
            for _ in 0..8 {
                assert_eq!(USER.get(), None);
                yield_now().await;
            }
        });
        for setter in setters {
            setter.await?;
            assert_eq!(USER.get(), None);
        }
        plain.await
    });
}

#[test]
fn t42_guards_of_a_cancelled_task_still_see_its_context() {
    let seen: Rc<RefCell<Vec<_>>> = Rc::default();
    let noted = Rc::clone(&seen);
    virtual_run(async move || {
        let plainly = Rc::clone(&noted);
        let cancelled = spawn(async move {
            USER.set("plainly");
            let _notes = Notes(plainly);
            pending::<()>().await;
        });
        let resumes = Rc::clone(&noted);
        let resumed = create_task(async move {
            USER.set("resumed");
            let _notes = Notes(resumes);
            match catch_cancel(pending::<Result<()>>()).await {
                Err(error) => error.resume().await,
                Ok(outcome) => outcome,
            }
        });
        yield_now().await;
        cancelled.cancel();
        resumed.cancel();
        yield_now().await;
        assert!(cancelled.done() && resumed.done() && USER.get().is_none());
        // Of what is left the guards run while the loop shuts down, and when it is closed.
        USER.set("leftover");
        drop(spawn(async move {
            let _notes = Notes(noted);
            pending::<()>().await;
        }));
        yield_now().await;
        Ok(())
    });
    assert_eq!(*seen.borrow(), [Some("plainly"), Some("resumed"), Some("leftover")]);
}

#[test]
fn t11_the_calls_of_a_runner_have_one_context() {
    USER.set("thread");
    let mut runner = Runner::builder().virtual_clock().build();
    let first = runner.run(async || {
        assert_eq!(USER.get(), Some("thread"), "the runner began with its thread's");
        USER.set("first");
        REQUEST.set(1);
        // Its own copy, which outlives the call.
        drop(spawn(async {
            sleep(Duration::from_secs(1)).await;
            assert_eq!(USER.get(), Some("first"));
            USER.set("child");
        }));
        Err::<(), _>(Error::msg("also if it fails"))
    });
    assert!(first.is_err());
    assert_eq!((USER.get(), REQUEST.get()), (Some("thread"), None));
    runner
        .run(async || {
            sleep(Duration::from_secs(2)).await;
            assert_eq!((USER.get(), REQUEST.get()), (Some("first"), Some(1)));
            USER.clear();
            Ok(())
        })
        .unwrap();
    assert_eq!(runner.run(async || Ok((USER.get(), REQUEST.get()))).unwrap(), (None, Some(1)));
    USER.clear();
}

#[test]
fn a_scope_sets_a_value_for_what_is_inside_and_only_there() {
    virtual_run(async || {
        USER.set("outside");
        let (task, inside) = USER
            .scope("inside", async {
                assert_eq!(USER.get(), Some("inside"));
                let child = spawn(async { USER.get() });
                yield_now().await;
                USER.set("changed inside");
                REQUEST.set(3);
                yield_now().await;
                (child, USER.get())
            })
            .await;
        assert_eq!(inside, Some("changed inside"));
        assert_eq!((USER.get(), REQUEST.get()), (Some("outside"), Some(3)));
        assert_eq!(task.await?, Some("inside"));
        Ok(())
    });
}

#[test]
fn scopes_that_one_task_polls_side_by_side_do_not_mix() {
    virtual_run(async || {
        let worker = |name| {
            USER.scope(name, async move {
                for _ in 0..5 {
                    assert_eq!(USER.get(), Some(name));
                    yield_now().await;
                }
            })
        };
        let (mut left, mut right) = (Box::pin(worker("left")), Box::pin(worker("right")));
        for _ in 0..3 {
            std::future::poll_fn(|context| {
                assert!(left.as_mut().poll(context).is_pending());
                assert!(right.as_mut().poll(context).is_pending());
                assert_eq!(USER.get(), None);
                std::task::Poll::Ready(())
            })
            .await;
        }
        Ok(())
    });
}

#[test]
fn what_a_scope_drops_still_sees_its_value() {
    let seen: Rc<RefCell<Vec<_>>> = Rc::default();
    let notes = Notes(Rc::clone(&seen));
    virtual_run(async move || {
        let mut scope = Box::pin(USER.scope("scope", async move {
            let _notes = notes;
            pending::<()>().await;
        }));
        std::future::poll_fn(|context| {
            assert!(scope.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(scope);
        assert_eq!(USER.get(), None);
        Ok(())
    });
    assert_eq!(*seen.borrow(), [Some("scope")]);
}

#[test]
fn a_sync_scope_ends_with_a_panic_too() {
    let panicked = std::panic::catch_unwind(|| USER.sync_scope("inside", || panic!("in scope")));
    assert!(panicked.is_err());
    assert_eq!(USER.get(), None);
}

#[test]
fn callbacks_see_the_context_they_were_registered_in_and_leave_nothing_behind() {
    virtual_run(async || {
        let seen: Rc<RefCell<Vec<_>>> = Rc::default();
        let work = spawn(async {});
        let note = |seen: &Rc<RefCell<Vec<_>>>| {
            let seen = Rc::clone(seen);
            move || {
                seen.borrow_mut().push(USER.get());
                USER.set("from a callback");
            }
        };
        call_soon(note(&seen));
        call_soon(note(&seen));
        USER.set("registrar");
        call_soon(note(&seen));
        let noted = note(&seen);
        work.add_done_callback(move |_| noted());
        USER.set("later");
        let child = USER.sync_scope("child", || spawn(async { USER.get() }));
        yield_now().await;
        yield_now().await;
        assert_eq!(*seen.borrow(), [None, None, Some("registrar"), Some("registrar")]);
        assert_eq!((USER.get(), child.await?), (Some("later"), Some("child")));
        USER.clear();
        assert_eq!(spawn(async { USER.get() }).await?, None);
        Ok(())
    });
}

#[test]
fn t42_a_task_can_be_given_another_context() {
    virtual_run(async || {
        USER.set("before");
        let before = LocalContext::current();
        USER.set("after");
        let given = task().name("given").context(before.clone()).create(async {
            let user = USER.get();
            USER.set("own");
            Ok(user)
        });
        let bare = task().context(LocalContext::default()).spawn(async { USER.get() });
        let heir = task().spawn(async { USER.get() });
        assert_eq!(given.name(), "given");
        assert_eq!((given.await?, bare.await?, heir.await?), (Some("before"), None, Some("after")));
        assert_eq!(before.enter(|| USER.get()), Some("before"), "a snapshot does not change");
        Ok(())
    });
    assert!(task().try_create(async { Ok(()) }).unwrap_err().is_runtime());
}

#[test]
fn t168_sendable_keys_are_seen_in_threads_as_copies() {
    virtual_run(async || {
        USER.set("stays here");
        REQUEST.set(7);
        let there = to_thread(|| {
            let seen = (USER.get(), REQUEST.get());
            REQUEST.set(8);
            Ok(seen)
        });
        assert_eq!(there.await?, (None, Some(7)));
        assert_eq!(REQUEST.get(), Some(7));
        REQUEST.clear();
        assert_eq!(to_thread(|| Ok(REQUEST.get())).await?, None, "the thread kept nothing");
        Ok(())
    });
}

#[test]
fn t168_a_task_made_from_another_thread_begins_with_that_threads_values() {
    let mut runner = Runner::new();
    let remote = runner.remote().unwrap();
    #[expect(clippy::disallowed_methods, reason = "another thread is the subject")]
    let client = std::thread::spawn(move || {
        REQUEST.set(41);
        let task = corelane::run_coroutine_threadsafe(&remote, || {
            let made_with = REQUEST.get();
            async move {
                yield_now().await;
                Ok((made_with, REQUEST.get()))
            }
        });
        let seen = task.result(Duration::from_secs(10)).unwrap();
        remote.submit(|| ()).unwrap();
        seen
    });
    let client = Rc::new(Cell::new(Some(client)));
    let seen = runner
        .run(async move || {
            let client = client.take().unwrap();
            let seen = to_thread(move || Ok(client.join().unwrap())).await?;
            assert_eq!(REQUEST.get(), None);
            Ok(seen)
        })
        .unwrap();
    assert_eq!(seen, (Some(41), Some(41)));
}

#[test]
fn what_is_set_outside_of_tasks_is_no_tasks_and_guards_of_a_closed_loop_see_their_own() {
    let seen: Rc<RefCell<Vec<_>>> = Rc::default();
    let notes = Notes(Rc::clone(&seen));
    let config = LoopConfig { driver: DriverKind::VirtualClock, ..LoopConfig::default() };
    let mut event_loop = EventLoop::new(&config).unwrap();
    let plain = event_loop.create_task(async { Ok(USER.get()) }).unwrap();
    let heir = event_loop
        .enter(|| {
            USER.set("set-up");
            spawn(async move {
                let _notes = notes;
                pending::<()>().await;
            })
        })
        .unwrap();
    event_loop.turn(false).unwrap();
    assert_eq!(plain.result().unwrap(), None);
    event_loop.close();
    assert!(heir.cancelled());
    assert_eq!((&*seen.borrow(), USER.get()), (&vec![Some("set-up")], None));
}
