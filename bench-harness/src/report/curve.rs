//! Latency against throughput, one mark for each load point.

use std::io;
use std::path::Path;

use plotters::prelude::*;

use super::svg::{COLOURS, draw, draw_legend, draw_mesh, frame, latency_axis, legend_line};
use super::{Point, format_rate};
use crate::verdict::Status;

/// Fewer open loops than this are no curve.
const ENOUGH: usize = 3;

/// Whether there are enough open loops for a curve.
pub(crate) fn has_curve(points: &[Point]) -> bool {
    points.iter().filter(|point| point.mode == "open").count() >= ENOUGH
}

/// Draws the percentiles of each open loop against what it achieved. Marks of invalid points are
/// hollow, and no line goes through them.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write_curve(path: &Path, title: &str, points: &[Point]) -> io::Result<()> {
    let mut points: Vec<&Point> = points.iter().filter(|point| point.mode == "open").collect();
    // In the order of what was asked for: beyond its capacity a server may answer less, and the curve
    // bends back.
    let offered = |point: &Point| point.offered_rps.unwrap_or(point.achieved_rps);
    points.sort_by(|a, b| offered(a).total_cmp(&offered(b)));
    let right = points.iter().map(|point| point.achieved_rps).fold(1.0, f64::max);
    let series = ["50", "99", "99.9"].map(|name| {
        let marks = points.iter().filter_map(|point| {
            let value = point.response.percentile(name)?.max(1) as f64;
            Some((point.achieved_rps, value, point.verdict.status == Status::Invalid))
        });
        (name, marks.collect::<Vec<(f64, f64, bool)>>())
    });
    let values = || series.iter().flat_map(|(_, marks)| marks).map(|(_, value, _)| *value as u64);
    let (low, high) = (values().min().unwrap_or(1), values().max().unwrap_or(1));
    let has_invalid = series.iter().any(|(_, marks)| marks.iter().any(|(_, _, invalid)| *invalid));
    let across =
        if has_invalid { "answers a second (hollow: invalid)" } else { "answers a second" };
    draw(path, |root| {
        let mut chart =
            frame(root, title).build_cartesian_2d(0.0..right * 1.05, latency_axis(low, high))?;
        draw_mesh(&mut chart, (across, "response time from the intended start"), &|rate| {
            format_rate(*rate)
        })?;
        let shown = series.iter().enumerate().filter(|(_, (_, marks))| !marks.is_empty());
        for (index, (name, marks)) in shown {
            let colour = COLOURS[index];
            let valid = marks.iter().filter(|(_, _, invalid)| !invalid);
            let line = LineSeries::new(valid.map(|(x, y, _)| (*x, *y)), colour.stroke_width(2));
            chart.draw_series(line)?.label(format!("p{name}")).legend(legend_line(colour));
            chart.draw_series(marks.iter().map(|(x, y, invalid)| {
                let style = if *invalid { colour.stroke_width(1) } else { colour.filled() };
                Circle::new((*x, *y), 4, style)
            }))?;
        }
        draw_legend(&mut chart, SeriesLabelPosition::UpperLeft)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Summary, sample_point};

    #[test]
    fn marks_of_invalid_points_are_hollow_and_off_the_line_and_closed_loops_are_not_drawn() {
        let mut histogram = crate::record::new_histogram::<u64>();
        histogram.record_n(1_000, 1_000).unwrap();
        let at = |offered: f64, achieved: f64| {
            let mut point = sample_point("open");
            (point.offered_rps, point.achieved_rps) = (Some(offered), achieved);
            point.response = Summary::new(&histogram);
            point
        };
        let mut points: Vec<Point> =
            (1..=4).map(|n| at(f64::from(n) * 1e6, f64::from(n) * 10.0)).collect();
        points[2].verdict.status = Status::Invalid;
        points.push(Point { mode: "closed".to_owned(), offered_rps: None, ..at(0.0, 1e6) });
        let file = tempfile::NamedTempFile::new().unwrap();
        write_curve(file.path(), "curve", &points).unwrap();
        let picture = std::fs::read_to_string(file.path()).unwrap();
        let circles: Vec<&str> = picture.lines().filter(|line| line.contains("<circle")).collect();
        // The median and the p99: there are too few samples for more.
        assert_eq!(circles.len(), 8);
        let hollow = circles.iter().filter(|circle| circle.contains("fill=\"none\"")).count();
        assert_eq!(hollow, 2, "{circles:?}");
        let lines = picture
            .lines()
            .filter(|line| line.contains("<polyline") && line.contains("stroke-width=\"2\""));
        let corners: Vec<usize> = lines
            .map(|line| {
                line.split("points=\"")
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap()
                    .split_whitespace()
                    .count()
            })
            .collect();
        assert_eq!(corners, [3, 3], "{picture}");
        // Against what was achieved, not asked for, and the closed loop would be far to the right.
        assert!(picture.contains("40 /s") && !picture.contains("M/s"), "{picture}");
        assert!(has_curve(&points) && !has_curve(&points[2..]));
    }
}
