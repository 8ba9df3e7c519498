//! Numbers as people write them: `50k`, `200us`, `60%`.

use std::time::Duration;

use crate::phases::RatePlan;
use crate::plan::Rate;
use crate::protocol::KeyDistribution;
use crate::serve::Stall;

/// A duration such as `500ms`, `10s`, `1.5m`. A bare number counts seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "ns" => number / 1e9,
        "us" | "µs" => number / 1e6,
        "ms" => number / 1e3,
        "s" | "" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3_600.0,
        other => return Err(format!("{other:?} is no unit of time (ns, us, ms, s, m, h)")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{text:?}: {error}"))
}

/// A duration that is not zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    let length = duration(text)?;
    if length.is_zero() {
        return Err(format!("{text:?} must be longer than nothing"));
    }
    Ok(length)
}

/// A count such as `300`, `50k`, `1.2M`.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let whole = number * scale(unit).ok_or_else(|| format!("{unit:?} is no scale (k, M, G)"))?;
    if whole.fract() != 0.0 || whole > 1e15 {
        return Err(format!("{text:?} is no whole number of a sensible size"));
    }
    Ok(whole as u64)
}

/// A rate such as `50k`, `0.5/s`, or `60%` of what a probe reaches.
pub(crate) fn rate(text: &str) -> Result<RatePlan, String> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.trim().parse().map_err(|_| not_a_number(text))?;
        if !(0.1..=1_000.0).contains(&percent) {
            return Err(format!("{text:?} must lie between 0.1% and 1000%"));
        }
        return Ok(RatePlan::OfProbe(percent));
    }
    let (number, unit) = split(text.strip_suffix("/s").unwrap_or(text))?;
    let scale = scale(unit).ok_or_else(|| format!("{unit:?} is no scale (k, M, G, %)"))?;
    Rate::per_second(number * scale).map(RatePlan::Exact)
}

/// CPUs as one argument: clap would take a plain `Vec` for an option that is given several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CpuList(pub(crate) Vec<usize>);

/// A list of CPUs such as `0,2-5`.
pub(crate) fn cpus(text: &str) -> Result<CpuList, String> {
    crate::layout::parse_list(text).map(CpuList)
}

/// A freeze such as `100ms/1s`: its length, and from one to the next.
pub(crate) fn stall(text: &str) -> Result<Stall, String> {
    let (length, every) =
        text.split_once('/').ok_or_else(|| format!("{text:?} is not LENGTH/EVERY"))?;
    let (length, every) = (duration(length)?, duration(every)?);
    if every.is_zero() || length >= every {
        return Err(format!("{text:?} would never let go"));
    }
    Ok(Stall { length_ns: crate::clock::ns(length), every_ns: crate::clock::ns(every) })
}

/// `uniform`, or `zipf:EXPONENT`.
pub(crate) fn key_distribution(text: &str) -> Result<KeyDistribution, String> {
    if text == "uniform" {
        return Ok(KeyDistribution::Uniform);
    }
    let exponent: f64 = text
        .strip_prefix("zipf:")
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("{text:?} is neither uniform nor zipf:EXPONENT"))?;
    if !(0.0..=5.0).contains(&exponent) {
        return Err(format!("an exponent lies between 0 and 5, not at {exponent}"));
    }
    Ok(KeyDistribution::Zipf(exponent))
}

/// Parts of GET and SET, such as `get=9,set=1`.
pub(crate) fn mix(text: &str) -> Result<(u32, u32), String> {
    let (mut get, mut set) = (0, 0);
    for part in text.split(',') {
        let (name, parts) =
            part.split_once('=').ok_or_else(|| format!("{part:?} is not get=N or set=N"))?;
        let parts: u16 = parts.trim().parse().map_err(|_| not_a_number(parts))?;
        match name.trim() {
            "get" => get = u32::from(parts),
            "set" => set = u32::from(parts),
            other => return Err(format!("{other:?} is neither get nor set")),
        }
    }
    if get + set == 0 {
        return Err("a mix of nothing".to_owned());
    }
    Ok((get, set))
}

/// A label such as `commit=abc`.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

fn split(text: &str) -> Result<(f64, &str), String> {
    let text = text.trim();
    let end =
        text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number = digits.replace('_', "").parse().map_err(|_| not_a_number(text))?;
    Ok((number, unit.trim()))
}

fn scale(unit: &str) -> Option<f64> {
    match unit {
        "" => Some(1.0),
        "k" | "K" => Some(1e3),
        "M" => Some(1e6),
        "G" => Some(1e9),
        _ => None,
    }
}

fn not_a_number(text: &str) -> String {
    format!("{text:?} does not begin with a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("200us"), Ok(Duration::from_micros(200)));
        assert_eq!(duration("1.5 m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
        for bad in ["", "ms", "-1s", "3 parsecs", "1e99h"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
        assert!(positive_duration("0s").is_err());
        assert_eq!(positive_duration("1ns"), Ok(Duration::from_nanos(1)));
    }

    #[test]
    fn rates_are_exact_or_a_share_of_the_probe() {
        let exact = |per_second| Ok(RatePlan::Exact(Rate::per_second(per_second).unwrap()));
        assert_eq!(rate("50k"), exact(50_000.0));
        assert_eq!(rate("1.2M"), exact(1_200_000.0));
        assert_eq!(rate("0.5/s"), exact(0.5));
        assert_eq!(rate("60%"), Ok(RatePlan::OfProbe(60.0)));
        for bad in ["0", "fast", "-5", "0%", "1x", "5G"] {
            assert!(rate(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn counts_mixes_stalls_and_distributions_are_read() {
        assert_eq!(count("100k"), Ok(100_000));
        assert!(count("1.5").is_err());
        assert_eq!(mix("get=9,set=1"), Ok((9, 1)));
        assert!(mix("get=0").is_err() && mix("del=1").is_err());
        let freeze = Stall { length_ns: 100_000_000, every_ns: 1_000_000_000 };
        assert_eq!(stall("100ms/1s"), Ok(freeze));
        assert!(stall("1s/1s").is_err());
        assert_eq!(key_distribution("zipf:0.99"), Ok(KeyDistribution::Zipf(0.99)));
        assert!(key_distribution("zipf:x").is_err());
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
    }
}
