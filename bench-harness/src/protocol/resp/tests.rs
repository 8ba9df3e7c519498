use proptest::prelude::*;

use super::*;
use crate::workload::{KeyDistribution, SizeDistribution};

fn workload() -> Workload {
    Workload {
        keys: 1_000,
        key_bytes: 16,
        distribution: KeyDistribution::Uniform,
        sizes: SizeDistribution::Fixed(3),
        get_parts: 9,
        set_parts: 1,
        verify_every: 1,
        remote: None,
    }
}

fn encoder(workload: &Workload) -> Resp {
    Resp::new(workload, &Tables::new(workload), 1)
}

#[test]
fn requests_are_commands_as_redis_reads_them() {
    let mut wire = Vec::new();
    encoder(&workload()).encode_fill(42, &mut wire);
    assert_eq!(wire, command(&[b"SET", b"key:000000000042", b"qqq"]));

    let mut resp = encoder(&workload());
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
fn lengths_are_written_as_numbers() {
    for number in [0, 7, 10, 1_024, 99_999_999] {
        let mut out = Vec::new();
        push_number(number, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
    }
}

#[test]
fn a_verified_reply_must_be_the_value_of_its_key() {
    let resp = encoder(&workload());
    let right = b"$3\r\nqqq\r\n";
    let reply = Ok(Some(Reply { bytes: right.len(), ok: true }));
    assert_eq!(resp.parse(0, Note::value_of(42), right), reply);
    for wrong in [&b"$3\r\nrrr\r\n"[..], b"$4\r\nqqqq\r\n", b"$-1\r\n", b"+OK\r\n"] {
        let error = resp.parse(0, Note::value_of(42), wrong).unwrap_err().to_string();
        assert!(error.contains("key 42") && error.contains("--verify off"), "{wrong:?}: {error}");
        assert!(resp.parse(0, Note::ANY, wrong).is_ok(), "{wrong:?}");
    }
    let refused = resp.parse(0, Note::value_of(42), b"-LOADING\r\n");
    assert_eq!(refused, Ok(Some(Reply { bytes: 10, ok: false })));
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

proptest! {
    #[test]
    fn parsing_any_bytes_ends_and_stays_inside_them(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Some(reply)) = parse_reply(&bytes) {
            prop_assert!(reply.bytes <= bytes.len());
        }
    }
}
