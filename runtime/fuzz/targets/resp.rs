//! The request parser of the key-value server: a request is the same in whatever pieces it arrives.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../examples/kv/inline.rs"]
#[allow(dead_code, reason = "the server uses the rest")]
mod inline;
#[path = "../../../examples/kv/number.rs"]
#[allow(dead_code, reason = "the server uses the rest")]
mod number;
#[path = "../../../examples/kv/request.rs"]
#[allow(dead_code, reason = "the server uses the rest")]
mod request;

fuzz_target!(|input: &[u8]| {
    let [piece, bytes @ ..] = input else { return };
    let whole = requests_of(bytes, bytes.len().max(1));
    assert_eq!(whole, requests_of(bytes, usize::from(*piece) + 1));
});

/// The requests, and the error that ended them.
fn requests_of(input: &[u8], piece_bytes: usize) -> (Vec<Vec<Vec<u8>>>, Option<Vec<u8>>) {
    let (mut parser, mut unread, mut requests) = (request::Parser::new(), Vec::new(), Vec::new());
    for piece in input.chunks(piece_bytes) {
        unread.extend_from_slice(piece);
        loop {
            match parser.parse(&unread) {
                Ok(Some(length)) => {
                    let args = parser.args(&unread);
                    requests.push((0..args.len()).map(|at| args.at(at).to_vec()).collect());
                    unread.drain(..length);
                }
                Ok(None) => break,
                Err(error) => return (requests, Some(error.text())),
            }
        }
    }
    (requests, None)
}
