//! `attack`: load a server that runs already.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use clap::Args;

use super::load_args::LoadArgs;
use super::{Exit, usage};
use crate::layout::{Layout, allowed_cpus, divide, physical_cores};
use crate::phases::{Aim, RunPlan};
use crate::serve::Wire;

/// Options of `attack`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Attack {
    /// redis://HOST:PORT, echo://HOST:PORT, memcache://HOST:PORT or http://HOST:PORT/PATH
    url: String,
    /// Allow an address that is not of this machine: be sure that you may load it
    #[arg(long)]
    allow_remote: bool,
    #[command(flatten)]
    load: LoadArgs,
}

impl Attack {
    /// Runs it.
    ///
    /// # Errors
    /// If nothing could be measured.
    pub(super) fn execute(self) -> io::Result<Exit> {
        match self.prepare()? {
            Ok((plan, layout)) => self.load.execute(&plan, layout),
            Err(text) => Ok(usage(&text)),
        }
    }

    /// The same as these arguments would give.
    pub(super) fn new(url: &str, allow_remote: bool, load: LoadArgs) -> Self {
        Attack { url: url.to_owned(), allow_remote, load }
    }

    /// A plan, or a text for the user.
    ///
    /// # Errors
    /// If the address cannot be found.
    pub(super) fn prepare(&self) -> io::Result<Result<(RunPlan, Layout), String>> {
        let Url { wire, authority, path } = match parse(&self.url) {
            Ok(url) => url,
            Err(text) => return Ok(Err(text)),
        };
        let addr = resolve(&authority)?;
        if !addr.ip().is_loopback() && !self.allow_remote {
            return Ok(Err(format!("{addr} is not of this machine; see --allow-remote")));
        }
        let allowed = allowed_cpus()?;
        let automatic = divide(&physical_cores(&allowed));
        let load_cpus = self.load.load_cpus.clone().map_or(automatic.load_cpus, |list| list.0);
        if let Some(cpu) = load_cpus.iter().find(|cpu| !allowed.contains(cpu)) {
            return Ok(Err(format!("this process may not use cpu {cpu}, only {allowed:?}")));
        }
        // Where the server runs is not known; with a single CPU it can only be the same one.
        let layout = Layout { server_cpus: Vec::new(), load_cpus, shared: automatic.shared };
        let aim = Aim::External { url: self.url.clone(), addr };
        let plan = self.load.plan(aim, wire, Some((authority, path)), &layout);
        Ok(plan.map(|plan| (plan, layout)))
    }
}

/// The parts of a URL.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    wire: Wire,
    /// Host and port.
    authority: String,
    /// What HTTP asks for.
    path: String,
}

fn parse(url: &str) -> Result<Url, String> {
    let wrong = |why: &str| {
        format!(
            "{url:?} {why}; write redis://HOST:PORT, echo://HOST:PORT, memcache://HOST:PORT or \
             http://HOST:PORT/PATH"
        )
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("names no protocol"))?;
    let wire = match scheme {
        "redis" => Wire::Resp,
        "echo" => Wire::Echo,
        "http" => Wire::Http,
        "memcache" => Wire::Memcache,
        "https" | "rediss" => return Err(wrong("asks for TLS, which is not spoken here")),
        _ => return Err(wrong("is of no protocol that is spoken here")),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(wrong("has a user name, and nobody logs in here"));
    }
    if wire != Wire::Http && path.len() > 1 {
        return Err(wrong("has a path, which only HTTP has"));
    }
    if path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(wrong("has a blank in its path"));
    }
    let path = if path.is_empty() { "/" } else { path }.to_owned();
    // The colons of an IPv6 address stand in brackets.
    let port = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
    match (port.map(|(_, port)| port.parse::<u16>()), wire) {
        (Some(Ok(_)), _) => Ok(Url { wire, authority: authority.to_owned(), path }),
        (Some(Err(_)), _) => Err(wrong("has a port that is no number")),
        (None, Wire::Http) if !authority.is_empty() => {
            Ok(Url { wire, authority: format!("{authority}:80"), path })
        }
        (None, _) => Err(wrong("names no port")),
    }
}

fn resolve(authority: &str) -> io::Result<SocketAddr> {
    let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("{authority} has no address"));
    let found = authority
        .to_socket_addrs()
        .map_err(|error| io::Error::new(error.kind(), format!("{authority}: {error}")))?;
    found.into_iter().next().ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_protocol_and_an_address() {
        let url = |wire, authority: &str, path: &str| {
            Ok(Url { wire, authority: authority.to_owned(), path: path.to_owned() })
        };
        assert_eq!(parse("redis://127.0.0.1:6379"), url(Wire::Resp, "127.0.0.1:6379", "/"));
        assert_eq!(parse("echo://[::1]:7/"), url(Wire::Echo, "[::1]:7", "/"));
        assert_eq!(parse("http://a:8080/x?y=1/2"), url(Wire::Http, "a:8080", "/x?y=1/2"));
        assert_eq!(parse("http://a"), url(Wire::Http, "a:80", "/"));
        assert_eq!(parse("memcache://a:1"), url(Wire::Memcache, "a:1", "/"));
        let bad = ["127.0.0.1:1", "https://a:1", "redis://host", "redis://u@h:1", "redis://h:1/0"];
        for bad in bad.into_iter().chain(["http://", "http://a:b", "http://a:1/x y"]) {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
