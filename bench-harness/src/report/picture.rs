//! A percentile curve for the terminal, in braille dots.
//!
//! The horizontal axis is 1/(1-p) and the vertical one the latency, both logarithmic: a straight
//! line upwards is a tail that gets ten times worse with each nine.

use hdrhistogram::Histogram;

use super::format_ns;

/// Cells of the picture; each holds 2 × 4 dots.
const WIDTH: usize = 60;
const HEIGHT: usize = 11;

/// The nines at which the axis is marked.
const TICKS: [(&str, f64); 5] =
    [("0", 0.0), ("90 %", 90.0), ("99 %", 99.0), ("99.9 %", 99.9), ("99.99 %", 99.99)];

/// Draws curves with their names. Each ends where its samples do; with `ascii` a curve is drawn
/// with its own letter instead of dots.
pub(crate) fn percentile_picture(curves: &[(String, Histogram<u64>)], ascii: bool) -> String {
    let curves: Vec<_> = curves.iter().filter(|(_, histogram)| !histogram.is_empty()).collect();
    let Some(scale) = Scale::around(&curves) else { return String::new() };
    let mut canvas = Canvas::new();
    let mut ends = Vec::new();
    for (index, (name, histogram)) in curves.iter().enumerate() {
        let mut last = None;
        for x in 0..WIDTH * 2 {
            let nines = scale.nines * x as f64 / (WIDTH * 2 - 1) as f64;
            if 10f64.powf(nines) > histogram.len() as f64 {
                break;
            }
            let quantile = 1.0 - 10f64.powf(-nines);
            let y = scale.row(histogram.value_at_quantile(quantile));
            let from = last.unwrap_or(y);
            // Steep parts are joined from dot to dot.
            for between in from.min(y)..=from.max(y) {
                canvas.set(x, between, index);
            }
            last = Some(y);
        }
        if let Some(y) = last {
            ends.push((y / 4, name.as_str(), index));
        }
    }
    frame(&canvas, &scale, &ends, ascii)
}

/// What the edges of the picture stand for.
struct Scale {
    low: f64,
    high: f64,
    nines: f64,
}

impl Scale {
    fn around(curves: &[&(String, Histogram<u64>)]) -> Option<Self> {
        let low = curves.iter().map(|(_, histogram)| histogram.min()).min()?;
        let high = curves.iter().map(|(_, histogram)| histogram.max()).max()?;
        let count = curves.iter().map(|(_, histogram)| histogram.len()).max()?;
        let low = (low.max(1) as f64).log10();
        let high = (high.max(2) as f64).log10().max(low + 0.3);
        Some(Scale { low, high, nines: (count as f64).log10().clamp(1.0, 5.0) })
    }

    /// The row of dots, from the top.
    fn row(&self, value_ns: u64) -> usize {
        let share = ((value_ns.max(1) as f64).log10() - self.low) / (self.high - self.low);
        let dots = (HEIGHT * 4 - 1) as f64;
        (dots - (share.clamp(0.0, 1.0) * dots)).round() as usize
    }

    fn value_at_cell(&self, row: usize) -> u64 {
        let share = 1.0 - row as f64 / (HEIGHT - 1) as f64;
        10f64.powf(self.low + share * (self.high - self.low)).round() as u64
    }

    fn column(&self, percentile: f64) -> Option<usize> {
        let nines = -(1.0 - percentile / 100.0).log10();
        let cell = (nines / self.nines * (WIDTH - 1) as f64).round();
        (cell < WIDTH as f64).then_some(cell as usize)
    }
}

struct Canvas {
    dots: Vec<[u8; WIDTH]>,
    owners: Vec<[Option<usize>; WIDTH]>,
}

impl Canvas {
    fn new() -> Self {
        Canvas { dots: vec![[0; WIDTH]; HEIGHT], owners: vec![[None; WIDTH]; HEIGHT] }
    }

    fn set(&mut self, x: usize, y: usize, owner: usize) {
        // Braille numbers its dots down the left column, down the right one, then the bottom row.
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        self.dots[y / 4][x / 2] |= BITS[y % 4][x % 2];
        self.owners[y / 4][x / 2] = Some(owner);
    }

    fn cell(&self, row: usize, column: usize, ascii: bool) -> char {
        match (ascii, self.owners[row][column]) {
            (_, None) => ' ',
            (true, Some(owner)) => letter(owner),
            (false, Some(_)) => {
                char::from_u32(0x2800 + u32::from(self.dots[row][column])).unwrap_or('*')
            }
        }
    }
}

fn letter(index: usize) -> char {
    char::from(b'a' + (index % 26) as u8)
}

