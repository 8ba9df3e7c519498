//! What a run sends, from the words of the command line to the encoders of its load threads.

use crate::protocol::{Echo, Hop, Http, Memcache, Protocol, Resp};
use crate::serve::Wire;
use crate::workload::{Tables, Workload};

/// What is sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Traffic {
    /// Frames that come back.
    Echo {
        /// Their length.
        frame_bytes: usize,
        /// One in so many is compared to its last byte; 0 for none.
        verify_every: u32,
    },
    /// Frames of which so many percent are answered by another shard than the one that reads them.
    Hop {
        /// The share.
        remote_percent: u32,
    },
    /// GET and SET of Redis.
    Resp(Workload),
    /// get and set of memcached.
    Memcache(Workload),
    /// GET of one path.
    Http {
        /// For the header of that name.
        host: String,
        /// What is asked for.
        path: String,
        /// No connection is used a second time.
        one_each: bool,
    },
}

impl Traffic {
    /// The language.
    pub(crate) fn wire(&self) -> Wire {
        match self {
            Traffic::Echo { .. } | Traffic::Hop { .. } => Wire::Echo,
            Traffic::Resp(_) => Wire::Resp,
            Traffic::Memcache(_) => Wire::Memcache,
            Traffic::Http { .. } => Wire::Http,
        }
    }

    /// What is asked for of which keys, where there are keys.
    pub(crate) fn workload(&self) -> Option<&Workload> {
        match self {
            Traffic::Resp(workload) | Traffic::Memcache(workload) => Some(workload),
            Traffic::Echo { .. } | Traffic::Hop { .. } | Traffic::Http { .. } => None,
        }
    }

    /// The same, and no reply is verified nor are keys chosen by their shard: for a server that answers at once and
    /// knows nothing.
    pub(crate) fn unverified(mut self) -> Self {
        match &mut self {
            Traffic::Echo { .. } | Traffic::Hop { .. } | Traffic::Http { .. } => {}
            Traffic::Resp(workload) | Traffic::Memcache(workload) => {
                (workload.verify_every, workload.remote) = (0, None);
            }
        }
        self
    }

    /// An encoder for each load thread, whose draws depend on the seed and its number.
    pub(crate) fn encoders(&self, threads: usize, seed: u64) -> Vec<Box<dyn Protocol>> {
        let tables = self.workload().map(Tables::new);
        (0..threads as u64)
            .map(|thread| -> Box<dyn Protocol> {
                let seed = seed.wrapping_add(thread);
                match (self, &tables) {
                    (Traffic::Resp(workload), Some(tables)) => {
                        Box::new(Resp::new(workload, tables, seed))
                    }
                    (Traffic::Memcache(workload), Some(tables)) => {
                        Box::new(Memcache::new(workload, tables, seed))
                    }
                    (Traffic::Http { host, path, one_each }, _) => {
                        Box::new(Http::new(host, path).one_each(*one_each))
                    }
                    (Traffic::Hop { remote_percent }, _) => Box::new(Hop::new(*remote_percent)),
                    (Traffic::Echo { frame_bytes, verify_every }, _) => {
                        Box::new(Echo::new(*frame_bytes, *verify_every))
                    }
                    (Traffic::Resp(_) | Traffic::Memcache(_), None) => {
                        unreachable!("a workload has its tables")
                    }
                }
            })
            .collect()
    }

    /// One line for a reader.
    pub(crate) fn describe(&self) -> String {
        match self {
            Traffic::Echo { frame_bytes, .. } => format!("frames of {frame_bytes} B"),
            Traffic::Hop { remote_percent } => {
                format!("{remote_percent} % of requests to another shard")
            }
            Traffic::Http { path, .. } => format!("GET {path}"),
            Traffic::Resp(workload) | Traffic::Memcache(workload) => {
                let all = f64::from(workload.get_parts) + f64::from(workload.set_parts);
                let get = f64::from(workload.get_parts) / all.max(1.0) * 100.0;
                let remote = workload.remote.map(|remote| remote.percent);
                let remote = remote.map(|percent| format!(" · {percent} % for another shard"));
                format!(
                    "GET {get:.0} % SET {:.0} % · {} · {} over {} keys{}",
                    100.0 - get,
                    workload.sizes,
                    workload.distribution,
                    workload.keys,
                    remote.unwrap_or_default()
                )
            }
        }
    }
}
