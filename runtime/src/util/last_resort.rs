//! What is reported while nobody has set up any logging: one line on the standard error, as asyncio's logging does
//! with warnings and errors as its last resort.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use tracing::Level;

/// Writes one line. A standard error that is closed, or that nobody reads, is none of the program's business.
pub fn write_last_resort(level: Level, target: &str, text: &str) {
    let mut line = format!("{level} {target}: ");
    for character in text.chars() {
        // What a peer or a file has said must not look like a line of its own, or move a terminal's cursor.
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    // In one piece, so that lines of several threads do not mix.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Adds a field behind the message.
pub fn add_field(text: &mut String, name: &str, value: impl std::fmt::Display) {
    // A text takes whatever it is given.
    let _ = write!(text, " {name}={value}");
}
