//! `attack`: load a server that runs already.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use clap::Args;

use super::load_args::LoadArgs;
use super::{Exit, usage};
use crate::layout::{Layout, allowed_cpus, divide, physical_cores};
use crate::phases::Aim;
use crate::serve::Wire;

/// Options of `attack`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Attack {
    /// redis://HOST:PORT or echo://HOST:PORT
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
        let (wire, authority) = match parse(&self.url) {
            Ok(parts) => parts,
            Err(text) => return Ok(usage(&text)),
        };
        let addr = resolve(authority)?;
        if !addr.ip().is_loopback() && !self.allow_remote {
            return Ok(usage(&format!("{addr} is not of this machine; see --allow-remote")));
        }
        let allowed = allowed_cpus()?;
        let automatic = divide(&physical_cores(&allowed));
        let load_cpus = self.load.load_cpus.clone().map_or(automatic.load_cpus, |list| list.0);
        if let Some(cpu) = load_cpus.iter().find(|cpu| !allowed.contains(cpu)) {
            return Ok(usage(&format!("this process may not use cpu {cpu}, only {allowed:?}")));
        }
        // Where the server runs is not known; with a single CPU it can only be the same one.
        let layout = Layout { server_cpus: Vec::new(), load_cpus, shared: automatic.shared };
        match self.load.plan(Aim::External { url: self.url.clone(), addr }, wire, &layout) {
            Ok(plan) => self.load.execute(&plan, layout),
            Err(text) => Ok(usage(&text)),
        }
    }
}

/// The protocol and the address part of a URL.
fn parse(url: &str) -> Result<(Wire, &str), String> {
    let wrong = || format!("{url:?} is not redis://HOST:PORT or echo://HOST:PORT");
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let wire = match scheme {
        "redis" => Wire::Resp,
        "echo" => Wire::Echo,
        _ => return Err(wrong()),
    };
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    if port.is_none() || authority.contains(['/', '@']) {
        return Err(wrong());
    }
    Ok((wire, authority))
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
        assert_eq!(parse("redis://127.0.0.1:6379"), Ok((Wire::Resp, "127.0.0.1:6379")));
        assert_eq!(parse("echo://[::1]:7/"), Ok((Wire::Echo, "[::1]:7")));
        for bad in ["127.0.0.1:1", "http://a:1", "redis://host", "redis://u@h:1", "redis://h:1/0"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
