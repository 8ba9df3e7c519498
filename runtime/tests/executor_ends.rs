//! Loops that end while something of theirs lives on, and user code that panics in awkward places.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]
#![allow(clippy::disallowed_methods, reason = "other threads are the subject of some")]

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io::Read as _;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use corelane::lowlevel::{EventLoop, LoopConfig};
use corelane::{
    LocalContext, LocalKey, Result, Runner, Task, create_task, run_coroutine_threadsafe, sleep,
    spawn, yield_now,
};

fn event_loop() -> EventLoop {
    EventLoop::new(&LoopConfig::default()).unwrap()
}

/// Calls a closure when it is dropped.
struct Guard<F: FnMut()>(F);

impl<F: FnMut()> Drop for Guard<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("in a guard");
    }
}

/// A task that is ready once `go` says so and has been woken, and the waker it was polled with.
fn gated(event_loop: &mut EventLoop, go: &Arc<AtomicBool>) -> (Task<()>, Waker) {
    let slot: Rc<RefCell<Option<Waker>>> = Rc::default();
    let (go, seen) = (Arc::clone(go), Rc::clone(&slot));
    let task = event_loop.create_task(poll_fn(move |context| {
        if go.load(Ordering::SeqCst) {
            return Poll::Ready(Ok(()));
        }
        *seen.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }));
    let task = task.unwrap();
    event_loop.turn(false).unwrap();
    (task, slot.take().unwrap())
}

fn turns(event_loop: &mut EventLoop) {
    for _ in 0..10 {
        event_loop.turn(false).unwrap();
    }
}

#[test]
fn a_closed_loop_is_not_turned_and_takes_no_mail_of_the_next_one() {
    let mut old = event_loop();
    old.close();
    let mut new = event_loop();
    let go = Arc::new(AtomicBool::new(false));
    let (task, waker) = gated(&mut new, &go);
    go.store(true, Ordering::SeqCst);
    std::thread::spawn(move || waker.wake()).join().unwrap();
    assert!(old.turn(false).unwrap_err().is_runtime());
    assert!(old.enter(|| ()).unwrap_err().is_runtime());
    turns(&mut new);
    assert!(task.done());
}

#[test]
fn a_guard_of_a_closing_loop_wakes_a_task_of_a_loop_that_has_just_begun() {
    let mut closing = event_loop();
    let (sender, receiver) = mpsc::channel();
    let guard = Guard(move || {
        let (wakers, waker) = mpsc::channel();
        let (woken, wait) = mpsc::channel::<()>();
        let done = sender.clone();
        let go = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&go);
        let thread = std::thread::spawn(move || {
            let mut other = event_loop();
            let (task, waker) = gated(&mut other, &seen);
            wakers.send(waker).unwrap();
            wait.recv().unwrap();
            turns(&mut other);
            done.send(task.done()).unwrap();
        });
        let waker: Waker = waker.recv().unwrap();
        go.store(true, Ordering::SeqCst);
        waker.wake();
        woken.send(()).unwrap();
        thread.join().unwrap();
    });
    closing.enter(|| corelane::call_soon(move || drop(guard))).unwrap();
    closing.close();
    assert!(receiver.recv().unwrap());
}

thread_local! {
    static KEPT: RefCell<Runner> = RefCell::new(Runner::new());
}

#[test]
fn a_runner_in_a_thread_local_is_closed_when_its_thread_ends() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let thread = std::thread::spawn(move || {
        KEPT.with_borrow_mut(|runner| {
            runner.run(async move || {
                drop(spawn(async move {
                    let _guard = Guard(|| flag.store(true, Ordering::SeqCst));
                    pending::<()>().await;
                }));
                yield_now().await;
                Ok(())
            })
        })
    });
    thread.join().unwrap().unwrap();
    assert!(dropped.load(Ordering::SeqCst));
}

#[test]
fn a_connection_ends_with_its_loop_also_when_its_writer_lives_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let writer = corelane::run(async move || Ok(corelane::open_connection(addr).await?.1)).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    drop(writer);
}

#[test]
fn a_virtual_clock_does_not_spin() {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut runner = Runner::builder().virtual_clock().spin(Duration::from_micros(50)).build();
        let ran = runner.run(async || {
            sleep(Duration::from_secs(1)).await;
            Ok(())
        });
        sender.send(ran.is_ok()).unwrap();
    });
    assert_eq!(receiver.recv_timeout(Duration::from_secs(20)), Ok(true));
}

/// Wakes whoever is set later, as the wakers of combinators do.
#[derive(Default)]
struct Forward {
    to: Mutex<Option<Waker>>,
    woken: AtomicBool,
}

impl Wake for Forward {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        if let Some(waker) = self.to.lock().unwrap().take() {
            waker.wake();
        }
    }
}

