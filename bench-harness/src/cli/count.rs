//! `count`: instructions and allocations of pure structures, beside a baseline.

use std::fs;
use std::io::{self, IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};

use clap::Args;

use super::talk::Talk;
use super::{Exit, usage};
use crate::count::{Change, Compared, Counts, render, repeat, run};
use crate::units;

/// Options of `count`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Count {
    /// Only cases whose names contain this
    filter: Option<String>,
    /// Hold the counts against those in this file; more is exit code 5
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Instructions may differ from the baseline's by this much
    #[arg(long, default_value = "2%", value_parser = units::percent)]
    tolerance: f64,
    /// Keep the counts in this file
    #[arg(long, value_name = "FILE", conflicts_with = "filter")]
    save: Option<PathBuf>,
    /// What this program was compiled with, such as "$(rustc -V)": a baseline of another compiler judges nothing
    #[arg(long, value_name = "TEXT")]
    compiler: Option<String>,
    /// Exit with 6 if the baseline judges nothing
    #[arg(long)]
    strict: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Use only ASCII characters [default: where the output is no terminal]
    #[arg(long)]
    ascii: bool,
    /// Do the operations of one case in this process
    #[arg(long, hide = true, requires = "filter")]
    times: Option<u64>,
}

impl Count {
    /// Counts and compares.
    ///
    /// # Errors
    /// If there is no valgrind or no such case, and if a file cannot be read or written.
    pub(super) fn execute(self, talk: &Talk) -> io::Result<Exit> {
        let filter = self.filter.clone().unwrap_or_default();
        if let Some(times) = self.times {
            return repeat(&filter, times).map(|()| Exit::Done);
        }
        if cfg!(debug_assertions) && (self.baseline.is_some() || self.save.is_some()) {
            return Ok(usage("a debug build counts its checks; build it with --release"));
        }
        let baseline = self.baseline.as_deref().map(load).transpose()?;
        let counts = run(&filter, self.compiler.clone(), &talk.console())?;
        let compared = Compared::all(&counts, baseline.as_ref(), self.tolerance);
        let mut out = stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &counts)?;
            writeln!(out)?;
        } else {
            let ascii = self.ascii || !stdout().is_terminal();
            out.write_all(render(&compared, ascii).as_bytes())?;
        }
        if let Some(path) = &self.save {
            fs::write(path, serde_json::to_string_pretty(&counts)? + "\n")?;
        }
        Ok(baseline.map_or(Exit::Done, |baseline| self.judge(&counts, &baseline, &compared)))
    }

    fn judge(&self, counts: &Counts, baseline: &Counts, compared: &[Compared]) -> Exit {
        if counts.compiler != baseline.compiler {
            let name = |counts: &Counts| counts.compiler.clone().unwrap_or("unknown".to_owned());
            eprintln!(
                "not judged: the baseline was counted with {}, this with {}; --save keeps these",
                name(baseline),
                name(counts)
            );
            return if self.strict { Exit::Inconclusive } else { Exit::Done };
        }
        let is_gone = |name: &&String| !counts.cases.contains_key(*name);
        let gone: Vec<&str> = baseline.cases.keys().filter(is_gone).map(String::as_str).collect();
        if self.filter.is_none() && !gone.is_empty() {
            eprintln!("error: the baseline has {}, and nobody else; see --save", gone.join(", "));
            return Exit::Failed;
        }
        if compared.iter().any(|one| one.change == Change::More) {
            eprintln!(
                "error: some need more than in the baseline; if that is as it should be, --save keeps it"
            );
            return Exit::Regression;
        }
        Exit::Done
    }
}

fn load(path: &Path) -> io::Result<Counts> {
    let explain = |error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
    };
    let text = fs::read(path).map_err(|error| explain(&error))?;
    serde_json::from_slice(&text).map_err(|error| explain(&error))
}
