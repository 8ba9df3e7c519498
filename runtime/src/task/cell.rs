//! **Unsafe room 2**: a task in one allocation.
//!
//! ```text
//!  TaskCell ──▶ ┌────────┬──────────┬────────┬────┬───────┬───────────────────────────┐
//!               │ vtable │ location │ joiner │ id │ links │ future │ output │ nothing │
//!               └────────┴──────────┴────────┴────┴───────┴───────────────────────────┘
//! ```
//!
//! [`TaskCell`] owns the allocation, as a `Box<dyn …>` would. It is our own because the output has to take the
//! future's place, and because cells come from free lists: a spawn that calls the allocator costs half as
//! much again. Everything outside this file is safe code: a cell is polled through `&mut`, and its output is
//! given out only as the type that it has.
#![allow(unsafe_code)] // Type-erased cells, a pinned future in place, and memory kept for reuse.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::any::TypeId;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use super::id::{TaskId, WakeId};
use crate::error::{Error, Result, drop_quietly};
use crate::util::cancel::Links;

#[cfg(test)]
mod tests;

/// Cells are handed out in steps of this many bytes, up to `CLASS_COUNT` steps; larger ones are not kept. The
/// steps begin at half of one: what glibc has room for is 8 more than a multiple of 16.
const CLASS_BYTES: usize = 16;
const CLASS_COUNT: usize = 64;
/// What one class keeps at most, so that a burst of tasks does not hold its memory for ever.
const CLASS_KEPT_BYTES: usize = 256 * 1024;
/// The class of cells that always go back to the allocator.
const NO_CLASS: usize = usize::MAX;

/// A spawned future or what became of it.
pub(crate) struct TaskCell {
    header: NonNull<Header>,
    // Futures are not `Send`, so neither is the cell.
    not_send: PhantomData<*mut ()>,
}

#[repr(C)]
struct Header {
    vtable: &'static VTable,
    location: &'static Location<'static>,
    joiner: PackedJoiner,
    id: TaskId,
    /// What cancel requests need to know.
    links: Links,
}

/// How a task's future ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Value,
    /// With an error of its own, a panic, or the error that carries cancellation.
    Error,
}

/// A [`Joiner`] in one word. Loop ids begin at one, so no number of a task is as small as a place plus one.
#[derive(Clone, Copy)]
struct PackedJoiner(u64);

impl PackedJoiner {
    const NOBODY: Self = Self(0);
}

/// Who is woken when the task ends, before everybody whom the table may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joiner {
    Nobody,
    /// A task of any loop of ours, by number: the usual case, eight bytes.
    Task(WakeId),
    /// An observer, by its place in the table of notices.
    Notice(u32),
}

#[repr(C)]
struct Full<F, T> {
    header: Header,
    stage: Stage<F, T>,
}

enum Stage<F, T> {
    Future(F),
    /// `None` once the output was taken or cleared.
    Output(Option<Result<T>>),
}

struct VTable {
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Poll<Ended>,
    finish: unsafe fn(NonNull<Header>, Error),
    clear: unsafe fn(NonNull<Header>) -> Option<Error>,
    /// The `Option<Result<T>>` in place; null while there is a future.
    output: unsafe fn(NonNull<Header>) -> *mut (),
    error: unsafe fn(NonNull<Header>) -> Option<Error>,
    output_type: fn() -> TypeId,
    drop: unsafe fn(NonNull<Header>),
    layout: Layout,
    class: usize,
}

impl TaskCell {
    /// Puts `future` into a cell of `pool`, or into a new one.
    pub(crate) fn new<F, T>(
        pool: &mut CellPool,
        future: F,
        id: TaskId,
        location: &'static Location<'static>,
    ) -> Self
    where
        F: Future<Output = Result<T>> + 'static,
        T: 'static,
    {
        let vtable = VTable::of::<F, T>();
        let memory = pool.take(vtable);
        let full = memory.cast::<Full<F, T>>();
        let joiner = PackedJoiner::NOBODY;
        let header = Header { vtable, location, joiner, id, links: Links::default() };
        // SAFETY: `memory` is ours alone and has the size and alignment of `vtable.layout`, which `VTable::of`
        // made for exactly this `Full<F, T>`, rounded up.
        unsafe { full.write(Full { header, stage: Stage::Future(future) }) };
        Self { header: full.cast(), not_send: PhantomData }
    }

