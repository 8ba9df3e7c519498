//! Pictures for documents, through plotters; with `curve` the only file that knows it.

use std::io;
use std::ops::Range;
use std::path::Path;

use hdrhistogram::Histogram;
use plotters::coord::combinators::{BindKeyPoints, IntoLogRange, LogCoord, WithKeyPoints};
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::element::DashedPathElement;
use plotters::prelude::*;

use super::{Recorded, format_ns};
use crate::record::Metric;
use crate::statistics::min_samples;

/// Colours that are told apart also by most colour-blind readers.
pub(super) const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
];

/// How the curve of a load point is drawn: each of the first eighteen in its own way.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stroke {
    colour: RGBColor,
    /// The length of its dashes; none for a line without gaps.
    dash: Option<u32>,
}

impl Stroke {
    fn of(index: usize) -> Self {
        const DASHES: [Option<u32>; 3] = [None, Some(9), Some(2)];
        let colour = COLOURS[index % COLOURS.len()];
        Stroke { colour, dash: DASHES[index / COLOURS.len() % DASHES.len()] }
    }
}

/// Between two dashes.
const DASH_GAP: u32 = 4;

const SIZE: (u32, u32) = (960, 540);
pub(super) const FONT: &str = "sans-serif";

/// The response of each point by percentile, as latency against 1/(1-p), both logarithmic.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write_percentiles(
    path: &Path,
    title: &str,
    curves: &[(String, Histogram<u64>)],
) -> io::Result<()> {
    let curves: Vec<_> = curves.iter().filter(|(_, histogram)| !histogram.is_empty()).collect();
    let low = curves.iter().map(|(_, histogram)| histogram.min().max(1)).min().unwrap_or(1);
    let high = curves.iter().map(|(_, histogram)| histogram.max()).max().unwrap_or(1);
    let count = curves.iter().map(|(_, histogram)| histogram.len()).max().unwrap_or(1);
    let right = (count as f64).clamp(100.0, 1e6);
    draw(path, |root| {
        let mut chart = frame(root, title)
            .build_cartesian_2d((1.0..right).log_scale(), latency_axis(low, high))?;
        draw_mesh(
            &mut chart,
            (
                "percentile of requests (logarithmic in 1/(1-p))",
                "response time from the intended start",
            ),
            &|odds| percentile_label(*odds),
        )?;
        for (index, (name, histogram)) in curves.iter().enumerate() {
            let stroke = Stroke::of(index);
            let style = stroke.colour.stroke_width(2);
            let points = curve(histogram, right);
            let drawn = match stroke.dash {
                None => chart.draw_series(LineSeries::new(points, style))?,
                Some(length) => {
                    chart.draw_series(DashedLineSeries::new(points, length, DASH_GAP, style))?
                }
            };
            drawn.label(name.clone()).legend(legend_stroke(stroke));
        }
        // Where no curve comes, as they all rise from the left.
        draw_legend(&mut chart, SeriesLabelPosition::LowerRight)
    })
}

/// A curve from the fastest request to the last one that its samples vouch for.
fn curve(histogram: &Histogram<u64>, right: f64) -> Vec<(f64, f64)> {
    const STEPS: u32 = 240;
    let end = right.min(histogram.len() as f64).max(1.0);
    (0..=STEPS)
        .map(|step| {
            let odds = end.powf(f64::from(step) / f64::from(STEPS));
            let value = histogram.value_at_quantile(1.0 - 1.0 / odds);
            (odds, value.max(1) as f64)
        })
        .collect()
}

fn percentile_label(odds: f64) -> String {
    match odds.round() as u64 {
        0 | 1 => "0".to_owned(),
        10 => "90 %".to_owned(),
        100 => "99 %".to_owned(),
        1_000 => "99.9 %".to_owned(),
        10_000 => "99.99 %".to_owned(),
        100_000 => "99.999 %".to_owned(),
        1_000_000 => "99.9999 %".to_owned(),
        _ => String::new(),
    }
}

/// The median, the 99th percentile and the maximum of each interval over time.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write_timeline(path: &Path, title: &str, recorded: &[Recorded]) -> io::Result<()> {
    let tracks: Vec<Track> = recorded.iter().map(Track::new).collect();
    let maxima = tracks.iter().flat_map(|track| &track.max);
    let high = maxima.map(|(_, value)| *value).fold(1.0, f64::max);
    let medians = tracks.iter().flat_map(|track| &track.p50);
    let low = medians.map(|(_, value)| *value).fold(high, f64::min);
    // The legend has the last part of the picture for itself.
    let end = tracks.iter().map(|track| track.end_s).fold(0.1, f64::max) * 1.12;
    draw(path, |root| {
        let mut chart = frame(root, title)
            .build_cartesian_2d(0.0..end, latency_axis(low as u64, high as u64))?;
        draw_mesh(
            &mut chart,
            ("seconds since the run began", "response time, one point each interval"),
            &|seconds| format!("{seconds:.0}"),
        )?;
        let top = 10f64.powf(high.max(1.0).log10() + 0.08);
        // A point of which nothing was measured has no place.
        for track in tracks.iter().filter(|track| !track.max.is_empty()) {
            let style = (FONT, 14).into_font().color(&RGBColor(90, 90, 90));
            chart.draw_series([Text::new(track.label.clone(), (track.begin_s, top), style)])?;
        }
        let shown = [
            ("p50", COLOURS[0], 2, Track::p50 as fn(&Track) -> &Series),
            ("p99", COLOURS[1], 2, Track::p99),
            ("max", COLOURS[5], 1, Track::max),
        ];
        for (name, colour, width, series) in shown {
            // What was never measured is not in the legend either.
            let first = tracks.iter().position(|track| !series(track).is_empty());
            for (index, track) in tracks.iter().enumerate() {
                let line =
                    LineSeries::new(series(track).iter().copied(), colour.stroke_width(width));
                let drawn = chart.draw_series(line)?;
                if Some(index) == first {
                    drawn.label(name).legend(legend_line(colour));
                }
            }
        }
        draw_legend(&mut chart, SeriesLabelPosition::LowerRight)
    })
}

