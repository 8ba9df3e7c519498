//! The report as one file that needs nothing else: no network, no script, light and dark.

use std::fmt::Write as _;

use super::{Point, RunResult, Summary, format_ns, format_rate};
use crate::statistics::PERCENTILES;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1b1b;--paper:#fff;--line:#d5d5d5;--soft:#666;--bad:#b00020}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e6e6;--paper:#161616;--line:#3a3a3a;--soft:#a0a0a0;\
--bad:#ff8a80}figure svg{filter:invert(.914) hue-rotate(180deg)}}\
body{font:14px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:66rem;\
margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
th,td{padding:.2rem .4rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}\
th:first-child,td:first-child,td:last-child,th:last-child{text-align:left}\
.service td,small{color:var(--soft)}.invalid{color:var(--bad)}\
figure{margin:1rem 0}figure svg{width:100%;height:auto}\
code,pre{font:13px/1.5 ui-monospace,monospace}pre{white-space:pre-wrap;border:1px solid var(--line);\
padding:.6rem;border-radius:4px}";

/// The whole report. `pictures` are SVG documents with what they show.
pub(crate) fn html(result: &RunResult, pictures: &[(&str, String)]) -> String {
    let title = escape(&result.workload.description);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n"
    );
    let _ = writeln!(
        page,
        "<p><small>{} · {} {}{}</small></p>",
        escape(&result.id),
        escape(&result.tool.name),
        escape(&result.tool.version),
        if result.complete { "" } else { " · <b class=\"invalid\">incomplete</b>" },
    );
    page.push_str(&table(result));
    remarks(&mut page, result);
    for (caption, svg) in pictures {
        let _ = writeln!(
            page,
            "<figure role=\"img\" aria-label=\"{0}\"><figcaption>{0}</figcaption>\n{1}</figure>",
            escape(caption),
            svg.trim()
        );
    }
    machine(&mut page, result);
    let _ = writeln!(
        page,
        "<h2>Make it again</h2>\n<pre>{}</pre>\n\
         <p><small>Response: from when a request should have begun to its last byte. Service: from \
         when it was sent. Lag: the generator's own lateness.</small></p>\n</body></html>",
        escape(&result.command.join(" "))
    );
    page
}

fn headers() -> Vec<String> {
    let latencies = PERCENTILES.iter().map(|(name, _)| format!("p{name}"));
    let [before, after] = [["load", "offered", "achieved"], ["lag p99", "errors", "verdict"]]
        .map(|words| words.map(str::to_owned));
    before.into_iter().chain(latencies).chain(["max".to_owned()]).chain(after).collect()
}

fn table(result: &RunResult) -> String {
    let mut text = String::from("<div class=\"wide\"><table><thead><tr>");
    let headers = headers();
    for header in &headers {
        let _ = write!(text, "<th scope=\"col\">{header}</th>");
    }
    text.push_str("</tr></thead><tbody>\n");
    for point in &result.points {
        let lost = point.ledger.errors + point.ledger.timeouts;
        let status = point.verdict.status.name();
        let mut cells = vec![
            escape(&point.label),
            point.offered_rps.map_or_else(dash, format_rate),
            format_rate(point.achieved_rps),
        ];
        cells.extend(latencies(&point.response));
        cells.push(point.generator_lag.percentile("99").map_or_else(dash, format_ns));
        cells.push(lost.to_string());
        cells.push(format!("<span class=\"{status}\">{status}</span>"));
        row(&mut text, "", &cells);
        if point.mode == "open" {
            let mut cells = vec!["service".to_owned(), String::new(), String::new()];
            cells.extend(latencies(&point.service));
            cells.resize(headers.len(), String::new());
            row(&mut text, " class=\"service\"", &cells);
        }
    }
    text.push_str("</tbody></table></div>\n");
    text
}

fn row(text: &mut String, class: &str, cells: &[String]) {
    let _ = write!(text, "<tr{class}>");
    for cell in cells {
        let _ = write!(text, "<td>{cell}</td>");
    }
    text.push_str("</tr>\n");
}

fn dash() -> String {
    "–".to_owned()
}

fn latencies(summary: &Summary) -> Vec<String> {
    let bounded = |value_ns: u64| {
        let mark = if summary.is_lower_bound(value_ns) { "≥ " } else { "" };
        format!("{mark}{}", format_ns(value_ns))
    };
    let values = PERCENTILES.iter().map(|(name, _)| summary.percentile(name));
    let values = values.chain([summary.max_ns]);
    values.map(|value| value.map_or_else(dash, bounded)).collect()
}

