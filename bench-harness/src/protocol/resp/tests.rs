use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn workload(distribution: KeyDistribution) -> RespWorkload {
    RespWorkload { keys: 1_000, distribution, value_bytes: 3, get_parts: 9, set_parts: 1 }
}

#[test]
fn requests_are_commands_as_redis_reads_them() {
    let mut all_set = workload(KeyDistribution::Uniform);
    (all_set.get_parts, all_set.set_parts) = (0, 1);
    let mut wire = Vec::new();
    Resp::new(&all_set, 1).encode_set(42, &mut wire);
    assert_eq!(wire, command(&[b"SET", b"key:000000000042", b"vvv"]));

    let mut resp = Resp::new(&workload(KeyDistribution::Uniform), 1);
    wire.clear();
    for sequence in 0..1_000 {
        resp.encode(sequence, &mut wire);
    }
    let mut rest = &wire[..];
    let mut sets = 0;
    while !rest.is_empty() {
        let end = parse_command(rest).unwrap().unwrap();
        sets += u32::from(rest[8..end].starts_with(b"SET"));
        rest = &rest[end..];
    }
    assert!((60..160).contains(&sets), "{sets} of 1000 were SET instead of about 100");
}

#[test]
fn every_kind_of_reply_is_found_whole_or_not_at_all() {
    let replies: [&[u8]; 9] = [
        b"+OK\r\n",
        b"-ERR unknown command\r\n",
        b":-17\r\n",
        b"$-1\r\n",
        b"$0\r\n\r\n",
        b"$5\r\na\r\nbc\r\n",
        b"*0\r\n",
        b"*2\r\n$1\r\nx\r\n*1\r\n:1\r\n",
        b"%1\r\n+a\r\n_\r\n",
    ];
    for reply in replies {
        for cut in 0..reply.len() {
            assert_eq!(parse_reply(&reply[..cut]), Ok(None), "{reply:?} cut at {cut}");
        }
        let mut longer = reply.to_vec();
        longer.extend_from_slice(b"+next\r\n");
        let found = parse_reply(&longer).unwrap().unwrap();
        assert_eq!(found, Reply { bytes: reply.len(), ok: reply[0] != b'-' });
    }
}

#[test]
fn garbage_is_an_error_and_not_an_incomplete_reply() {
    for garbage in [&b"hello\r\n"[..], b"$x\r\n", b"$-2\r\n", b"*99999999999\r\n", b"\0\r\n"] {
        assert!(parse_reply(garbage).is_err(), "{garbage:?}");
    }
    let nested = b"*1\r\n".repeat(20);
    assert!(parse_reply(&nested).is_err());
    assert!(parse_command(b"GET x\r\n").is_err());
}

#[test]
fn zipf_gives_the_hottest_key_its_share() {
    let exponent = 0.99;
    let ring = draw_ring(&workload(KeyDistribution::Zipf(exponent)), 7);
    let mut counts = BTreeMap::new();
    for draw in &ring {
        *counts.entry(draw.key).or_insert(0u32) += 1;
    }
    let harmonic: f64 = (1..=1_000).map(|rank| f64::from(rank).powf(-exponent)).sum();
    let hottest = f64::from(*counts.values().max().unwrap()) / ring.len() as f64;
    assert!((hottest * harmonic - 1.0).abs() < 0.05, "share {hottest}, not {}", 1.0 / harmonic);
}

#[test]
fn scattering_ranks_is_a_permutation() {
    for keys in [1, 2, 10, 1_000, 65_536, 99_999] {
        let mut seen: Vec<u64> = (0..u64::from(keys)).map(|rank| scatter(rank, keys)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), keys as usize);
    }
}

proptest! {
    #[test]
    fn parsing_any_bytes_ends_and_stays_inside_them(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Some(reply)) = parse_reply(&bytes) {
            prop_assert!(reply.bytes <= bytes.len());
        }
    }
}
