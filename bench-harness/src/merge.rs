//! Recordings of several generators against one server, added up to one.
//!
//! Histograms are added interval by interval, counted from the start of each point; percentiles are
//! never averaged. Intervals of machines whose clocks differ do not matter to the sum, only to the
//! picture over time.

use crate::record::Metric;
use crate::report::{Point, Recorded, RunResult, Summary};
use crate::statistics::{Percentile, percentile_interval};
use crate::verdict::Verdict;

/// Adds runs up: the first one's facts, everybody's requests, and these percentiles beside the usual ones.
///
/// # Errors
/// A text for the user, if the runs cannot be added.
pub(crate) fn merge(
    runs: Vec<(RunResult, Vec<Recorded>)>,
    percentiles: &[Percentile],
) -> Result<(RunResult, Vec<Recorded>), String> {
    let count = runs.len();
    let mut runs = runs.into_iter();
    let (mut result, mut sum) = runs.next().ok_or("there is nothing to add")?;
    for (other, recorded) in runs {
        if recorded.len() != sum.len() {
            return Err(format!(
                "{} has {} recorded load points and {} has {}: merge runs of one command",
                other.id,
                recorded.len(),
                result.id,
                sum.len()
            ));
        }
        for (mine, other) in sum.iter_mut().zip(recorded) {
            add(mine, other)?;
        }
        result.complete &= other.complete;
        result.noise.extend(other.noise);
        result.layout.load_cpus.extend(other.layout.load_cpus);
        result.environment.warnings.extend(other.environment.warnings);
    }
    for recorded in &mut sum {
        summarize(recorded, percentiles, result.seed);
    }
    result.workload.description = format!("{} · {count} generators", result.workload.description);
    result.points = sum.iter().map(|recorded| recorded.point.clone()).collect();
    Ok((result, sum))
}

fn add(mine: &mut Recorded, mut other: Recorded) -> Result<(), String> {
    let (point, more) = (&mut mine.point, &other.point);
    let (sum, addend) = (&mut mine.recording, &mut other.recording);
    // The longer of two runs may have doubled its intervals, which the other one can do as well.
    while sum.interval_ns < addend.interval_ns {
        sum.coarsen();
    }
    while addend.interval_ns < sum.interval_ns {
        addend.coarsen();
    }
    if sum.interval_ns != addend.interval_ns {
        return Err(format!("the intervals of {} differ in length: give all runs one", more.label));
    }
    if point.mode != more.mode {
        return Err(format!(
            "{} is {} in one run and {} in another",
            more.label, point.mode, more.mode
        ));
    }
    for (number, interval) in (0..).zip(&addend.intervals) {
        let begin_ns = number * addend.interval_ns;
        sum.interval_at(begin_ns).absorb(interval);
    }
    point.interval_ns = sum.interval_ns;
    point.ledger.add(&more.ledger);
    point.offered_rps = point.offered_rps.zip(more.offered_rps).map(|(a, b)| a + b);
    point.achieved_rps += more.achieved_rps;
    point.duration_s = point.duration_s.max(more.duration_s);
    point.connections.add(&more.connections);
    for (sum, more) in [(&mut point.response, &more.response), (&mut point.service, &more.service)]
    {
        sum.censored += more.censored;
        sum.overflow += more.overflow;
        let bounds = [sum.lower_bound_from_ns, more.lower_bound_from_ns];
        sum.lower_bound_from_ns = bounds.into_iter().flatten().min();
    }
    point.verdict = worse(&point.verdict, &more.verdict);
    point.server.extend(more.server.iter().cloned());
    point.generator.cpus.extend(&more.generator.cpus);
    point.generator.loop_gap_max_us =
        point.generator.loop_gap_max_us.max(more.generator.loop_gap_max_us);
    point.steal = [point.steal, more.steal].into_iter().flatten().reduce(f64::max);
    point.throttled_us = [point.throttled_us, more.throttled_us].into_iter().flatten().max();
    // Gaps between sends are those of one generator.
    point.send_gap_cv = None;
    // Percentiles of stages cannot be added up.
    point.hops = None;
    point.split = None;
    Ok(())
}

fn worse(a: &Verdict, b: &Verdict) -> Verdict {
    let mut reasons = a.reasons.clone();
    reasons.extend(b.reasons.iter().filter(|reason| !a.reasons.contains(reason)).cloned());
    Verdict { status: a.status.max(b.status), overloaded: a.overloaded || b.overloaded, reasons }
}

fn summarize(recorded: &mut Recorded, percentiles: &[Percentile], seed: u64) {
    let (point, recording) = (&mut recorded.point, &recorded.recording);
    point.balanced = balanced(point);
    let summary = |metric| Summary::with(&recording.total(metric), percentiles);
    // A recording does not know which of its samples are ages.
    let again = |old: &Summary, metric| Summary {
        overflow: old.overflow,
        censored: old.censored,
        lower_bound_from_ns: old.lower_bound_from_ns,
        ..summary(metric)
    };
    point.response = again(&point.response, Metric::Response);
    for (name, percentile) in [("50", 50.0), ("99", 99.0)] {
        let blocks = recording.span(Metric::Response);
        let interval = percentile_interval(blocks, Metric::Response, percentile, seed);
        if let Some(interval) = interval.filter(|_| point.response.percentile(name).is_some()) {
            point.response.ci95.insert(name.to_owned(), interval);
        }
    }
    point.service = again(&point.service, Metric::Service);
    point.client_queue = summary(Metric::ClientQueue);
    point.generator_lag = summary(Metric::GeneratorLag);
}

/// Each generator has compared the server's count with its own, and a server that several load counts
/// the requests of all: the sum of what they saw says nothing, so the server's count is left out.
fn balanced(point: &mut Point) -> bool {
    point.ledger.server_count = None;
    point.ledger.balanced()
}

#[cfg(test)]
mod tests;