fn remarks(page: &mut String, result: &RunResult) {
    let lines: Vec<String> = result.points.iter().flat_map(point_remarks).collect();
    if !lines.is_empty() {
        let _ = writeln!(page, "<ul><li>{}</li></ul>", lines.join("</li>\n<li>"));
    }
}

fn point_remarks(point: &Point) -> Vec<String> {
    let label = escape(&point.label);
    let mut lines = Vec::new();
    if !point.balanced {
        lines.push(format!("<b class=\"invalid\">{label}: the ledger does not balance</b>"));
    }
    lines.extend(point.verdict.reasons.iter().map(|why| format!("{label}: {}", escape(why))));
    lines.extend(point.slo.iter().map(|slo| {
        let word = if slo.holds { "holds" } else { "is missed" };
        let measured = slo.measured.as_deref().unwrap_or("too few samples");
        format!("{label}: {} {word} ({})", escape(&slo.condition), escape(measured))
    }));
    lines
}

fn machine(page: &mut String, result: &RunResult) {
    let machine = &result.environment;
    let text = |value: &Option<String>| value.as_deref().map_or_else(dash, escape);
    let cpus = |cpus: &[usize]| cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let rows = [
        ("Processor", text(&machine.cpu_model)),
        ("Kernel", text(&machine.kernel)),
        ("CPUs of the server", cpus(&result.layout.server_cpus)),
        ("CPUs of the generator", cpus(&result.layout.load_cpus)),
        ("Clock", text(&machine.clocksource)),
        ("Virtual machine", if machine.virtualized { "yes" } else { "no" }.to_owned()),
    ];
    page.push_str("<h2>Machine</h2>\n<table><tbody>\n");
    for (name, value) in rows {
        let _ = writeln!(page, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>");
    }
    page.push_str("</tbody></table>\n");
    for warning in &machine.warnings {
        let _ = writeln!(page, "<p>{}</p>", escape(warning));
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{sample_point, sample_result};

    #[test]
    fn a_report_needs_nothing_from_elsewhere_and_escapes_what_users_wrote() {
        let mut result = sample_result(vec![sample_point("open <50%>")]);
        result.command = vec!["bench-harness".to_owned(), "--name=\"<script>\"".to_owned()];
        result.complete = false;
        let page = html(&result, &[("Latency", "<svg></svg>".to_owned())]);
        for word in
            ["open &lt;50%&gt;", "&quot;&lt;script&gt;", "incomplete", "prefers-color-scheme"]
        {
            assert!(page.contains(word), "{word} is not in:\n{page}");
        }
        for foreign in ["http://", "https://", "<script", "@import", "url(", "<link"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert_eq!(page.matches("<svg>").count(), 1);
        assert_eq!(page.matches("<tr").count(), page.matches("</tr>").count());
    }

    #[test]
    fn a_report_says_what_speaks_against_its_numbers() {
        let mut point = crate::report::sample_point("open");
        let of = |value_ns| {
            let mut histogram = crate::record::new_histogram::<u64>();
            histogram.record_n(value_ns, 100).unwrap();
            Summary { lower_bound_from_ns: Some(1_500), ..Summary::new(&histogram) }
        };
        (point.response, point.service) = (of(1_500), of(900));
        (point.ledger.errors, point.ledger.timeouts, point.balanced) = (20, 3, false);
        point.verdict.reasons = vec!["it was late".to_owned()];
        let slo = |condition: &str, holds| crate::slo::SloResult {
            condition: condition.to_owned(),
            measured: None,
            holds,
        };
        point.slo = vec![slo("p50<1us", false), slo("p90<1s", true)];
        let page = html(&sample_result(vec![point]), &[]);
        for words in [
            "<td>≥ 1.50 µs</td>",
            "<td>900 ns</td>",
            "<td>23</td>",
            "the ledger does not balance",
            "open: it was late",
            "p50&lt;1us is missed (too few samples)",
            "p90&lt;1s holds",
        ] {
            assert!(page.contains(words), "{words} is not in:\n{page}");
        }
        assert!(!page.contains("≥ 900"), "what lies below the bound is known");
    }
}