fn frame(canvas: &Canvas, scale: &Scale, ends: &[(usize, &str, usize)], ascii: bool) -> String {
    let (axis, corner, line, tick) =
        if ascii { ('|', '+', '-', '+') } else { ('┤', '└', '─', '┬') };
    let mut text = String::from(" response time by percentile\n");
    for row in 0..HEIGHT {
        let label = if row % 2 == 0 { format_ns(scale.value_at_cell(row)) } else { String::new() };
        let label = if ascii { label.replace('µ', "u") } else { label };
        text.push_str(&format!("{label:>9} {axis}"));
        let cells: String = (0..WIDTH).map(|column| canvas.cell(row, column, ascii)).collect();
        text.push_str(&cells);
        let names: Vec<String> =
            ends.iter()
                .filter(|(end, _, _)| *end == row)
                .map(|(_, name, index)| {
                    if ascii { format!("{} = {name}", letter(*index)) } else { (*name).to_owned() }
                })
                .collect();
        if !names.is_empty() {
            text.push_str(&format!(" {}", names.join(", ")));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    let columns: Vec<(usize, &str)> = TICKS
        .iter()
        .filter_map(|(name, percentile)| Some((scale.column(*percentile)?, *name)))
        .collect();
    let rule: String = (0..WIDTH)
        .map(|at| if columns.iter().any(|(column, _)| *column == at) { tick } else { line })
        .collect();
    text.push_str(&format!("{:>9} {corner}{rule}\n", ""));
    let mut names = String::new();
    for (column, name) in columns {
        let at = (11 + column).saturating_sub(name.len() / 2);
        if at > names.len() {
            names.push_str(&" ".repeat(at - names.len()));
        }
        names.push_str(name);
    }
    text.push_str(&names);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: impl Iterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = crate::record::new_histogram();
        values.for_each(|value| histogram.saturating_record(value));
        histogram
    }

    #[test]
    fn a_picture_has_a_curve_its_name_and_its_axes() {
        let curves = [
            ("open 50%".to_owned(), histogram((1..10_000).map(|v| v * 100))),
            ("open 80%".to_owned(), histogram((1..10_000).map(|v| v * 1_000))),
        ];
        for ascii in [false, true] {
            let picture = percentile_picture(&curves, ascii);
            assert!(picture.contains("open 50%") && picture.contains("99.9 %"), "{picture}");
            assert_eq!(picture.is_ascii(), ascii, "{picture}");
            assert_eq!(picture.lines().count(), HEIGHT + 3);
            assert!(picture.lines().all(|line| line.chars().count() < 100), "{picture}");
        }
    }

    #[test]
    fn a_curve_rises_from_the_lower_left_and_ends_with_its_samples() {
        let curves = [
            ("few".to_owned(), histogram((1..=10).map(|v| v * 100))),
            ("many".to_owned(), histogram((1..=100_000).map(|v| v * 100))),
        ];
        let picture = percentile_picture(&curves, true);
        // Behind the axis, and without the names of the curves.
        let rows: Vec<Vec<char>> = picture
            .lines()
            .skip(1)
            .take(HEIGHT)
            .map(|line| line.chars().skip(11).take(WIDTH).collect())
            .collect();
        let columns_of = |letter: char| {
            let found =
                rows.iter().flat_map(|row| row.iter().enumerate().filter(|(_, c)| **c == letter));
            found.map(|(column, _)| column).collect::<Vec<_>>()
        };
        // Ten samples vouch for one nine of the five that a hundred thousand do.
        assert!(columns_of('a').into_iter().max() <= Some(WIDTH / 5 + 1), "{picture}");
        assert_eq!(columns_of('b').into_iter().max(), Some(WIDTH - 1), "{picture}");
        assert!(rows[0].ends_with(&['b']) && rows[HEIGHT - 1][0] != ' ', "{picture}");
        let (rule, names) =
            (picture.lines().nth(HEIGHT + 1).unwrap(), picture.lines().last().unwrap());
        let ticks: Vec<usize> = rule.match_indices('+').skip(1).map(|(at, _)| at).collect();
        let below: Vec<usize> = ["0 ", "90 %", "99 %", "99.9 %", "99.99 %"]
            .map(|name| names.find(name).unwrap() + name.len() / 2)
            .to_vec();
        assert_eq!(ticks.len(), 5, "{picture}");
        let apart = ticks.iter().zip(&below).map(|(tick, name)| tick.abs_diff(*name)).max();
        assert!(apart <= Some(1), "{ticks:?} {below:?}\n{picture}");
    }

    #[test]
    fn nothing_recorded_is_no_picture_and_one_value_is_one() {
        assert_eq!(percentile_picture(&[], false), "");
        assert_eq!(percentile_picture(&[("none".to_owned(), histogram(0..0))], false), "");
        let one = percentile_picture(&[("one".to_owned(), histogram(7..8))], false);
        assert!(one.contains("one"), "{one}");
    }
}
