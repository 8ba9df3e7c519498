//! Who takes a connection.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// How connections come to shards. [`connections`](crate::connections) says when to take which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accept {
    /// Each shard has a listener of its own, and the system deals by a hash of the addresses
    /// (`SO_REUSEPORT`).
    #[default]
    ReusePort,
    /// The same, but the shard on whose core the connection's first packet came in gets it
    /// (`SO_ATTACH_REUSEPORT_CBPF`). Where the system refuses, or all packets come in on one core, it is
    /// [`ReusePort`](Self::ReusePort), and that is said in a warning.
    ByCpu,
    /// One shard accepts for all and deals the connections out in turn.
    InTurn,
    /// One shard accepts for all and gives each connection to the shard that has the fewest.
    LeastLoaded,
}

impl Accept {
    const ALL: [Self; 4] = [Self::ReusePort, Self::ByCpu, Self::InTurn, Self::LeastLoaded];

    /// Whether one shard accepts for all.
    pub(crate) fn is_dealt(self) -> bool {
        matches!(self, Self::InTurn | Self::LeastLoaded)
    }

    fn name(self) -> &'static str {
        match self {
            Self::ReusePort => "reuse-port",
            Self::ByCpu => "by-cpu",
            Self::InTurn => "in-turn",
            Self::LeastLoaded => "least-loaded",
        }
    }
}

impl fmt::Display for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Accept {
    type Err = UnknownAccept;

    fn from_str(name: &str) -> Result<Self, UnknownAccept> {
        let known = Self::ALL.into_iter().find(|accept| accept.name() == name);
        known.ok_or_else(|| UnknownAccept(name.to_owned()))
    }
}

/// A name that no way of accepting has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAccept(String);

impl fmt::Display for UnknownAccept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [names @ .., last] = Accept::ALL.map(Accept::name);
        write!(f, "\"{}\" is none of {} and {last}", self.0, names.join(", "))
    }
}

impl Error for UnknownAccept {}
