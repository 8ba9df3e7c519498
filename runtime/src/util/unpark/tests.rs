#[cfg(not(loom))]
mod protocol {
    use super::super::*;

    #[test]
    fn an_awake_receiver_is_not_unparked() {
        let flag = SleepFlag::new();
        assert!(!flag.must_unpark());
        flag.prepare_sleep();
        flag.wake_up();
        assert!(!flag.must_unpark());
    }

    #[test]
    fn of_all_senders_that_meet_one_sleep_one_unparks() {
        let flag = SleepFlag::new();
        for _ in 0..3 {
            flag.prepare_sleep();
            assert_eq!([0; 4].map(|_| flag.must_unpark()), [true, false, false, false]);
            flag.wake_up();
        }
    }
}

#[cfg(loom)]
mod model {
    use loom::sync::atomic::{AtomicBool, Ordering};
    use loom::sync::{Arc, Notify};
    use loom::thread;

    use super::super::*;

    const SENDERS: usize = 2;

    /// The real channel does not run under loom. In its place stands the weakest thing that can pass a
    /// message: one word per sender, published by its store and found by a load. A lock or an exchange
    /// here would order the two sides by itself and hide a missing fence.
    struct Mailbox {
        mail: [AtomicBool; SENDERS],
        flag: SleepFlag,
        bell: Notify,
    }

    impl Mailbox {
        fn send(&self, sender: usize) {
            self.mail[sender].store(true, Ordering::Release);
            if self.flag.must_unpark() {
                self.bell.notify();
            }
        }

        fn has_all(&self, got: &mut [bool; SENDERS]) -> bool {
            for (got, mail) in got.iter_mut().zip(&self.mail) {
                *got |= mail.load(Ordering::Acquire);
            }
            got.iter().all(|&got| got)
        }

        /// The receiver's loop: to bed, one more look, sleep, up again.
        fn receive_all(&self) {
            let mut got = [false; SENDERS];
            while !self.has_all(&mut got) {
                let before = got;
                self.flag.prepare_sleep();
                self.has_all(&mut got);
                if got == before {
                    self.bell.wait();
                }
                self.flag.wake_up();
            }
        }
    }

    #[test]
    fn loom_no_wake_up_is_lost_between_one_receiver_and_two_senders() {
        // Three preemptions reach every order of one sleep and both sends; without a bound the values that
        // each relaxed load may see multiply into hours.
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let mailbox = Arc::new(Mailbox {
                mail: std::array::from_fn(|_| AtomicBool::new(false)),
                flag: SleepFlag::new(),
                bell: Notify::new(),
            });
            let senders: Vec<_> = (0..SENDERS)
                .map(|sender| {
                    let mailbox = mailbox.clone();
                    thread::spawn(move || mailbox.send(sender))
                })
                .collect();
            // A lost wake-up leaves this waiting for ever, which loom reports as a deadlock.
            mailbox.receive_all();
            for sender in senders {
                sender.join().unwrap();
            }
        });
    }
}
