//! The files of a run directory.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;

use crate::record::Metric;
use crate::report::{self, Artifacts, Recorded, RunResult};
use crate::verdict::Status;

/// Which files are made beside the recording and the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Files {
    /// Pictures.
    pub(crate) svg: bool,
    /// One page with everything.
    pub(crate) html: bool,
}

impl Files {
    /// Writes the recording, the result, and what is derived from them.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn write(
        self,
        out: &Path,
        result: &mut RunResult,
        recorded: &mut [Recorded],
    ) -> io::Result<()> {
        // It stays, whatever happens to what goes into it.
        let _ = make_directory(out)?;
        let names = log_names(recorded);
        for (recorded, name) in recorded.iter_mut().zip(names) {
            let mut file = BufWriter::new(File::create(out.join(&name))?);
            let begin_unix_ns = ((result.started_unix + recorded.point.begin_s) * 1e9) as u64;
            let comment = format!("{}: {}", result.workload.description, recorded.point.label);
            crate::hlog::write(&mut file, &recorded.recording, begin_unix_ns, &comment)?;
            file.flush()?;
            recorded.point.hlog = Some(name);
        }
        result.points = recorded.iter().map(|recorded| recorded.point.clone()).collect();
        result.artifacts = self.derive(out, result, recorded)?;
        let mut file = BufWriter::new(File::create(out.join("result.json"))?);
        report::write_json(&mut file, result)?;
        file.flush()
    }

    /// Makes everything that follows from result and recording, and returns all names.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn derive(
        self,
        out: &Path,
        result: &RunResult,
        recorded: &[Recorded],
    ) -> io::Result<Artifacts> {
        let logs: Vec<String> =
            recorded.iter().filter_map(|recorded| recorded.point.hlog.clone()).collect();
        let mut hgrm = Vec::with_capacity(logs.len());
        for recorded in recorded {
            let Some(log) = &recorded.point.hlog else { continue };
            let name = format!("{}.hgrm", log.strip_suffix(".hlog").unwrap_or(log));
            fs::write(out.join(&name), report::hgrm(&recorded.recording.total(Metric::Response)))?;
            hgrm.push(name);
        }
        let csv = "intervals.csv".to_owned();
        fs::write(out.join(&csv), report::intervals_csv(recorded))?;
        let svg = if self.svg { write_pictures(out, result, recorded)? } else { Vec::new() };
        let html = if self.html {
            let pictures = svg
                .iter()
                .map(|name| Ok((caption(name), fs::read_to_string(out.join(name))?)))
                .collect::<io::Result<Vec<_>>>()?;
            fs::write(out.join("report.html"), report::html(result, &pictures))?;
            vec!["report.html".to_owned()]
        } else {
            Vec::new()
        };
        Ok(Artifacts { hlog: logs, hgrm, csv: vec![csv], svg, html })
    }
}

/// Directories that were not there before.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use]
pub(crate) struct Made {
    /// The innermost first.
    directories: Vec<PathBuf>,
}

impl Made {
    /// Takes those away again that are empty: nobody looks for a run that never began.
    pub(crate) fn undo(self) {
        for directory in self.directories {
            if fs::remove_dir(directory).is_err() {
                return;
            }
        }
    }
}

/// Makes the directory of a run, unless it is there.
///
/// # Errors
/// If it cannot be made or written to.
pub(crate) fn make_directory(out: &Path) -> io::Result<Made> {
    let probe = out.join(".writable");
    let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let directories = out.ancestors().take_while(is_missing).map(Path::to_path_buf).collect();
    fs::create_dir_all(out)
        .and_then(|()| File::create(&probe))
        .and_then(|_| fs::remove_file(&probe))
        .map(|()| Made { directories })
        .map_err(|error| {
            let text = format!(
                "the results cannot be written to {}: {error}; choose another directory with --out, or --no-files",
                out.display()
            );
            io::Error::new(error.kind(), text)
        })
}

/// What a picture shows.
fn caption(name: &str) -> &'static str {
    match name {
        "latency.svg" => "Response time by percentile",
        "timeline.svg" => "Response time over the run",
        _ => "Response time against throughput",
    }
}

fn write_pictures(
    out: &Path,
    result: &RunResult,
    recorded: &[Recorded],
) -> io::Result<Vec<String>> {
    if recorded.is_empty() {
        return Ok(Vec::new());
    }
    let title = &result.workload.description;
    let mut names = vec!["latency.svg".to_owned(), "timeline.svg".to_owned()];
    report::write_percentiles(&out.join(&names[0]), title, &curves(recorded))?;
    report::write_timeline(&out.join(&names[1]), title, recorded)?;
    if report::has_curve(&result.points) {
        names.push("curve.svg".to_owned());
        report::write_curve(&out.join(&names[2]), title, &result.points)?;
    }
    Ok(names)
}

/// The response of each point under its label; that of an invalid point says so.
pub(crate) fn curves(recorded: &[Recorded]) -> Vec<(String, Histogram<u64>)> {
    recorded
        .iter()
        .map(|recorded| {
            let point = &recorded.point;
            let mark = if point.verdict.status == Status::Invalid { " (invalid)" } else { "" };
            (format!("{}{mark}", point.label), recorded.recording.total(Metric::Response))
        })
        .collect()
}

/// A file name for the log of each point, made of its label; the same load run twice gets a number.
fn log_names(recorded: &[Recorded]) -> Vec<String> {
    if recorded.len() == 1 {
        return vec!["latency.hlog".to_owned()];
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let mut names: Vec<String> = Vec::with_capacity(recorded.len());
    for recorded in recorded {
        let stem: String = recorded.point.label.chars().map(plain).collect();
        let stem = stem.trim_matches('-');
        let mut name = format!("{stem}.hlog");
        let mut number = 2;
        while names.contains(&name) {
            name = format!("{stem}-{number}.hlog");
            number += 1;
        }
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Recording;
    use crate::report::sample_point;

    fn recorded(label: &str) -> Recorded {
        Recorded { point: sample_point(label), recording: Recording::new(1) }
    }

    #[test]
    fn each_point_has_a_log_of_its_own() {
        assert_eq!(log_names(&[recorded("open 5/s")]), ["latency.hlog"]);
        let labels = ["open 5/s", "open 5/s", "open 50%", "open 5/s"].map(recorded);
        assert_eq!(
            log_names(&labels),
            ["open-5-s.hlog", "open-5-s-2.hlog", "open-50.hlog", "open-5-s-3.hlog"]
        );
    }

    #[test]
    fn the_curve_of_an_invalid_point_is_marked() {
        let mut points = [recorded("good"), recorded("bad")];
        points[1].point.verdict.status = Status::Invalid;
        let names: Vec<String> = curves(&points).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["good", "bad (invalid)"]);
    }
}
