use super::*;

const SEAT_COUNT: usize = 150;

/// What the agenda knows, found by a look at each loop.
struct Plain(Vec<Option<Instant>>);

impl Plain {
    fn now(&self, now: Instant) -> Vec<SeatId> {
        let seats = self.0.iter().enumerate();
        seats
            .filter(|(_, time)| time.is_some_and(|time| time <= now))
            .map(|(n, _)| SeatId(n))
            .collect()
    }

    fn next(&self, now: Instant) -> Option<Instant> {
        self.0.iter().flatten().filter(|time| **time > now).min().copied()
    }
}

#[test]
fn it_knows_what_a_look_at_each_loop_would_find() {
    let mut rng = fastrand::Rng::with_seed(41);
    let (mut agenda, mut plain) = (Agenda::default(), Plain(vec![None; SEAT_COUNT]));
    let mut now = Instant::ZERO;
    for _ in 0..20_000 {
        let seat = rng.usize(..SEAT_COUNT);
        let time = match rng.u8(..4) {
            0 => None,
            1 => Some(Instant::ZERO),
            _ => Some(Instant::from_nanos(now.as_nanos() + rng.u64(..60))),
        };
        agenda.plan(SeatId(seat), time, now);
        plain.0[seat] = time;
        if rng.u8(..4) == 0 {
            now = Instant::from_nanos(now.as_nanos() + rng.u64(..40));
            agenda.come_to(now);
        }
        let expected = plain.now(now);
        let found: Vec<_> =
            (0..agenda.now_count()).map(|place| agenda.nth_now(place).unwrap()).collect();
        assert_eq!(found, expected);
        assert_eq!(agenda.nth_now(expected.len()), None);
        assert_eq!(agenda.next(), plain.next(now));
        assert_eq!(agenda.is_now(SeatId(seat)), expected.contains(&SeatId(seat)));
    }
}
