use std::task::{Context, Poll, Waker};

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

/// Polls `poll` as a step of the task with this number, whose links it keeps.
fn step(task: u64, links: &mut Links, poll: impl FnOnce(&mut Context<'_>)) {
    let before = current();
    begin_step(Scope::new(task), *links);
    poll(&mut Context::from_waker(Waker::noop()));
    *links = end_step().links(*links);
    enter(before);
}

#[test]
fn g23_a_frame_that_outlives_the_one_around_it_is_not_taken_for_whoever_gets_that_ones_node() {
    let (outer, inner, stranger) = (Frame::new(), Frame::new(), Frame::new());
    let (mut mine, mut others) = (Links::default(), Links::default());
    step(7, &mut mine, |context| {
        let polled = outer.enter(context, |context| inner.enter(context, |_| Poll::<()>::Pending));
        assert!(polled.is_pending());
    });
    assert_eq!(tree::leaves_of(mine.root()).len(), 1);
    // It was moved out of the outer one, whose node is the next to be given away.
    outer.leave();
    step(8, &mut others, |context| {
        assert!(stranger.enter(context, |_| Poll::<()>::Pending).is_pending());
    });
    assert_eq!(tree::alarm_task(inner.number()), Some(7));
    assert_eq!(tree::alarm_task(stranger.number()), Some(8));
    assert_eq!(tree::leaves_of(others.root()).len(), 1, "the stranger's");
    // Polled again by its task it is found again.
    step(7, &mut mine, |context| {
        assert!(inner.enter(context, |_| Poll::<()>::Pending).is_pending());
    });
    assert_eq!(tree::leaves_of(mine.root()), tree::leaves_below(inner.number()));
    drop((inner, stranger));
    tree::end_root(mine.root());
    tree::end_root(others.root());
}

/// Takes every request.
struct Taker;

impl CancelTarget for Taker {
    fn request(&self, _message: &Message) -> bool {
        true
    }
}

#[test]
fn g26_a_frame_lets_go_of_the_target_that_it_does_not_wait_for_alone_any_more() {
    let frame = Frame::new();
    let mut links = Links::default();
    let taker: Rc<dyn CancelTarget> = Rc::new(Taker);
    let mut wait = |others: usize| {
        step(7, &mut links, |context| {
            let polled = frame.enter(context, |_| {
                note_forwarding(WaitKind::Gather, &taker);
                for _ in 0..others {
                    note_wait(WaitKind::Lock);
                }
                Poll::<()>::Pending
            });
            assert!(polled.is_pending());
            drop(take_target());
        });
        let leaf = tree::leaves_of(links.root())[0];
        (matches!(leaf.forward(), Forward::Other(_)), Rc::weak_count(&taker))
    };
    assert_eq!(wait(0), (true, 1));
    assert_eq!(wait(1), (false, 0));
    assert_eq!(wait(0), (true, 1));
    frame.leave();
    tree::end_root(links.root());
    assert_eq!(Rc::weak_count(&taker), 0);
}
