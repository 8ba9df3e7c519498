//! Numbers as people write them: `50k`, `200us`, `60%`.

use std::time::Duration;

use crate::phases::RatePlan;
use crate::plan::{Arrival, Rate};
use crate::report::Column;
use crate::serve::{Driver, Fault, FaultKind, Service, Stall};
use crate::statistics::Percentile;
use crate::warmup::Warmup;
use crate::workload::{KeyDistribution, SizeDistribution};

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

/// Lengths of the trials of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trials {
    /// While rates double.
    pub(crate) short: Duration,
    /// While the bracket is halved.
    pub(crate) medium: Duration,
    /// When its lower edge is confirmed.
    pub(crate) full: Duration,
}

/// Three durations such as `1s,2s,10s`.
pub(crate) fn trials(text: &str) -> Result<Trials, String> {
    let lengths: Vec<Duration> =
        text.split(',').map(positive_duration).collect::<Result<_, _>>()?;
    match lengths[..] {
        [short, medium, full] => Ok(Trials { short, medium, full }),
        _ => Err(format!("{text:?} is not three durations such as 1s,2s,10s")),
    }
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

/// A service time such as `200us`, `fixed:200us`, `exp:200us` or `bimodal:100us/10ms/1%`.
pub(crate) fn service(text: &str) -> Result<Service, String> {
    let time_ns = |text: &str| duration(text).map(crate::clock::ns);
    match text.split_once(':') {
        None => time_ns(text).map(Service::Fixed),
        Some(("fixed", time)) => time_ns(time).map(Service::Fixed),
        Some(("exp", mean)) => time_ns(mean).map(Service::Exponential),
        Some(("bimodal", parts)) if parts.split('/').count() == 3 => {
            let parts: Vec<&str> = parts.split('/').collect();
            let (short_ns, long_ns) = (time_ns(parts[0])?, time_ns(parts[1])?);
            let long_ppm = (share(parts[2])? * 1e6).round() as u32;
            Ok(Service::Bimodal { short_ns, long_ns, long_ppm })
        }
        _ => Err(format!(
            "{text:?} is not TIME, fixed:TIME, exp:MEAN or bimodal:TIME/TIME/SHARE, such as bimodal:100us/10ms/1%"
        )),
    }
}

/// `auto` or `epoll`.
pub(crate) fn driver(text: &str) -> Result<Driver, String> {
    match text {
        "auto" => Ok(Driver::Auto),
        "epoll" => Ok(Driver::Epoll),
        "io_uring" | "io-uring" | "uring" => {
            Err("the runtime has no driver on io_uring yet; leave out --driver, or take epoll"
                .to_owned())
        }
        _ => Err(format!("{text:?} is neither auto nor epoll")),
    }
}

/// A fault such as `drop:1000`.
pub(crate) fn fault(text: &str) -> Result<Fault, String> {
    let wrong = || format!("{text:?} is none of drop:N, wrong:N and die:N");
    let (name, request) = text.split_once(':').ok_or_else(wrong)?;
    let known = FaultKind::ALL.into_iter().find(|(word, _)| *word == name);
    let (_, kind) = known.ok_or_else(wrong)?;
    Ok(Fault { kind, request: positive_count(request)? })
}

/// A freeze such as `100ms/1s`: its length, and from one to the next.
pub(crate) fn stall(text: &str) -> Result<Stall, String> {
    let (length, every) =
        text.split_once('/').ok_or_else(|| format!("{text:?} is not LENGTH/EVERY"))?;
    let (length, every) = (duration(length)?, duration(every)?);
    if every.is_zero() || length >= every {
        return Err(format!("{text:?} would never let go; write LENGTH/EVERY, such as 100ms/1s"));
    }
    Ok(Stall { length_ns: crate::clock::ns(length), every_ns: crate::clock::ns(every) })
}

/// `constant`, `poisson`, `uniform:SPREAD` or `burst:COUNT`.
pub(crate) fn arrival(text: &str) -> Result<Arrival, String> {
    let (name, value) = text.split_once(':').map_or((text, None), |(name, v)| (name, Some(v)));
    match (name, value) {
        ("constant", None) => Ok(Arrival::Constant),
        ("poisson", None) => Ok(Arrival::Poisson),
        ("uniform", Some(spread)) => {
            let spread: f64 = spread.parse().map_err(|_| not_a_number(spread))?;
            if !(0.0..=1.0).contains(&spread) {
                return Err(format!("a spread is a share of the gap from 0 to 1, not {spread}"));
            }
            Ok(Arrival::Uniform((spread * 100.0).round() as u8))
        }
        ("burst", Some(value)) => {
            let size =
                u32::try_from(count(value)?).ok().filter(|size| (1..=1_000_000).contains(size));
            size.map(Arrival::Burst)
                .ok_or("a burst has between one and a million requests".to_owned())
        }
        _ => Err(format!("{text:?} is not constant, poisson, uniform:SPREAD or burst:COUNT")),
    }
}

/// `uniform`, `zipf:EXPONENT`, `hotspot:KEYS/REQUESTS`, `gauss:MEAN/DEVIATION` or `seq`.
pub(crate) fn key_distribution(text: &str) -> Result<KeyDistribution, String> {
    let wrong = || {
        format!(
            "{text:?} is not uniform, zipf:EXPONENT, hotspot:KEYS/REQUESTS, \
             gauss:MEAN/DEVIATION or seq"
        )
    };
    let number = |digits: &str| digits.trim().parse::<f64>().map_err(|_| not_a_number(digits));
    let shares = |pair: &str| {
        let (first, second) = pair.split_once('/').ok_or_else(wrong)?;
        let (first, second) = (share(first)?, share(second)?);
        Ok::<_, String>((first, second))
    };
    match text.split_once(':') {
        None if text == "uniform" => Ok(KeyDistribution::Uniform),
        None if text == "seq" => Ok(KeyDistribution::Sequence),
        Some(("zipf", exponent)) => {
            let exponent = number(exponent)?;
            if !(0.0..=5.0).contains(&exponent) {
                return Err(format!("an exponent lies between 0 and 5, not at {exponent}"));
            }
            Ok(KeyDistribution::Zipf(exponent))
        }
        Some(("hotspot", pair)) => {
            let (keys, requests) = shares(pair)?;
            Ok(KeyDistribution::Hotspot { keys, requests })
        }
        Some(("gauss", pair)) => {
            let (mean, deviation) = shares(pair)?;
            Ok(KeyDistribution::Gauss { mean, deviation })
        }
        _ => Err(wrong()),
    }
}

/// A share such as `0.2` or `20%`, above zero and up to one.
fn share(text: &str) -> Result<f64, String> {
    let (digits, scale) =
        text.trim().strip_suffix('%').map_or((text.trim(), 1.0), |digits| (digits, 100.0));
    let share = digits.parse::<f64>().map_err(|_| not_a_number(text))? / scale;
    if !(share > 0.0 && share <= 1.0) {
        return Err(format!("{text:?} is no share: it lies above 0 and up to 1 (or 100%)"));
    }
    Ok(share)
}

/// A share written in percent, such as `5%`.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let digits = text.trim().strip_suffix('%').ok_or_else(|| format!("{text:?} has no %"))?;
    let percent: f64 = digits.trim().parse().map_err(|_| not_a_number(text))?;
    if !(percent > 0.0 && percent <= 100.0) {
        return Err(format!("{text:?} must lie above 0% and up to 100%"));
    }
    Ok(percent / 100.0)
}

