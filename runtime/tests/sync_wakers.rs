//! Wakers of another executor may run any code when they are cloned and dropped (rule G31): it may use what is being
//! waited for, and it may bring about what is waited for.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod meddling;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use corelane::StreamReader;
use corelane::sync::{
    Barrier, Condition, Event, Gate, Lock, LockGuard, OnceCell, Queue, RwLock, Semaphore,
    broadcast, oneshot, watch,
};
use futures_util::StreamExt;
use meddling::{Call, Case, Meddler};

type Make = fn() -> Case;

/// Every wait that is a place in a line.
const CASES: &[(&str, Make)] = &[
    ("Event::wait", event),
    ("Lock::acquire", lock),
    ("RwLock::read", || rwlock(false)),
    ("RwLock::write", || rwlock(true)),
    ("Condition::wait", condition),
    ("Semaphore::acquire", semaphore),
    ("Semaphore::acquire of one that is closed", closed_semaphore),
    ("Barrier::wait, which is aborted", aborted_barrier),
    ("Barrier::wait, in which the other one comes", met_barrier),
    ("Queue::get", queue_get),
    ("Queue::get, which is shut down", queue_get_shut_down),
    ("Queue::put", queue_put),
    ("Queue::join", queue_join),
    ("Queue::stream", queue_stream),
    ("Gate::wait_closed", gate),
    ("OnceCell::wait", once_cell),
    ("oneshot::Receiver", oneshot_receiver),
    ("oneshot::Sender::closed", oneshot_closed),
    ("broadcast::Receiver::recv", broadcast_receiver),
    ("watch::Receiver::changed", watch_receiver),
    ("StreamFeed", fed_reader),
];

fn event() -> Case {
    let event = Event::new();
    let [waited, touched] = [event.clone(), event.clone()];
    Case::new(
        async move { waited.wait().await },
        move || drop(format!("{touched:?}")),
        move || event.set(),
    )
}

fn lock() -> Case {
    let lock = Lock::new(());
    LockGuard::forget(lock.try_acquire().unwrap());
    let [waited, touched] = [lock.clone(), lock.clone()];
    Case::new(
        async move { drop(waited.acquire().await) },
        move || {
            // A newcomer gets it only if it is free, and gives it back.
            drop(touched.try_acquire());
            drop(format!("{touched:?}"));
        },
        move || lock.release_raw().unwrap(),
    )
}

fn rwlock(writes: bool) -> Case {
    // Leaked guards would borrow the lock: the holder is a future that is kept.
    let lock = RwLock::new(());
    let held = lock.clone();
    let mut holding: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
        let _guard = held.write().await;
        std::future::pending::<()>().await;
    });
    assert!(holding.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let holder = RefCell::new(Some(holding));
    let [waited, touched] = [lock.clone(), lock];
    Case::new(
        async move { if writes { drop(waited.write().await) } else { drop(waited.read().await) } },
        move || drop((touched.try_read().is_some(), format!("{touched:?}"))),
        move || drop(holder.take()),
    )
}

fn condition() -> Case {
    let condition = Condition::new(());
    let [waited, touched] = [condition.clone(), condition.clone()];
    Case::if_possible(
        async move {
            let guard = waited.lock().await;
            drop(waited.wait(guard).await);
        },
        move || drop(format!("{touched:?}")),
        move || {
            let Some(guard) = condition.try_lock() else { return false };
            condition.notify_all(&guard);
            true
        },
    )
}

fn semaphore() -> Case {
    let semaphore = Semaphore::new(1);
    let [waited, touched] = [semaphore.clone(), semaphore.clone()];
    Case::new(
        async move { drop(waited.acquire_many(2).await) },
        move || drop((touched.try_acquire(), touched.locked(), format!("{touched:?}"))),
        move || semaphore.release(),
    )
}

fn closed_semaphore() -> Case {
    let semaphore = Semaphore::new(0);
    let [waited, touched] = [semaphore.clone(), semaphore.clone()];
    Case::new(
        async move { drop(waited.acquire().await) },
        move || drop(format!("{touched:?}")),
        move || semaphore.close(),
    )
}

