use super::*;

/// Restores this thread's judge and scope, so that a test leaves nothing to the next one.
struct Restore(Option<Judge>, Scope);

impl Drop for Restore {
    fn drop(&mut self) {
        install_judge(self.0);
        enter(self.1);
    }
}

fn seven_is_dead(scope: Scope) -> bool {
    scope == Scope::new(7)
}

#[test]
fn entering_a_scope_returns_the_one_before() {
    let _restore = Restore(None, current());
    assert_eq!(current(), Scope::NONE);
    assert_eq!(enter(Scope::new(7)), Scope::NONE);
    assert_eq!(enter(Scope::new(8)), Scope::new(7));
    assert_eq!(current().number(), 8);
    assert_eq!(enter(Scope::NONE), Scope::new(8));
}

#[test]
fn g21_only_the_judge_can_call_a_scope_dead() {
    assert!(!is_dead(Scope::new(7)), "there is no judge");
    let _restore = Restore(install_judge(Some(seven_is_dead)), current());
    assert!(is_dead(Scope::new(7)));
    assert!(!is_dead(Scope::new(8)));
}

#[test]
fn g30_outside_a_loop_no_waiter_is_ever_dead() {
    let _restore = Restore(install_judge(Some(|_| true)), current());
    assert!(!is_dead(Scope::NONE), "a judge is not asked about somebody else's poll");
    assert!(is_dead(Scope::new(0)), "the first task of the first loop may have this number");
}

#[test]
fn scopes_and_judges_belong_to_their_thread() {
    let _restore = Restore(install_judge(Some(|_| true)), enter(Scope::new(3)));
    #[expect(clippy::disallowed_methods, reason = "the subject is another thread")]
    let other = std::thread::spawn(|| (current(), is_dead(Scope::new(3))));
    assert_eq!(other.join().expect("the other thread does not panic"), (Scope::NONE, false));
}

#[test]
fn g26_a_step_in_which_a_frame_answered_forgets_whom_the_task_awaited_before() {
    let _restore = Restore(None, current());
    // It awaited the task in slot 0: a link that is the same number as the event.
    let before = Links(DELIVERED);
    assert_eq!(before.awaiting(), 1);
    begin_step(Scope::new(7), before);
    set_event(DELIVERED);
    note_wait(WaitKind::Lock);
    let notes = end_step();
    assert!(!notes.changes_nothing(before));
    assert_eq!(notes.links(before).awaiting(), 0);
}
