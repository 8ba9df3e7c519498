//! `ab`: two configurations, run in turn and compared by pairs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use super::compare::Judging;
use super::talk::Talk;
use super::{Exit, catch_interrupts, usage};
use crate::clock;
use crate::compare::{CompareResult, DEFAULT_PAIRS, NoiseFloor, Pairing, Run, compare};
use crate::console::Console;
use crate::files::make_directory;
use crate::rng::Rng;

/// Options of `ab`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Ab {
    /// A: a command as bench-harness takes it, such as 'run echo --rate 20k'
    #[arg(long)]
    a: String,
    /// B, likewise
    #[arg(long)]
    b: String,
    /// Pairs of a run of A and one of B, in random order within the pair
    #[arg(long, default_value_t = DEFAULT_PAIRS as u32, value_parser = clap::value_parser!(u32).range(2..=64))]
    pairs: u32,
    /// A change is confirmed by so many pairs more before it counts [default: as many again]
    #[arg(long)]
    confirm: Option<u32>,
    /// Keep what A and B differed by as the noise floor of later comparisons: A and B must be alike
    #[arg(long, value_name = "FILE")]
    save_noise: Option<PathBuf>,
    /// Directory of the runs [default: bench-out/TIME-ab]
    #[arg(short, long)]
    out: Option<PathBuf>,
    /// Seed of the order
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    judging: Judging,
}

impl Ab {
    /// Runs the pairs and compares them.
    ///
    /// # Errors
    /// If a run fails or nothing can be written.
    pub(super) fn execute(self, talk: &Talk) -> io::Result<Exit> {
        let sides = match (words(&self.a), words(&self.b)) {
            (Ok(a), Ok(b)) => [a, b],
            (Err(text), _) | (_, Err(text)) => return Ok(usage(&text)),
        };
        if self.save_noise.is_some() && sides[0] != sides[1] {
            return Ok(usage("--save-noise needs the same command for --a and --b"));
        }
        let limits = self.judging.limits()?;
        let stamp = clock::utc_stamp(clock::unix_ns());
        let default = || PathBuf::from("bench-out").join(format!("{stamp}-ab"));
        let out = self.out.clone().unwrap_or_else(default);
        let made = make_directory(&out)?;
        let console = talk.console();
        let mut rounds = Rounds {
            sides,
            out: &out,
            rng: Rng::new(self.seed),
            interrupted: catch_interrupts()?,
            done: 0,
            console,
        };
        let judge = |(a, b): &(Vec<Run>, Vec<Run>)| {
            compare(a, b, Pairing::Pairs, &self.judging.metric, &limits).map_err(io::Error::other)
        };
        let first = match rounds.run(self.pairs) {
            Ok(first) => first,
            Err(error) => {
                made.undo();
                return Err(error);
            }
        };
        let Some(first) = first else { return Ok(rounds.interrupted(&out)) };
        let mut result = judge(&first)?;
        let confirm = self.confirm.unwrap_or(self.pairs);
        if result.regressed() && confirm >= 2 {
            console.note("a change for the worse: once more, to confirm it");
            let Some(again) = rounds.run(confirm)? else { return Ok(rounds.interrupted(&out)) };
            result.confirmed_by(&judge(&again)?);
        }
        self.keep(&out, &result)?;
        self.judging.print(&result, talk)?;
        self.judging.draw([("a", &first.0), ("b", &first.1)])?;
        Ok(self.judging.exit(&result, true))
    }

    fn keep(&self, out: &Path, result: &CompareResult) -> io::Result<()> {
        fs::write(out.join("compare.json"), serde_json::to_vec_pretty(result)?)?;
        if let Some(path) = &self.save_noise {
            fs::write(path, serde_json::to_vec_pretty(&NoiseFloor::of(result))?)?;
        }
        Ok(())
    }
}

/// Runs of both sides, one process each, so that nothing is left over from one to the next.
struct Rounds<'a> {
    sides: [Vec<String>; 2],
    out: &'a Path,
    rng: Rng,
    interrupted: std::sync::Arc<AtomicBool>,
    done: u32,
    console: Console,
}

impl Rounds<'_> {
    /// Runs so many pairs; `None` if they were interrupted.
    fn run(&mut self, pairs: u32) -> io::Result<Option<(Vec<Run>, Vec<Run>)>> {
        let mut runs = [Vec::new(), Vec::new()];
        for pair in 0..pairs {
            self.done += 1;
            self.console.note(&format!("pair {} of {pairs}", pair + 1));
            let first = self.rng.below(2) as usize;
            for side in [first, 1 - first] {
                let name = format!("{}-{}", ["a", "b"][side], self.done);
                let directory = self.out.join(name);
                self.start(side, &directory)?;
                if self.interrupted.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                runs[side].push(Run::load(&directory)?);
            }
        }
        let [a, b] = runs;
        Ok(Some((a, b)))
    }

    fn start(&self, side: usize, directory: &Path) -> io::Result<()> {
        let output = Command::new(std::env::current_exe()?)
            .args(&self.sides[side])
            .arg("--out")
            .arg(directory)
            .args(["--format=quiet", "--no-svg"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()?;
        if output.status.success() || self.interrupted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let reason =
            text.lines().find(|line| line.starts_with("error")).unwrap_or("no reason given");
        let command = self.sides[side].join(" ");
        Err(io::Error::other(format!("bench-harness {command}: {reason} ({})", output.status)))
    }

    fn interrupted(&self, out: &Path) -> Exit {
        eprintln!("interrupted in pair {}: the runs so far are in {}", self.done, out.display());
        Exit::Interrupted
    }
}

/// The words of a command of ours that leaves a recording.
fn words(command: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    match words.first().map(String::as_str) {
        Some("run" | "attack") => {}
        _ => return Err(format!("{command:?} does not begin with run or attack")),
    }
    let taken = ["--out", "-o", "--format", "--no-files"];
    let clash = words.iter().find(|word| {
        let name = word.split('=').next().unwrap_or_default();
        taken.contains(&name)
    });
    if let Some(word) = clash {
        return Err(format!("{word} is chosen by ab itself; leave it out of {command:?}"));
    }
    if command.contains(['"', '\'']) {
        return Err(format!(
            "quotes are not understood in {command:?}: its words are split at blanks"
        ));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_a_command_that_leaves_a_recording() {
        assert_eq!(words("run  echo --rate 20k").unwrap(), ["run", "echo", "--rate", "20k"]);
        for bad in ["", "serve kv", "run kv --out x", "run kv --format=json", "run 'kv'"] {
            assert!(words(bad).is_err(), "{bad:?}");
        }
    }
}