#[test]
#[allow(clippy::async_yields_async, reason = "a future that moves to another task is the subject")]
fn g21_a_waiter_that_moved_to_another_task_is_not_dead_when_its_first_one_ends() {
    let ended = Runner::builder().virtual_clock().build().run(async || {
        let lock = Rc::new(corelane::sync::Lock::new(()));
        let held = lock.acquire().await;
        let forward: Arc<Forward> = Arc::default();
        let (inner, first) = (Rc::clone(&lock), Arc::clone(&forward));
        let mut wait = spawn(async move {
            let mut wait: Pin<Box<dyn Future<Output = ()>>> =
                Box::pin(async move { drop(inner.acquire().await) });
            let waker = Waker::from(first);
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            wait
        })
        .await?;
        let unrelated = spawn(pending::<()>());
        yield_now().await;
        let moved = spawn(poll_fn(move |context| {
            if forward.woken.load(Ordering::SeqCst) {
                return wait.as_mut().poll(context);
            }
            *forward.to.lock().unwrap() = Some(context.waker().clone());
            Poll::Pending
        }));
        yield_now().await;
        unrelated.cancel();
        drop(held);
        sleep(Duration::from_secs(1)).await;
        Ok(moved.done())
    });
    assert!(ended.unwrap());
}

/// Runs `main` and counts what is reported.
fn reports_of(main: impl AsyncFnOnce() -> Result<()> + 'static) -> u32 {
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    corelane::run(async move || {
        corelane::set_report_handler(move |_| counted.set(counted.get() + 1));
        main().await?;
        yield_now().await;
        yield_now().await;
        Ok(())
    })
    .unwrap();
    count.get()
}

#[test]
fn g10_an_output_that_panics_when_it_is_dropped_is_reported_once() {
    let reports = reports_of(async || {
        drop(spawn(async { PanicsInDrop }));
        Ok(())
    });
    assert_eq!(reports, 1);
}

#[test]
fn g10_a_panic_whose_payload_spawns_or_panics_stops_nothing() {
    struct SpawnsInDrop;
    impl Drop for SpawnsInDrop {
        fn drop(&mut self) {
            drop(spawn(async {}));
        }
    }
    let reports = reports_of(async || {
        let guard = Guard(|| std::panic::panic_any(SpawnsInDrop));
        drop(spawn(async move { guard }));
        corelane::call_soon(|| std::panic::panic_any(PanicsInDrop));
        Ok(())
    });
    assert_eq!(reports, 2);
}

#[test]
fn g10_a_guard_that_panics_while_a_loop_closes_is_reported_and_closing_goes_on() {
    let mut closing = event_loop();
    let remote = closing.remote();
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let (guard, last) = (PanicsInDrop, Guard(move || flag.store(true, Ordering::SeqCst)));
    closing
        .enter(|| {
            corelane::call_soon(move || drop(guard));
            corelane::call_soon(move || drop(last));
        })
        .unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| closing.close())).is_ok());
    assert!(dropped.load(Ordering::SeqCst));
    assert!(remote.submit(|| ()).is_err());
}

#[test]
fn g8_a_timer_is_not_late_by_many_long_steps() {
    let steps = corelane::run(async || {
        let timer = spawn(sleep(Duration::from_millis(1)));
        // The first turns tell the loop how long they are.
        let mut steps = 0;
        while !timer.done() {
            steps += 1;
            let until = corelane::now() + Duration::from_millis(5);
            while corelane::now() < until {
                std::hint::spin_loop();
            }
            yield_now().await;
        }
        Ok(steps)
    });
    assert!(steps.unwrap() <= 12, "a busy loop looks at the clock when its turns are long");
}

#[test]
fn t3_a_family_of_tasks_can_be_spared_when_all_are_cancelled() {
    static FAMILY: LocalKey<u8> = LocalKey::new();
    let mut event_loop = event_loop();
    let parent = async |which: u8| {
        FAMILY.set(which);
        let child = create_task(async {
            yield_now().await;
            yield_now().await;
            Ok(FAMILY.get())
        });
        child.await
    };
    let (spared, asked) = (event_loop.create_task(parent(1)), event_loop.create_task(parent(2)));
    let (spared, asked) = (spared.unwrap(), asked.unwrap());
    let plain = event_loop.create_task(pending::<Result<()>>()).unwrap();
    event_loop.turn(false).unwrap();
    let is_spared = |context: &LocalContext| context.enter(|| FAMILY.get()) == Some(1);
    let cancelled = event_loop.begin_cancel_all_but(is_spared).unwrap();
    assert_eq!(cancelled.left(), 3, "two parents and one child are asked, but for the family");
    turns(&mut event_loop);
    assert_eq!(cancelled.left(), 0);
    assert!(asked.cancelled() && plain.cancelled());
    assert_eq!(spared.result().unwrap(), Some(1));
}

#[test]
fn t176_a_letter_whose_guard_panics_keeps_no_other_from_being_dropped() {
    let mut event_loop = event_loop();
    let remote = event_loop.remote();
    let (first, last) = (PanicsInDrop, Arc::new(()));
    let held = Arc::clone(&last);
    remote.submit(move || drop(first)).unwrap();
    let task = run_coroutine_threadsafe(&remote, async || Ok(5));
    remote.submit(move || drop(held)).unwrap();
    // Nobody has turned it: all of them are still in its inbox.
    event_loop.close();
    assert!(task.done() && task.cancelled());
    assert_eq!(Arc::strong_count(&last), 1);
}
