//! From what a user calls an address to the addresses that it stands for.

use std::io;
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs as Blocking,
};

use self::sealed::{Addressed, Target};
use crate::blocking;

#[cfg(test)]
mod tests;

/// What a connection can be opened to and a server started on.
///
/// Socket addresses, pairs of address or host name and port, texts such as `"127.0.0.1:6379"`, `"[::1]:6379"`
/// or `"localhost:6379"`, and lists of such. Numbers are taken as they are; names are looked up on another
/// thread, so the loop goes on meanwhile.
pub trait ToSocketAddrs: Addressed {}

impl<T: Addressed + ?Sized> ToSocketAddrs for T {}

mod sealed {
    use std::net::SocketAddr;

    /// Only types of which we know how they are looked up without blocking the loop.
    pub trait Addressed {
        fn target(&self) -> Target;

        /// The name or number that stands for the machine, if there is one for all.
        #[cfg(feature = "tls")]
        fn host(&self) -> Option<String> {
            match self.target() {
                Target::Name(host, _) => Some(host),
                Target::Addrs(addrs) => match &addrs[..] {
                    [addr] => Some(addr.ip().to_string()),
                    _ => None,
                },
                Target::Several(_) | Target::Invalid(_) => None,
            }
        }
    }

    /// What an address comes to before anybody is asked.
    #[derive(Debug, PartialEq, Eq)]
    pub enum Target {
        Addrs(Vec<SocketAddr>),
        Name(String, u16),
        Several(Vec<Target>),
        Invalid(&'static str),
    }
}

/// Looks up what an address stands for, in the order of the resolver and none twice: asyncio's
/// `loop.getaddrinfo`. Numbers are taken as they are; names are looked up on another thread.
///
/// ```
/// # corelane::run(async || {
/// let found = corelane::lookup_host(("127.0.0.1", 80)).await?;
/// assert_eq!(found, ["127.0.0.1:80".parse().unwrap()]);
/// # Ok(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// `InvalidInput` for what is no address; what the system's resolver says; `NotFound` for a name without an
/// address. All name the address.
///
/// # Cancel safety
/// Safe: a lookup that is going on ends on its own and its result is thrown away.
pub async fn lookup_host(addr: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    Ok(resolve(addr).await?.addrs)
}

/// The addresses of a target, in the order of the resolver (rule S1), and whether they are those of a name.
///
/// # Errors
/// `InvalidInput` for what is no address; what the system's resolver says; `NotFound` for a name without an
/// address. All name the address.
///
/// # Cancel safety
/// Safe: a lookup that is going on ends on its own and its result is thrown away.
pub(super) async fn resolve(addr: impl ToSocketAddrs) -> io::Result<Resolved> {
    let targets = match addr.target() {
        Target::Several(targets) => targets,
        target => vec![target],
    };
    let mut resolved = Resolved { addrs: Vec::new(), by_name: false };
    for target in targets {
        let found = match target {
            Target::Addrs(addrs) => addrs,
            Target::Name(host, port) => {
                resolved.by_name = true;
                look_up(host, port).await?
            }
            Target::Invalid(text) => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            Target::Several(_) => unreachable!("lists are not made of lists"),
        };
        for addr in found {
            // Names may share an address, and a resolver may give one twice.
            if !resolved.addrs.contains(&addr) {
                resolved.addrs.push(addr);
            }
        }
    }
    if resolved.addrs.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address was given"));
    }
    Ok(resolved)
}

/// What an address stands for: at least one socket address, and none twice.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) addrs: Vec<SocketAddr>,
    pub(super) by_name: bool,
}

impl Resolved {
    /// What `open` makes of the first address that it can do something with.
    ///
    /// # Errors
    /// What the last attempt said.
    pub(super) fn first<T>(self, open: impl FnMut(SocketAddr) -> io::Result<T>) -> io::Result<T> {
        let mut last = Err(io::ErrorKind::InvalidInput.into());
        for opened in self.addrs.into_iter().map(open) {
            last = opened;
            if last.is_ok() {
                break;
            }
        }
        last
    }
}

/// Asks the system's resolver, on a thread, because it blocks.
async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let asked = host.clone();
    let found = blocking::to_thread(move || {
        Ok((asked.as_str(), port).to_socket_addrs().map(Vec::from_iter))
    });
    let cannot = |error: &dyn std::fmt::Display| format!("cannot look up {host}: {error}");
    match found.await? {
        Ok(addrs) if addrs.is_empty() => {
            Err(io::Error::new(io::ErrorKind::NotFound, cannot(&"it has no address")))
        }
        Ok(addrs) => Ok(addrs),
        Err(error) => Err(io::Error::new(error.kind(), cannot(&error))),
    }
}

/// A host that may be a number.
fn host_target(host: &str, port: u16) -> Target {
    if host.is_empty() {
        return Target::Invalid(
            "an address without a host: 0.0.0.0 and [::] are all of this machine",
        );
    }
    match host.parse::<IpAddr>() {
        Ok(ip) => Target::Addrs(vec![SocketAddr::new(ip, port)]),
        Err(_) => Target::Name(host.to_owned(), port),
    }
}

impl Addressed for str {
    fn target(&self) -> Target {
        if let Ok(addr) = self.parse() {
            return Target::Addrs(vec![addr]);
        }
        let Some((host, port)) = self.rsplit_once(':') else {
            return Target::Invalid("an address without a port: host:port is needed");
        };
        let Ok(port) = port.parse() else {
            return Target::Invalid("an address whose port is no number up to 65535");
        };
        // Brackets are for numbers with colons in them; the resolver wants them without.
        match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) => host_target(inner, port),
            None if host.contains(':') => Target::Invalid("an IPv6 address needs brackets"),
            None => host_target(host, port),
        }
    }
}

impl Addressed for String {
    fn target(&self) -> Target {
        self.as_str().target()
    }
}

impl Addressed for (&str, u16) {
    fn target(&self) -> Target {
        host_target(self.0, self.1)
    }
}

impl Addressed for (String, u16) {
    fn target(&self) -> Target {
        host_target(&self.0, self.1)
    }
}

impl Addressed for [SocketAddr] {
    fn target(&self) -> Target {
        Target::Addrs(self.to_vec())
    }
}

impl<const N: usize> Addressed for [SocketAddr; N] {
    fn target(&self) -> Target {
        Target::Addrs(self.to_vec())
    }
}

impl Addressed for Vec<SocketAddr> {
    fn target(&self) -> Target {
        Target::Addrs(self.clone())
    }
}

impl<T: Addressed + ?Sized> Addressed for &T {
    fn target(&self) -> Target {
        (**self).target()
    }
}

/// Lists of texts, or of hosts and ports.
macro_rules! addressed_lists {
    ($($item:ty),*) => {$(
        impl Addressed for [$item] {
            fn target(&self) -> Target {
                Target::Several(self.iter().map(Addressed::target).collect())
            }
        }

        impl<const N: usize> Addressed for [$item; N] {
            fn target(&self) -> Target {
                self[..].target()
            }
        }

        impl Addressed for Vec<$item> {
            fn target(&self) -> Target {
                self[..].target()
            }
        }
    )*};
}

addressed_lists!(&str, String, (&str, u16), (String, u16));

/// Types that are one socket address by the standard library's own conversion.
macro_rules! addressed {
    ($($addr:ty),*) => {$(
        impl Addressed for $addr {
            fn target(&self) -> Target {
                Target::Addrs(vec![SocketAddr::from(*self)])
            }
        }
    )*};
}

addressed!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));