/// `64`, `uniform:16-1024`, `lognormal:MEDIAN/SIGMA`, `list:SIZE=PARTS,…` or `file:PATH`.
pub(crate) fn sizes(text: &str) -> Result<SizeDistribution, String> {
    let wrong = || {
        format!(
            "{text:?} is not BYTES, uniform:LOW-HIGH, lognormal:MEDIAN/SIGMA, \
             list:BYTES=PARTS,... or file:PATH"
        )
    };
    let bytes = |digits: &str| {
        let size = u32::try_from(count(digits)?).ok().filter(|size| *size <= MAX_VALUE_BYTES);
        size.ok_or_else(|| format!("{digits:?}: a value has at most {MAX_VALUE_BYTES} bytes"))
    };
    match text.split_once(':') {
        None => Ok(SizeDistribution::Fixed(bytes(text)?)),
        Some(("uniform", range)) => {
            let (low, high) = range.split_once('-').ok_or_else(wrong)?;
            let (low, high) = (bytes(low)?, bytes(high)?);
            if low > high {
                return Err(format!("{range:?} ends before it begins"));
            }
            Ok(SizeDistribution::Uniform(low, high))
        }
        Some(("lognormal", pair)) => {
            let (median, sigma) = pair.split_once('/').ok_or_else(wrong)?;
            let sigma: f64 = sigma.trim().parse().map_err(|_| not_a_number(sigma))?;
            if !(0.0..=5.0).contains(&sigma) {
                return Err(format!("a sigma lies between 0 and 5, not at {sigma}"));
            }
            Ok(SizeDistribution::LogNormal { median: bytes(median)?.max(1), sigma })
        }
        Some(("list", list)) => {
            let entries = list.split(',').map(|entry| {
                let (size, parts) = entry.split_once('=').ok_or_else(wrong)?;
                let parts: u32 = parts.trim().parse().map_err(|_| not_a_number(parts))?;
                Ok((bytes(size.trim())?, parts))
            });
            weighted(entries.collect::<Result<_, String>>()?, text)
        }
        Some(("file", path)) => {
            let content = std::fs::read_to_string(path)
                .map_err(|error| format!("the sizes in {path} cannot be read: {error}"))?;
            let lines = content.lines().enumerate().filter(|(_, line)| {
                let line = line.trim();
                !line.is_empty() && !line.starts_with('#')
            });
            let entries = lines.map(|(number, line)| {
                let mut words = line.split_whitespace();
                let size = bytes(words.next().unwrap_or_default());
                let parts = words.next().map_or(Ok(1), str::parse);
                let at = format!("{path}, line {}: not SIZE or SIZE PARTS", number + 1);
                match (size, parts, words.next()) {
                    (Ok(size), Ok(parts), None) => Ok((size, parts)),
                    _ => Err(at),
                }
            });
            weighted(entries.collect::<Result<_, String>>()?, text)
        }
        _ => Err(wrong()),
    }
}

