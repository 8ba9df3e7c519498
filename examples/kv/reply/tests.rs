use bytes::Bytes;
use redis_protocol::resp2::{decode::decode_bytes, types::BytesFrame as Two};
use redis_protocol::resp3::{
    decode::complete::decode_bytes as decode_three, types::BytesFrame as Three,
};

use super::*;

fn written(resp: Resp, write: impl FnOnce(&mut Reply)) -> Bytes {
    let mut out = BytesMut::new();
    write(&mut Reply::new(&mut out, resp));
    out.freeze()
}

fn two(write: impl FnOnce(&mut Reply)) -> Two {
    let bytes = written(Resp::Two, write);
    let (frame, length) = decode_bytes(&bytes).unwrap().unwrap();
    assert_eq!(length, bytes.len());
    frame
}

fn three(write: impl FnOnce(&mut Reply)) -> Three {
    let bytes = written(Resp::Three, write);
    let (frame, length) = decode_three(&bytes).unwrap().unwrap();
    assert_eq!(length, bytes.len());
    frame
}

#[test]
fn a_client_reads_back_what_was_written() {
    for value in [0, 9, 10, -1, i64::MAX, i64::MIN] {
        assert_eq!(two(|reply| reply.integer(value)), Two::Integer(value));
    }
    for length in [0, 1, 9, 10, 99, 100, 70_000] {
        let bytes = vec![b'x'; length];
        assert_eq!(two(|reply| reply.bulk(&bytes)), Two::BulkString(bytes.clone().into()));
    }
    assert_eq!(two(|reply| reply.ok()), Two::SimpleString("OK".into()));
    assert_eq!(two(|reply| reply.null()), Two::Null);
    let list = |reply: &mut Reply| {
        reply.array(2);
        reply.optional(Some(b"a"));
        reply.optional(None);
    };
    assert_eq!(two(list), Two::Array(vec![Two::BulkString("a".into()), Two::Null]));
}

#[test]
fn maps_sets_nulls_and_texts_have_their_own_form_in_resp3_only() {
    let map = |reply: &mut Reply| {
        reply.map(1);
        reply.bulk(b"k");
        reply.integer(1);
    };
    assert!(matches!(two(map), Two::Array(items) if items.len() == 2));
    assert!(matches!(three(map), Three::Map { data, .. } if data.len() == 1));
    let set = |reply: &mut Reply| {
        reply.set(1);
        reply.status("a");
    };
    assert!(matches!(two(set), Two::Array(items) if items.len() == 1));
    assert!(matches!(three(set), Three::Set { data, .. } if data.len() == 1));
    assert_eq!(three(|reply| reply.null()), Three::Null);
    assert_eq!(two(|reply| reply.text("hi")), Two::BulkString("hi".into()));
    assert_eq!(&written(Resp::Three, |reply| reply.text("hi"))[..], b"=6\r\ntxt:hi\r\n");
}

#[test]
fn an_error_is_one_line_whatever_the_client_sent() {
    let bytes = written(Resp::Two, |reply| reply.error("unknown command 'a\r\nb'"));
    assert_eq!(&bytes[..], b"-ERR unknown command 'a  b'\r\n");
    let bytes = written(Resp::Three, |reply| reply.coded_error("NOPROTO unsupported"));
    assert_eq!(&bytes[..], b"-NOPROTO unsupported\r\n");
}
