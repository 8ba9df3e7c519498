use super::*;

#[test]
fn a_pattern_matches_what_redis_matches() {
    let yes: [(&str, &str); 22] = [
        ("*", ""),
        ("*", "anything"),
        ("a*", "a"),
        ("a*c", "abbc"),
        ("*b*", "abc"),
        ("a**c", "ac"),
        ("h?llo", "hello"),
        ("h[ae]llo", "hallo"),
        ("h[^e]llo", "hallo"),
        ("h[a-c]llo", "hbllo"),
        ("h[c-a]llo", "hbllo"),
        ("h[\\]]llo", "h]llo"),
        ("\\*", "*"),
        ("a\\?", "a?"),
        ("[abc", "a"),
        ("*.txt", "a.txt.txt"),
        ("user:*:name", "user:17:name"),
        ("[a-]", "_"),
        ("", ""),
        ("a[b", "ab"),
        ("\\", "\\"),
        ("*a*b*c*", "xxaxxbxxcxx"),
    ];
    for (pattern, text) in yes {
        assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} should match {text}");
    }
    let no: [(&str, &str); 13] = [
        ("[a-]", "-"),
        ("", "a"),
        ("a", ""),
        ("a*", "ba"),
        ("*a", "ab"),
        ("h?llo", "hllo"),
        ("h[ae]llo", "hillo"),
        ("h[^e]llo", "hello"),
        ("\\*", "a"),
        ("[]", "a"),
        ("a?", "a"),
        ("A", "a"),
        ("*.txt", "a.txt.tx"),
    ];
    for (pattern, text) in no {
        assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} should not match {text}");
    }
}

#[test]
fn many_stars_do_not_take_exponential_time() {
    let pattern = "a*".repeat(50) + "b";
    assert!(!matches(pattern.as_bytes(), "a".repeat(10_000).as_bytes()));
}
