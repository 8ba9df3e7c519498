//! Hosts that are network namespaces, for who is allowed to make some.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace that goes with this.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// The reason if there can be none.
    pub(crate) fn new(role: &str) -> Result<Self, String> {
        let name = format!("corelane-{role}-{}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    pub(crate) fn ip(&self, words: &[&str]) -> Result<(), String> {
        ip(&[&["-n", &self.name], words].concat())
    }

    /// A cable to another one, with these last numbers of the addresses of both ends.
    pub(crate) fn connect(&self, other: &Self, network: &str) -> Result<(), String> {
        let device = format!("to-{network}");
        let device = device.trim_end_matches(".0.0").replace('.', "-");
        self.ip(&["link", "add", &device, "type", "veth", "peer", "eth0", "netns", &other.name])?;
        let ends = [(self, device.as_str(), "1"), (other, "eth0", "2")];
        for (namespace, device, number) in ends {
            let address = format!("{}{number}/24", network.trim_end_matches('0'));
            namespace.ip(&["address", "add", &address, "dev", device])?;
            namespace.ip(&["link", "set", device, "up"])?;
        }
        Ok(())
    }

    /// The same program inside.
    pub(crate) fn command(&self, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.name]);
        inside.arg(command.get_program()).args(command.get_args());
        inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        inside
    }

    /// Does something inside, on a thread of its own.
    #[expect(clippy::disallowed_methods, reason = "a thread is what moves between namespaces")]
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let link = File::open(format!("/run/netns/{}", self.name)).unwrap();
        let inside = || {
            move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(inside).join().unwrap())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(words: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(words).output().map_err(|error| format!("ip: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let said = format!("ip {}: {}", words.join(" "), said.trim());
    if output.status.success() { Ok(()) } else { Err(said) }
}
