//! The result as a table for a page in markdown: the description of a change, the comment of a review.

use std::fmt::Write as _;

use super::RunResult;
use super::table::{Style, headers, remarks, rows};

/// The table, what a reader must know beside it, and how to run it again.
pub(crate) fn render_markdown(result: &RunResult, style: &Style) -> String {
    let headers = headers(style);
    let mut text = format!("**{}**\n\n", escaped(result.workload.description.trim()));
    let _ = writeln!(text, "| {} |", headers.join(" | "));
    let last = headers.len() - 1;
    let rule =
        (0..headers.len()).map(|column| if column == 0 || column == last { "---" } else { "--:" });
    let _ = writeln!(text, "|{}|", rule.collect::<Vec<_>>().join("|"));
    for row in result.points.iter().flat_map(|point| rows(point, style)) {
        let cells: Vec<String> = row.iter().map(|cell| escaped(cell.trim())).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text.push('\n');
    for line in result.points.iter().flat_map(remarks) {
        // A remark on a remark is indented by two blanks more.
        let depth = line.len() - line.trim_start().len();
        let _ = writeln!(text, "{}- {}", "  ".repeat(depth / 2), escaped(line.trim()));
    }
    if !result.complete {
        text.push_str("\n**incomplete**: the run ended before everything was measured\n");
    }
    let machine = result.environment.cpu_model.as_deref().unwrap_or("an unknown processor");
    let kernel = result.environment.kernel.as_deref().unwrap_or("an unknown kernel");
    let _ = write!(
        text,
        "\n{} {} on {machine}, Linux {kernel}:\n\n```sh\n{}\n```\n",
        result.tool.name,
        result.tool.version,
        command(&result.command)
    );
    text
}

/// A line for a shell, without the way to the program.
fn command(words: &[String]) -> String {
    let name = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
    let quoted = |word: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:%,+@".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    let program = words.first().map(name);
    program.into_iter().chain(words.iter().skip(1).map(quoted)).collect::<Vec<_>>().join(" ")
}

/// Text that is no markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if "\\|*_`<>[]#".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Unit, sample_point, sample_result};

    fn style() -> Style {
        let columns = ["50", "max"].map(|text| crate::units::column(text).unwrap()).to_vec();
        Style { columns, unit: Unit::Auto, ascii: true, colors: false }
    }

    #[test]
    fn every_row_has_as_many_cells_as_the_header() {
        let mut point = sample_point("open 5|0%");
        point.verdict.reasons.push("late".to_owned());
        let text = render_markdown(&sample_result(vec![point]), &style());
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), 4, "header, rule, response, service: {text}");
        let cells = |row: &str| row.replace("\\|", "").matches('|').count();
        assert!(rows.iter().all(|row| cells(row) == cells(rows[0])), "{text}");
        assert!(rows[2].contains("open 5\\|0%"), "{text}");
        assert!(
            text.contains("\n- open 5\\|0%: ") && text.contains("\n  - valid: late\n"),
            "{text}"
        );
        assert!(text.ends_with("```sh\nbench-harness\n```\n"), "{text}");
    }

    #[test]
    fn a_command_can_be_given_to_a_shell_again() {
        let words = ["/somewhere/bench-harness", "run", "--slo", "p99<1ms", "--name=it's", ""];
        let words = words.map(str::to_owned);
        assert_eq!(command(&words), r"bench-harness run --slo 'p99<1ms' '--name=it'\''s' ''");
        assert_eq!(command(&[]), "");
    }
}
