#[cfg(loom)]
mod models {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use loom::thread;

    use crate::task::mailbox::Mailbox;
    use crate::util::unpark::{Unpark, Unparker};

    /// Stands for the driver: remembers that somebody ended its sleep.
    #[derive(Default)]
    struct Bell(AtomicBool);

    impl Unpark for Bell {
        fn unpark(&self) {
            self.0.store(true, Ordering::Release);
        }
    }

    /// With its bits in place: loom does not see the synchronization of the standard `OnceLock`.
    fn mailbox() -> Mailbox {
        let mailbox = Mailbox::with_slots(64);
        mailbox.bit(0);
        mailbox
    }

    /// The home thread's side of one look at its mail.
    fn look(mailbox: &Mailbox) -> usize {
        let mut woken = 0;
        if mailbox.take_mail() {
            mailbox.drain(usize::MAX, |_| woken += 1);
        }
        woken
    }

    #[test]
    fn loom_a_posted_wake_is_seen_or_ends_the_sleep() {
        loom::model(|| {
            let mailbox = Arc::new(mailbox());
            let bell = std::sync::Arc::new(Bell::default());
            mailbox.open(Unparker::new(std::sync::Arc::clone(&bell) as _));
            let threads: Vec<_> = (0..2)
                .map(|slot| {
                    let mailbox = Arc::clone(&mailbox);
                    thread::spawn(move || mailbox.post(slot))
                })
                .collect();
            mailbox.flag().prepare_sleep();
            let seen = mailbox.has_mail();
            // Had it slept here without mail, somebody must still be going to ring.
            for thread in threads {
                thread.join().unwrap();
            }
            assert!(seen || bell.0.load(Ordering::Acquire), "slept through a wake");
            mailbox.flag().wake_up();
            assert_eq!(look(&mailbox), 2);
        });
    }

    #[test]
    fn loom_a_wake_that_finds_the_bit_set_is_not_lost() {
        loom::model(|| {
            let mailbox = Arc::new(mailbox());
            let work = Arc::new(AtomicUsize::new(0));
            let other = (Arc::clone(&mailbox), Arc::clone(&work));
            let thread = thread::spawn(move || {
                for _ in 0..2 {
                    // Relaxed: only the mailbox may order this before the poll.
                    other.1.fetch_add(1, Ordering::Relaxed);
                    other.0.post(3);
                }
            });
            let mut polled_at = 0;
            for _ in 0..2 {
                if look(&mailbox) > 0 {
                    polled_at = work.load(Ordering::Relaxed);
                }
            }
            thread.join().unwrap();
            if look(&mailbox) > 0 {
                polled_at = work.load(Ordering::Relaxed);
            }
            assert_eq!(polled_at, 2, "the last poll came before the last wake's work");
        });
    }
}

#[cfg(not(loom))]
mod plain {
    use crate::task::mailbox::Mailbox;

    #[test]
    fn a_slot_is_in_the_queue_at_most_once() {
        let mailbox = Mailbox::new();
        for _ in 0..1_000 {
            mailbox.post(7);
            mailbox.post(70_000);
        }
        let mut woken = Vec::new();
        assert!(mailbox.take_mail());
        assert!(mailbox.drain(usize::MAX, |slot| woken.push(slot)));
        assert_eq!(woken, [7, 70_000]);
        mailbox.post(7);
        assert!(mailbox.has_mail(), "a wake after the drain is mail again");
    }

    #[test]
    fn a_budget_leaves_the_rest_in_line() {
        let mailbox = Mailbox::new();
        (0..10).for_each(|slot| mailbox.post(slot));
        assert!(mailbox.take_mail());
        let mut woken = Vec::new();
        assert!(!mailbox.drain(4, |slot| woken.push(slot)));
        mailbox.leave_mail();
        assert!(mailbox.take_mail());
        assert!(mailbox.drain(100, |slot| woken.push(slot)));
        assert_eq!(woken, (0..10).collect::<Vec<_>>());
    }
}