fn aborted_barrier() -> Case {
    let barrier = Barrier::new(2).unwrap();
    let [waited, touched] = [barrier.clone(), barrier.clone()];
    Case::new(
        async move { assert!(waited.wait().await.is_err()) },
        move || drop((touched.n_waiting(), format!("{touched:?}"))),
        move || barrier.abort(),
    )
}

fn met_barrier() -> Case {
    let barrier = Barrier::new(2).unwrap();
    let [waited, touched] = [barrier.clone(), barrier.clone()];
    let other: Pin<Box<dyn Future<Output = ()>>> =
        Box::pin(async move { assert!(barrier.wait().await.is_ok()) });
    let other = RefCell::new(other);
    Case::new(
        async move { assert!(waited.wait().await.is_ok()) },
        move || drop((touched.n_waiting(), format!("{touched:?}"))),
        // Whoever comes first waits for the other one, who is kept.
        move || {
            let mut other = other.borrow_mut();
            let _ = other.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        },
    )
}

fn queue_get() -> Case {
    let queue = Queue::new(1);
    let [waited, touched] = [queue.clone(), queue.clone()];
    Case::new(
        async move { assert_eq!(waited.get().await, Ok(1)) },
        move || drop((touched.get_nowait(), format!("{touched:?}"))),
        move || queue.put_nowait(1).unwrap(),
    )
}

fn queue_get_shut_down() -> Case {
    let queue = Queue::<u8>::new(1);
    let [waited, touched] = [queue.clone(), queue.clone()];
    Case::new(
        async move { assert!(waited.get().await.is_err()) },
        move || drop((touched.get_nowait(), format!("{touched:?}"))),
        move || queue.shutdown(false),
    )
}

fn queue_put() -> Case {
    let queue = Queue::new(1);
    queue.put_nowait(0).unwrap();
    let [waited, touched] = [queue.clone(), queue.clone()];
    Case::new(
        async move { waited.put(1).await.unwrap() },
        move || drop((touched.put_nowait(2), format!("{touched:?}"))),
        move || assert!(queue.get_nowait().is_ok()),
    )
}

fn queue_join() -> Case {
    let queue = Queue::new(0);
    queue.put_nowait(1).unwrap();
    let [waited, touched] = [queue.clone(), queue.clone()];
    Case::new(
        async move { waited.join().await },
        move || drop(format!("{touched:?}")),
        move || queue.task_done().unwrap(),
    )
}

fn queue_stream() -> Case {
    let queue = Queue::new(0);
    let (mut waited, touched) = (queue.stream(), queue.clone());
    Case::new(
        async move { assert_eq!(waited.next().await, Some(1)) },
        move || drop(format!("{touched:?}")),
        move || queue.put_nowait(1).unwrap(),
    )
}

fn gate() -> Case {
    let gate = Gate::new();
    let [waited, touched] = [gate.clone(), gate.clone()];
    Case::new(
        async move { waited.wait_closed().await },
        move || drop((touched.enter(), format!("{touched:?}"))),
        move || gate.close(),
    )
}

fn once_cell() -> Case {
    let cell = OnceCell::new();
    let [waited, touched] = [cell.clone(), cell.clone()];
    Case::new(
        async move { assert_eq!(*waited.wait().await, 1) },
        move || drop(format!("{touched:?}")),
        move || cell.set(1).unwrap(),
    )
}

fn oneshot_receiver() -> Case {
    let (sender, receiver) = oneshot::channel();
    let sender = Rc::new(Cell::new(Some(sender)));
    let touched = Rc::clone(&sender);
    Case::new(
        async move { assert_eq!(receiver.await, Ok(1)) },
        move || {
            let sender = touched.take();
            drop(format!("{sender:?}"));
            touched.set(sender);
        },
        move || sender.take().unwrap().send(1).unwrap(),
    )
}

fn oneshot_closed() -> Case {
    let (sender, receiver) = oneshot::channel::<u8>();
    let receiver = Rc::new(Cell::new(Some(receiver)));
    let touched = Rc::clone(&receiver);
    Case::new(
        async move { sender.closed().await },
        move || {
            let receiver = touched.take();
            drop(format!("{receiver:?}"));
            touched.set(receiver);
        },
        move || drop(receiver.take()),
    )
}

