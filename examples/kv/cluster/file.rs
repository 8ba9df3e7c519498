//! The topology file: which machines a cluster has, and which shards and slots each of them has.
//!
//! ```toml
//! [[machine]]
//! name = "a"                                  # --cluster-self of its process
//! host = "10.0.0.1"                           # what clients connect to: an address or a name
//! shards = [
//!   { port = 7001, slots = "0-4095" },
//!   { port = 7002, slots = "4096-8190,8192" },
//! ]
//!
//! [[machine]]
//! name = "b"
//! host = "10.0.0.2"
//! shards = [{ port = 7001, slots = "8191,8193-16383", id = "<40 hexadecimal digits>" }]
//! ```
//!
//! Every machine reads the same file. Each slot must be given to one shard, and to no other. A shard
//! may have no slots (`""`): so it is emptied before it goes, and there before it gets some. Without
//! an `id` a shard's id follows from its machine's name and its place in the list.

use std::collections::BTreeSet;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::Deserialize;

use super::map::{ClusterMap, Node, node_id};

/// Where a process's map comes from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The topology file.
    pub(super) path: PathBuf,
    /// Which of its machines this process is.
    pub(super) machine: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Topology {
    machine: Vec<Machine>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Machine {
    name: String,
    host: String,
    shards: Vec<Shard>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shard {
    port: u16,
    slots: String,
    id: Option<String>,
}

impl Source {
    /// Makes the map of this version out of what the file had, or of why it could not be read.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub(super) fn parse(
        &self,
        text: io::Result<String>,
        version: u64,
    ) -> Result<ClusterMap, String> {
        let map = match text {
            Ok(text) => parse(&text, &self.machine, version),
            Err(error) => Err(error.to_string()),
        };
        map.map_err(|error| self.error(&error))
    }

    /// What is said of an error in the file.
    pub(super) fn error(&self, text: &str) -> String {
        format!("{}: {text}", self.path.display())
    }
}

fn parse(text: &str, this_machine: &str, version: u64) -> Result<ClusterMap, String> {
    let topology: Topology = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut names = BTreeSet::new();
    let mut nodes = Vec::new();
    for machine in &topology.machine {
        if !names.insert(machine.name.as_str()) {
            return Err(format!("two machines have the name {:?}", machine.name));
        }
        check_host(&machine.host)
            .map_err(|error| format!("machine {:?}: {error}", machine.name))?;
        for (index, shard) in machine.shards.iter().enumerate() {
            let own = (machine.name == this_machine).then_some(index);
            let node = node(machine, index, shard, own);
            nodes.push(
                node.map_err(|error| {
                    format!("machine {:?}, shard {index}: {error}", machine.name)
                })?,
            );
        }
    }
    if !names.contains(this_machine) {
        let names: Vec<&str> = names.into_iter().collect();
        return Err(format!("there is no machine {this_machine:?} among: {}", names.join(", ")));
    }
    ClusterMap::new(version, nodes)
}

fn node(
    machine: &Machine,
    index: usize,
    shard: &Shard,
    own: Option<usize>,
) -> Result<(Node, Vec<RangeInclusive<usize>>), String> {
    if shard.port == 0 {
        return Err("the port cannot be 0".into());
    }
    let id = match &shard.id {
        Some(id) if is_id(id) => id.clone(),
        Some(id) => return Err(format!("the id {id:?} is not 40 digits from 0 to 9 and a to f")),
        None => node_id(&machine.name, index),
    };
    let node = Node { id, host: machine.host.clone(), port: shard.port, shard: own };
    Ok((node, parse_slots(&shard.slots)?))
}

/// Reads `0-5,7`.
fn parse_slots(text: &str) -> Result<Vec<RangeInclusive<usize>>, String> {
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let parts = text.split(',').filter(|_| !text.trim().is_empty());
    let ranges = parts.map(|part| {
        let (start, end) = part.split_once('-').unwrap_or((part, part));
        match (number(start), number(end)) {
            (Some(start), Some(end)) if start <= end => Ok(start..=end),
            _ => Err(format!("{:?} is neither a slot nor a range such as 0-4095", part.trim())),
        }
    });
    ranges.collect()
}

/// Says whether clients can be told this host: it stands in lines with spaces, commas and `@`.
pub(super) fn check_host(host: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if host.is_empty() || !host.chars().all(is_plain) {
        return Err(format!("{host:?} is neither an address nor a name"));
    }
    Ok(())
}

fn is_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
