//! How an aggregate hears of its children.

use std::rc::Rc;

use super::items::TaskHandle;
use crate::task::Watch;

/// Who is told of the end of children, by the number that each was given.
pub(super) trait Observer: 'static {
    /// The child has ended. Nothing is borrowed when this is called, and it may run anything.
    fn ended(&self, child: usize);
}

/// Says when it is dropped that a child has ended. A callback that the loop drops uncalled, because it was
/// closed, so counts as well: the child has ended then too, and nobody else would say so.
struct Notice<O: Observer> {
    observer: Rc<O>,
    child: usize,
}

impl<O: Observer> Drop for Notice<O> {
    fn drop(&mut self) {
        self.observer.ended(self.child);
    }
}

/// Has `observer` told, one hop after the task's end, or from now if it has ended. Whoever drops the watch before
/// must be deaf to the notice that comes of it.
pub(super) fn observe<O: Observer, H: TaskHandle>(
    handle: &H,
    observer: &Rc<O>,
    child: usize,
) -> Watch {
    let notice = Notice { observer: Rc::clone(observer), child };
    handle.task().watch_end(move || drop(notice))
}
