//! Options that say what becomes of a result, and when it is good enough.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::look::Look;
use crate::clock;
use crate::files::Files;
use crate::slo::Slo;
use crate::units;

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table and a picture.
    Table,
    /// A table for a page in markdown, such as the comment of a review.
    Markdown,
    /// The content of result.json.
    Json,
    /// A line for each interval.
    Csv,
    /// Nothing.
    Quiet,
}

/// What is recorded, printed and written.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Results")]
pub(crate) struct OutputArgs {
    /// Length of the recorded intervals; where there would be more than 512 it doubles
    #[arg(long, default_value = "200ms", value_parser = units::positive_duration)]
    interval: Duration,
    /// Significant digits of recorded latencies: with 2 they are off by 1 % at most, and the histograms of a load
    /// thread need an eighth of the cache
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=3))]
    pub(super) digits: u8,
    /// Directory of the results [default: bench-out/TIME-NAME]
    #[arg(short, long)]
    out: Option<PathBuf>,
    /// Name of the run
    #[arg(long)]
    name: Option<String>,
    /// A label for whoever compares runs, as KEY=VALUE; repeatable
    #[arg(long, value_parser = units::label)]
    label: Vec<(String, String)>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(super) format: Format,
    /// What every load point must keep, such as 'p99<1ms', 'service.max<5ms', 'rps>100k' or
    /// 'errors<=0'; if not, the exit code is 4; repeatable
    #[arg(long, value_parser = Slo::parse)]
    slo: Vec<Slo>,
    /// Exit with 3 if a measurement is not valid
    #[arg(long)]
    pub(super) strict: bool,
    /// Draw no pictures
    #[arg(long)]
    no_svg: bool,
    /// Write no report.html
    #[arg(long)]
    no_html: bool,
    /// Write no files at all
    #[arg(long, conflicts_with = "out")]
    no_files: bool,
    #[command(flatten)]
    pub(super) look: Look,
}

/// Shorter ones cost more than they tell.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

impl OutputArgs {
    /// Names a run that has no name.
    pub(super) fn name_it(&mut self, name: &str) {
        self.name.get_or_insert_with(|| name.to_owned());
    }

    /// The name that was given.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The labels that were given.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        self.label.iter().cloned().collect()
    }

    /// The conditions.
    pub(super) fn slos(&self) -> &[Slo] {
        &self.slo
    }

    /// Length of the intervals.
    ///
    /// # Errors
    /// A text for the user, if it is too short.
    pub(super) fn interval(&self) -> Result<Duration, String> {
        if self.interval < MIN_INTERVAL {
            return Err("an interval is at least 10ms long".to_owned());
        }
        Ok(self.interval)
    }

    /// Which files are made beside the recording.
    pub(super) fn files(&self) -> Files {
        Files { svg: !self.no_svg, html: !self.no_html && !self.no_svg }
    }

    /// Where files go, if there are to be any.
    pub(super) fn directory(&self, name: &str) -> Option<PathBuf> {
        let stamp = clock::utc_stamp(clock::unix_ns());
        let default = || PathBuf::from("bench-out").join(format!("{stamp}-{name}"));
        (!self.no_files).then(|| self.out.clone().unwrap_or_else(default))
    }
}