fn broadcast_receiver() -> Case {
    let (sender, mut receiver) = broadcast::channel(2).unwrap();
    let touched = sender.clone();
    Case::new(
        async move { assert_eq!(*receiver.recv().await.unwrap(), 1) },
        move || drop((touched.subscribe(), format!("{touched:?}"))),
        move || assert!(sender.send(1).is_ok()),
    )
}

fn watch_receiver() -> Case {
    let (sender, mut receiver) = watch::channel(0);
    let touched = sender.clone();
    Case::new(
        async move { assert_eq!(*receiver.changed().await.unwrap(), 1) },
        move || drop((touched.subscribe(), format!("{touched:?}"))),
        move || sender.send(1),
    )
}

fn fed_reader() -> Case {
    let (feed, mut reader) = StreamReader::fed(64).unwrap();
    let feed = Rc::new(feed);
    let touched = Rc::clone(&feed);
    Case::new(
        async move { assert_eq!(reader.read(64).await.unwrap(), "x") },
        move || drop(format!("{touched:?}")),
        move || feed.feed_data(b"x"),
    )
}

#[test]
fn g31_the_code_of_a_waker_may_use_what_is_waited_for() {
    for (what, make) in CASES {
        println!("{what}");
        let meddler = Meddler::default();
        for is_brought in [true, false] {
            let mut case = make();
            let (touch, calls) = (Rc::clone(&case.touch), Rc::new(Cell::new(0)));
            let counted = Rc::clone(&calls);
            meddler.hook(move |_| {
                counted.set(counted.get() + 1);
                touch();
            });
            case.poll_pending(what, &meddler);
            assert_eq!(calls.replace(0), 1, "{what}: the clone of who joins");
            case.poll_pending(what, &meddler);
            assert_eq!(calls.replace(0), 2, "{what}: a clone, and the drop of the one before");
            if is_brought {
                meddler.unhook();
                assert!((case.bring)(), "{what}: it can be brought about");
                case.finish(what, &meddler);
            } else {
                // One that is given up drops its waker.
                drop(case.wait);
                assert_eq!(calls.get(), 1, "{what}: the drop of who leaves");
            }
        }
    }
}

#[test]
fn g31_what_the_code_of_a_waker_brings_about_is_not_slept_through() {
    for (what, make) in CASES {
        println!("{what}");
        // In the clone of the first poll.
        let (meddler, mut case) = (Meddler::default(), make());
        let (bring, is_brought) = (Rc::clone(&case.bring), Rc::new(Cell::new(false)));
        let noted = Rc::clone(&is_brought);
        meddler.hook_once(Call::Clone, move || noted.set(bring()));
        let (wakes, polled) = (meddler.wakes(), case.poll(&meddler));
        if polled.is_pending() {
            // A condition cannot change while the one who begins to wait for it holds its lock.
            let is_woken = meddler.wakes() > wakes;
            assert!(is_woken || !is_brought.get(), "{what}: brought about in the first clone");
            if !is_brought.get() {
                assert!((case.bring)());
            }
            case.finish(what, &meddler);
        }

        // In the clone of a later poll, and in the drop of the waker that this one replaces.
        for on in [Call::Clone, Call::Drop] {
            let (meddler, mut case) = (Meddler::default(), make());
            case.poll_pending(what, &meddler);
            let bring = Rc::clone(&case.bring);
            meddler.hook_once(on, move || assert!(bring()));
            let (wakes, polled) = (meddler.wakes(), case.poll(&meddler));
            if polled.is_pending() {
                assert!(meddler.wakes() > wakes, "{what}: brought about in a later {on:?}");
                case.finish(what, &meddler);
            }
        }
    }
}

#[test]
fn a_clone_that_panics_leaves_no_place_in_line_behind() {
    let lock = Lock::new(());
    LockGuard::forget(lock.try_acquire().unwrap());
    let meddler = Meddler::default();
    let mut first = Box::pin(lock.acquire());
    meddler.hook_once(Call::Clone, || panic!("meddling"));
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        meddler.poll(first.as_mut()).is_pending()
    }));
    assert!(polled.is_err());
    meddler.unhook();
    let mut second = Box::pin(lock.acquire());
    assert!(meddler.poll(second.as_mut()).is_pending());
    lock.release_raw().unwrap();
    assert_eq!(meddler.wakes(), 1);
    assert!(matches!(meddler.poll(second.as_mut()), Poll::Ready(_)));
}
