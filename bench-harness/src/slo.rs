//! Service levels that a load point must keep, such as `p99<1ms`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::report::{Point, Summary, format_ns, format_rate};
use crate::units;

/// What is held against a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    /// A percentile of one of the distributions, by its place in [`Summary`]'s list.
    Percentile(Tag, &'static str),
    Max(Tag),
    Mean(Tag),
    Rate,
    Errors,
}

/// Which distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Response,
    Service,
    Lag,
}

impl Tag {
    fn of(self, point: &Point) -> &Summary {
        match self {
            Tag::Response => &point.response,
            Tag::Service => &point.service,
            Tag::Lag => &point.generator_lag,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Relation {
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Relation::Less => value < limit,
            Relation::AtMost => value <= limit,
            Relation::More => value > limit,
            Relation::AtLeast => value >= limit,
        }
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slo {
    text: String,
    quantity: Quantity,
    relation: Relation,
    /// Nanoseconds, requests a second, or a count.
    limit: f64,
}

/// How a condition was met, as it stands in `result.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SloResult {
    /// The condition as it was written.
    pub(crate) condition: String,
    /// What was measured, with its unit; `null` where there are too few samples to tell.
    pub(crate) measured: Option<String>,
    /// Whether it holds. What cannot be told does not hold.
    pub(crate) holds: bool,
}

const QUANTITIES: &str = "p50, p90, p99, p99.9, p99.99, max, mean (of the response, or with service. \
                          or lag. before it), rps or errors";

impl Slo {
    /// Reads a condition such as `p99<1ms`, `service.max<=5ms`, `rps>100k` or `errors<=0`.
    ///
    /// # Errors
    /// A text that says which part is not understood.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let relations = [
            ("<=", Relation::AtMost),
            (">=", Relation::AtLeast),
            ("<", Relation::Less),
            (">", Relation::More),
        ];
        let (name, relation, limit) = relations
            .into_iter()
            .find_map(|(sign, relation)| {
                let (name, limit) = compact.split_once(sign)?;
                Some((name, relation, limit))
            })
            .ok_or_else(|| format!("{text:?} compares nothing; write for example p99<1ms"))?;
        let quantity = quantity(name)
            .ok_or_else(|| format!("{name:?} is not measured; possible are {QUANTITIES}"))?;
        let limit = match quantity {
            Quantity::Rate => scaled(limit.strip_suffix("/s").unwrap_or(limit)),
            Quantity::Errors => scaled(limit),
            _ => time(limit),
        };
        let limit = limit.ok_or_else(|| {
            format!("the limit of {text:?} is not understood; write p99<1ms, rps>100k or errors<=0")
        })?;
        Ok(Slo { text: compact, quantity, relation, limit })
    }

    /// Holds the condition against a load point.
    ///
    /// A value that is only a lower bound, because requests had no answer, breaks a limit from above
    /// if it is above it, and proves nothing otherwise.
    pub(crate) fn check(&self, point: &Point) -> SloResult {
        let (value, text, bound) = self.measure(point);
        let measured = value.map(|_| if bound { format!("≥ {text}") } else { text });
        let upper = matches!(self.relation, Relation::Less | Relation::AtMost);
        let holds =
            value.is_some_and(|value| self.relation.holds(value, self.limit) && !(bound && upper));
        SloResult { condition: self.text.clone(), measured, holds }
    }

    fn measure(&self, point: &Point) -> (Option<f64>, String, bool) {
        let time = |tag: Tag, value: Option<u64>| {
            let bound = value.is_some_and(|value_ns| tag.of(point).is_lower_bound(value_ns));
            (value.map(|ns| ns as f64), value.map_or_else(String::new, format_ns), bound)
        };
        match self.quantity {
            Quantity::Percentile(tag, name) => time(tag, tag.of(point).percentile(name)),
            Quantity::Max(tag) => time(tag, tag.of(point).max_ns),
            Quantity::Mean(tag) => {
                time(tag, tag.of(point).mean_ns.map(|mean_ns| mean_ns.round() as u64))
            }
            Quantity::Rate => (Some(point.achieved_rps), format_rate(point.achieved_rps), false),
            Quantity::Errors => {
                let ledger = &point.ledger;
                let count = ledger.errors + ledger.timeouts + ledger.unfinished + ledger.unsent;
                (Some(count as f64), count.to_string(), false)
            }
        }
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

fn quantity(name: &str) -> Option<Quantity> {
    let (tag, name) = match name.split_once('.') {
        Some(("service", rest)) => (Tag::Service, rest),
        Some(("lag", rest)) => (Tag::Lag, rest),
        Some(("response", rest)) => (Tag::Response, rest),
        _ => (Tag::Response, name),
    };
    Some(match name {
        "max" => Quantity::Max(tag),
        "mean" => Quantity::Mean(tag),
        "rps" if tag == Tag::Response => Quantity::Rate,
        "errors" if tag == Tag::Response => Quantity::Errors,
        _ => {
            let wanted = name.strip_prefix('p')?;
            let known = crate::statistics::PERCENTILES.iter().find(|(name, _)| *name == wanted)?;
            Quantity::Percentile(tag, known.0)
        }
    })
}

fn time(text: &str) -> Option<f64> {
    // A bare number would be seconds elsewhere; here it is more likely a slip.
    if text.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    units::duration(text).ok().map(|limit| clock::ns(limit) as f64)
}

fn scaled(text: &str) -> Option<f64> {
    units::count(text).ok().map(|count| count as f64)
}

#[cfg(test)]
mod tests;
