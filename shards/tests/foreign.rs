//! Foreign code in the middle of a call: wakers, guards and payloads that call back or panic.

mod support;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use corelane::{ReportKind, Result, set_report_handler, yield_now};
use corelane_shards::{CallError, Invoke, Shard};
use support::{FAR, everywhere, shards};

/// Polls a call that is not ready once, with `waker`.
fn leave_waker<T: 'static>(call: &mut Invoke<T>, waker: &Waker) {
    assert!(Pin::new(call).poll(&mut Context::from_waker(waker)).is_pending());
}

/// What this shard's loop reports from now on.
fn reports() -> Rc<RefCell<Vec<String>>> {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let handed_out = Rc::clone(&reports);
    set_report_handler(move |report| {
        assert_eq!(report.kind, ReportKind::Callback);
        let message = report.error.as_ref().and_then(|error| error.panic_message());
        reports.borrow_mut().push(message.unwrap_or_default().to_owned());
    });
    handed_out
}

/// A waker that makes a call when it is dropped.
struct CallsOnDrop;

impl Wake for CallsOnDrop {
    fn wake(self: Arc<Self>) {}
}

impl Drop for CallsOnDrop {
    fn drop(&mut self) {
        if let Some(shard) = Shard::current() {
            drop(shard.invoke(FAR, || ()));
        }
    }
}

#[test]
fn a_waker_that_calls_when_it_is_replaced_finds_nothing_borrowed() {
    everywhere(shards(2), async |shard| {
        let mut call = shard.invoke(FAR, || 3);
        leave_waker(&mut call, &Waker::from(Arc::new(CallsOnDrop)));
        assert_eq!(call.await?, 3);
        Ok(())
    });
}

#[test]
fn a_waker_that_calls_when_its_call_is_given_up_finds_nothing_borrowed() {
    everywhere(shards(2), async |shard| {
        let mut call = shard.invoke(FAR, || ());
        leave_waker(&mut call, &Waker::from(Arc::new(CallsOnDrop)));
        drop(call);
        assert_eq!(shard.invoke(FAR, || 4).await?, 4);
        Ok(())
    });
}

/// Polls the watch of the end when it is dropped.
struct WatchesOnDrop;

impl Wake for WatchesOnDrop {
    fn wake(self: Arc<Self>) {}
}

impl Drop for WatchesOnDrop {
    fn drop(&mut self) {
        if let Some(shard) = Shard::current() {
            let mut requested = Box::pin(shard.shutdown().requested());
            let _ = requested.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

#[test]
fn a_waker_of_the_end_that_watches_when_it_is_replaced_finds_nothing_borrowed() {
    everywhere(shards(2), async |shard| {
        let mut requested = Box::pin(shard.shutdown().requested());
        let foreign = Waker::from(Arc::new(WatchesOnDrop));
        assert!(requested.as_mut().poll(&mut Context::from_waker(&foreign)).is_pending());
        drop(foreign);
        assert!(requested.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        Ok(())
    });
}

/// Its wake panics.
struct WakePanics;

impl Wake for WakePanics {
    fn wake(self: Arc<Self>) {
        panic!("this waker panics");
    }
}

#[test]
fn a_waker_that_panics_is_reported_and_the_messages_behind_it_are_read() {
    everywhere(shards(2), async |shard| {
        let reports = reports();
        let mut first = shard.invoke(FAR, || 1);
        let behind: Vec<_> = (0..9).map(|n| shard.invoke(FAR, move || n)).collect();
        leave_waker(&mut first, &Waker::from(Arc::new(WakePanics)));
        for (n, call) in behind.into_iter().enumerate() {
            assert_eq!(call.await?, n);
        }
        assert_eq!(first.await?, 1);
        yield_now().await;
        assert_eq!(*reports.borrow(), ["this waker panics"]);
        Ok(())
    });
}

#[test]
fn a_waker_of_the_end_that_panics_keeps_nobody_from_hearing_of_it() {
    everywhere(shards(2), async |shard| {
        let reports = reports();
        let mut foreign = Box::pin(shard.shutdown().requested());
        let waker = Waker::from(Arc::new(WakePanics));
        assert!(foreign.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        shard.shutdown().request();
        shard.shutdown().requested().await;
        yield_now().await;
        assert_eq!(*reports.borrow(), ["this waker panics"]);
        Ok(())
    });
}

/// Panics when it is dropped.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("this guard panics");
        }
    }
}

/// Ready at once; panics when it is dropped.
struct ReadyGuard(Guard);

impl Future for ReadyGuard {
    type Output = Result<u32>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<u32>> {
        let Self(Guard) = *self;
        Poll::Ready(Ok(1))
    }
}

#[test]
fn a_future_that_panics_when_it_is_dropped_over_there_has_panicked() {
    everywhere(shards(2), async |shard| {
        for to in [FAR, shard.id()] {
            let error = shard.call(to, || ReadyGuard(Guard)).await.unwrap_err();
            let expected = CallError::Panicked("this guard panics".to_owned());
            assert_eq!(error.downcast_ref(), Some(&expected));
        }
        Ok(())
    });
}

/// Panics when it is polled, and again when it is dropped.
struct PollAndDropPanic(Guard);

impl Future for PollAndDropPanic {
    type Output = Result<u32>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<u32>> {
        let Self(Guard) = *self;
        panic!("this poll panics");
    }
}

#[test]
fn a_future_that_panics_in_its_poll_and_in_its_drop_has_panicked_in_its_poll() {
    everywhere(shards(2), async |shard| {
        let reports = reports();
        for to in [FAR, shard.id()] {
            let error = shard.call(to, || PollAndDropPanic(Guard)).await.unwrap_err();
            let expected = CallError::Panicked("this poll panics".to_owned());
            assert_eq!(error.downcast_ref(), Some(&expected));
        }
        yield_now().await;
        assert_eq!(*reports.borrow(), ["this guard panics"], "of the call to the own shard");
        Ok(())
    });
}

#[test]
fn a_panic_whose_payload_panics_is_answered() {
    everywhere(shards(2), async |shard| {
        let reports = reports();
        for to in [FAR, shard.id()] {
            let thrown = shard.invoke(to, || std::panic::panic_any(Guard)).await;
            let error: corelane::Error = thrown.unwrap_err();
            assert!(matches!(error.downcast_ref(), Some(CallError::Panicked(_))), "{error}");
        }
        yield_now().await;
        assert_eq!(*reports.borrow(), ["this guard panics"], "of the call to the own shard");
        Ok(())
    });
}

#[test]
fn closures_that_panic_when_they_are_dropped_unread_are_reported_one_by_one() {
    everywhere(shards(2), async |shard| {
        let reports = reports();
        // Given up while they wait for a permit, so that they never leave.
        let flying: Vec<_> = (0..1024).map(|_| shard.invoke(FAR, || ())).collect();
        for _ in 0..2 {
            let guard = Guard;
            drop(shard.invoke(FAR, move || drop(guard)));
        }
        drop(flying);
        yield_now().await;
        assert_eq!(*reports.borrow(), ["this guard panics"; 2]);
        Ok(())
    });
}
