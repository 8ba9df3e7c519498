//! Locks, events and queues in the runtime's own loop: what needs its cancellation and its order.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use corelane::sync::{
    Barrier, Condition, ConditionWait, Event, EventWait, Gate, GateGuard, Lock, LockAcquire,
    LockGuard, OnceCell, Permit, Queue, QueueEmpty, QueueFull, QueueGet, QueueShutDown,
    QueueStream, RwLock, Semaphore, SemaphoreAcquire, TryGetError, TryPutError, broadcast, oneshot,
    watch,
};
use corelane::{Result, Runner, Task, create_task, spawn, wait_for, yield_now};

fn on_a_loop(main: impl AsyncFnOnce() -> Result<()> + 'static) {
    Runner::builder().virtual_clock().build().run(main).expect("the scenario does not fail");
}

/// Long enough for everything that can run without an event from outside.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

/// What the tasks of a scenario said, in order.
#[derive(Clone, Default)]
struct Said(Rc<RefCell<Vec<String>>>);

impl Said {
    fn say(&self, what: impl ToString) {
        self.0.borrow_mut().push(what.to_string());
    }

    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

fn getter(queue: &Queue<&'static str>, said: &Said, name: &'static str) -> Task<()> {
    let (queue, said) = (queue.clone(), said.clone());
    create_task(async move {
        said.say(format!("{name} got {}", queue.get().await?));
        Ok(())
    })
}

fn putter(queue: &Queue<&'static str>, item: &'static str) -> Task<()> {
    let queue = queue.clone();
    create_task(async move { Ok(queue.put(item).await?) })
}

#[test]
fn l9_a_cancel_and_a_release_in_one_step_give_the_lock_to_exactly_one_later_waiter() {
    type Step = fn(&[Task<()>; 3], LockGuard<'_>);
    let release_then_cancel: Step = |[a, ..], guard| {
        drop(guard);
        a.cancel();
    };
    let cancel_then_release: Step = |[a, ..], guard| {
        a.cancel();
        drop(guard);
    };
    let cancel_second: Step = |[_, b, _], guard| {
        drop(guard);
        b.cancel();
    };
    let cancel_both: Step = |[a, b, _], guard| {
        drop(guard);
        a.cancel();
        b.cancel();
    };
    let steps: [(Step, &[&str]); 4] = [
        (release_then_cancel, &["b", "c"]),
        (cancel_then_release, &["b", "c"]),
        (cancel_second, &["a", "c"]),
        (cancel_both, &["c"]),
    ];
    for (step, expected) in steps {
        on_a_loop(async move || {
            let (lock, said) = (Lock::new(()), Said::default());
            let guard = lock.acquire().await;
            let workers = ["a", "b", "c"].map(|name| {
                let (lock, said) = (lock.clone(), said.clone());
                spawn(async move {
                    let _guard = lock.acquire().await;
                    said.say(name);
                })
            });
            settle().await;
            step(&workers, guard);
            settle().await;
            assert_eq!(said.take(), expected);
            assert!(!lock.locked() && workers.iter().all(Task::done));
            Ok(())
        });
    }
}

#[test]
fn l3_a_cancelled_waiter_does_not_bar_a_newcomer_in_the_same_step() {
    on_a_loop(async || {
        let lock = Lock::new(());
        let guard = lock.acquire().await;
        let waits = lock.clone();
        let waiter = spawn(async move { drop(waits.acquire().await) });
        settle().await;
        waiter.cancel();
        drop(guard);
        assert!(lock.try_acquire().is_some(), "the waiter has not even run yet");
        settle().await;
        assert!(waiter.cancelled() && !lock.locked());
        Ok(())
    });
}

#[test]
fn q20_a_getter_cancelled_around_its_wake_up_loses_and_reorders_nothing() {
    on_a_loop(async || {
        let (queue, said) = (Queue::new(0), Said::default());
        let first = getter(&queue, &said, "g1");
        let _second = getter(&queue, &said, "g2");
        settle().await;
        queue.put_nowait("item")?;
        first.cancel();
        settle().await;
        assert_eq!(said.take(), ["g2 got item"]);

        let third = getter(&queue, &said, "g3");
        let _fourth = getter(&queue, &said, "g4");
        settle().await;
        third.cancel();
        queue.put_nowait("item 2")?;
        settle().await;
        assert_eq!(said.take(), ["g4 got item 2"]);

        let fifth = getter(&queue, &said, "g5");
        settle().await;
        queue.put_nowait("kept")?;
        fifth.cancel();
        settle().await;
        assert!(fifth.cancelled() && said.take().is_empty());
        assert_eq!((queue.qsize(), queue.get_nowait()), (1, Ok("kept")));
        Ok(())
    });
}

#[test]
fn q21_a_putter_cancelled_around_its_wake_up_stores_nothing_and_passes_the_room_on() {
    on_a_loop(async || {
        let queue = Queue::new(1);
        queue.put_nowait("0")?;
        let waiting = ["1", "2"].map(|item| putter(&queue, item));
        settle().await;
        waiting[0].cancel();
        settle().await;
        assert_eq!(queue.get_nowait(), Ok("0"));
        settle().await;
        let woken = ["3", "4"].map(|item| putter(&queue, item));
        settle().await;
        assert_eq!(queue.get_nowait(), Ok("2"));
        woken[0].cancel();
        settle().await;
        assert_eq!((queue.get_nowait(), queue.qsize()), (Ok("4"), 0));
        assert!(waiting[0].cancelled() && woken[0].cancelled());
        Ok(())
    });
}

#[test]
fn q23_a_get_that_timed_out_swallows_nothing() {
    on_a_loop(async || {
        let queue = Queue::new(0);
        for _ in 0..3 {
            let timed_out = wait_for(queue.get(), Duration::from_millis(1)).await;
            assert!(timed_out.is_err_and(|error| error.is_timeout()));
        }
        queue.put_nowait("not swallowed")?;
        assert_eq!(wait_for(queue.get(), Duration::from_millis(1)).await?, "not swallowed");
        Ok(())
    });
}

/// Blocks a task on something, triggers it, and tells how many turns the task takes to go on.
async fn hops(waits: impl Future<Output = ()> + 'static, trigger: impl FnOnce()) -> usize {
    let task = spawn(waits);
    settle().await;
    assert!(!task.done());
    trigger();
    let mut hops = 0;
    while !task.done() {
        yield_now().await;
        hops += 1;
    }
    hops
}

#[test]
fn l7_q7_every_direct_wait_takes_one_hop() {
    on_a_loop(async || {
        let event = Event::new();
        let waits = event.clone();
        assert_eq!(hops(async move { waits.wait().await }, || event.set()).await, 1);

        let lock = Lock::new(());
        let (guard, waits) = (lock.acquire().await, lock.clone());
        assert_eq!(hops(async move { drop(waits.acquire().await) }, || drop(guard)).await, 1);

        let queue = Queue::new(1);
        let waits = queue.clone();
        let get = async move { assert_eq!(waits.get().await, Ok(1)) };
        assert_eq!(hops(get, || assert!(queue.put_nowait(1).is_ok())).await, 1);
        queue.put_nowait(2)?;
        let waits = queue.clone();
        let put = async move { assert!(waits.put(3).await.is_ok()) };
        assert_eq!(hops(put, || assert!(queue.get_nowait().is_ok())).await, 1);

        let semaphore = Semaphore::new(0);
        let waits = semaphore.clone();
        let acquire = async move { assert!(waits.acquire().await.is_ok()) };
        assert_eq!(hops(acquire, || semaphore.release()).await, 1);

        let condition = Condition::new(());
        let waits = condition.clone();
        let wait = async move {
            let guard = waits.lock().await;
            drop(waits.wait(guard).await);
        };
        let guard_holder = condition.clone();
        let notify = move || {
            let guard = guard_holder.try_lock().expect("the waiter has released it");
            guard_holder.notify(&guard, 1);
        };
        assert_eq!(hops(wait, notify).await, 1);

        queue.task_done()?;
        queue.task_done()?;
        let waits = queue.clone();
        assert_eq!(
            hops(async move { waits.join().await }, || assert!(queue.task_done().is_ok())).await,
            1
        );
        Ok(())
    });
}

#[test]
fn g4_what_is_there_takes_no_hop() {
    on_a_loop(async || {
        let said = Said::default();
        let other = said.clone();
        let _other = spawn(async move { other.say("another task ran") });
        let (lock, event, queue) = (Lock::new(()), Event::new(), Queue::new(1));
        drop(lock.acquire().await);
        event.set();
        event.wait().await;
        queue.put(1).await?;
        queue.get().await?;
        queue.task_done()?;
        queue.join().await;
        assert!(said.take().is_empty());
        Ok(())
    });
}

#[test]
fn e9_refusals_are_value_and_runtime_errors() {
    on_a_loop(async || {
        let queue = Queue::<u8>::new(0);
        assert!(corelane::Error::from(queue.task_done().expect_err("nothing was put")).is_value());
        let lock = Lock::new(());
        assert!(corelane::Error::from(lock.release_raw().expect_err("it is free")).is_runtime());
        Ok(())
    });
}

#[test]
fn e7_a_queue_says_why_and_gives_the_item_back() {
    let queue = Queue::new(1);
    assert_eq!(queue.get_nowait(), Err(TryGetError::Empty(QueueEmpty)));
    queue.put_nowait(1).expect("there is room");
    assert_eq!(queue.put_nowait(2), Err(TryPutError::Full(QueueFull(2))));
    queue.shutdown(true);
    assert_eq!(queue.put_nowait(3), Err(TryPutError::ShutDown(QueueShutDown(3))));
    assert_eq!(queue.get_nowait(), Err(TryGetError::ShutDown(QueueShutDown(()))));
    let error = corelane::Error::from(QueueShutDown(()));
    assert!(error.downcast_ref::<QueueShutDown>().is_some() && !error.is_cancelled());
}

/// Does not compile if one of the types may go to another thread: then two implementations fit.
macro_rules! assert_not_send {
    ($($type:ty),+ $(,)?) => {
        $(const _: fn() = || {
            trait Ambiguous<Why> {
                fn check() {}
            }
            struct IsSend;
            impl<T: ?Sized> Ambiguous<()> for T {}
            impl<T: ?Sized + Send> Ambiguous<IsSend> for T {}
            let _ = <$type as Ambiguous<_>>::check;
        };)+
    };
}

assert_not_send!(
    Barrier,
    Condition,
    ConditionWait<'static>,
    Event,
    EventWait<'static>,
    Gate,
    GateGuard,
    Lock,
    LockAcquire<'static>,
    LockGuard<'static>,
    OnceCell<u8>,
    Permit,
    Queue<u8>,
    QueueGet<'static, u8>,
    QueueStream<u8>,
    RwLock<u8>,
    Semaphore,
    SemaphoreAcquire<'static>,
    broadcast::Receiver<u8>,
    broadcast::Sender<u8>,
    oneshot::Receiver<u8>,
    oneshot::Sender<u8>,
    watch::Receiver<u8>,
    watch::Sender<u8>,
);
