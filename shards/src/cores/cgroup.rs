//! What control groups say about cores: version 1, version 2, and both at once.
//!
//! `/proc/self/cgroup` names the group of the process, `/proc/self/mountinfo` where its hierarchy
//! is mounted and which part of it. In a container the two may speak of different roots, so the
//! group's folder is looked for first below the mount's own root, then at the mount point itself. A
//! limit may sit in any ancestor: the nearest cpuset counts (the kernel has narrowed it already),
//! and the smallest quota.

use std::fs;
use std::path::{Path, PathBuf};

use super::parse_cpu_list;

/// The limits of the group that the process lives in.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Limits {
    /// Cores that the group may use.
    pub(super) cpuset: Option<Vec<usize>>,
    /// Cores' worth of time that the group may use.
    pub(super) cpu_quota: Option<f64>,
}

/// Reads the limits below `root`, which is `/` but for tests. What cannot be understood is left out
/// and noted.
pub(super) fn read(root: &Path, notes: &mut Vec<String>) -> Limits {
    let groups = read_text(&root.join("proc/self/cgroup")).unwrap_or_default();
    let mounts = read_text(&root.join("proc/self/mountinfo")).unwrap_or_default();
    let mut limits = Limits::default();
    for hierarchy in groups.lines().filter_map(Hierarchy::parse) {
        let Some(mount) = mounts.lines().filter_map(Mount::parse).find(|m| m.holds(&hierarchy))
        else {
            continue;
        };
        let folders = mount.folders(root, &hierarchy);
        let v2 = hierarchy.is_version_2();
        if v2 || hierarchy.has("cpuset") {
            let names = if v2 { V2_CPUSET } else { V1_CPUSET };
            limits.cpuset = limits.cpuset.or_else(|| nearest_cpuset(&folders, names, notes));
        }
        if v2 || hierarchy.has("cpu") {
            let quotas = folders.iter().filter_map(|folder| quota(folder, v2));
            limits.cpu_quota = quotas.chain(limits.cpu_quota).reduce(f64::min);
        }
    }
    limits
}

const V1_CPUSET: &[&str] = &["cpuset.effective_cpus", "cpuset.cpus"];
const V2_CPUSET: &[&str] = &["cpuset.cpus.effective"];

/// One line of `/proc/self/cgroup`: `4:cpu,cpuacct:/docker/17`.
struct Hierarchy<'a> {
    controllers: &'a str,
    path: &'a str,
}

impl<'a> Hierarchy<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (_number, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        Some(Self { controllers, path })
    }

    fn is_version_2(&self) -> bool {
        self.controllers.is_empty()
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.split(',').any(|name| name == controller)
    }
}

/// One line of `/proc/self/mountinfo` that mounts control groups.
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (kind, _source, options) = (after.next()?, after.next()?, after.next()?);
        kind.starts_with("cgroup").then_some(Self { root, point, kind, options })
    }

    fn holds(&self, hierarchy: &Hierarchy<'_>) -> bool {
        if hierarchy.is_version_2() {
            return self.kind == "cgroup2";
        }
        let mut wanted = hierarchy.controllers.split(',');
        self.kind == "cgroup" && wanted.all(|name| self.options.split(',').any(|o| o == name))
    }

    /// The folder of the group and its ancestors inside this mount, nearest first.
    fn folders(&self, root: &Path, hierarchy: &Hierarchy<'_>) -> Vec<PathBuf> {
        let point = root.join(self.point.trim_start_matches('/'));
        let inside = hierarchy.path.strip_prefix(self.root.trim_end_matches('/'));
        let inside = inside.unwrap_or(hierarchy.path).trim_start_matches('/');
        let mut folder = point.join(inside);
        let mut folders = Vec::new();
        while folder.starts_with(&point) {
            folders.push(folder.clone());
            if !folder.pop() {
                break;
            }
        }
        folders
    }
}

/// The cpuset of the nearest folder that has one; an empty file means "as the parent".
fn nearest_cpuset(
    folders: &[PathBuf],
    names: &[&str],
    notes: &mut Vec<String>,
) -> Option<Vec<usize>> {
    let files = folders.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    for file in files {
        match read_text(&file).map(|text| parse_cpu_list(&text)) {
            Some(Ok(cores)) if !cores.is_empty() => return Some(cores),
            Some(Err(why)) => notes.push(format!("{} is left out: {why}", file.display())),
            _ => {}
        }
    }
    None
}

/// The quota that one folder sets, in cores' worth of time.
fn quota(folder: &Path, version_2: bool) -> Option<f64> {
    let (quota_us, period_us) = if version_2 {
        let text = read_text(&folder.join("cpu.max"))?;
        let (quota, period) = text.trim().split_once(' ')?;
        (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?)
    } else {
        let number = |name| read_text(&folder.join(name))?.trim().parse::<f64>().ok();
        (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
    };
    // "max" does not parse as a finite number, and version 1 says "no limit" with -1.
    (quota_us > 0.0 && period_us > 0.0).then_some(quota_us / period_us).filter(|q| q.is_finite())
}

fn read_text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}
