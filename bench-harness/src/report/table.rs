//! The result as a table for people.

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::color::colored;
use super::{Connections, Point, RunResult, ShardUse, Summary};
use crate::hops::{Breakdown, Split};
use crate::statistics::Percentile;

/// A column of latencies.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Column {
    /// A percentile.
    Percentile(Percentile),
    /// The largest.
    Max,
}

impl Column {
    fn header(&self) -> String {
        match self {
            Column::Percentile(percentile) => format!("p{}", percentile.name),
            Column::Max => "max".to_owned(),
        }
    }

    fn value(&self, summary: &Summary) -> Option<u64> {
        match self {
            Column::Percentile(percentile) => summary.percentile(&percentile.name),
            Column::Max => summary.max_ns,
        }
    }
}

/// The unit of the latencies in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Unit {
    /// For each what keeps three digits.
    Auto,
    /// Nanoseconds.
    Ns,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
}

impl Unit {
    fn format(self, value_ns: u64) -> String {
        match self {
            Unit::Auto => format_ns(value_ns),
            Unit::Ns => format!("{value_ns} ns"),
            Unit::Us => format!("{:.1} µs", value_ns as f64 / 1e3),
            Unit::Ms => format!("{:.3} ms", value_ns as f64 / 1e6),
        }
    }
}

/// How a table looks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Style {
    /// Its columns of latencies.
    pub(crate) columns: Vec<Column>,
    /// Their unit.
    pub(crate) unit: Unit,
    /// Only characters of that set are used.
    pub(crate) ascii: bool,
    /// Verdicts have colours.
    pub(crate) colors: bool,
}

