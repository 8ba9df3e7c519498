use super::*;

#[test]
fn a_seed_draws_the_same_on_every_machine_and_with_every_version() {
    let draws = Draws::new(&Settings::seeded(41));
    let mut drawn: Vec<u64> =
        [2, 10, 1_000, u64::MAX].map(|bound| draws.below("number", bound)).into();
    drawn.push(draws.duration("time", &Settings::seeded(41).latency).as_nanos() as u64);
    let mut order = [0, 1, 2, 3, 4, 5];
    draws.shuffle("order", order.len(), &mut |one, other| order.swap(one, other));
    draws.note_bytes(b"bytes");
    assert_eq!(
        (drawn, order),
        (vec![0, 0, 255, 16_558_328_887_541_326_322, 164_880], [5, 3, 0, 1, 2, 4])
    );
    assert_eq!(draws.trace(), 18_005_949_542_985_142_496);
    assert_eq!(draws.count(), 10);
}
