mod readers;

use proptest::prelude::*;

use super::*;
use crate::record::new_histogram;

const INTERVAL_NS: u64 = 200_000_000;

fn recording(values: &[(usize, u64)]) -> Recording {
    let mut recording = Recording::new(INTERVAL_NS);
    for (number, value) in values {
        let mut histogram = new_histogram::<u32>();
        histogram.saturating_record(*value);
        for metric in [Metric::Response, Metric::GeneratorLag] {
            recording.interval_at(*number as u64 * INTERVAL_NS).add(metric, &histogram);
        }
    }
    recording
}

fn written(recording: &Recording) -> Vec<u8> {
    let mut log = Vec::new();
    write(&mut log, recording, 1_795_369_500_123_000_000, "open 50%").unwrap();
    log
}

#[test]
fn a_log_begins_as_other_tools_expect() {
    let log = String::from_utf8(written(&recording(&[(0, 1_000_000), (2, 3_000_000)]))).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "#[Histogram log format version 1.3]");
    assert_eq!(lines[1], "#open 50%");
    assert_eq!(lines[2], "#[StartTime: 1795369500.123 (seconds since epoch)]");
    assert_eq!(lines[3], "#[BaseTime: 1795369500.123 (seconds since epoch)]");
    assert_eq!(lines.len(), 9, "{log}");
    assert!(lines[5].starts_with("0.000,0.200,1.0"), "{}", lines[5]);
    assert!(lines[6].starts_with("Tag=generator_lag,0.000,0.200,"), "{}", lines[6]);
    assert!(lines[7].starts_with("0.400,0.200,3.0"), "{}", lines[7]);
    // The deflated encoding of version 2, which is the one that every reader knows.
    assert!(lines[7].contains(",HISTFAAA"), "{}", lines[7]);
}

#[test]
fn a_damaged_log_is_an_error() {
    assert!(read(b"0.000,0.200,1.0,!!!!\n", INTERVAL_NS).is_err());
    assert!(read(b"0.000,0.200,1.0,SGVsbG8=\n", INTERVAL_NS).is_err());
    let mut log = written(&recording(&[(0, 5)]));
    log.truncate(log.len() - 12);
    log.push(b'\n');
    assert!(read(&log, INTERVAL_NS).is_err());
}

#[test]
fn a_log_that_claims_to_last_for_centuries_needs_no_more_memory() {
    let log = String::from_utf8(written(&recording(&[(0, 5), (2, 7)]))).unwrap();
    let late = log.replace("0.400,0.200,", "9999999999.000,0.200,");
    let read = read(late.as_bytes(), INTERVAL_NS).unwrap();
    assert!(read.intervals.len() <= crate::record::MAX_INTERVALS);
    assert_eq!(read.total(Metric::Response).len(), 2);
}

#[test]
fn foreign_tags_are_passed_over() {
    let log = String::from_utf8(written(&recording(&[(0, 5)]))).unwrap();
    let renamed = log.replace("generator_lag", "hop_kernel");
    let read = read(renamed.as_bytes(), INTERVAL_NS).unwrap();
    assert_eq!(read.total(Metric::Response).len(), 1);
    assert_eq!(read.total(Metric::GeneratorLag).len(), 0);
}

#[test]
fn base64_is_decoded_with_each_padding() {
    assert_eq!(decode_base64(""), Some(vec![]));
    assert_eq!(decode_base64("TQ==").as_deref(), Some(&b"M"[..]));
    assert_eq!(decode_base64("TWE=").as_deref(), Some(&b"Ma"[..]));
    assert_eq!(decode_base64("TWFu").as_deref(), Some(&b"Man"[..]));
    assert_eq!(decode_base64("+/+/").as_deref(), Some(&[0xfb, 0xff, 0xbf][..]));
    for bad in ["T", "TW", "T===", "TW-u", "===="] {
        assert_eq!(decode_base64(bad), None, "{bad}");
    }
}

#[test]
fn intervals_that_are_no_whole_milliseconds_are_read_back_in_their_places() {
    let mut before = Recording::new(33_333_333);
    for number in 0..9 {
        let mut histogram = new_histogram::<u32>();
        histogram.saturating_record(number + 1);
        before.interval_at(number * before.interval_ns).add(Metric::Response, &histogram);
    }
    assert_eq!(read(&written(&before), before.interval_ns).unwrap(), before);
}

proptest! {
    // Encoding walks 27 000 buckets for each histogram, and this is a debug build.
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn what_was_written_is_read_back_to_the_bucket(
        values in prop::collection::vec((0usize..6, 1u64..60_000_000_000), 0..12),
    ) {
        let before = recording(&values);
        let after = read(&written(&before), INTERVAL_NS).unwrap();
        for metric in Metric::ALL {
            prop_assert_eq!(before.total(metric), after.total(metric));
            for (a, b) in before.intervals.iter().zip(&after.intervals) {
                prop_assert_eq!(a.histogram(metric), b.histogram(metric));
            }
        }
    }
}
