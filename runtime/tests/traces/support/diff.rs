//! A line diff for people: all lines, those of the golden file alone with `-`, those seen alone with `+`.

/// The longest common lines stand once, unmarked.
pub(crate) fn lines(golden: &str, seen: &str) -> String {
    let (golden, seen): (Vec<_>, Vec<_>) = (golden.lines().collect(), seen.lines().collect());
    let common = common_counts(&golden, &seen);
    let (mut i, mut j) = (0, 0);
    let mut text = String::new();
    while i < golden.len() || j < seen.len() {
        let both = i < golden.len() && j < seen.len();
        let (mark, line) = if both && golden[i] == seen[j] {
            (i, j) = (i + 1, j + 1);
            (' ', golden[i - 1])
        } else if j == seen.len() || (i < golden.len() && common[i + 1][j] >= common[i][j + 1]) {
            i += 1;
            ('-', golden[i - 1])
        } else {
            j += 1;
            ('+', seen[j - 1])
        };
        text.push_str(&format!("{mark} {line}\n"));
    }
    text
}

/// How many lines the rests from `i` and `j` on have in common.
fn common_counts(golden: &[&str], seen: &[&str]) -> Vec<Vec<usize>> {
    let mut counts = vec![vec![0; seen.len() + 1]; golden.len() + 1];
    for i in (0..golden.len()).rev() {
        for j in (0..seen.len()).rev() {
            counts[i][j] = if golden[i] == seen[j] {
                counts[i + 1][j + 1] + 1
            } else {
                counts[i + 1][j].max(counts[i][j + 1])
            };
        }
    }
    counts
}

#[test]
fn a_diff_marks_what_only_one_side_has() {
    assert_eq!(lines("a\nb\nc\n", "a\nx\nc\nd\n"), "  a\n- b\n+ x\n  c\n+ d\n");
    assert_eq!(lines("", "a\n"), "+ a\n");
}