/// The table and the lines below it.
pub(crate) fn render_table(result: &RunResult, style: &Style) -> String {
    let ascii = style.ascii;
    let mut table = Table::new();
    table.load_style(if ascii {
        presets::ASCII_FULL_CONDENSED
    } else {
        presets::UTF8_FULL_CONDENSED
    });
    let header = |text| Cell::new(text).set_alignment(CellAlignment::Center);
    table.set_header(headers(style).into_iter().map(header));
    for row in result.points.iter().flat_map(|point| rows(point, style)) {
        let width = row.len();
        let cells = row.into_iter().enumerate();
        table.add_row(cells.map(|(column, text)| cell(column, width, text)));
    }
    let mut text = format!(" {}\n{table}\n", result.workload.description);
    for point in &result.points {
        for line in remarks(point) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    if !result.complete {
        text.push_str("incomplete: the run ended before everything was measured\n");
    }
    let text = if ascii { to_ascii(&text) } else { text };
    if style.colors { colored(&text) } else { text }
}

/// What stands above the columns.
pub(super) fn headers(style: &Style) -> Vec<String> {
    let mut headers = ["load", "offered", "achieved"].map(str::to_owned).to_vec();
    headers.extend(style.columns.iter().map(Column::header));
    headers.extend(["lag p99", "errs", "verdict"].map(str::to_owned));
    headers
}

/// The rows of a load point, each with a cell for each column.
pub(super) fn rows(point: &Point, style: &Style) -> Vec<Vec<String>> {
    let lost = point.ledger.errors + point.ledger.timeouts;
    let mut cells = vec![
        point.label.clone(),
        point.offered_rps.map_or_else(dash, format_rate),
        format_rate(point.achieved_rps),
    ];
    cells.extend(latencies(&point.response, style));
    let lag = point.generator_lag.percentile("99");
    cells.push(lag.map_or_else(dash, |lag_ns| style.unit.format(lag_ns)));
    cells.push(lost.to_string());
    cells.push(verdict_word(point));
    let mut rows = vec![cells];
    if point.mode == "open" {
        let mut cells = vec![" service".to_owned(), String::new(), String::new()];
        cells.extend(latencies(&point.service, style));
        cells.resize(rows[0].len(), String::new());
        rows.push(cells);
    }
    rows
}

fn verdict_word(point: &Point) -> String {
    if point.verdict.overloaded {
        format!("{}, overloaded", point.verdict.status.name())
    } else {
        point.verdict.status.name().to_owned()
    }
}

fn cell(column: usize, width: usize, text: String) -> Cell {
    let words = column == 0 || column == width - 1;
    let alignment = if words { CellAlignment::Left } else { CellAlignment::Right };
    Cell::new(text).set_alignment(alignment)
}

fn dash() -> String {
    "–".to_owned()
}

/// The columns of latencies. A percentile with too few samples is a dash; one that requests
/// without an answer may have pushed up is a lower bound.
fn latencies(summary: &Summary, style: &Style) -> Vec<String> {
    let bounded = |value_ns: u64| {
        let mark = if summary.is_lower_bound(value_ns) { "≥ " } else { "" };
        format!("{mark}{}", style.unit.format(value_ns))
    };
    let values = style.columns.iter().map(|column| column.value(summary));
    values.map(|value| value.map_or_else(dash, bounded)).collect()
}

/// What a reader must know beside the numbers.
pub(super) fn remarks(point: &Point) -> Vec<String> {
    let mut lines = Vec::new();
    let mut facts = Vec::new();
    if let (Some(p99_ns), Some((low, high))) =
        (point.response.percentile("99"), point.response.ci95.get("99"))
        && point.mode == "open"
    {
        facts.push(format!(
            "p99 {}, 95 % CI [{}, {}]",
            format_ns(p99_ns),
            format_ns(*low),
            format_ns(*high)
        ));
    }
    facts.push(ledger_fact(point));
    facts.push(if point.stationary.ok { "stationary" } else { "not stationary" }.to_owned());
    lines.push(format!(" {}: {}", point.label, facts.join(" · ")));
    if !point.server.is_empty() {
        let shards: Vec<String> = point.server.iter().map(shard_fact).collect();
        lines.push(format!("   server: {}", shards.join(" · ")));
    }
    lines.extend(point.split.iter().flat_map(split_lines));
    lines.extend(point.hops.iter().flat_map(stage_lines));
    if point.response.censored > 0 {
        lines.push(format!(
            "   {} requests had no answer at the end and count with their age (≥)",
            point.response.censored
        ));
    }
    lines.extend(connection_line(&point.connections));
    lines.extend(
        point.verdict.reasons.iter().map(|reason| format!("   {}: {reason}", verdict_word(point))),
    );
    lines
}

/// What became of the connections, where that is not that all of them lived.
fn connection_line(connections: &Connections) -> Option<String> {
    let opened = connections
        .requests_each
        .map(|_| format!("{} begun during the run, {} lost", connections.opened, connections.lost));
    let reason = connections.reason.as_ref();
    let line = opened.or_else(|| reason.map(|_| format!("{} lost", connections.lost)))?;
    let Some(reason) = reason else { return Some(format!("   connections: {line}")) };
    let kinds = [
        ("refused", connections.refused),
        ("reset", connections.reset),
        ("closed without an answer", connections.closed),
        ("ended by a wrong reply", connections.wrong_replies),
        ("not opened for want of ports or files here", connections.unopened),
    ];
    let known: u64 = kinds.iter().map(|(_, count)| count).sum();
    let others = ("for other reasons", connections.lost.saturating_sub(known));
    let kinds: Vec<String> = kinds
        .into_iter()
        .chain([others])
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    Some(format!("   connections: {line}: {}; the first: {reason}", kinds.join(", ")))
}

fn split_lines(split: &Split) -> Vec<String> {
    let line = |name: &str, summary: &Summary| {
        let value = |value: Option<u64>| value.map_or_else(dash, format_ns);
        let (p50, p99) = (summary.percentile("50"), summary.percentile("99"));
        format!(
            "     {name:30} {:>9} requests  p50 {:>8}  p99 {:>8}  max {:>8}",
            summary.count,
            value(p50),
            value(p99),
            value(summary.max_ns)
        )
    };
    let hops = split
        .server_hops
        .map_or(String::new(), |hops| format!(" (the server counted {hops} hops)"));
    vec![
        format!("   response by who answers{hops}:"),
        line("the shard that reads it", &split.own),
        line("another shard", &split.remote),
    ]
}

fn stage_lines(hops: &Breakdown) -> Vec<String> {
    let mean = |ns: f64| format_ns(ns.round() as u64);
    let mut lines = vec![format!(
        "   where the time goes of requests that another shard answers ({} sampled):",
        hops.samples
    )];
    lines.extend(hops.stages.iter().map(|stage| {
        let (p50, p99) = (format_ns(stage.p50_ns), format_ns(stage.p99_ns));
        let share = stage.mean_ns / hops.response_mean_ns.max(1.0) * 100.0;
        let mean = mean(stage.mean_ns);
        format!("     {:30} mean {mean:>8} {share:5.1} %  p50 {p50:>8}  p99 {p99:>8}", stage.name)
    }));
    lines.push(format!("     {:30} mean {:>8}", "together: response", mean(hops.response_mean_ns)));
    lines
}

fn ledger_fact(point: &Point) -> String {
    let ledger = &point.ledger;
    let server = ledger.server_count.map_or_else(
        || "the server's count is unknown".to_owned(),
        |count| format!("server counted {count}"),
    );
    let word = if point.balanced { "ledger balanced" } else { "LEDGER DOES NOT BALANCE" };
    format!("{word}: {} sent, {} answered, {server}", ledger.sent, ledger.ok + ledger.timeouts)
}

fn shard_fact(shard: &ShardUse) -> String {
    let cpu = shard.cpu.map_or(String::new(), |cpu| format!(" on cpu {cpu}"));
    let each = |value: Option<f64>| value.map_or_else(dash, |ns| format!("{:.2} µs", ns / 1e3));
    format!(
        "shard {}{cpu} {:.0} % busy, {} user and {} sys a request, {} involuntary switches",
        shard.shard,
        shard.busy * 100.0,
        each(shard.user_ns_per_req),
        each(shard.sys_ns_per_req),
        shard.ctx_involuntary
    )
}

/// A time with a unit that keeps three digits.
pub(crate) fn format_ns(value_ns: u64) -> String {
    let value = value_ns as f64;
    match value_ns {
        0..1_000 => format!("{value_ns} ns"),
        1_000..1_000_000 => three_digits(value / 1e3, "µs"),
        1_000_000..1_000_000_000 => three_digits(value / 1e6, "ms"),
        _ => three_digits(value / 1e9, "s"),
    }
}

/// A rate with a unit that keeps four digits.
pub(crate) fn format_rate(per_second: f64) -> String {
    match per_second {
        r if r >= 999_950.0 => format!("{:.2} M/s", r / 1e6),
        r if r >= 9_999.5 => format!("{:.1} k/s", r / 1e3),
        r if r >= 10.0 => format!("{r:.0} /s"),
        r => format!("{r:.2} /s"),
    }
}

fn three_digits(value: f64, unit: &str) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2} {unit}"),
        v if v < 99.95 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    }
}

