#[cfg(not(loom))]
mod looks {
    use std::panic::Location;
    use std::sync::Arc;

    use super::super::*;

    #[test]
    fn a_look_says_what_the_loop_does() {
        let pulse = Pulse::new();
        let beat = |turn_count, doing| Some(Beat { turn_count, doing });
        assert_eq!(pulse.look(), beat(0, Doing::Resting));
        assert_eq!(pulse.stepped(), None);
        pulse.begin_turn();
        pulse.end_step();
        assert_eq!(pulse.look(), beat(1, Doing::Other));
        let place = Location::caller();
        pulse.begin_step(TaskId(7), place);
        assert_eq!(pulse.look(), beat(1, Doing::Step(TaskId(7), place)));
        assert_eq!(pulse.stepped(), Some((TaskId(7), place)));
        pulse.end_step();
        assert_eq!(pulse.stepped(), None);
        pulse.rest();
        assert_eq!(pulse.look(), beat(1, Doing::Resting));
    }

    #[test]
    fn names_are_written_down_while_somebody_watches() {
        let pulse = Arc::new(Pulse::new());
        assert!(Listing::new(&pulse, TaskId(1), "unseen").is_none());
        pulse.watch();
        let listing = Listing::new(&pulse, TaskId(1), "seen");
        assert_eq!(pulse.name_of(TaskId(1)), "seen");
        drop(listing);
        assert_eq!(pulse.name_of(TaskId(1)), "Task-1");
    }
}

#[cfg(loom)]
mod model {
    use std::panic::Location;

    use loom::sync::Arc;
    use loom::thread;

    use super::super::*;

    /// The same task makes the first and the last step, so that its number alone says nothing.
    #[test]
    fn loom_a_look_never_mixes_two_steps() {
        let here = [Location::caller(), other_place()];
        loom::model(move || {
            let pulse = Arc::new(Pulse::new());
            let seen = Arc::clone(&pulse);
            let reader = thread::spawn(move || {
                if let Some(Beat { doing: Doing::Step(id, place), .. }) = seen.look() {
                    assert_eq!(place, here[id.0 as usize - 1]);
                }
            });
            for steps in [&[1, 2][..], &[1][..]] {
                pulse.begin_turn();
                for &id in steps {
                    pulse.begin_step(TaskId(id), here[id as usize - 1]);
                    pulse.end_step();
                }
            }
            reader.join().expect("the reader does not panic");
        });
    }

    #[track_caller]
    fn other_place() -> &'static Location<'static> {
        Location::caller()
    }
}
