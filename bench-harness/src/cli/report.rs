//! `report`: table and pictures from a recording.

use std::io;
use std::path::PathBuf;

use clap::Args;

use super::Exit;
use super::look::Look;
use super::output_args::Format;
use super::present::print;
use super::talk::Talk;
use crate::files::Files;
use crate::phases::RunOutcome;
use crate::record::Metric;
use crate::report::{Summary, load};

/// Options of `report`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Report {
    /// Directory of a run
    directory: PathBuf,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Draw no pictures and make no page
    #[arg(long)]
    no_svg: bool,
    #[command(flatten)]
    look: Look,
}

impl Report {
    /// Reads the recording and derives everything from it again.
    ///
    /// # Errors
    /// If the directory holds no recording that can be read.
    pub(super) fn execute(self, talk: &Talk) -> io::Result<Exit> {
        let (mut result, mut recorded) = load(&self.directory)?;
        let percentiles = self.look.percentiles();
        for recorded in &mut recorded {
            // Numbers come from the histograms, whatever the JSON says; what a histogram does not
            // know (which samples are censored, what overflowed) is kept.
            let (point, recording) = (&mut recorded.point, &recorded.recording);
            let response = Summary::with(&recording.total(Metric::Response), &percentiles);
            point.response.percentiles = response.percentiles;
            (point.response.count, point.response.max_ns) = (response.count, response.max_ns);
            point.service = Summary::with(&recording.total(Metric::Service), &percentiles);
        }
        for point in &mut result.points {
            if let Some(found) = recorded.iter().find(|recorded| recorded.point.hlog == point.hlog)
            {
                *point = found.point.clone();
            }
        }
        let files = Files { svg: !self.no_svg, html: !self.no_svg };
        files.derive(&self.directory, &result, &recorded)?;
        let outcome = RunOutcome { result, recorded, failure: None };
        print(self.format, &outcome, &self.look.style(talk))?;
        Ok(Exit::Done)
    }
}
