use std::future::poll_fn;
use std::pin::Pin;

use futures_core::stream::{FusedStream, Stream};

use super::super::super::support::{Waiting, at_once};
use super::super::*;
use super::holding;

/// The next item, as a future.
async fn next<D: Discipline<i32>>(stream: &mut QueueStream<i32, D>) -> Option<i32> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

#[test]
fn a_stream_gives_what_is_there_and_ends_with_the_shutdown() {
    let queue = holding(2, [1, 2]);
    let mut stream = queue.stream();
    let putter = Waiting::new(queue.put(3));
    assert_eq!(at_once(next(&mut stream)), Some(1));
    assert!(putter.woken());
    putter.ready().expect("there is room");
    queue.shutdown(false);
    assert!(!stream.is_terminated());
    assert_eq!((at_once(next(&mut stream)), at_once(next(&mut stream))), (Some(2), Some(3)));
    assert!(stream.is_terminated() && stream.size_hint() == (0, Some(0)));
    assert_eq!((at_once(next(&mut stream)), at_once(next(&mut stream))), (None, None));
}

#[test]
fn a_waiting_stream_is_woken_by_a_put_and_by_the_shutdown() {
    let queue = PriorityQueue::new(0);
    let mut stream = queue.stream();
    let mut waiting = Waiting::new(next(&mut stream));
    queue.put_nowait(1).expect("there is room");
    assert_eq!((waiting.wakes(), waiting.poll()), (1, std::task::Poll::Ready(Some(1))));
    drop(waiting);
    let waiting = Waiting::new(next(&mut stream));
    queue.shutdown(false);
    assert_eq!((waiting.wakes(), waiting.ready()), (1, None));
}

#[test]
fn q20_a_woken_stream_that_is_dropped_wakes_the_next_getter() {
    let queue = Queue::new(0);
    let mut stream = queue.stream();
    drop(Waiting::new(next(&mut stream)));
    let getter = Waiting::new(queue.get());
    queue.put_nowait(1).expect("there is room");
    assert!(!getter.woken(), "the stream is still in line");
    drop(stream);
    assert_eq!((getter.wakes(), getter.ready()), (1, Ok(1)));
}

#[test]
fn q22_a_stream_that_is_dropped_while_it_waits_leaves_nothing() {
    let queue = Queue::new(0);
    let mut stream = queue.stream();
    drop(Waiting::new(next(&mut stream)));
    assert!(format!("{stream:?}").contains("getters: 1"));
    drop(stream);
    queue.put_nowait(1).expect("there is room");
    assert!(format!("{queue:?}").contains("getters: 0"));
}
