use super::*;

fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let words = split(line).ok()?;
    Some(words.ranges.iter().map(|range| range.of(&words.text).to_vec()).collect())
}

fn list(words: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
    Some(words.iter().map(|word| word.to_vec()).collect())
}

#[test]
fn words_are_split_at_any_white_space() {
    assert_eq!(words(b"  set\ta  1 "), list(&[b"set", b"a", b"1"]));
    assert_eq!(words(b""), list(&[]));
    assert_eq!(words(b" \t "), list(&[]));
}

#[test]
fn double_quotes_unescape_and_single_quotes_only_the_quote() {
    let line = br#"set "a\x41\n\r\t\b\a\\\"z" 'b\'\n'"#;
    assert_eq!(words(line), list(&[b"set", b"aA\n\r\t\x08\x07\\\"z", b"b'\\n"]));
    assert_eq!(words(br#""" '' "\xzz""#), list(&[b"", b"", b"xzz"]));
}

#[test]
fn a_quote_must_be_closed_and_must_end_its_word() {
    for line in [&b"a \"b"[..], b"a 'b", b"\"a\"b", b"'a'b", b"\"a\\\"", b"\"a\\"] {
        assert_eq!(words(line), None, "{:?}", String::from_utf8_lossy(line));
    }
    assert_eq!(words(b"a\"b\" c"), list(&[b"ab", b"c"]));
}
