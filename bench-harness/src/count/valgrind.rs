//! This program under valgrind.

use std::io;
use std::process::{Command, Stdio};

/// Instructions of a process that does a case so many times.
///
/// # Errors
/// If there is no valgrind, or the process fails.
pub(super) fn instructions(name: &str, times: u64) -> io::Result<u64> {
    let said = run(&["--tool=callgrind", "--callgrind-out-file=/dev/null"], name, times)?;
    number_after(&said, "Collected :").ok_or_else(|| silent(&said))
}

/// How often it asked for memory.
///
/// # Errors
/// As [`instructions`].
pub(super) fn allocations(name: &str, times: u64) -> io::Result<u64> {
    let said = run(&["--tool=dhat", "--dhat-out-file=/dev/null"], name, times)?;
    let total = said.lines().find(|line| line.contains(" Total:"));
    let blocks = total.and_then(|line| number_after(line, " in "));
    blocks.ok_or_else(|| silent(&said))
}

fn run(tool: &[&str], name: &str, times: u64) -> io::Result<String> {
    let output = Command::new("valgrind")
        .args(tool)
        .arg(std::env::current_exe()?)
        .args(["count", name, "--times", &times.to_string()])
        // The environment lies on the stack of a process and moves what comes after it.
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .map_err(|error| {
            let text = format!("valgrind cannot be started: {error}; is it installed?");
            io::Error::new(error.kind(), text)
        })?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(said) } else { Err(silent(&said)) }
}

/// The number behind a word, whose thousands may be told apart by commas.
fn number_after(text: &str, word: &str) -> Option<u64> {
    let rest = text.split_once(word)?.1.trim_start();
    let digits: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
    digits.replace(',', "").parse().ok()
}

fn silent(said: &str) -> io::Error {
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing");
    io::Error::other(format!("valgrind did not count; it said: {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_found_in_what_valgrind_says() {
        let said = "==7== Events    : Ir\n==7== Collected : 1234567\n==7== \n";
        assert_eq!(number_after(said, "Collected :"), Some(1_234_567));
        assert_eq!(
            number_after("==7== Total:     1,024 bytes in 1,002 blocks", " in "),
            Some(1_002)
        );
        assert_eq!(number_after("==7== nothing", "Collected :"), None);
    }
}
