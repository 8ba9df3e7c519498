use std::cell::Cell;
use std::future::{pending, ready};
use std::rc::Rc;
use std::task::Waker;

use super::*;

struct Counts(Rc<Cell<u32>>);

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn cell<T: 'static>(
    pool: &mut CellPool,
    future: impl Future<Output = Result<T>> + 'static,
) -> TaskCell {
    TaskCell::new(pool, future, TaskId(1), Location::caller())
}

fn poll(cell: &mut TaskCell) -> Poll<Ended> {
    cell.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_future_is_dropped_before_its_output_is_seen_and_each_once() {
    let mut pool = CellPool::new();
    let drops = Rc::new(Cell::new(0));
    let guard = Counts(Rc::clone(&drops));
    let output = Counts(Rc::clone(&drops));
    let mut cell = cell(&mut pool, async move {
        let _guard = guard;
        Ok(output)
    });
    assert_eq!(poll(&mut cell), Poll::Ready(Ended::Value));
    assert_eq!(drops.get(), 1);
    let output = cell.output::<Counts>().and_then(Option::take).unwrap();
    drop(output);
    assert_eq!(drops.get(), 2);
    drop(cell);
    assert_eq!(drops.get(), 2);
}

#[test]
fn an_output_is_given_out_only_as_the_type_that_it_has() {
    let mut pool = CellPool::new();
    let mut cell = cell(&mut pool, ready(Ok(7_u32)));
    assert!(cell.output::<u32>().is_none(), "there is a future yet");
    assert_eq!(poll(&mut cell), Poll::Ready(Ended::Value));
    assert!(cell.output::<i32>().is_none());
    assert!(matches!(cell.output::<u32>(), Some(Some(Ok(7)))));
}

#[test]
fn a_panic_is_the_output() {
    let mut pool = CellPool::new();
    let mut cell = cell(&mut pool, async { if true { panic!("boom") } else { Ok(()) } });
    assert_eq!(poll(&mut cell), Poll::Ready(Ended::Error));
    assert_eq!(cell.error().unwrap().panic_message(), Some("boom"));
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("in drop");
    }
}

#[test]
fn g10_a_guard_that_panics_is_the_tasks_error_unless_it_has_one() {
    let mut pool = CellPool::new();
    let mut cancelled = cell(&mut pool, async {
        let _guard = PanicsInDrop;
        pending::<Result<()>>().await
    });
    assert!(poll(&mut cancelled).is_pending());
    cancelled.finish(Error::cancelled());
    assert_eq!(cancelled.error().unwrap().panic_message(), Some("in drop"));

    let mut failed = cell(&mut pool, async {
        let _guard = PanicsInDrop;
        pending::<Result<()>>().await
    });
    assert!(poll(&mut failed).is_pending());
    failed.finish(Error::runtime("first"));
    assert!(failed.error().unwrap().is_runtime());
}

#[test]
fn memory_of_a_finished_task_serves_the_next_of_its_size() {
    let mut pool = CellPool::new();
    let mut first = cell(&mut pool, ready(Ok(1_u64)));
    let address = first.header.addr();
    first.clear();
    pool.put(first);
    let second = cell(&mut pool, ready(Ok(2_u64)));
    assert_eq!(second.header.addr(), address);
    let third = cell(&mut pool, ready(Ok([0_u8; 600])));
    assert_ne!(third.header.addr(), address);
}

#[test]
fn a_class_keeps_no_more_than_its_share() {
    let mut pool = CellPool::new();
    let cells: Vec<_> = (0..10_000_u64).map(|n| cell(&mut pool, ready(Ok(n)))).collect();
    for mut cell in cells {
        cell.clear();
        pool.put(cell);
    }
    let kept: usize = pool.classes.iter().map(Vec::len).sum();
    assert!(kept > 1_000 && kept * CLASS_BYTES <= CLASS_KEPT_BYTES);
}

#[test]
fn an_aligned_or_large_future_goes_back_to_the_allocator() {
    #[repr(align(64))]
    struct Aligned(u8);
    let mut pool = CellPool::new();
    let mut aligned = cell(&mut pool, async {
        let value = Aligned(7);
        std::future::ready(()).await;
        let address = std::ptr::from_ref(&value).addr();
        assert_eq!(address % 64, 0);
        Ok(value.0)
    });
    assert_eq!(poll(&mut aligned), Poll::Ready(Ended::Value));
    let mut large = cell(&mut pool, ready(Ok([1_u8; 5_000])));
    assert_eq!(poll(&mut large), Poll::Ready(Ended::Value));
    for mut cell in [aligned, large] {
        cell.clear();
        pool.put(cell);
    }
    assert!(pool.classes.iter().all(Vec::is_empty));
}

#[test]
fn an_idle_task_costs_little_beside_its_future() {
    // Header and stage; the slot of the table adds 16 bytes.
    assert!(size_of::<Full<std::future::Ready<Result<u64>>, u64>>() <= 64);
    assert_eq!(size_of::<Header>(), 40);
}
