//! The curves of both sides for one picture.

use hdrhistogram::Histogram;

use super::Run;
use crate::record::Metric;

/// The response of each load point under its label and the name of its side: that of all runs of a side together,
/// whose histograms are added up.
pub(crate) fn overlay(sides: [(&str, &[Run]); 2]) -> Vec<(String, Histogram<u64>)> {
    let points = sides.iter().flat_map(|(_, runs)| *runs).map(|run| run.recorded.len()).max();
    let mut curves = Vec::new();
    for point in 0..points.unwrap_or(0) {
        for (side, runs) in sides {
            let mut recorded = runs.iter().filter_map(|run| run.recorded.get(point));
            let Some(first) = recorded.next() else { continue };
            let mut total = first.recording.total(Metric::Response);
            for other in recorded {
                total += other.recording.total(Metric::Response);
            }
            curves.push((format!("{side}, {}", first.point.label), total));
        }
    }
    curves
}
