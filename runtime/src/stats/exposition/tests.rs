use std::collections::BTreeSet;

use super::*;
use crate::stats::LoopStats;

/// One sample as a scraper would read it: name, labels, value.
type Sample = (String, Vec<(String, String)>, f64);

/// Reads the text by the letter of the format: each metric once, its help, its type, its samples.
fn parse(text: &str) -> Vec<(String, String, Vec<Sample>)> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line has an end too");
    let mut families: Vec<(String, String, Vec<Sample>)> = Vec::new();
    let mut helped = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, _) = rest.split_once(' ').expect("help has a text");
            helped = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type is named");
            assert_eq!(helped.take().as_deref(), Some(name), "help stands before the type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
            families.push((name.to_owned(), kind.to_owned(), Vec::new()));
        } else {
            let (name, kind, samples) = families.last_mut().expect("a type comes first");
            let sample = parse_sample(line);
            let tail =
                sample.0.strip_prefix(name.as_str()).expect("samples stand with their metric");
            let tails: &[&str] =
                if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(tails.contains(&tail), "{line}");
            samples.push(sample);
        }
    }
    let names: BTreeSet<_> = families.iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), families.len(), "each metric stands once");
    families
}

fn parse_sample(line: &str) -> Sample {
    let name: String = line.chars().take_while(|c| is_name(&format!("a{c}"), true)).collect();
    assert!(is_name(&name, true), "{line}");
    let mut rest = &line[name.len()..];
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            rest = rest.strip_prefix(',').unwrap_or(rest);
            let (label, after) = rest.split_once("=\"").expect("a label has a value");
            assert!(is_name(label, false), "{line}");
            let (value, after) = unescape(after);
            labels.push((label.to_owned(), value));
            rest = after;
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').expect("a space before the value");
    let value = value.replace("+Inf", "inf").parse().expect("a number");
    (name, labels, value)
}

/// The value up to its closing quote, and what comes after that.
fn unescape(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => return (value, &text[place + 1..]),
            '\\' => value.push(match chars.next().expect("something is escaped").1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                other => panic!("{other} is never escaped"),
            }),
            c => value.push(c),
        }
    }
    panic!("the quote is not closed: {text}");
}

#[test]
fn what_is_awkward_is_escaped_and_comes_back() {
    let awkward = "a \"quoted\\ path\"\nand a line {x=\"1\"}";
    let mut text = Exposition::new();
    text.add("b_total", Kind::Counter, "Help with \\ and\na line.", &[("x", awkward)], 1.5);
    text.add("a", Kind::Gauge, "Other.", &[], f64::INFINITY);
    text.add("b_total", Kind::Counter, "", &[("x", ""), ("y", "z")], 2);
    let families = parse(&text.to_string());
    assert_eq!(
        families[0],
        ("a".into(), "gauge".into(), vec![("a".into(), vec![], f64::INFINITY)])
    );
    let samples = &families[1].2;
    assert_eq!(samples[0].1, [("x".to_owned(), awkward.to_owned())]);
    assert_eq!((samples[1].1.len(), samples[1].2), (2, 2.0));
    assert!(text.to_string().contains("# HELP b_total Help with \\\\ and\\na line.\n"));
}

#[test]
fn a_histogram_has_rising_buckets_that_end_with_the_count() {
    let mut lengths = Durations::default();
    for micros in [1, 30, 30, 700, 20_000_000] {
        lengths.record(Duration::from_micros(micros));
    }
    let mut text = Exposition::new();
    text.add_durations("wait_seconds", "Waits.", &[("shard", "0")], &lengths);
    let families = parse(&text.to_string());
    let [(name, kind, samples)] = &families[..] else { panic!("one metric") };
    assert_eq!((name.as_str(), kind.as_str()), ("wait_seconds", "histogram"));
    let buckets: Vec<(f64, f64)> = samples
        .iter()
        .filter(|(name, ..)| name == "wait_seconds_bucket")
        .map(|(_, labels, count)| {
            let le = &labels.iter().find(|(label, _)| label == "le").expect("a bound").1;
            (le.replace("+Inf", "inf").parse().expect("a number"), *count)
        })
        .collect();
    assert_eq!(buckets.len(), BOUNDS.len() + 1);
    assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{buckets:?}");
    assert_eq!(buckets.last(), Some(&(f64::INFINITY, 5.0)));
    assert!(buckets.contains(&(0.00005, 3.0)) && buckets.contains(&(10.0, 4.0)), "{buckets:?}");
    let value = |tail| samples.iter().find(|(name, ..)| name.ends_with(tail)).expect(tail).2;
    assert_eq!(value("_count"), 5.0);
    assert!((value("_sum") - 20.000_761).abs() < 1e-9);
}

#[test]
fn the_metrics_of_loops_are_well_formed() {
    let mut text = Exposition::new();
    for shard in ["0", "1"] {
        LoopStats::default().describe(&mut text, &[("shard", shard)]);
    }
    let families = parse(&text.to_string());
    assert!(families.len() > 12);
    for (name, kind, samples) in families {
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        assert_eq!(kind == "histogram", name.ends_with("_seconds"), "{name}");
        assert_eq!(samples.len() % 2, 0, "{name} has as many samples for each loop");
    }
}

#[test]
#[should_panic(expected = "no name of a metric")]
fn a_name_that_is_none_is_refused() {
    Exposition::new().add("two words", Kind::Gauge, "", &[], 1);
}
