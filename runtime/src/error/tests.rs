use std::io;

use super::*;

#[derive(Debug, PartialEq)]
struct App(u32);

impl fmt::Display for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "app {}", self.0)
    }
}

impl StdError for App {}

fn fails() -> Result<()> {
    Err(App(7))?
}

#[test]
fn the_application_gets_its_own_error_back_by_one_step() {
    let error = fails().unwrap_err().clone();
    assert_eq!(error.downcast_ref::<App>(), Some(&App(7)));
    assert_eq!(error.to_string(), "app 7");
    assert!(error.downcast_ref::<io::Error>().is_none());
}

#[test]
fn an_io_error_keeps_its_kind_and_its_source() {
    let error = Error::from(io::Error::new(io::ErrorKind::BrokenPipe, App(1)));
    assert_eq!(error.io_kind(), Some(io::ErrorKind::BrokenPipe));
    let io = error.downcast_ref::<io::Error>().unwrap();
    assert!(io.get_ref().unwrap().is::<App>());
}

#[test]
fn an_error_that_wraps_an_io_error_has_its_kind() {
    let reset = crate::io::ReadError::Io(io::ErrorKind::ConnectionReset.into());
    assert_eq!(Error::from(reset).io_kind(), Some(io::ErrorKind::ConnectionReset));
    assert_eq!(Error::from(App(1)).io_kind(), None);
}

#[test]
fn g29_a_cancelled_error_stays_one_through_io_and_box() {
    let through_io = Error::from(io::Error::from(Error::cancelled()));
    assert!(through_io.is_cancelled());
    let boxed: Box<dyn StdError + Send + Sync> =
        Error::from(CancelledError::with_message("why")).into();
    assert_eq!(boxed.to_string(), "cancelled: why");
    assert_eq!(
        Error::from_boxed(boxed).downcast_ref::<CancelledError>().and_then(CancelledError::message),
        Some("why")
    );
}

#[test]
fn e2_a_timeout_is_the_kind_of_error_that_the_system_has() {
    assert!(Error::timed_out().is_timeout());
    assert!(Error::from(TimeoutError::default()).is_timeout());
    assert!(Error::from(io::Error::from(io::ErrorKind::TimedOut)).is_timeout());
    assert_eq!(io::Error::from(Error::timed_out()).kind(), io::ErrorKind::TimedOut);
}

#[test]
fn e9_wrong_state_and_wrong_argument_are_told_apart() {
    assert!(Error::from(RuntimeError("x")).is_runtime());
    assert!(Error::from(ValueError("x")).is_value());
    assert!(!Error::value("x").is_runtime());
}

#[test]
fn t35_a_panic_payload_is_taken_once_and_its_message_stays() {
    let error = Error::panicked(Box::new("boom"));
    let clone = error.clone();
    assert!(error.take_panic().unwrap().is::<&str>());
    assert!(clone.take_panic().is_none());
    assert_eq!(clone.panic_message(), Some("boom"));
    assert_eq!(clone.to_string(), "panicked: boom");
}

#[test]
fn an_error_is_one_word_and_crosses_threads() {
    fn crosses<T: Clone + Send + Sync + 'static>() {}
    crosses::<Error>();
    assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
}

#[test]
fn an_interrupt_is_no_cancellation_and_survives_the_way_through_a_standard_error() {
    let error = Error::from(io::Error::from(Error::interrupted()));
    assert!(error.is_interrupted() && !error.is_cancelled() && !error.is_timeout());
    assert_eq!(error.downcast_ref(), Some(&InterruptedError));
    assert!(Error::from(InterruptedError).is_interrupted());
    // Not EINTR: nobody should try again because of it.
    assert_eq!(error.io_kind(), None);
}

#[test]
fn what_comes_in_a_box_keeps_its_meaning() {
    let boxed = |error: Box<dyn StdError + Send + Sync>| Error::from_boxed(error);
    assert!(boxed(Box::<CancelledError>::default()).is_cancelled());
    assert!(boxed(Box::<TimeoutError>::default()).is_timeout());
    assert!(boxed(Box::new(InterruptedError)).is_interrupted());
    assert!(boxed(Box::new(RuntimeError("x"))).is_runtime());
    assert!(boxed(Box::new(ValueError("x"))).is_value());
    assert!(boxed(Box::new(InvalidStateError("x"))).is_invalid_state());
    let reset = io::Error::from(io::ErrorKind::ConnectionReset);
    assert_eq!(boxed(Box::new(reset)).io_kind(), Some(io::ErrorKind::ConnectionReset));
    assert_eq!(boxed(Box::new(App(7))).downcast_ref::<App>(), Some(&App(7)));
    assert_eq!(Error::from_boxed("only words").to_string(), "only words");
}

#[test]
fn a_standard_error_has_the_sources_and_the_words_and_finds_its_way_back() {
    let kind = io::ErrorKind::BrokenPipe;
    let standard = Error::from(io::Error::new(kind, App(1))).into_standard();
    assert_eq!(standard.to_string(), "app 1");
    assert_eq!(standard.error().io_kind(), Some(kind));
    assert_eq!(Error::from(standard.clone()).io_kind(), Some(kind));
    assert_eq!(Error::from_boxed(standard).io_kind(), Some(kind));
    assert!(Error::from(Error::cancelled().into_standard()).is_cancelled());
}

#[test]
fn find_looks_into_groups_sources_and_wrappers() {
    let inner = ExceptionGroup::new("inner", vec![Error::msg("text"), Error::from(App(3))]);
    let late = io::Error::other(Error::timed_out().into_standard());
    let error = Error::from(ExceptionGroup::new("outer", vec![inner.into(), late.into()]));
    assert_eq!(error.find::<App>(), Some(&App(3)));
    assert!(error.find::<TimeoutError>().is_some());
    assert_eq!(error.find::<ExceptionGroup>().map(ExceptionGroup::message), Some("outer"));
    assert!(error.find::<CancelledError>().is_none());
    assert!(!error.is_timeout() && error.downcast_ref::<App>().is_none());
    let wrapped = Error::from(io::Error::other(App(4)));
    assert_eq!(wrapped.find::<App>(), Some(&App(4)));
    assert!(wrapped.find::<io::Error>().is_some());
}
