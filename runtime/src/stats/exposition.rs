//! Prometheus' text format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::Duration;

use super::Durations;

#[cfg(test)]
mod tests;

/// The bounds of the buckets of a histogram: 1 µs to 10 s, three to a decade.
const BOUNDS: [Duration; 22] = {
    let mut bounds = [Duration::ZERO; 22];
    let mut index = 0;
    let mut decade = 1_000;
    while index < bounds.len() {
        let steps = [1, 2, 5];
        bounds[index] = Duration::from_nanos(decade * steps[index % 3]);
        index += 1;
        if index % 3 == 0 {
            decade *= 10;
        }
    }
    bounds
};

/// What the values of a metric mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows. Its name ends in `_total`.
    Counter,
    /// A number that goes up and down.
    Gauge,
}

/// Metrics in Prometheus' text format. Samples may be added in any order; those of one metric stand together, under
/// one line of help and one of type, as the format demands. The metrics are in the order of their names.
///
/// ```
/// use corelane::stats::{Exposition, Kind};
///
/// let mut text = Exposition::new();
/// text.add("orders_total", Kind::Counter, "Orders taken.", &[("side", "buy")], 3);
/// text.add("orders_total", Kind::Counter, "Orders taken.", &[("side", "sell")], 4);
/// assert_eq!(
///     text.to_string(),
///     "# HELP orders_total Orders taken.\n\
///      ## TYPE orders_total counter\n\
///      orders_total{side=\"buy\"} 3\n\
///      orders_total{side=\"sell\"} 4\n"
/// );
/// ```
#[derive(Debug, Clone, Default)]
pub struct Exposition {
    families: BTreeMap<String, Family>,
}

#[derive(Debug, Clone)]
struct Family {
    head: String,
    samples: String,
}

impl Exposition {
    /// Without metrics.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sample. What `name` means, and its kind, are taken from the first sample of that name.
    ///
    /// # Panics
    /// If `name` or the name of a label is none in Prometheus: letters, digits and `_`, no digit first; in
    /// `name` also `:`.
    pub fn add(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        labels: &[(&str, &str)],
        value: impl Into<f64>,
    ) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let value = value.into();
        let samples = self.samples(name, kind, help);
        sample(samples, name, labels, None, Number(value));
    }

    /// Adds lengths of time as a histogram, in seconds. Its name should end in `_seconds`.
    ///
    /// # Panics
    /// As [`add`](Self::add).
    pub fn add_durations(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        lengths: &Durations,
    ) {
        let samples = self.samples(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for bound in BOUNDS {
            let count = Number(lengths.count_up_to(bound) as f64);
            let bound = bound.as_secs_f64().to_string();
            sample(samples, &bucket, labels, Some(("le", &bound)), count);
        }
        let count = Number(lengths.count() as f64);
        sample(samples, &bucket, labels, Some(("le", "+Inf")), count);
        let total = Number(lengths.total().as_secs_f64());
        sample(samples, &format!("{name}_sum"), labels, None, total);
        sample(samples, &format!("{name}_count"), labels, None, count);
    }

    fn samples(&mut self, name: &str, kind: &str, help: &str) -> &mut String {
        assert!(is_name(name, true), "no name of a metric: {name:?}");
        let family = self.families.entry(name.to_owned()).or_insert_with(|| {
            let help = help.replace('\\', "\\\\").replace('\n', "\\n");
            let head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
            Family { head, samples: String::new() }
        });
        &mut family.samples
    }
}

/// A value as the format writes it.
#[derive(Clone, Copy)]
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value => write!(f, "{value}"),
        }
    }
}

fn sample(
    text: &mut String,
    name: &str,
    labels: &[(&str, &str)],
    last: Option<(&str, &str)>,
    value: Number,
) {
    text.push_str(name);
    for (index, (label, content)) in labels.iter().copied().chain(last).enumerate() {
        assert!(is_name(label, false), "no name of a label: {label:?}");
        text.push(if index == 0 { '{' } else { ',' });
        let content = content.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        // Writing to a string does not fail.
        let _ = write!(text, "{label}=\"{content}\"");
    }
    let close = if labels.is_empty() && last.is_none() { "" } else { "}" };
    let _ = writeln!(text, "{close} {value}");
}

fn is_name(name: &str, with_colons: bool) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || with_colons && c == ':';
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

impl fmt::Display for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.families.values().try_for_each(|family| write!(f, "{}{}", family.head, family.samples))
    }
}
