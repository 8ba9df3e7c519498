use signal_hook::consts::{SIGINT, SIGKILL, SIGSEGV, SIGSTOP, SIGTERM};

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
fn what_is_no_signal_and_what_cannot_be_held_is_refused() {
    for signal in [0, -1, 65, i32::MAX, SIGKILL, SIGSTOP, SIGSEGV] {
        let refused = SignalHold::new(signal).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert!(refused.to_string().contains(&signal.to_string()), "{refused}");
    }
}
