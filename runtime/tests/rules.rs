//! Every rule of `RULES.md` has a test that is named for it, and every test that names a rule names one that there is.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// A letter and a number. It sorts as `RULES.md` does within a letter.
type Rule = (char, u32);

/// What must have a line in `RULES.md`. A line that is missing there would otherwise take its rule with it.
const NUMBERS: &[(char, &[RangeInclusive<u32>])] = &[
    ('G', &[1..=10, 20..=33]),
    (
        'T',
        &[
            1..=20,
            25..=38,
            40..=42,
            45..=46,
            50..=53,
            60..=70,
            75..=81,
            85..=93,
            95..=103,
            110..=122,
            130..=148,
            155..=160,
            165..=176,
        ],
    ),
    ('Q', &[1..=8, 20..=23, 30..=33, 40..=45, 50..=52]),
    ('L', &[1..=9, 15..=17, 25..=32, 45..=48, 52..=54, 60..=61, 65..=74]),
    ('P', &[1..=9, 20..=29, 40..=47]),
    ('S', &[1..=5, 10..=14, 20..=29, 40..=54, 70..=84, 100..=103]),
    ('E', &[1..=9, 20..=20]),
];

fn expected() -> BTreeSet<Rule> {
    let all = NUMBERS.iter().flat_map(|(letter, ranges)| {
        ranges.iter().cloned().flatten().map(move |number| (*letter, number))
    });
    all.collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

fn texts(folder: &Path, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    files_below(folder, extension, &mut found);
    found.sort();
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    found.iter().map(|path| (stem(path), fs::read_to_string(path).unwrap())).collect()
}

/// `T15`, or `t15` in the name of a function.
fn parse_rule(word: &str) -> Option<Rule> {
    let letter = word.chars().next()?.to_ascii_uppercase();
    let is_ours =
        letter.is_ascii_uppercase() && word[1..].bytes().all(|byte| byte.is_ascii_digit());
    if is_ours { word[1..].parse().ok().map(|number| (letter, number)) } else { None }
}

/// Rules that have a line in the text of `RULES.md`, in its order.
fn lines_of(text: &str) -> Vec<Rule> {
    let marked = text.lines().filter_map(|line| line.strip_prefix("- **"));
    marked.filter_map(|rest| parse_rule(rest.split("**").next()?)).collect()
}

/// Rules that the name of a test names; `t60_to_t68` is all that there are from one to the other.
fn named_by(name: &str, all: &BTreeSet<Rule>) -> BTreeSet<Rule> {
    let words: Vec<_> = name.split('_').collect();
    let mut rules: BTreeSet<_> = words.iter().filter_map(|word| parse_rule(word)).collect();
    for range in words.windows(3).filter(|range| range[1] == "to") {
        if let (Some(first), Some(last)) = (parse_rule(range[0]), parse_rule(range[2])) {
            rules.extend(all.iter().filter(|rule| (first..=last).contains(rule)));
        }
    }
    rules
}

/// Names of the tests in a source: functions under `#[test]`, and the cases of a table that is a harness of
/// its own.
fn tests_in(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") {
            is_test = true;
        } else if let Some(name) = line.strip_prefix("name: \"") {
            names.extend(name.split('"').next());
        } else if let Some((_, name)) = line.split_once("fn ") {
            if is_test {
                names.extend(name.split(['(', '<']).next());
            }
            is_test = false;
        }
    }
    names
}

/// The tests of the crate by the rules that they name.
fn tests_by_rule(all: &BTreeSet<Rule>) -> BTreeMap<Rule, Vec<String>> {
    let mut found: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    let mut sources = texts(&folder().join("src"), "rs");
    sources.extend(texts(&folder().join("tests"), "rs"));
    for (_, text) in &sources {
        for name in tests_in(text) {
            for rule in named_by(name, all) {
                found.entry(rule).or_default().push(name.to_owned());
            }
        }
    }
    found
}

/// Golden programs by the rules that stand in their heads.
fn traces_by_rule() -> BTreeMap<Rule, Vec<String>> {
    let mut found: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    for (name, text) in texts(&folder().join("tests/traces/golden"), "py") {
        let words = text.lines().find_map(|line| line.strip_prefix("Rules:")).unwrap_or_default();
        for rule in words.split([',', ' ']).filter_map(parse_rule) {
            found.entry(rule).or_default().push(name.clone());
        }
    }
    found
}

fn shown(rule: &Rule) -> String {
    format!("{}{}", rule.0, rule.1)
}

fn documented() -> Vec<Rule> {
    lines_of(&fs::read_to_string(folder().join("RULES.md")).unwrap())
}

#[test]
fn every_rule_has_one_line_and_they_stand_in_order() {
    let lines = documented();
    let missing: Vec<_> =
        expected().iter().filter(|rule| !lines.contains(rule)).map(shown).collect();
    assert!(missing.is_empty(), "no line in RULES.md: {}", missing.join(" "));
    for pair in lines.windows(2) {
        let is_in_order = pair[0].0 != pair[1].0 || pair[0].1 < pair[1].1;
        assert!(is_in_order, "{} stands before {}", shown(&pair[0]), shown(&pair[1]));
    }
}

#[test]
fn every_rule_has_a_test_of_its_name() {
    let all: BTreeSet<_> = documented().into_iter().filter(|rule| rule.0 != 'X').collect();
    let (tests, traces) = (tests_by_rule(&all), traces_by_rule());
    let none = Vec::new();
    for rule in &all {
        let tests = tests.get(rule).unwrap_or(&none).join(" ");
        let traces = traces.get(rule).map(|names| format!(" [{}]", names.join(" ")));
        println!("{}: {tests}{}", shown(rule), traces.unwrap_or_default());
    }
    let bare: Vec<_> = all.iter().filter(|rule| !tests.contains_key(rule)).map(shown).collect();
    assert!(bare.is_empty(), "no test is named for {}", bare.join(" "));
}

#[test]
fn every_rule_that_a_test_or_a_trace_names_is_one() {
    let all: BTreeSet<_> = documented().into_iter().collect();
    let letters: BTreeSet<_> = all.iter().map(|rule| rule.0).collect();
    let (tests, traces) = (tests_by_rule(&all), traces_by_rule());
    for (rule, names) in tests.iter().chain(&traces).filter(|(rule, _)| letters.contains(&rule.0)) {
        assert!(all.contains(rule), "{} in {names:?} is no rule", shown(rule));
    }
}

#[test]
fn a_rule_without_a_test_is_seen() {
    let text = "#[test]\n#[should_panic]\nfn t1_t3_to_t5_named() {}\nfn t9_no_test() {}\n    name: \"g7_case\",\n";
    assert_eq!(tests_in(text), ["t1_t3_to_t5_named", "g7_case"]);
    let all = BTreeSet::from([('T', 1), ('T', 2), ('T', 4), ('T', 9)]);
    let named = named_by("t1_t3_to_t5_named", &all);
    assert_eq!(named, BTreeSet::from([('T', 1), ('T', 3), ('T', 4), ('T', 5)]));
    assert_eq!(lines_of("- **T1** is\n- **bold** is not\ntext **T2**\n"), [('T', 1)]);
}
