//! What a loop reports when nobody else can be told (rule E20).

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use super::home::Home;
use super::id::TaskId;
use crate::error::{Error, drop_quietly};

/// Where reports go.
pub(super) type ReportHandler = Rc<dyn Fn(&Report)>;

/// Why something is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportKind {
    /// A task failed, and its last handle went without anybody asking for the error (rule T34).
    NeverRetrieved,
    /// A loop was closed over a task that had not ended (rule T38).
    DestroyedPending,
    /// The handler of a server's connection failed (rule S12).
    ClientCallback,
    /// A task failed while its loop was shutting down (rule T4).
    Shutdown,
    /// A callback or a guard panicked (rule G10), or something went wrong that no task waits for.
    Callback,
}

/// One report: what kind, which error, which task.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// Why it is reported.
    pub kind: ReportKind,
    /// What went wrong; a task that was destroyed has none.
    pub error: Option<Error>,
    /// The task concerned, if there is one.
    pub task: Option<TaskId>,
    /// Its name: the given one, or `Task-N`.
    pub name: Option<String>,
    /// Where it was created.
    pub location: Option<&'static Location<'static>>,
}

impl Report {
    /// A report that concerns no task.
    pub(crate) fn new(kind: ReportKind, error: Error) -> Self {
        Self { kind, error: Some(error), task: None, name: None, location: None }
    }
}

impl fmt::Display for ReportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeverRetrieved => "never-retrieved",
            Self::DestroyedPending => "destroyed-pending",
            Self::ClientCallback => "client-callback",
            Self::Shutdown => "shutdown",
            Self::Callback => "callback",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ReportKind::NeverRetrieved => {
                f.write_str("a task failed and nobody asked for its error")
            }
            ReportKind::DestroyedPending => f.write_str("a task was destroyed before it had ended"),
            ReportKind::ClientCallback => f.write_str("the handler of a connection failed"),
            ReportKind::Shutdown => f.write_str("a task failed while its loop was shutting down"),
            ReportKind::Callback => f.write_str("a callback failed"),
        }?;
        if let Some(name) = &self.name {
            write!(f, ": {name}")?;
        }
        if let Some(location) = self.location {
            write!(f, ", created at {location}")?;
        }
        match &self.error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

/// The default exception handler: the log.
pub(crate) fn log(report: &Report) {
    __report!(ERROR, kind = %report.kind, "{report}");
}

impl Home {
    /// Exchanges the handler of reports.
    pub(crate) fn set_report_handler(&self, handler: ReportHandler) -> ReportHandler {
        self.on_report.replace(handler)
    }

    /// Reports, to the handler that is set; one that panics is reported by the default one.
    pub(crate) fn report(&self, report: &Report) {
        let handler = Rc::clone(&self.on_report.borrow());
        let told = catch_unwind(AssertUnwindSafe(|| handler(report)));
        if let Err(payload) = told {
            log(report);
            let panic = Report::new(ReportKind::Callback, Error::panicked(payload));
            log(&panic);
            drop_quietly(panic);
        }
    }
}
