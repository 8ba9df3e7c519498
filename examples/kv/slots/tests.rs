use super::*;

#[test]
fn keys_with_one_tag_are_on_one_shard() {
    let slots = Slots::even(7);
    for user in 0..100 {
        let name = format!("{{user:{user}}}:name");
        let mail = format!("mail of {{user:{user}}}");
        assert_eq!(slots.shard_of(name.as_bytes()), slots.shard_of(mail.as_bytes()));
        let bare = format!("user:{user}");
        assert_eq!(slots.shard_of(name.as_bytes()), slots.shard_of(bare.as_bytes()));
    }
}

#[test]
fn the_slots_are_those_of_redis_cluster() {
    // The specification of Redis Cluster gives the CRC16 of this text as 0x31c3.
    assert_eq!(redis_protocol::redis_keyslot(b"123456789"), 0x31c3);
    // With one shard for each slot the shard is the slot.
    let slots = Slots::even(SLOT_COUNT);
    assert_eq!(slots.shard_of(b"foo"), 12_182);
    assert_eq!(slots.shard_of(b"foo{{bar}}zap"), 4_015);
    assert_eq!(slots.shard_of(b"foo{bar}{zap}"), 5_061, "the first tag counts");
    assert_eq!(slots.shard_of(b"foo{}{bar}"), 8_363, "an empty tag is none");
    assert_eq!(slots.shard_of(b"{bar"), 4_015, "an open tag is none");
}

#[test]
fn every_shard_gets_its_share() {
    for shard_count in 1..=9 {
        let slots = Slots::even(shard_count);
        let mut keys = vec![0usize; shard_count];
        for key in 0..9000 {
            keys[slots.shard_of(format!("key:{key}").as_bytes())] += 1;
        }
        let fair = 9000 / shard_count;
        assert!(keys.iter().all(|count| count.abs_diff(fair) < fair / 5), "{keys:?}");
    }
}
