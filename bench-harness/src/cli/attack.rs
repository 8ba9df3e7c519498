//! `attack`: load a server that runs already.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::Args;

use super::load_args::LoadArgs;
use super::placement_args::check_pins;
use super::talk::Talk;
use super::{Exit, usage};
use crate::advice::scheme;
use crate::layout::{self, Layout, allowed_cpus};
use crate::peer::Peer;
use crate::phases::{Aim, RunPlan};
use crate::serve::Wire;

/// Options of `attack`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Attack {
    /// redis://HOST:PORT, echo://HOST:PORT, memcache://HOST:PORT or http://HOST:PORT/PATH; for a Unix
    /// socket redis+unix:/PATH/OF/SOCKET and so on
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
    pub(super) fn execute(self, talk: &Talk) -> io::Result<Exit> {
        match self.prepare()? {
            Ok((plan, layout)) => self.load.execute(&plan, layout, talk),
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
        let Url { wire, place } = match parse(&self.url) {
            Ok(url) => url,
            Err(text) => return Ok(Err(text)),
        };
        let (peer, page) = match place {
            Place::Socket(path) => (Peer::Unix(path), None),
            Place::Network { authority, path } => {
                let addr = resolve(&authority)?;
                if !addr.ip().is_loopback() && !self.allow_remote {
                    return Ok(Err(format!(
                        "{addr} is not of this machine; --allow-remote loads it, if you may"
                    )));
                }
                if self.load.workload.path().is_some() {
                    return Ok(Err("the path is a part of the URL; leave out --path".to_owned()));
                }
                (Peer::Tcp(addr), Some((authority, path)))
            }
        };
        let allowed = allowed_cpus()?;
        let automatic = layout::automatic()?;
        let load_cpus =
            self.load.placement.load_cpus.clone().map_or(automatic.load_cpus, |list| list.0);
        if let Some(cpu) = load_cpus.iter().find(|cpu| !allowed.contains(cpu)) {
            return Ok(Err(format!("this process may not use cpu {cpu}, only {allowed:?}")));
        }
        // Where the server runs is not known; with a single CPU it can only be the same one.
        let pin = self.load.placement.pin;
        let layout = Layout { pin, ..Layout::new(Vec::new(), load_cpus, automatic.shared) };
        if let Err(text) = check_pins(&layout)? {
            return Ok(Err(text));
        }
        let aim = Aim::External { url: self.url.clone(), peer };
        let plan = self.load.plan(aim, wire, page, &layout);
        Ok(plan.map(|plan| (plan, layout)))
    }
}

/// The parts of a URL.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    wire: Wire,
    place: Place,
}

/// Where a server is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// At an address.
    Network {
        /// Host and port.
        authority: String,
        /// What HTTP asks for.
        path: String,
    },
    /// At a Unix socket of this machine.
    Socket(PathBuf),
}

fn parse(url: &str) -> Result<Url, String> {
    let wrong = |why: &str| {
        format!(
            "{url:?} {why}; write redis://HOST:PORT, echo://HOST:PORT, memcache://HOST:PORT or \
             http://HOST:PORT/PATH, or redis+unix:/PATH/OF/SOCKET and so on"
        )
    };
    if let Some((scheme, socket)) = url.split_once("+unix:") {
        let wire = wire_of(scheme).map_err(wrong)?;
        let path = socket.strip_prefix("//").unwrap_or(socket);
        if path.is_empty() {
            return Err(wrong("names no socket"));
        }
        return Ok(Url { wire, place: Place::Socket(PathBuf::from(path)) });
    }
    if url.starts_with("unix:") {
        return Err(wrong("does not say what is spoken over the socket"));
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(|| match likely(url) {
        Some(scheme) => wrong(&format!("names no protocol, perhaps {scheme}://{url}")),
        None => wrong("names no protocol"),
    })?;
    let wire = wire_of(scheme).map_err(wrong)?;
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
    let at = |authority, path| Ok(Url { wire, place: Place::Network { authority, path } });
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => at(authority.to_owned(), path),
        Some(Err(_)) => Err(wrong("has a port that is no number")),
        None if authority.is_empty() => Err(wrong("names no host")),
        None => match usual_port(wire) {
            Some(port) => at(format!("{authority}:{port}"), path),
            None => Err(wrong("names no port")),
        },
    }
}

