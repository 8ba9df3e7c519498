//! Words for the shell.

/// Quotes a word for `/bin/sh`, so that it arrives as it is, whatever is in it (rule P2).
///
/// ```
/// use corelane::process::shell_quote;
///
/// assert_eq!(shell_quote("plain"), "plain");
/// assert_eq!(shell_quote("it's two words"), r#"'it'\''s two words'"#);
/// assert_eq!(shell_quote(""), "''");
/// ```
///
/// A zero byte cannot be passed to any program: a command with one is refused when it is started.
#[must_use]
pub fn shell_quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
