//! What to do about the errors that a new user meets first: nobody there, or somebody who speaks another language.

use std::io;

use rustix::io::Errno;

use crate::peer::Peer;
use crate::serve::Wire;

/// Says of a connection that was not made to whom, why, and what to do about it.
pub(crate) fn unreachable(peer: &Peer, wire: Wire, error: &io::Error) -> io::Error {
    let text = format!("{peer} cannot be reached: {error}; {}", way_out(peer, wire, error));
    io::Error::new(error.kind(), text)
}

fn way_out(peer: &Peer, wire: Wire, error: &io::Error) -> String {
    let no_descriptor = matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE));
    match (error.kind(), peer) {
        _ if no_descriptor => {
            "no descriptor is left for it: raise ulimit -n, or take fewer --connections".to_owned()
        }
        (io::ErrorKind::ConnectionRefused, Peer::Tcp(addr)) => format!(
            "is a server listening there? `bench-harness serve {} --addr {addr}` starts one of ours",
            server_of(wire)
        ),
        (io::ErrorKind::ConnectionRefused, Peer::Unix(_)) => {
            "the socket is there, and nobody listens at it: does its server still run?".to_owned()
        }
        (io::ErrorKind::NotFound, _) => {
            "there is no such socket: does the server run, and is this its path?".to_owned()
        }
        (io::ErrorKind::PermissionDenied, _) => "this user may not connect to it".to_owned(),
        (io::ErrorKind::AddrNotAvailable, _) => {
            "no local port is left: take fewer --connections, or wait a minute for those of the last run"
                .to_owned()
        }
        (io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock, _) => {
            "is the address right, and does a firewall let this machine through?".to_owned()
        }
        _ => "is the address right?".to_owned(),
    }
}

/// Arguments of `serve` for a server that speaks so.
fn server_of(wire: Wire) -> &'static str {
    match wire {
        Wire::Echo => "echo",
        Wire::Resp => "kv",
        Wire::Http => "http",
        Wire::Memcache => "synthetic --wire memcache",
    }
}

/// What to do when something answers, and not as a server of `wire` does; `said` is how its answer begins.
pub(crate) fn other_language(wire: Wire, said: &[u8]) -> String {
    match language_of(said).filter(|spoken| *spoken != wire) {
        Some(spoken) => format!("it seems to speak {}: try {}://", spoken.name(), scheme(spoken)),
        None => format!("does it speak {}?", wire.name()),
    }
}

/// What a URL of such a server begins with.
pub(crate) fn scheme(wire: Wire) -> &'static str {
    match wire {
        Wire::Echo => "echo",
        Wire::Resp => "redis",
        Wire::Http => "http",
        Wire::Memcache => "memcache",
    }
}

/// Who begins an answer, or a complaint, like this.
fn language_of(said: &[u8]) -> Option<Wire> {
    let known: [(&[u8], Wire); 10] = [
        (b"HTTP/", Wire::Http),
        (b"<!DOCTYPE", Wire::Http),
        (b"ERROR\r\n", Wire::Memcache),
        (b"CLIENT_ERROR", Wire::Memcache),
        (b"-ERR", Wire::Resp),
        (b"-NOAUTH", Wire::Resp),
        // What was asked comes back.
        (b"GET ", Wire::Echo),
        (b"get ", Wire::Echo),
        (b"set ", Wire::Echo),
        (b"*3\r\n$3\r\nSET", Wire::Echo),
    ];
    known.into_iter().find(|(begin, _)| said.starts_with(begin)).map(|(_, wire)| wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_not_being_there_has_its_own_way_out() {
        let tcp = Peer::Tcp("127.0.0.1:6379".parse().unwrap());
        let unix = Peer::Unix("/run/r.sock".into());
        for (peer, wire, errno, expected) in [
            (&tcp, Wire::Resp, Errno::CONNREFUSED, "serve kv --addr 127.0.0.1:6379"),
            (&tcp, Wire::Memcache, Errno::CONNREFUSED, "serve synthetic --wire memcache"),
            (&unix, Wire::Resp, Errno::CONNREFUSED, "does its server still run?"),
            (&unix, Wire::Http, Errno::NOENT, "no such socket"),
            (&unix, Wire::Http, Errno::ACCESS, "may not connect"),
            (&tcp, Wire::Echo, Errno::MFILE, "ulimit -n"),
            (&tcp, Wire::Echo, Errno::ADDRNOTAVAIL, "no local port"),
            (&tcp, Wire::Echo, Errno::TIMEDOUT, "firewall"),
            (&tcp, Wire::Echo, Errno::HOSTUNREACH, "is the address right?"),
        ] {
            let text = unreachable(peer, wire, &errno.into()).to_string();
            assert!(text.starts_with(&peer.to_string()) && text.contains(expected), "{text}");
        }
    }

    #[test]
    fn who_speaks_another_language_is_told_by_how_it_begins() {
        for (wire, said, expected) in [
            (Wire::Resp, &b"HTTP/1.1 400 Bad Request\r\n"[..], "try http://"),
            (Wire::Http, b"-ERR unknown command 'GET'", "try redis://"),
            (Wire::Resp, b"ERROR\r\nERROR\r\n", "try memcache://"),
            (Wire::Http, b"GET / HTTP/1.1\r\n", "try echo://"),
            (Wire::Http, b"HTTP/9", "does it speak http?"),
            (Wire::Echo, b"", "does it speak echo?"),
        ] {
            let text = other_language(wire, said);
            assert!(text.contains(expected), "{text}");
        }
    }
}