type Series = Vec<(f64, f64)>;

/// One load point over time.
struct Track {
    label: String,
    begin_s: f64,
    end_s: f64,
    p50: Series,
    p99: Series,
    max: Series,
}

impl Track {
    fn new(recorded: &Recorded) -> Self {
        let point = &recorded.point;
        let step_s = recorded.recording.interval_ns as f64 / 1e9;
        let mut track = Track {
            label: point.label.clone(),
            begin_s: point.begin_s + point.warmup_s,
            end_s: point.begin_s,
            p50: Vec::new(),
            p99: Vec::new(),
            max: Vec::new(),
        };
        for (number, interval) in recorded.recording.intervals.iter().enumerate() {
            let histogram = interval.histogram(Metric::Response);
            if histogram.is_empty() {
                continue;
            }
            let at_s = point.begin_s + (number as f64 + 0.5) * step_s;
            let value =
                |percentile| (at_s, histogram.value_at_percentile(percentile).max(1) as f64);
            track.p50.push(value(50.0));
            if histogram.len() >= min_samples(99.0) {
                track.p99.push(value(99.0));
            }
            track.max.push((at_s, histogram.max().max(1) as f64));
            track.end_s = at_s + step_s;
        }
        track
    }

    fn p50(&self) -> &Series {
        &self.p50
    }

    fn p99(&self) -> &Series {
        &self.p99
    }

    fn max(&self) -> &Series {
        &self.max
    }
}

/// A logarithmic axis of latencies, with its marks.
pub(super) type LatencyAxis = WithKeyPoints<LogCoord<f64>>;

/// A latency axis from below `low` to above `high`.
pub(super) fn latency_axis(low_ns: u64, high_ns: u64) -> LatencyAxis {
    let low = low_ns.max(1) as f64;
    let high = (high_ns as f64).max(low * 2.0);
    let range = low * 0.8..high * 1.6;
    let marks = latency_marks(&range);
    range.log_scale().with_key_points(marks)
}

/// Each power of ten, and between them as many as there is room for. Left to itself the axis has no mark in a decade
/// that does not begin on it.
fn latency_marks(range: &Range<f64>) -> Vec<f64> {
    let steps: &[f64] = match range.end / range.start {
        ..10.0 => &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
        ..1e4 => &[1.0, 2.0, 5.0],
        _ => &[1.0],
    };
    let powers = (0..13).map(|power| 10f64.powi(power));
    let marks = powers.flat_map(|power| steps.iter().map(move |step| step * power));
    marks.filter(|mark| range.contains(mark)).collect()
}

pub(super) type Root<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
/// A chart of a picture of ours: a range across, and a latency upwards.
pub(super) type Chart<'a, 'b, X> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, LatencyAxis>>;
pub(super) type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A chart with its title and room for both axes, not yet built.
pub(super) fn frame<'a, 'b>(
    root: &'a Root<'b>,
    title: &str,
) -> ChartBuilder<'a, 'a, SVGBackend<'b>> {
    let mut builder = ChartBuilder::on(root);
    builder.caption(title, (FONT, 20)).margin(16).x_label_area_size(46).y_label_area_size(78);
    builder
}

/// Draws axes, grid and what the axes show; the vertical one is a latency.
pub(super) fn draw_mesh<X>(
    chart: &mut Chart<'_, '_, X>,
    (across, upwards): (&str, &str),
    label: &dyn Fn(&f64) -> String,
) -> Drawn
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .x_desc(across)
        .y_desc(upwards)
        .axis_desc_style((FONT, 15))
        .label_style((FONT, 13))
        .x_label_formatter(&label)
        .y_label_formatter(&|value_ns| format_ns(value_ns.round() as u64))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .draw()?;
    Ok(())
}

/// The stroke that stands for a series in the legend.
pub(super) fn legend_line(colour: RGBColor) -> impl Fn((i32, i32)) -> PathElement<(i32, i32)> {
    move |(x, y)| PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(3))
}

/// The same for a line that may have gaps.
fn legend_stroke(
    stroke: Stroke,
) -> impl Fn((i32, i32)) -> DashedPathElement<std::vec::IntoIter<(i32, i32)>, u32> {
    let length = stroke.dash.unwrap_or(22);
    move |(x, y)| {
        let ends = vec![(x, y), (x + 22, y)].into_iter();
        DashedPathElement::new(ends, length, DASH_GAP, stroke.colour.stroke_width(3))
    }
}

/// Draws the legend.
pub(super) fn draw_legend<'a, 'b: 'a, X>(
    chart: &mut Chart<'a, 'b, X>,
    position: SeriesLabelPosition,
) -> Drawn
where
    X: Ranged<ValueType = f64>,
{
    chart
        .configure_series_labels()
        .position(position)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(200, 200, 200))
        .label_font((FONT, 14))
        .draw()?;
    Ok(())
}

/// Draws a picture into a file.
///
/// # Errors
/// If it cannot be written.
pub(super) fn draw(path: &Path, body: impl FnOnce(&Root<'_>) -> Drawn) -> io::Result<()> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    let drawn = || -> Drawn {
        root.fill(&WHITE)?;
        body(&root)?;
        root.present()?;
        Ok(())
    };
    drawn().map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests;
