use super::*;

#[test]
fn a_signal_that_is_ignored_or_handled_has_no_default_disposition() {
    let status = |ignored, handled| format!("Name:\tx\nSigIgn:\t{ignored}\nSigCgt:\t{handled}\n");
    // SIGINT is 2, SIGTERM 15.
    assert!(is_default_in(&status("0000000000000001", "0000000000000000"), SIGINT));
    assert!(!is_default_in(&status("0000000000000002", "0000000000000000"), SIGINT));
    assert!(!is_default_in(&status("0000000000000000", "0000000180004002"), SIGINT));
    assert!(!is_default_in(&status("0000000000000000", "0000000180004002"), SIGTERM));
    assert!(is_default_in(&status("0000000000000000", "0000000180000002"), SIGTERM));
}

#[test]
fn what_the_system_does_not_say_is_not_default() {
    assert!(!is_default_in("", SIGINT));
    assert!(!is_default_in("SigIgn:\tnonsense\nSigCgt:\t0000000000000000\n", SIGINT));
}

#[test]
fn other_signals_are_refused() {
    let refused = SignalHold::new(signal_hook::consts::SIGHUP).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
}