/// Longer values than this are no longer small messages, and a slip of the finger most of the time.
const MAX_VALUE_BYTES: u32 = 1 << 20;

fn weighted(entries: Vec<(u32, u32)>, source: &str) -> Result<SizeDistribution, String> {
    if entries.iter().all(|(_, parts)| *parts == 0) {
        return Err(format!("{source:?} names no size"));
    }
    Ok(SizeDistribution::Weighted { entries, source: source.to_owned() })
}

/// One in how many replies is verified, such as `1/1024`; `0` or `off` for none.
pub(crate) fn verify(text: &str) -> Result<u32, String> {
    if text == "off" || text == "0" {
        return Ok(0);
    }
    let every = text.strip_prefix("1/").unwrap_or(text);
    match every.parse::<u32>() {
        Ok(every) if every > 0 && (text.starts_with("1/") || every == 1) => Ok(every),
        _ => Err(format!("{text:?} is not 1/N, 1 or off")),
    }
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

/// A share in whole percent, such as `50%`.
pub(crate) fn whole_percent(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    let percent = number.parse().ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| format!("{text:?} is no share in whole percent, from 0% to 100%"))
}

/// A warm-up: a duration, or `auto`.
pub(crate) fn warmup(text: &str) -> Result<Warmup, String> {
    if text == "auto" {
        return Ok(Warmup::Automatic);
    }
    duration(text).map(Warmup::Fixed)
}

/// A count that is not zero.
pub(crate) fn positive_count(text: &str) -> Result<u64, String> {
    count(text)
        .and_then(|count| if count == 0 { Err("none is too few".to_owned()) } else { Ok(count) })
}

/// When something begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum StartAt {
    /// Seconds since 1970.
    Unix(f64),
    /// So long after the command began.
    After(Duration),
}

/// A moment such as `1795369500.5` or `+5s`.
pub(crate) fn start_at(text: &str) -> Result<StartAt, String> {
    if let Some(length) = text.strip_prefix('+') {
        return duration(length).map(StartAt::After);
    }
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..1e10).contains(&seconds) => Ok(StartAt::Unix(seconds)),
        _ => Err(format!("{text:?} is neither seconds since 1970 nor a time from now such as +5s")),
    }
}

/// A column of the table: a percentile such as `99.9` or `p99.9`, or `max`.
pub(crate) fn column(text: &str) -> Result<Column, String> {
    let text = text.trim();
    if text == "max" {
        return Ok(Column::Max);
    }
    let name = text.strip_prefix('p').unwrap_or(text);
    match name.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 100.0 => {
            Ok(Column::Percentile(Percentile { name: name.to_owned(), value }))
        }
        _ => Err(format!("{text:?} is neither a percentile between 0 and 100 nor max")),
    }
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
mod tests;
