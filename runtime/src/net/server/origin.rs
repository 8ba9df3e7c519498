//! On whose behalf a server serves.

use crate::executor::SchedulingGroup;
use crate::task::LocalContext;

/// What went with the task that had the service begin to serve. It goes with the connections too (rule T42).
pub(super) struct Origin {
    context: LocalContext,
    group: SchedulingGroup,
}

impl Origin {
    pub(super) fn current() -> Self {
        Self { context: LocalContext::current(), group: SchedulingGroup::current() }
    }

    /// Calls `f` as that task would. Off the loop, where there are no tasks, it is dropped.
    pub(super) fn enter(&self, f: impl FnOnce()) {
        drop(self.group.enter(|| self.context.enter(f)));
    }
}