    /// Polls the future. When it is ready, or panics, it is dropped and its output takes its place.
    ///
    /// # Panics
    /// If the future has ended already: the table polls only cells that are not done.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        let poll = self.head().vtable.poll;
        // SAFETY: `header` points to the `Full<F, T>` that `new` wrote with the vtable of the same types;
        // `&mut self` makes this the only access for the length of the call.
        unsafe { poll(self.header, context) }
    }

    /// Drops the future and puts `error` in its place.
    pub(crate) fn finish(&mut self, error: Error) {
        let finish = self.head().vtable.finish;
        // SAFETY: as in `poll`.
        unsafe { finish(self.header, error) }
    }

    /// Drops whatever user code is in the cell: the future or the output. A panic in there comes back.
    pub(crate) fn clear(&mut self) -> Option<Error> {
        let clear = self.head().vtable.clear;
        // SAFETY: as in `poll`.
        unsafe { clear(self.header) }
    }

    /// The output; `None` while there is a future, or if `T` is not its type. Inside is `None` once it was
    /// taken.
    pub(crate) fn output<T: 'static>(&mut self) -> Option<&mut Option<Result<T>>> {
        let vtable = self.head().vtable;
        if (vtable.output_type)() != TypeId::of::<T>() {
            return None;
        }
        // SAFETY: as in `poll`. The pointer is null or to the `Option<Result<T>>` of the cell: `output_type`
        // says that this `T` is the one of `Full<F, T>`. The borrow of `self` makes it exclusive.
        unsafe { (vtable.output)(self.header).cast::<Option<Result<T>>>().as_mut() }
    }

    /// The error that the task ended with, if it ended with one and nobody has taken it.
    pub(crate) fn error(&self) -> Option<Error> {
        let error = self.head().vtable.error;
        // SAFETY: as in `poll`; the function only reads.
        unsafe { error(self.header) }
    }

    pub(crate) fn id(&self) -> TaskId {
        self.head().id
    }

    pub(crate) fn location(&self) -> &'static Location<'static> {
        self.head().location
    }

    pub(crate) fn joiner(&self) -> Joiner {
        match self.head().joiner.0 {
            0 => Joiner::Nobody,
            number if number >> 48 == 0 => Joiner::Notice((number - 1) as u32),
            number => Joiner::Task(WakeId(number)),
        }
    }

    pub(crate) fn set_joiner(&mut self, joiner: Joiner) {
        let packed = match joiner {
            Joiner::Nobody => PackedJoiner::NOBODY,
            Joiner::Task(id) => PackedJoiner(id.0),
            Joiner::Notice(place) => PackedJoiner(u64::from(place) + 1),
        };
        // SAFETY: `header` is valid while `self` lives, and `&mut self` makes the access exclusive.
        unsafe { self.header.as_mut().joiner = packed };
    }

    /// What cancel requests need to know of the task.
    pub(crate) fn links(&self) -> Links {
        self.head().links
    }

    /// Keeps what a step has left behind.
    pub(crate) fn set_links(&mut self, links: Links) {
        // SAFETY: as in `set_joiner`.
        unsafe { self.header.as_mut() }.links = links;
    }

    fn head(&self) -> &Header {
        // SAFETY: `header` is valid while `self` lives; only `&mut self` methods write to it.
        unsafe { self.header.as_ref() }
    }
}

impl Drop for TaskCell {
    fn drop(&mut self) {
        let VTable { drop, layout, .. } = *self.head().vtable;
        let memory = self.header.cast::<u8>();
        // SAFETY: `drop` is the drop glue of the `Full<F, T>` behind `header`, run once; the memory came
        // from `alloc` with this very layout (cells of a pool are of the same one) and is not used again.
        unsafe {
            drop(self.header);
            dealloc(memory.as_ptr(), layout);
        }
    }
}

impl VTable {
    fn of<F, T>() -> &'static Self
    where
        F: Future<Output = Result<T>> + 'static,
        T: 'static,
    {
        const { &Glue::<F, T>::VTABLE }
    }
}

/// The functions of a vtable, for one type of future.
struct Glue<F, T>(PhantomData<(F, T)>);

