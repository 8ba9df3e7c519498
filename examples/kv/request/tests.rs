use super::*;

/// Feeds `input` in pieces of `piece` bytes; returns the requests and the error at the end, if any.
fn parse_in_pieces(input: &[u8], piece: usize) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
    let (mut parser, mut buf, mut requests) = (Parser::new(), Vec::new(), Vec::new());
    for bytes in input.chunks(piece) {
        buf.extend_from_slice(bytes);
        loop {
            match parser.parse(&buf) {
                Ok(Some(length)) => {
                    requests.push(parser.args(&buf).from(0).map(<[u8]>::to_vec).collect());
                    buf.drain(..length);
                }
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}

fn error_of(input: &[u8]) -> Option<ProtocolError> {
    let whole = parse_in_pieces(input, input.len());
    let bytewise = parse_in_pieces(input, 1);
    assert_eq!(whole, bytewise, "{:?}", String::from_utf8_lossy(&input[..input.len().min(40)]));
    whole.1
}

#[test]
fn a_pipeline_reads_the_same_in_pieces_of_any_size() {
    let long = format!("*2\r\n$4\r\nECHO\r\n$300\r\n{}\r\n", "x".repeat(300));
    let pipeline = [
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$10\r\n0123456789\r\n".as_slice(),
        b"*0\r\n",
        b"*-1\r\n",
        b"get a\r\n",
        b"\r\n",
        b"set \"a b\" c\n",
        b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n",
        long.as_bytes(),
        b"*1\r\n$4\r\nPINGxx",
    ]
    .concat();
    let (whole, error) = parse_in_pieces(&pipeline, pipeline.len());
    assert_eq!(error, None);
    assert_eq!(whole.len(), 9);
    assert_eq!(whole[0], [b"SET".to_vec(), b"a".to_vec(), b"0123456789".to_vec()]);
    assert_eq!(whole[1], Vec::<Vec<u8>>::new());
    assert_eq!(whole[3], [b"get".to_vec(), b"a".to_vec()]);
    assert_eq!(whole[5], [b"set".to_vec(), b"a b".to_vec(), b"c".to_vec()]);
    assert_eq!(whole[6], [b"GET".to_vec(), Vec::new()]);
    assert_eq!(whole[8], [b"PING".to_vec()]);
    for piece in 1..40 {
        assert_eq!(parse_in_pieces(&pipeline, piece).0, whole, "in pieces of {piece}");
    }
}

#[test]
fn a_reader_made_with_redis_protocol_sees_the_same_arguments() {
    use redis_protocol::resp2::{decode::decode_range, types::RangeFrame};
    let text = b"*4\r\n$4\r\nMSET\r\n$3\r\nkey\r\n$12\r\nhello\r\nworld\r\n$0\r\n\r\n";
    let Ok(Some((RangeFrame::Array(frames), length))) = decode_range(text) else {
        panic!("the crate reads it as an array");
    };
    let theirs: Vec<&[u8]> = frames
        .iter()
        .map(|frame| match frame {
            RangeFrame::BulkString((start, end)) => &text[*start..*end],
            other => panic!("{other:?}"),
        })
        .collect();
    let mut parser = Parser::new();
    assert_eq!(parser.parse(text), Ok(Some(length)));
    assert_eq!(parser.args(text).from(0).collect::<Vec<_>>(), theirs);
}

#[test]
fn what_redis_refuses_is_refused_with_its_words() {
    let cases: [(&[u8], &str); 13] = [
        (b"*abc\r\n", "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*1\r\nx\r\n", "expected '$', got 'x'"),
        (b"*1\r\n\r\n", "expected '$', got ' '"),
        (b"*1\r\n*1\r\n", "expected '$', got '*'"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$a\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
        (b"set \"a\r\n", "unbalanced quotes in request"),
        (b"*2\r\n$4\r\nECHO\r\n:4\r\n", "expected '$', got ':'"),
    ];
    for (input, text) in cases {
        let error = error_of(input).expect("refused");
        assert_eq!(error.text(), format!("Protocol error: {text}").as_bytes());
    }
}

#[test]
fn a_line_without_an_end_is_refused_after_64_kib_and_not_before() {
    let digits = "1".repeat(MAX_LINE_BYTES);
    let cases = [
        ("*", ProtocolError::LongArgumentCount),
        ("*1\r\n$", ProtocolError::LongArgumentLength),
        ("x", ProtocolError::LongLine),
    ];
    for (start, error) in cases {
        let text = format!("{start}{digits}");
        assert_eq!(error_of(text.as_bytes()), Some(error));
        assert_eq!(error_of(&text.as_bytes()[..text.len() - 1]), None, "{start}");
    }
}

#[test]
fn an_announced_size_holds_no_memory() {
    let mut parser = Parser::new();
    assert_eq!(parser.parse(b"*2147483647\r\n$536870912\r\n"), Ok(None));
    assert_eq!(parser.ranges.capacity(), 0);
}

#[test]
fn a_long_list_of_arguments_is_given_back() {
    let mut text = b"*5000\r\n".to_vec();
    text.extend(b"$1\r\na\r\n".repeat(5000));
    let mut parser = Parser::new();
    assert_eq!(parser.parse(&text), Ok(Some(text.len())));
    assert_eq!(parser.args(&text).len(), 5000);
    assert_eq!(parser.parse(b"*1\r\n"), Ok(None));
    assert!(parser.ranges.capacity() <= KEPT_RANGES);
}

#[test]
fn a_request_in_single_bytes_is_looked_at_once() {
    // Were a piece to start again at the first byte, this would be 5 * 10^11 steps and never end.
    let text = format!("*2\r\n$4\r\nECHO\r\n$1000000\r\n{}\r\n", "x".repeat(1_000_000));
    let mut parser = Parser::new();
    for end in 0..text.len() {
        assert_eq!(parser.parse(&text.as_bytes()[..end]), Ok(None));
    }
    assert_eq!(parser.parse(text.as_bytes()), Ok(Some(text.len())));
}
