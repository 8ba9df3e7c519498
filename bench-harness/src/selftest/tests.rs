use super::*;
use crate::console::{Loudness, Progress};

fn word(finding: &Finding) -> &'static str {
    match finding {
        Finding::Pass(_) => "pass",
        Finding::Fail(_) => "fail",
        Finding::Spoiled(_) => "spoiled",
    }
}

#[test]
fn a_machine_that_may_have_feigned_it_makes_neither_a_pass_nor_a_failure() {
    let of = |holds, no_pass: Option<&str>, no_failure: Option<&str>| {
        let text = "measured".to_owned();
        word(&Finding::of(holds, text, no_pass.map(str::to_owned), no_failure.map(str::to_owned)))
    };
    assert_eq!(of(true, None, Some("late")), "pass");
    assert_eq!(of(true, Some("froze"), None), "spoiled");
    assert_eq!(of(false, Some("froze"), None), "fail");
    assert_eq!(of(false, None, Some("late")), "spoiled");
}

#[test]
fn a_spoiled_check_is_tried_again_and_in_the_end_not_judged() {
    let found = |finding: fn(u32) -> Finding| -> &'static str {
        // By the number of the try.
        let run: fn(&Bench, u32) -> io::Result<Finding> = match finding(9) {
            Finding::Pass(_) => {
                |_, at| Ok(if at < 2 { spoil() } else { Finding::Pass(String::new()) })
            }
            Finding::Fail(_) => {
                |_, at| Ok(if at == 1 { Finding::Fail(String::new()) } else { spoil() })
            }
            Finding::Spoiled(_) => |_, _| Ok(spoil()),
        };
        let check = Check { name: "check", promise: "promise", run };
        let console = Console::new(Loudness::Quiet, Progress::None);
        word(&judge(&check, &Bench::new(console).unwrap(), 3).unwrap())
    };
    assert_eq!(found(|_| Finding::Pass(String::new())), "pass");
    assert_eq!(found(|_| Finding::Fail(String::new())), "fail");
    assert_eq!(found(|_| spoil()), "spoiled");
    assert!(is_right(1, 0) && !is_right(0, 0) && !is_right(5, 1));
}

fn spoil() -> Finding {
    Finding::Spoiled("the machine".to_owned())
}
