//! Spans of tasks: what one task has entered is never around what another does.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use corelane::{task, yield_now};
use tracing::{info, info_span};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What was logged while `main` ran: for each event its spans, the outermost first, and its words.
fn logged(main: impl AsyncFnOnce() + 'static) -> Vec<String> {
    let log = Log::default();
    let writer = log.clone();
    let format = tracing_subscriber::fmt().without_time().with_level(false).with_target(false);
    let subscriber = format.with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        let run = corelane::run(async || {
            main().await;
            Ok(())
        });
        run.unwrap();
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn a_span_that_is_held_across_an_await_is_not_around_another_task() {
    let lines = logged(async || {
        let holds = task().span(info_span!("a")).spawn(async {
            let _outer = info_span!("outer").entered();
            let _inner = info_span!("inner").entered();
            info!("before");
            yield_now().await;
            info!("after");
        });
        let other = task().span(info_span!("b")).spawn(async {
            info!("other");
            yield_now().await;
            info!("other again");
        });
        let plain = corelane::spawn(async { info!("plain") });
        holds.await.unwrap();
        other.await.unwrap();
        plain.await.unwrap();
        info!("at the end");
    });
    let expected = [
        "a:outer:inner: before",
        "b: other",
        "plain",
        "a:outer:inner: after",
        "b: other again",
        "at the end",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_task_ends_inside_of_its_span_however_it_ends() {
    struct LastWords(&'static str);
    impl Drop for LastWords {
        fn drop(&mut self) {
            info!("{}", self.0);
        }
    }
    let lines = logged(async || {
        let cancelled = task().span(info_span!("a")).spawn(async {
            let _held = info_span!("held").entered();
            let _words = LastWords("cancelled");
            std::future::pending::<()>().await;
        });
        let panics = task().span(info_span!("b")).spawn(async {
            let _held = info_span!("held").entered();
            let _words = LastWords("panicked");
            yield_now().await;
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        yield_now().await;
        info!("between");
        cancelled.cancel();
        assert!(cancelled.await.unwrap_err().is_cancelled());
        assert!(panics.await.unwrap_err().is_panic());
        info!("at the end");
    });
    let mut ends = lines[1..3].to_vec();
    ends.sort();
    assert_eq!(lines[0], "between");
    assert_eq!(ends, ["a:held: cancelled", "b:held: panicked"]);
    assert_eq!(lines[3..], ["at the end"]);
}

#[test]
fn a_task_without_a_subscriber_may_have_a_span() {
    let run = corelane::run(async || task().span(info_span!("a")).spawn(async { 1 }).await);
    assert_eq!(run.unwrap(), 1);
}
