//! Which errors are ordinary, and who is told of those that nobody waits for: rules E1, E3 and E20.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod lines;
mod task_support;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use corelane::{
    CancelledError, Error, ReportKind, Result, call_soon, create_task, gather, set_report_handler,
    task_group, yield_now,
};
use lines::Lines;
use task_support::{Log, fails, virtual_run};

#[test]
fn e1_cancellation_is_told_apart_and_the_question_mark_passes_it_on() {
    async fn passes() -> Result<()> {
        Err(CancelledError::with_message("why"))?
    }
    virtual_run(async || {
        let error = passes().await.unwrap_err();
        assert!(error.is_cancelled());
        assert!(!error.is_timeout() && !error.is_runtime() && !error.is_value());
        // A task, a group and a gather treat it by their own rules, not as a failure.
        let task = create_task(passes());
        yield_now().await;
        assert!(task.cancelled());
        let group = task_group(async |group| group.add(passes()));
        group.await?;
        let outcomes = gather(vec![create_task(passes())]).return_exceptions().await?;
        assert!(outcomes[0].as_ref().is_err_and(Error::is_cancelled));
        Ok(())
    });
}

#[test]
fn e3_a_question_that_comes_too_early_is_an_invalid_state() {
    virtual_run(async || {
        let task = create_task(async { fails::<()>("soon") });
        let early = task.result().unwrap_err();
        assert!(early.is_invalid_state() && !early.is_runtime());
        yield_now().await;
        let late = task.result().unwrap_err();
        assert!(!late.is_invalid_state());
        Ok(())
    });
}

#[test]
fn e20_one_handler_is_told_with_the_kind_and_the_task_and_may_be_exchanged() {
    virtual_run(async || {
        let first = Log::reports();
        drop(corelane::task().name("mine").create(async { fails::<()>("first") }));
        yield_now().await;
        let told = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&told);
        let before = set_report_handler(move |report| told.borrow_mut().push(report.clone()));
        drop(corelane::task().name("mine").create(async { fails::<()>("second") }));
        call_soon(|| panic!("third"));
        yield_now().await;
        assert_eq!(first.take(), ["never-retrieved bad first"]);
        let reports = seen.take();
        assert_eq!(reports[0].kind, ReportKind::NeverRetrieved);
        assert_eq!(reports[0].name.as_deref(), Some("mine"));
        assert!(reports[0].location.unwrap().file().ends_with("errors.rs"));
        assert_eq!(reports[1].kind, ReportKind::Callback);
        assert_eq!(reports[1].error.as_ref().unwrap().panic_message(), Some("third"));
        assert_eq!((reports.len(), reports[1].task), (2, None));
        // The one before comes back and can be called.
        before(&reports[1]);
        assert_eq!(first.take(), ["callback panicked: third"]);
        Ok(())
    });
}

#[test]
fn e20_without_a_handler_and_with_one_that_fails_the_log_is_told() {
    let log = Arc::new(Mutex::new(Vec::new()));
    tracing::subscriber::with_default(Lines(Arc::clone(&log)), || {
        virtual_run(async || {
            drop(create_task(async { fails::<()>("to the log") }));
            yield_now().await;
            set_report_handler(|_| panic!("of the handler"));
            drop(create_task(async { fails::<()>("to the handler") }));
            let goes_on = create_task(async { Ok(7) });
            assert_eq!(goes_on.await?, 7);
            Ok(())
        });
    });
    let lines = log.lock().unwrap();
    let expected = ["bad to the log", "bad to the handler", "panicked: of the handler"];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, end) in lines.iter().zip(expected) {
        assert!(line.ends_with(end), "{line} ends with {end}");
    }
}
