//! What the machine is, and what about it spoils a measurement.

use std::{fs, io};

use corelane_shards::HostReport;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::layout::parse_list;

/// Facts about the machine that a reader of the numbers needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Environment {
    /// Release of the kernel.
    pub(crate) kernel: Option<String>,
    /// Name of the processor.
    pub(crate) cpu_model: Option<String>,
    /// CPUs that this process may use.
    pub(crate) cpus_allowed: Vec<usize>,
    /// Whether two of those share a physical core.
    pub(crate) smt: bool,
    /// Whether a hypervisor runs below.
    pub(crate) virtualized: bool,
    /// What the kernel reads the time from.
    pub(crate) clocksource: Option<String>,
    /// Cost of one read of the monotonic clock.
    pub(crate) clock_read_ns: f64,
    /// Frequency governor of the first allowed CPU.
    pub(crate) governor: Option<String>,
    /// CPUs kept free of other tasks by the kernel's command line.
    pub(crate) isolated: Vec<usize>,
    /// CPUs without a periodic tick.
    pub(crate) nohz_full: Vec<usize>,
    /// CPUs' worth of time that the cgroup allows; `None` without a quota.
    pub(crate) cgroup_quota: Option<f64>,
    /// Limit on open files.
    pub(crate) nofile: Option<u64>,
    /// Limit on locked memory in bytes.
    pub(crate) memlock: Option<u64>,
    /// Policy for huge pages.
    pub(crate) thp: Option<String>,
    /// Average number of threads that ran or wanted to, over the last minute.
    #[serde(default)]
    pub(crate) load_average: Option<f64>,
    /// What spoils a measurement here, in plain words.
    pub(crate) warnings: Vec<String>,
}

/// With this share of the CPUs taken by others a run is not alone.
const BUSY_SHARE: f64 = 0.5;

/// Looks around; takes a few milliseconds.
///
/// # Errors
/// The kernel does not tell which CPUs this process may use.
pub(crate) fn examine() -> io::Result<Environment> {
    let host = HostReport::of_process()?;
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu_list = |path: &str| line_of(path).and_then(|text| parse_list(&text).ok());
    let mut environment = Environment {
        kernel: line_of("/proc/sys/kernel/osrelease"),
        cpu_model: field_of(&cpuinfo, "model name"),
        smt: host.smt,
        cpus_allowed: host.cpus_allowed,
        virtualized: field_of(&cpuinfo, "flags")
            .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        clocksource: host.clock_source,
        clock_read_ns: clock::read_cost_ns(),
        governor: host.frequency_governor,
        isolated: cpu_list("/sys/devices/system/cpu/isolated").unwrap_or_default(),
        nohz_full: cpu_list("/sys/devices/system/cpu/nohz_full").unwrap_or_default(),
        cgroup_quota: host.cpu_quota,
        nofile: host.open_file_limit,
        memlock: host.locked_memory_limit_bytes,
        thp: line_of("/sys/kernel/mm/transparent_hugepage/enabled")
            .and_then(|text| Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())),
        load_average: line_of("/proc/loadavg")
            .and_then(|text| text.split(' ').next()?.parse().ok()),
        warnings: host.problems.iter().map(ToString::to_string).collect(),
    };
    let warnings = warnings(&environment);
    environment.warnings.extend(warnings);
    Ok(environment)
}

impl Environment {
    /// One line: what was found, and what it means for the numbers.
    pub(crate) fn summary(&self) -> String {
        let clocksource = self.clocksource.as_deref().unwrap_or("unknown clock");
        let files = self.nofile.map_or("unlimited".to_owned(), |limit| limit.to_string());
        let quota = match self.cgroup_quota {
            None => "no quota".to_owned(),
            Some(cpus) => format!("quota of {cpus:.2} cpus"),
        };
        let mut notes = vec![format!("{} cpus", self.cpus_allowed.len())];
        if self.isolated.is_empty() {
            notes.push("no isolation".to_owned());
        }
        if self.virtualized {
            notes.push("virtual machine".to_owned());
        }
        let verdict = if self.warnings.is_empty() { "ok" } else { "warnings" };
        let mut line = format!(
            "{verdict}: {clocksource} ({:.0} ns a read), nofile {files}, {quota} · note: {}",
            self.clock_read_ns,
            notes.join(", ")
        );
        for warning in &self.warnings {
            line.push_str("\n         warning: ");
            line.push_str(warning);
        }
        line
    }
}

/// What the server alone would not mind. Each says what it means for the numbers and what to do about it.
fn warnings(environment: &Environment) -> Vec<String> {
    let mut warnings = Vec::new();
    if environment.cpus_allowed.len() < 2 {
        warnings.push(
            "one cpu: server and generator share it; allow a second one, or attack the server \
             from another machine"
                .to_owned(),
        );
    }
    if let Some(load) = environment.load_average
        && load > environment.cpus_allowed.len() as f64 * BUSY_SHARE
    {
        warnings.push(format!(
            "other programs keep {load:.1} cpus busy; stop them, or the tail is theirs"
        ));
    }
    warnings
}

/// A file of one line without its line end; `None` if it is missing or empty.
fn line_of(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.trim();
    (!line.is_empty() && line != "(null)").then(|| line.to_owned())
}

fn field_of(cpuinfo: &str, name: &str) -> Option<String> {
    cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cpu_and_other_programs_are_warned_of() {
        let mut environment = examine().unwrap();
        environment.cpus_allowed = vec![0];
        environment.load_average = Some(3.0);
        assert_eq!(warnings(&environment).len(), 2);
        environment.cpus_allowed = vec![0, 1];
        environment.load_average = Some(0.1);
        assert_eq!(warnings(&environment), [""; 0]);
    }
}
