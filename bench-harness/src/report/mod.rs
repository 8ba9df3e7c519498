//! All that is shown is derived from a recording and can be made again from its files.

mod color;
mod curve;
mod html;
mod json;
mod markdown;
mod picture;
#[cfg(test)]
mod sample;
mod svg;
mod table;
mod text;

pub(crate) use color::colored;
pub(crate) use curve::{has_curve, write_curve};
pub(crate) use html::html;
pub(crate) use json::{
    Artifacts, Connections, Floor, GeneratorUse, Point, RunResult, SCHEMA, ShardUse, Stationary,
    Summary, Tool, Workload, load, write_json,
};
pub(crate) use markdown::render_markdown;
pub(crate) use picture::percentile_picture;
pub(crate) use svg::{write_percentiles, write_timeline};
pub(crate) use table::{Column, Style, Unit, format_ns, format_rate, render_table, to_ascii};
pub(crate) use text::{hgrm, intervals_csv};

#[cfg(test)]
pub(crate) use sample::{sample_point, sample_result};

use crate::record::Recording;

/// A load point with everything that was recorded at it.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// Its facts, as they stand in `result.json`.
    pub(crate) point: Point,
    /// Its histograms, as they stand in its interval log.
    pub(crate) recording: Recording,
}
