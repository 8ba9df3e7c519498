//! `compare`: recordings of two configurations.

use std::io::{self, IsTerminal, Write, stdout};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::talk::Talk;
use super::{Exit, usage};
use crate::compare::{CompareResult, Limits, Metric, NoiseFloor, Pairing, Run, compare, overlay};
use crate::report::{colored, write_percentiles};
use crate::units;

/// Options of `compare`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Compare {
    /// Directory of the run that is the base
    base: PathBuf,
    /// Directories of the runs that are held against it
    #[arg(required = true)]
    new: Vec<PathBuf>,
    /// Another run of the base; repeatable
    #[arg(long = "base", value_name = "RUN")]
    more_base: Vec<PathBuf>,
    /// Exit with 5 also if single runs differ, which may be nothing but run-to-run noise
    #[arg(long)]
    force_single: bool,
    #[command(flatten)]
    judging: Judging,
}

/// What counts as a change, and how it is printed.
#[derive(Debug, Clone, Args)]
pub(super) struct Judging {
    /// A smaller change does not matter, such as 5%
    #[arg(long, default_value = "5%", value_parser = units::percent)]
    pub(super) threshold: f64,
    /// What two runs of one thing differ by here, from ab --save-noise [default: 3% each]
    #[arg(long, value_name = "FILE")]
    noise_floor: Option<PathBuf>,
    /// What is compared
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Metric::Rps, Metric::P50, Metric::P99])]
    pub(super) metric: Vec<Metric>,
    /// How the comparison is printed
    #[arg(long = "format", value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Draw the response of both sides by percentile into one SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Exit with 6 if something cannot be judged, and with 3 if a run is invalid
    #[arg(long)]
    strict: bool,
}

/// How a comparison is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table for the terminal.
    Table,
    /// A table in markdown.
    Markdown,
    /// JSON as `schema compare` says.
    Json,
}

impl Judging {
    /// The limits as asked for.
    ///
    /// # Errors
    /// If the noise floor cannot be read.
    pub(super) fn limits(&self) -> io::Result<Limits> {
        let floors = match &self.noise_floor {
            Some(path) => NoiseFloor::load(path)?.into_floors(),
            None => Vec::new(),
        };
        Ok(Limits { threshold: self.threshold, floors })
    }

    /// Prints a comparison.
    ///
    /// # Errors
    /// If the standard output is closed.
    pub(super) fn print(&self, result: &CompareResult, talk: &Talk) -> io::Result<()> {
        let mut out = stdout().lock();
        match self.output {
            Output::Table => {
                let table = result.table(!stdout().is_terminal());
                let table = if talk.has_colors() { colored(&table) } else { table };
                out.write_all(table.as_bytes())
            }
            Output::Markdown => out.write_all(result.markdown().as_bytes()),
            Output::Json => {
                serde_json::to_writer_pretty(&mut out, result)?;
                writeln!(out)
            }
        }
    }

    /// Draws both sides into one picture, if that was asked for.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn draw(&self, sides: [(&str, &[Run]); 2]) -> io::Result<()> {
        let Some(path) = &self.svg else { return Ok(()) };
        write_percentiles(path, "Response time by percentile", &overlay(sides))
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// The exit code; `certain` is false where a regression may be noise.
    pub(super) fn exit(&self, result: &CompareResult, certain: bool) -> Exit {
        if certain && result.regressed() {
            return Exit::Regression;
        }
        if self.strict && result.invalid_points > 0 {
            return Exit::Invalid;
        }
        if self.strict && result.inconclusive() {
            return Exit::Inconclusive;
        }
        Exit::Done
    }
}

impl Compare {
    /// Reads the runs and compares them.
    ///
    /// # Errors
    /// If a recording cannot be read.
    pub(super) fn execute(self, talk: &Talk) -> io::Result<Exit> {
        let load = |paths: &[PathBuf]| -> io::Result<Vec<Run>> {
            paths.iter().map(|path| Run::load(path)).collect()
        };
        let base = load(&[&[self.base.clone()][..], &self.more_base].concat())?;
        let new = load(&self.new)?;
        let limits = self.judging.limits()?;
        match compare(&base, &new, Pairing::Groups, &self.judging.metric, &limits) {
            Ok(result) => {
                self.judging.print(&result, talk)?;
                self.judging.draw([("base", &base), ("new", &new)])?;
                let certain = self.force_single || result.method != "within-run";
                Ok(self.judging.exit(&result, certain))
            }
            Err(text) => Ok(usage(&text)),
        }
    }
}
