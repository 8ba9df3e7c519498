//! Verdicts in colours, put into a table that is laid out already: so no width is ever wrong.

/// Words that a cell may begin with, and the number of their colour on a terminal.
const WORDS: [(&str, u8); 11] = [
    ("valid", GREEN),
    ("capacity", GREEN),
    ("indicative", YELLOW),
    ("invalid", RED),
    ("overloaded", RED),
    ("better", GREEN),
    ("same", GREEN),
    ("unclear", YELLOW),
    ("worse", RED),
    ("incomplete", RED),
    ("LEDGER DOES NOT BALANCE", RED),
];

const RED: u8 = 31;
const GREEN: u8 = 32;
const YELLOW: u8 = 33;

/// The same text with verdicts in colours: where one is the last cell of a row, and where a line begins with one.
pub(crate) fn colored(table: &str) -> String {
    table.lines().map(|line| colored_line(line) + "\n").collect()
}

fn colored_line(line: &str) -> String {
    let is_edge = |c: char| c == '│' || c == '|';
    let inner = line.trim_end().trim_end_matches(is_edge);
    // Without an edge at its end it is a line below the table.
    let begin = if inner.len() < line.trim_end().len() {
        inner
            .rfind(is_edge)
            .map_or(0, |at| at + inner[at..].chars().next().map_or(1, char::len_utf8))
    } else {
        0
    };
    let cell = &line[begin..];
    let at = begin + (cell.len() - cell.trim_start().len());
    let found = WORDS.iter().find(|(word, _)| begins_with_word(&line[at..], word));
    let Some((word, color)) = found else { return line.to_owned() };
    let end = at + word.len();
    format!("{}\x1b[{color}m{word}\x1b[0m{}", &line[..at], &line[end..])
}

fn begins_with_word(text: &str, word: &str) -> bool {
    let rest = text.strip_prefix(word);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_of_a_row_has_its_colour_and_nothing_else_has_one() {
        let row =
            "│ open valid ┆ 5 ┆ valid, overloaded │\n| a | worse (about 9 pairs may tell) |\n";
        // The columns of a table are told apart by another line than its edges are.
        let row = row.replace('┆', "│");
        let text = colored(&row);
        assert_eq!(
            text,
            "│ open valid │ 5 │ \x1b[32mvalid\x1b[0m, overloaded │\n\
             | a | \x1b[31mworse\x1b[0m (about 9 pairs may tell) |\n"
        );
    }

    #[test]
    fn a_reason_below_the_table_has_the_colour_of_its_verdict() {
        assert_eq!(
            colored("   invalid: the generator was late\n validity\n"),
            "   \x1b[31minvalid\x1b[0m: the generator was late\n validity\n"
        );
    }

    #[test]
    fn without_the_colours_it_is_the_same_text() {
        let table =
            "+---+\n| load | verdict    |\n| x    | indicative |\n+---+\n\nincomplete: no\n";
        let mut plain = colored(table);
        assert_ne!(plain, table);
        for code in ["\x1b[31m", "\x1b[33m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, table);
    }
}