/// Replaces what is no ASCII by what looks like it.
pub(crate) fn to_ascii(text: &str) -> String {
    let plain = text.replace('µ', "u").replace('≥', ">=").replace(['–', '—'], "-");
    plain.replace('·', "|").replace('→', "->")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_keep_their_digits() {
        let times = [999, 1_000, 9_994, 9_996, 48_300, 312_400, 1_900_000, 61_000_000_000];
        let texts =
            ["999 ns", "1.00 µs", "9.99 µs", "10.0 µs", "48.3 µs", "312 µs", "1.90 ms", "61.0 s"];
        assert_eq!(times.map(format_ns), texts);
        let rates = [0.1, 12.0, 9_999.0, 91_240.0, 3_000_000.0];
        assert_eq!(rates.map(format_rate), ["0.10 /s", "12 /s", "9999 /s", "91.2 k/s", "3.00 M/s"]);
    }

    #[test]
    fn a_percentile_of_too_few_samples_is_a_dash_and_a_censored_one_a_bound() {
        let mut histogram = crate::record::new_histogram::<u64>();
        for value in 1..=600 {
            histogram.saturating_record(value * 1_000);
        }
        let mut summary = Summary::new(&histogram);
        summary.lower_bound_from_ns = Some(590_000);
        let columns =
            ["50", "90", "99", "99.9", "max"].map(|text| crate::units::column(text).unwrap());
        let mut style =
            Style { columns: columns.to_vec(), unit: Unit::Auto, ascii: true, colors: false };
        let texts = latencies(&summary, &style);
        assert_eq!(texts[0], "300 µs");
        assert_eq!(texts[2], "≥ 594 µs");
        assert_eq!(texts[3], "–");
        style.unit = Unit::Ms;
        assert_eq!(latencies(&summary, &style)[0], "0.300 ms");
        style.unit = Unit::Us;
        assert_eq!(latencies(&summary, &style)[2], "≥ 594.4 µs");
    }

    #[test]
    fn a_table_says_what_speaks_against_its_numbers() {
        let mut point = crate::report::sample_point("open");
        let of = |value_ns| {
            let mut histogram = crate::record::new_histogram::<u64>();
            histogram.record_n(value_ns, 100).unwrap();
            Summary::new(&histogram)
        };
        (point.response, point.service) = (of(1_500), of(900));
        (point.response.censored, point.response.lower_bound_from_ns) = (7, Some(1_500));
        (point.ledger.errors, point.ledger.timeouts) = (20, 3);
        (point.balanced, point.stationary.ok, point.verdict.overloaded) = (false, false, true);
        point.verdict.reasons = vec!["it was late".to_owned()];
        let columns = vec![crate::units::column("50").unwrap()];
        let style = Style { columns, unit: Unit::Auto, ascii: true, colors: false };
        let table = render_table(&crate::report::sample_result(vec![point]), &style);
        let row = |name: &str| {
            let cells = |line: &str| -> Vec<String> {
                line.split('|').map(|cell| cell.trim().to_owned()).collect()
            };
            let is_named = |cells: &Vec<String>| cells.get(1).is_some_and(|cell| cell == name);
            table.lines().map(cells).find(is_named).unwrap_or_default()
        };
        assert_eq!(row("open")[4..8], [">= 1.50 us", "-", "23", "valid, overloaded"]);
        assert_eq!(row("service").get(4).map(String::as_str), Some("900 ns"), "{table}");
        for words in [
            "LEDGER DOES NOT BALANCE",
            "not stationary",
            "7 requests had no answer",
            "valid, overloaded: it was late",
        ] {
            assert!(table.contains(words), "{words} is not in:\n{table}");
        }
    }
}
