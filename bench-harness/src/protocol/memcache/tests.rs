use proptest::prelude::*;

use super::*;
use crate::workload::{KeyDistribution, SizeDistribution};

fn encoder(get_parts: u32) -> Memcache {
    let workload = Workload {
        keys: 1_000,
        key_bytes: 16,
        distribution: KeyDistribution::Uniform,
        sizes: SizeDistribution::Fixed(3),
        get_parts,
        set_parts: 1 - get_parts,
        verify_every: 1,
        remote: None,
    };
    Memcache::new(&workload, &Tables::new(&workload), 1)
}

#[test]
fn requests_are_commands_as_memcached_reads_them() {
    let mut out = Vec::new();
    encoder(0).encode_fill(42, &mut out);
    assert_eq!(out, b"set key:000000000042 0 0 3\r\nqqq\r\n");
    assert_eq!(parse_command(&out), Ok(Some((out.len(), true))));
    assert_eq!(parse_command(&out[..out.len() - 1]), Ok(None));
    out.clear();
    encoder(1).encode(0, &mut out);
    assert!(out.starts_with(b"get key:") && out.len() == 22, "{out:?}");
    assert_eq!(parse_command(&out), Ok(Some((22, false))));
    assert!(parse_command(b"quit\r\n").is_err());
}

#[test]
fn every_kind_of_reply_is_found_whole_or_not_at_all() {
    let replies: [(&[u8], bool); 6] = [
        (b"STORED\r\n", true),
        (b"END\r\n", true),
        (b"VALUE key:1 0 3\r\na\r\n\r\nEND\r\n", true),
        (b"ERROR\r\n", false),
        (b"SERVER_ERROR out of memory storing object\r\n", false),
        (b"NOT_STORED\r\n", false),
    ];
    let memcache = encoder(1);
    for (reply, ok) in replies {
        for cut in 0..reply.len() {
            assert_eq!(memcache.parse(0, Note::ANY, &reply[..cut]), Ok(None), "{reply:?} {cut}");
        }
        let longer = [reply, b"STORED\r\n"].concat();
        let found = memcache.parse(0, Note::ANY, &longer).unwrap().unwrap();
        assert_eq!(found, Reply { bytes: reply.len(), ok });
    }
    for garbage in [&b"hello\r\n"[..], b"VALUE k 0 x\r\n", b"VALUE k 0 1\r\nabEND\r\n", b"\r\n"] {
        assert!(memcache.parse(0, Note::ANY, garbage).is_err(), "{garbage:?}");
    }
}

#[test]
fn a_verified_reply_must_be_the_value_of_its_key() {
    let memcache = encoder(1);
    let note = Note::value_of(42);
    assert!(memcache.parse(0, note, b"VALUE k 0 3\r\nqqq\r\nEND\r\n").is_ok());
    for wrong in
        [&b"VALUE k 0 3\r\nrrr\r\nEND\r\n"[..], b"VALUE k 0 2\r\nqq\r\nEND\r\n", b"END\r\n"]
    {
        assert!(memcache.parse(0, note, wrong).is_err(), "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn parsing_any_bytes_ends_and_stays_inside_them(
        head in prop::sample::select(vec!["", "VALUE k 0 3\r\n", "END", "VALUE k 0 "]),
        tail in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let input = [head.as_bytes(), &tail].concat();
        if let Ok(Some(reply)) = encoder(1).parse(0, Note::ANY, &input) {
            prop_assert!(reply.bytes <= input.len());
        }
    }
}
