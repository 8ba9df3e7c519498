use proptest::prelude::*;

use super::*;

/// By an encoder that has seen no response before.
fn parse_response(input: &[u8]) -> Result<Option<Reply>, ProtocolError> {
    Http::new("localhost", "/").parse(0, Note::ANY, input)
}

fn found(response: &str) -> Reply {
    parse_response(response.as_bytes()).unwrap().unwrap()
}

#[test]
fn a_request_names_host_and_path() {
    let mut out = Vec::new();
    Http::new("localhost:80", "/a?b").encode(0, &mut out);
    assert!(out.starts_with(b"GET /a?b HTTP/1.1\r\nHost: localhost:80\r\n"));
    assert_eq!(parse_request(&out), Ok(Some(out.len())));
    assert_eq!(parse_request(&out[..out.len() - 1]), Ok(None));
}

#[test]
fn every_kind_of_response_is_found_whole_or_not_at_all() {
    let responses = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nCONTENT-LENGTH: 2\r\n\r\nno",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nTrailer: 1\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n!",
    ];
    for response in responses {
        for cut in 0..response.len() {
            let part = &response.as_bytes()[..cut];
            assert_eq!(parse_response(part), Ok(None), "{response:?} cut at {cut}");
        }
        let reply = found(&format!("{response}HTTP/1.1 200 OK\r\n"));
        assert_eq!(reply, Reply { bytes: response.len(), ok: !response.contains("404") });
    }
}

#[test]
fn what_cannot_go_on_is_an_error_that_says_why() {
    let wrong = [
        ("SSH-2.0-OpenSSH\r\n\r\n", "not HTTP/1"),
        ("HTTP/1.1 OK\r\n\r\n", "status line"),
        ("HTTP/1.1 200 OK\r\n\r\n", "length of the body"),
        ("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "length that is none"),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "keep them alive"),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "keep them alive"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "without a length"),
    ];
    for (response, reason) in wrong {
        let error = parse_response(response.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(reason), "{response:?}: {error}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(MAX_HEAD_BYTES));
    assert!(parse_response(endless.as_bytes()).is_err());
}

const HEADS: [&str; 8] = [
    "",
    "HTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
    "HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
];

#[test]
fn who_asks_once_a_connection_may_be_closed_upon() {
    let once = Http::new("localhost", "/").one_each(true);
    for response in [
        "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n!",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n!",
    ] {
        let reply = once.parse(0, Note::ANY, response.as_bytes());
        assert_eq!(reply, Ok(Some(Reply { bytes: response.len(), ok: true })));
    }
}

proptest! {
    #[test]
    fn what_was_seen_before_changes_nothing(
        responses in prop::collection::vec((prop::sample::select(&HEADS[..]), 0usize..12), 1..20),
    ) {
        let used = Http::new("localhost", "/");
        for (head, body_bytes) in responses {
            let input = [head.as_bytes(), &vec![b'x'; body_bytes]].concat();
            prop_assert_eq!(used.parse(0, Note::ANY, &input), parse_response(&input));
        }
    }

    #[test]
    fn parsing_any_bytes_ends_and_stays_inside_them(
        head in prop::sample::select(&HEADS[..]),
        tail in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let input = [head.as_bytes(), &tail].concat();
        if let Ok(Some(reply)) = parse_response(&input) {
            prop_assert!(reply.bytes <= input.len());
        }
    }
}