impl<F, T> Glue<F, T>
where
    F: Future<Output = Result<T>> + 'static,
    T: 'static,
{
    const CLASS: usize = class_of(Layout::new::<Full<F, T>>());

    const VTABLE: VTable = VTable {
        poll: Self::poll,
        finish: Self::finish,
        clear: Self::clear,
        output: Self::output,
        error: Self::error,
        output_type: TypeId::of::<T>,
        drop: Self::drop,
        layout: layout_of(Self::CLASS, Layout::new::<Full<F, T>>()),
        class: Self::CLASS,
    };

    /// # Safety
    /// For all functions here: `header` points to a live `Full<F, T>` that nobody else accesses meanwhile.
    unsafe fn full<'a>(header: NonNull<Header>) -> &'a mut Full<F, T> {
        // SAFETY: the caller's promise. `Full` is `repr(C)` and begins with its header.
        unsafe { header.cast::<Full<F, T>>().as_mut() }
    }

    unsafe fn poll(header: NonNull<Header>, context: &mut Context<'_>) -> Poll<Ended> {
        // SAFETY: the caller's promise.
        let full = unsafe { Self::full(header) };
        let Stage::Future(future) = &mut full.stage else {
            panic!("a task was polled after its end");
        };
        // SAFETY: the future lies in an allocation that never moves, and is only ever dropped in place.
        let future = unsafe { Pin::new_unchecked(future) };
        let output = match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => output,
            Err(payload) => Err(Error::panicked(payload)),
        };
        Poll::Ready(Self::replace(full, output))
    }

    unsafe fn finish(header: NonNull<Header>, error: Error) {
        // SAFETY: the caller's promise.
        Self::replace(unsafe { Self::full(header) }, Err(error));
    }

    unsafe fn clear(header: NonNull<Header>) -> Option<Error> {
        // SAFETY: the caller's promise.
        Self::empty(unsafe { Self::full(header) })
    }

    /// Drops what is there, in place, as a pinned future must not be moved to be dropped. A panic in there
    /// comes back.
    fn empty(full: &mut Full<F, T>) -> Option<Error> {
        let emptied = catch_unwind(AssertUnwindSafe(|| full.stage = Stage::Output(None)));
        emptied.err().map(Error::panicked)
    }

    /// Drops what is there, then puts `output` in its place. A guard that panics while it is dropped must not
    /// stop the loop: the panic becomes the task's error, unless it has one already (rule G10).
    fn replace(full: &mut Full<F, T>, output: Result<T>) -> Ended {
        if (std::mem::needs_drop::<F>() || matches!(full.stage, Stage::Output(Some(_))))
            && let Some(panic) = Self::empty(full)
        {
            return Self::panicked(full, output, panic);
        }
        let ended = if output.is_err() { Ended::Error } else { Ended::Value };
        full.stage = Stage::Output(Some(output));
        ended
    }

    #[cold]
    fn panicked(full: &mut Full<F, T>, output: Result<T>, panic: Error) -> Ended {
        let error = match &output {
            Err(error) if !error.is_cancelled() => error.clone(),
            _ => panic,
        };
        full.stage = Stage::Output(Some(Err(error)));
        // The value that the panic replaces is user code too.
        drop_quietly(output);
        Ended::Error
    }

    unsafe fn output(header: NonNull<Header>) -> *mut () {
        // SAFETY: the caller's promise.
        match &mut unsafe { Self::full(header) }.stage {
            Stage::Future(_) => std::ptr::null_mut(),
            Stage::Output(output) => std::ptr::from_mut(output).cast(),
        }
    }

    unsafe fn error(header: NonNull<Header>) -> Option<Error> {
        // SAFETY: the caller's promise.
        match &unsafe { Self::full(header) }.stage {
            Stage::Output(Some(Err(error))) => Some(error.clone()),
            _ => None,
        }
    }

    unsafe fn drop(header: NonNull<Header>) {
        // SAFETY: the caller's promise, and it does not use the cell again.
        unsafe { header.cast::<Full<F, T>>().drop_in_place() }
    }
}

const fn class_of(layout: Layout) -> usize {
    let class = layout.size().saturating_sub(CLASS_BYTES / 2).div_ceil(CLASS_BYTES);
    if class < CLASS_COUNT && layout.align() <= align_of::<Header>() { class } else { NO_CLASS }
}

const fn class_bytes(class: usize) -> usize {
    class * CLASS_BYTES + CLASS_BYTES / 2
}

/// Cells of one class have one layout, so that one can take the place of another.
const fn layout_of(class: usize, exact: Layout) -> Layout {
    if class == NO_CLASS {
        return exact;
    }
    match Layout::from_size_align(class_bytes(class), align_of::<Header>()) {
        Ok(layout) => layout,
        Err(_) => panic!("a class is a kibibyte at most"),
    }
}

/// Memory of finished tasks, kept by size for the next ones.
pub(crate) struct CellPool {
    classes: [Vec<NonNull<u8>>; CLASS_COUNT],
}

impl CellPool {
    pub(crate) fn new() -> Self {
        Self { classes: [const { Vec::new() }; CLASS_COUNT] }
    }

    fn take(&mut self, vtable: &VTable) -> NonNull<u8> {
        if let Some(memory) = self.classes.get_mut(vtable.class).and_then(Vec::pop) {
            return memory;
        }
        // SAFETY: no layout here has size zero: it holds a header at least.
        let memory = unsafe { alloc(vtable.layout) };
        NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(vtable.layout))
    }

    /// Keeps the memory of a cell that was cleared, or whose output was taken: what is still in it would be
    /// leaked.
    #[inline]
    pub(crate) fn put(&mut self, cell: TaskCell) {
        let class = cell.head().vtable.class;
        let Some(kept) = self.classes.get_mut(class) else { return };
        if kept.len() * class_bytes(class) >= CLASS_KEPT_BYTES {
            return;
        }
        // Its memory has the layout of its class, which is what `take` promises for the next cell of that class.
        kept.push(ManuallyDrop::new(cell).header.cast());
    }
}

impl Drop for CellPool {
    fn drop(&mut self) {
        for (class, kept) in self.classes.iter_mut().enumerate() {
            let layout = layout_of(class, Layout::new::<Header>());
            for memory in kept.drain(..) {
                // SAFETY: it came from `alloc` with the layout of its class, and is in no cell.
                unsafe { dealloc(memory.as_ptr(), layout) };
            }
        }
    }
}
