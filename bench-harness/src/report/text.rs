//! The recording as text for other tools: percentile tables as HdrHistogram's plotter reads them, and
//! intervals as CSV.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use super::Recorded;
use crate::record::Metric;
use crate::statistics::min_samples;

/// Steps for each halving of the distance to 100 %.
const TICKS: u32 = 5;

/// A percentile table in milliseconds, in the layout of HdrHistogram's `.hgrm` files.
pub(crate) fn hgrm(histogram: &Histogram<u64>) -> String {
    let ms = |value_ns: f64| value_ns / 1e6;
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut seen = 0;
    for step in histogram.iter_quantiles(TICKS) {
        seen += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let value = ms(step.value_iterated_to() as f64);
        let _ = write!(text, "{value:12.3} {quantile:2.12} {seen:10}");
        if quantile < 1.0 {
            let _ = write!(text, " {:14.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let _ = write!(
        text,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n\
         #[Max     = {:12.3}, Total count    = {:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {:12}]\n",
        ms(histogram.mean()),
        ms(histogram.stdev()),
        ms(histogram.max() as f64),
        histogram.len(),
        histogram.buckets(),
        2_048,
    );
    text
}

/// One line for each interval of each load point. What is not known is empty.
pub(crate) fn intervals_csv(recorded: &[Recorded]) -> String {
    let mut text = String::from(
        "point,t_s,warmup,responses,p50_ns,p99_ns,max_ns,service_p99_ns,lag_p99_ns,lag_max_ns\n",
    );
    for recorded in recorded {
        let point = &recorded.point;
        let label = point.label.replace(['"', '\n'], "'");
        let step_s = recorded.recording.interval_ns as f64 / 1e9;
        for (number, interval) in recorded.recording.intervals.iter().enumerate() {
            let response = interval.histogram(Metric::Response);
            let service = interval.histogram(Metric::Service);
            let lag = interval.histogram(Metric::GeneratorLag);
            let _ = writeln!(
                text,
                "\"{label}\",{:.3},{},{},{},{},{},{},{},{}",
                point.begin_s + number as f64 * step_s,
                interval.histogram(Metric::Warmup).len(),
                response.len(),
                percentile(&response, 50.0),
                percentile(&response, 99.0),
                largest(&response),
                percentile(&service, 99.0),
                percentile(&lag, 99.0),
                largest(&lag),
            );
        }
    }
    text
}

fn percentile(histogram: &Histogram<u64>, percentile: f64) -> String {
    let enough = histogram.len() >= min_samples(percentile);
    if enough { histogram.value_at_percentile(percentile).to_string() } else { String::new() }
}

fn largest(histogram: &Histogram<u64>) -> String {
    if histogram.is_empty() { String::new() } else { histogram.max().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Recording, new_histogram};
    use crate::report::sample_point;

    fn milliseconds() -> Histogram<u64> {
        let mut histogram = new_histogram();
        (1..=1_000).for_each(|ms| histogram.saturating_record(ms * 1_000_000));
        histogram
    }

    #[test]
    fn a_percentile_table_rises_to_the_largest_value_and_counts_all() {
        let text = hgrm(&milliseconds());
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        assert!(rows.windows(2).all(|pair| pair[0][0] <= pair[1][0] && pair[0][1] <= pair[1][1]));
        let last = rows.last().unwrap();
        assert!(
            (last[0] - 1_000.0).abs() < 1.0 && last[1] >= 1.0 && last[2] >= 1_000.0,
            "{last:?}"
        );
        let median = rows.iter().find(|row| (row[1] - 0.5).abs() < 1e-9).unwrap();
        assert!((median[0] - 500.0).abs() < 0.6 && (median[3] - 2.0).abs() < 1e-9, "{median:?}");
        assert!((median[2] - 500.0).abs() < 1.5, "so many are no slower: {median:?}");
        let trailer: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
        // Of the whole numbers up to a thousand, to the width of a bucket.
        let near = |word: &str, expected: f64| {
            let (_, rest) = trailer.iter().find_map(|line| line.split_once(word)).unwrap();
            let number = rest.trim_start_matches(['=', ' ']).split([',', ']']).next().unwrap();
            assert!(
                (number.parse::<f64>().unwrap() / expected - 1.0).abs() < 2e-3,
                "{word}: {number}"
            );
        };
        near("Mean   ", 500.5);
        near("StdDeviation  ", 288.67);
        near("Max    ", 1_000.0);
        near("Total count   ", 1_000.0);
    }

    #[test]
    fn every_interval_is_a_line_and_what_is_not_known_is_empty() {
        let mut recording = Recording::new(100_000_000);
        recording.interval_at(100_000_000).add(Metric::Response, &milliseconds());
        let text = intervals_csv(&[Recorded { point: sample_point("a \"b\", c"), recording }]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[1].starts_with("\"a 'b', c\",") && lines[1].ends_with(",0,0,,,,,,"),
            "{text}"
        );
        assert!(lines[2].contains(",1000,") && lines[2].ends_with(",,,"), "{text}");
    }

    #[test]
    fn a_line_says_when_what_and_nothing_that_a_few_samples_cannot() {
        let mut recording = Recording::new(100_000_000);
        let of = |value, count| {
            let mut histogram = new_histogram::<u64>();
            histogram.record_n(value, count).unwrap();
            histogram
        };
        for (metric, value) in
            [(Metric::Response, 900), (Metric::Service, 700), (Metric::GeneratorLag, 30)]
        {
            recording.interval_at(0).add(metric, &of(value, 1_000));
            recording.interval_at(100_000_000).add(metric, &of(value, 10));
        }
        let point = crate::report::Point { begin_s: 2.5, ..sample_point("open") };
        let text = intervals_csv(&[Recorded { point, recording }]);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines[0], "\"open\",2.500,0,1000,900,900,900,700,30,30");
        assert_eq!(lines[1], "\"open\",2.600,0,10,900,,900,,,30");
    }
}