/// Where such a server listens unless it is told otherwise.
fn usual_port(wire: Wire) -> Option<u16> {
    match wire {
        Wire::Resp => Some(6_379),
        Wire::Http => Some(80),
        Wire::Memcache => Some(11_211),
        Wire::Echo => None,
    }
}

/// The protocol of an address without one, by its port.
fn likely(address: &str) -> Option<&'static str> {
    let authority = address.split('/').next().unwrap_or_default();
    let port = authority.rsplit_once(':')?.1.parse::<u16>().ok()?;
    let usual = |wire: &Wire| usual_port(*wire) == Some(port);
    let web = matches!(port, 3_000 | 5_000 | 8_000 | 8_080 | 8_888).then_some(Wire::Http);
    let known = [Wire::Resp, Wire::Http, Wire::Memcache].into_iter().find(usual).or(web);
    known.map(scheme)
}

fn wire_of(scheme: &str) -> Result<Wire, &'static str> {
    match scheme {
        "redis" => Ok(Wire::Resp),
        "echo" => Ok(Wire::Echo),
        "http" => Ok(Wire::Http),
        "memcache" => Ok(Wire::Memcache),
        "https" | "rediss" => Err("asks for TLS, which is not spoken here"),
        _ => Err("is of no protocol that is spoken here"),
    }
}

fn resolve(authority: &str) -> io::Result<SocketAddr> {
    let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("{authority} has no address"));
    let found = authority.to_socket_addrs().map_err(|error| {
        io::Error::new(error.kind(), format!("{authority}: {error}; look at the name"))
    })?;
    found.into_iter().next().ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_protocol_and_an_address() {
        let url = |wire, authority: &str, path: &str| {
            let (authority, path) = (authority.to_owned(), path.to_owned());
            Ok(Url { wire, place: Place::Network { authority, path } })
        };
        let socket = |wire, path: &str| Ok(Url { wire, place: Place::Socket(path.into()) });
        assert_eq!(parse("redis+unix:/run/r.sock"), socket(Wire::Resp, "/run/r.sock"));
        assert_eq!(parse("echo+unix:///run/e"), socket(Wire::Echo, "/run/e"));
        assert_eq!(parse("http+unix:here"), socket(Wire::Http, "here"));
        assert_eq!(parse("redis://127.0.0.1:6379"), url(Wire::Resp, "127.0.0.1:6379", "/"));
        assert_eq!(parse("echo://[::1]:7/"), url(Wire::Echo, "[::1]:7", "/"));
        assert_eq!(parse("http://a:8080/x?y=1/2"), url(Wire::Http, "a:8080", "/x?y=1/2"));
        assert_eq!(parse("http://a"), url(Wire::Http, "a:80", "/"));
        assert_eq!(parse("memcache://a:1"), url(Wire::Memcache, "a:1", "/"));
        assert_eq!(parse("redis://host"), url(Wire::Resp, "host:6379", "/"));
        assert_eq!(parse("memcache://[::1]"), url(Wire::Memcache, "[::1]:11211", "/"));
        let bad = ["127.0.0.1:1", "https://a:1", "echo://host", "redis://u@h:1", "redis://h:1/0"];
        for bad in bad.into_iter().chain([
            "http://",
            "http://a:b",
            "http://a:1/x y",
            "unix:/a",
            "redis+unix:",
            "tls+unix:/a",
            "redis://",
        ]) {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_without_a_protocol_is_given_the_one_of_its_port() {
        for (address, expected) in [
            ("127.0.0.1:6379", Some("perhaps redis://127.0.0.1:6379")),
            ("localhost:8080/x", Some("perhaps http://localhost:8080/x")),
            ("[::1]:11211", Some("perhaps memcache://[::1]:11211")),
            ("localhost:4711", None),
            ("localhost", None),
        ] {
            let text = parse(address).unwrap_err();
            assert_eq!(text.contains("perhaps"), expected.is_some(), "{text}");
            assert!(expected.is_none_or(|expected| text.contains(expected)), "{text}");
        }
    }
}
