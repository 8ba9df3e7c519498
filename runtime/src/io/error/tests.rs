use super::*;
use crate::Error;

#[test]
fn e4_an_incomplete_read_is_an_end_of_file_error_that_keeps_its_bytes() {
    let error = ReadError::Incomplete { partial: Bytes::from_static(b"ab"), expected: Some(4) };
    assert_eq!(error.to_string(), "the stream ended after 2 of 4 bytes");
    let error = io::Error::from(error);
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ReadError>()).unwrap();
    assert!(matches!(inner, ReadError::Incomplete { partial, .. } if &partial[..] == b"ab"));
}

#[test]
fn e4_an_incomplete_read_is_an_end_of_file_error_also_by_way_of_the_runtimes_error() {
    let read = ReadError::Incomplete { partial: Bytes::from_static(b"ab"), expected: Some(4) };
    let error = Error::from(read);
    assert_eq!(error.io_kind(), Some(io::ErrorKind::UnexpectedEof));
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_connections_error_keeps_its_code_as_an_io_error() {
    let reset = io::Error::from_raw_os_error(libc::ECONNRESET);
    let error = io::Error::from(ReadError::from(reset));
    assert_eq!(error.raw_os_error(), Some(libc::ECONNRESET));
}

#[test]
fn e5_an_overrun_comes_back_out_of_the_runtimes_error() {
    let error = Error::from(ReadError::LimitOverrun { consumed: 7 });
    let inner = error.downcast_ref::<ReadError>().unwrap();
    assert!(matches!(inner, ReadError::LimitOverrun { consumed: 7 }));
}

#[test]
fn what_is_beyond_the_limit_says_which_limit_and_what_raises_it() {
    let error = ReadError::LineTooLong { limit_bytes: 65_536 };
    assert_eq!(
        error.to_string(),
        "a line was longer than 65536 bytes; `limit_bytes` raises that limit"
    );
    assert!(ReadError::LimitOverrun { consumed: 1 }.to_string().contains("`limit_bytes`"));
}

#[test]
fn a_line_that_is_no_text_says_how_far_it_is() {
    let error = ReadError::NotText { line: Bytes::from_static(b"ab\xffd\n") };
    assert_eq!(error.to_string(), "a line of 5 bytes is not UTF-8 after its first 2");
}

#[test]
fn every_kind_has_its_io_kind_and_a_text() {
    let cases = [
        (ReadError::LineTooLong { limit_bytes: 8 }, io::ErrorKind::InvalidData),
        (ReadError::NotText { line: Bytes::new() }, io::ErrorKind::InvalidData),
        (ReadError::LimitOverrun { consumed: 1 }, io::ErrorKind::InvalidData),
        (ReadError::Invalid(ValueError("no separator")), io::ErrorKind::InvalidInput),
        (ReadError::Io(io::ErrorKind::BrokenPipe.into()), io::ErrorKind::BrokenPipe),
        (
            ReadError::Incomplete { partial: Bytes::new(), expected: None },
            io::ErrorKind::UnexpectedEof,
        ),
    ];
    for (error, kind) in cases {
        assert_eq!(error.kind(), kind);
        assert!(!error.to_string().is_empty());
        assert_eq!(io::Error::from(error).kind(), kind);
    }
}
