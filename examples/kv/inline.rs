//! Inline commands: a line of words, as a person types them over telnet. Quotes and escapes are
//! Redis' own.

use super::request::Range;

/// The words of one line: their bytes, unescaped, and where each one lies.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// The unescaped text of all words.
    pub(crate) text: Vec<u8>,
    /// One range of `text` for each word.
    pub(crate) ranges: Vec<Range>,
}

/// Why a line is no list of words: a quote that is not closed, or not followed by a space.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnbalancedQuotes;

/// Splits a line into words. Double quotes know `\n \r \t \b \a \\ \" \xHH`, single quotes only
/// `\'`.
pub(crate) fn split(line: &[u8]) -> Result<Words, UnbalancedQuotes> {
    let mut words = Words::default();
    let mut rest = line;
    loop {
        while let [first, tail @ ..] = rest
            && is_space(*first)
        {
            rest = tail;
        }
        if rest.is_empty() || rest[0] == 0 {
            return Ok(words);
        }
        let start = words.text.len();
        rest = take_word(rest, &mut words.text)?;
        words.ranges.push(Range::new(start, words.text.len()));
    }
}

/// Takes one word off the front of `rest` and returns what follows it.
fn take_word<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        rest = match rest {
            [] | [b' ' | b'\n' | b'\r' | b'\t' | 0, ..] => return Ok(rest),
            [b'"', tail @ ..] => return after_quote(take_double_quoted(tail, text)?),
            [b'\'', tail @ ..] => return after_quote(take_single_quoted(tail, text)?),
            [byte, tail @ ..] => {
                text.push(*byte);
                tail
            }
        };
    }
}

/// A closing quote must end its word.
fn after_quote(rest: &[u8]) -> Result<&[u8], UnbalancedQuotes> {
    match rest {
        [] => Ok(rest),
        [byte, ..] if is_space(*byte) => Ok(rest),
        _ => Err(UnbalancedQuotes),
    }
}

fn take_double_quoted<'a>(
    mut rest: &'a [u8],
    text: &mut Vec<u8>,
) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        let (byte, tail) = match rest {
            [] | [0, ..] => return Err(UnbalancedQuotes),
            [b'"', tail @ ..] => return Ok(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex(*high) * 16 + hex(*low), tail)
            }
            [b'\\', escaped, tail @ ..] => (unescape(*escaped), tail),
            [byte, tail @ ..] => (*byte, tail),
        };
        text.push(byte);
        rest = tail;
    }
}

fn take_single_quoted<'a>(
    mut rest: &'a [u8],
    text: &mut Vec<u8>,
) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        let (byte, tail) = match rest {
            [] | [0, ..] => return Err(UnbalancedQuotes),
            [b'\'', tail @ ..] => return Ok(tail),
            [b'\\', b'\'', tail @ ..] => (b'\'', tail),
            [byte, tail @ ..] => (*byte, tail),
        };
        text.push(byte);
        rest = tail;
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// C's `isspace`: also the vertical tab and the form feed.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

#[cfg(test)]
mod tests;
