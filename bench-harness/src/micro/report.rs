//! The rows of a micro-benchmark run, and their table.

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;

/// One benchmark on both sides. Smaller is better.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: String,
    /// What is measured.
    pub(crate) what: String,
    /// Unit of the numbers.
    pub(crate) unit: String,
    /// Median of ours.
    pub(crate) corelane: Option<f64>,
    /// Best of ours.
    pub(crate) corelane_best: Option<f64>,
    /// By how much the worst sample of ours exceeds the best.
    pub(crate) corelane_spread_pct: Option<f64>,
    /// Median of tokio's.
    pub(crate) tokio: Option<f64>,
    /// Best of tokio's.
    pub(crate) tokio_best: Option<f64>,
    /// By how much the worst sample of tokio's exceeds the best.
    pub(crate) tokio_spread_pct: Option<f64>,
    /// How far the medians of two runs of ours lie apart.
    pub(crate) a_a_pct: Option<f64>,
}

impl Row {
    /// Ours in units of tokio's.
    pub(crate) fn ratio(&self) -> Option<f64> {
        Some(self.corelane? / self.tokio.filter(|tokio| *tokio > 0.0)?)
    }
}

const HEADERS: [&str; 8] =
    ["bench", "unit", "corelane", "spread", "A/A", "tokio", "spread", "corelane/tokio"];

/// The table and what each row means.
pub(crate) fn render(rows: &[Row], ascii: bool) -> String {
    let mut table = Table::new();
    table.load_style(if ascii {
        presets::ASCII_FULL_CONDENSED
    } else {
        presets::UTF8_FULL_CONDENSED
    });
    table.set_header(HEADERS.map(|text| Cell::new(text).set_alignment(CellAlignment::Center)));
    for row in rows {
        let cells = [
            row.name.clone(),
            row.unit.clone(),
            number(row.corelane),
            percent(row.corelane_spread_pct),
            percent(row.a_a_pct),
            number(row.tokio),
            percent(row.tokio_spread_pct),
            row.ratio().map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
        ];
        table.add_row(cells.into_iter().enumerate().map(|(column, text)| {
            let left = column < 2;
            let alignment = if left { CellAlignment::Left } else { CellAlignment::Right };
            Cell::new(text).set_alignment(alignment)
        }));
    }
    let mut text = format!("{table}\nmedians; smaller is better; below 1.00 corelane is ahead\n");
    for row in rows {
        text.push_str(&format!("  {:15} {}\n", row.name, row.what));
    }
    text
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 9.995 => format!("{value:.2}"),
        Some(value) if value < 99.95 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

fn percent(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |percent| format!("{percent:.0} %"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(corelane: Option<f64>, tokio: Option<f64>) -> Row {
        Row {
            name: "spawn_join".to_owned(),
            what: "spawn and join".to_owned(),
            unit: "ns".to_owned(),
            corelane,
            corelane_best: corelane,
            corelane_spread_pct: Some(3.0),
            tokio,
            tokio_best: tokio,
            tokio_spread_pct: None,
            a_a_pct: Some(1.0),
        }
    }

    #[test]
    fn a_ratio_needs_both_sides() {
        assert_eq!(row(Some(20.0), Some(200.0)).ratio(), Some(0.1));
        assert_eq!(row(None, Some(200.0)).ratio(), None);
        assert_eq!(row(Some(20.0), Some(0.0)).ratio(), None);
    }

    #[test]
    fn a_table_has_a_row_and_an_explanation_for_each_bench() {
        let text = render(&[row(Some(17.6), Some(198.4))], true);
        assert!(text.contains("17.6") && text.contains("198") && text.contains("0.09"), "{text}");
        assert!(text.contains("spawn and join") && text.is_ascii(), "{text}");
    }
}
