use super::*;

#[test]
fn what_redis_calls_an_integer_is_one() {
    for value in [0, 1, -1, 9, 10, 1_234_567, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1] {
        assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        assert_eq!(Decimal::new(value).as_bytes(), value.to_string().as_bytes());
    }
}

#[test]
fn what_redis_does_not_call_an_integer_is_none() {
    let bad = ["", "-", "+1", "01", "-0", "00", " 1", "1 ", "1.0", "a", "9223372036854775808"];
    for text in bad.into_iter().chain(["-9223372036854775809", "99999999999999999999", "--1"]) {
        assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn a_cursor_takes_a_sign_and_wraps_as_strtoul_does() {
    assert_eq!(parse_cursor(b"0"), Some(0));
    assert_eq!(parse_cursor(b""), Some(0));
    assert_eq!(parse_cursor(b"+17"), Some(17));
    assert_eq!(parse_cursor(b"007"), Some(7));
    assert_eq!(parse_cursor(b"-1"), Some(u64::MAX));
    assert_eq!(parse_cursor(b"18446744073709551615"), Some(u64::MAX));
    for text in ["-", "+", "a", "1a", "18446744073709551616"] {
        assert_eq!(parse_cursor(text.as_bytes()), None, "{text:?}");
    }
}
