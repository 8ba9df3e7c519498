//! What is asked for: which key, which operation, how large a value.
//!
//! All draws are seeded and take a constant time, so that one is made for each request and no ring of
//! them has to stand in for a large keyspace. What depends on a table (weights) shares one between the
//! load threads.

mod alias;

use std::fmt;
use std::sync::Arc;

use corelane_examples::kv::owner_of;

use crate::rng::{Rng, scramble};
use alias::Alias;

/// How often each key is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum KeyDistribution {
    /// Every key alike.
    Uniform,
    /// The key of rank `r` with weight `r^-exponent`; ranks are scattered over the keyspace.
    Zipf(f64),
    /// A share of the keys gets a share of the requests; the hot keys are scattered.
    Hotspot {
        /// Share of the keys that are hot.
        keys: f64,
        /// Share of the requests that they get.
        requests: f64,
    },
    /// Keys around the mean, both as shares of the keyspace; neighbours stay neighbours.
    Gauss {
        /// Where the middle lies.
        mean: f64,
        /// Standard deviation.
        deviation: f64,
    },
    /// One key after the other; each load thread begins at a place of its own.
    Sequence,
}

impl fmt::Display for KeyDistribution {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyDistribution::Uniform => out.write_str("uniform"),
            KeyDistribution::Zipf(exponent) => write!(out, "zipf {exponent}"),
            KeyDistribution::Hotspot { keys, requests } => {
                write!(out, "hotspot {} % of requests to {} %", requests * 100.0, keys * 100.0)
            }
            KeyDistribution::Gauss { mean, deviation } => {
                write!(out, "gauss {mean} deviation {deviation}")
            }
            KeyDistribution::Sequence => out.write_str("in sequence"),
        }
    }
}

/// How long values are, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SizeDistribution {
    /// All alike.
    Fixed(u32),
    /// From the first to the second, each alike often.
    Uniform(u32, u32),
    /// Many small and a few large ones, none above [`MAX_RATIO`](Self::MAX_RATIO) medians.
    LogNormal {
        /// Half of the values are shorter.
        median: u32,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
    /// These sizes, each with its parts of all.
    Weighted {
        /// Sizes and parts.
        entries: Vec<(u32, u32)>,
        /// Where they come from, as it was written.
        source: String,
    },
}

impl SizeDistribution {
    /// A log-normal size is never larger than so many medians.
    pub(crate) const MAX_RATIO: u32 = 1_000;

    /// The longest and the shortest size that can be drawn.
    pub(crate) fn bounds(&self) -> (u32, u32) {
        match self {
            SizeDistribution::Fixed(size) => (*size, *size),
            SizeDistribution::Uniform(low, high) => (*low, *high),
            SizeDistribution::LogNormal { median, .. } => {
                (1, median.saturating_mul(Self::MAX_RATIO))
            }
            SizeDistribution::Weighted { entries, .. } => {
                let sizes = entries.iter().filter(|(_, parts)| *parts > 0).map(|(size, _)| *size);
                (sizes.clone().min().unwrap_or(0), sizes.max().unwrap_or(0))
            }
        }
    }
}

impl fmt::Display for SizeDistribution {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SizeDistribution::Fixed(size) => write!(out, "{size} B"),
            SizeDistribution::Uniform(low, high) => write!(out, "{low} to {high} B"),
            SizeDistribution::LogNormal { median, sigma } => {
                write!(out, "lognormal {median} B sigma {sigma}")
            }
            SizeDistribution::Weighted { source, .. } => write!(out, "sizes of {source}"),
        }
    }
}

/// What a run over keys asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Workload {
    /// Number of distinct keys.
    pub(crate) keys: u32,
    /// Length of each key in bytes; see [`push_key`].
    pub(crate) key_bytes: usize,
    /// Which of them are asked for.
    pub(crate) distribution: KeyDistribution,
    /// Length of the values that are written.
    pub(crate) sizes: SizeDistribution,
    /// Parts of the requests that read.
    pub(crate) get_parts: u32,
    /// Parts of the requests that write.
    pub(crate) set_parts: u32,
    /// One in so many replies to a read is compared with what was written; 0 for none.
    pub(crate) verify_every: u32,
    /// Which share of the requests asks for keys of another shard than the one that reads them.
    pub(crate) remote: Option<Remote>,
}

/// A share of requests that another shard answers than the one that reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remote {
    /// The share.
    pub(crate) percent: u32,
    /// Shards of the embedded key-value server, which share its keys.
    pub(crate) shards: u16,
}

impl Workload {
    /// Whose each key is among so many shards.
    pub(crate) fn owners(&self, shards: u16) -> impl Iterator<Item = u16> {
        let mut key = Vec::with_capacity(self.key_bytes);
        (0..self.keys).map(move |index| {
            key.clear();
            push_key(index, self.key_bytes, &mut key);
            owner_of(&key, usize::from(shards)) as u16
        })
    }
}

/// The shortest key: `key:` and as many digits as the largest keyspace needs.
pub(crate) const MIN_KEY_BYTES: usize = 13;

/// The longest key, that of memcached.
pub(crate) const MAX_KEY_BYTES: usize = 250;

/// Appends `key:` and the number of the key, with zeros in front until it is `bytes` long.
pub(crate) fn push_key(index: u32, bytes: usize, out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend_from_slice(b"key:");
    out.resize(begin + bytes, b'0');
    let mut rest = index;
    for digit in out[begin + 4..].iter_mut().rev() {
        if rest == 0 {
            return;
        }
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// The byte that the values of a key are filled with, so that a value tells whose it is.
pub(crate) fn fill_of(key: u32) -> u8 {
    b'a' + (key % 26) as u8
}

/// Whether `value` is one that was written to `key`.
pub(crate) fn is_value_of(key: u32, value: &[u8], (low, high): (u32, u32)) -> bool {
    let fits = (low as usize..=high as usize).contains(&value.len());
    fits && value.iter().all(|byte| *byte == fill_of(key))
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Draw {
    /// The number of its key.
    pub(crate) key: u32,
    /// The length of the value that is written; `None` for a read.
    pub(crate) set_bytes: Option<u32>,
    /// Whether the reply to a read is compared with what was written.
    pub(crate) verify: bool,
    /// Whether another shard answers, where keys are chosen by that.
    pub(crate) remote: Option<bool>,
}

/// The tables that all load threads share.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    keys: Option<Arc<Alias>>,
    sizes: Option<Arc<Alias>>,
    /// Whose each key is, where that matters.
    owners: Option<Arc<[u16]>>,
}

impl Tables {
    /// Weighs the ranks and the sizes, where they have weights.
    pub(crate) fn new(workload: &Workload) -> Self {
        let keys = match workload.distribution {
            KeyDistribution::Zipf(exponent) => {
                let weights =
                    (1..=workload.keys.max(1)).map(|rank| f64::from(rank).powf(-exponent));
                Some(Arc::new(Alias::new(weights)))
            }
            _ => None,
        };
        let sizes = match &workload.sizes {
            SizeDistribution::Weighted { entries, .. } => {
                let weights = entries.iter().map(|(_, parts)| f64::from(*parts));
                Some(Arc::new(Alias::new(weights)))
            }
            _ => None,
        };
        let owners = workload.remote.map(|remote| workload.owners(remote.shards).collect());
        Tables { keys, sizes, owners }
    }

    fn owner(&self, key: u32) -> Option<u16> {
        self.owners.as_ref()?.get(key as usize).copied()
    }
}

/// An endless stream of requests; the same for the same workload and seed.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    workload: Workload,
    tables: Tables,
    rng: Rng,
    /// The next key of a sequence.
    next_key: u32,
    until_verify: u32,
    /// Percents of requests for another shard that have added up; a whole hundred is one.
    share: u32,
}

impl Draws {
    /// The stream of one load thread.
    pub(crate) fn new(workload: &Workload, tables: &Tables, seed: u64) -> Self {
        let mut rng = Rng::new(scramble(seed ^ 0x6b65_7973));
        let keys = workload.keys.max(1);
        let next_key = rng.below(u64::from(keys)) as u32;
        Draws {
            workload: Workload { keys, ..workload.clone() },
            tables: tables.clone(),
            rng,
            next_key,
            until_verify: workload.verify_every,
            share: 0,
        }
    }

    /// Whether keys are chosen by who answers.
    pub(crate) fn are_aimed(&self) -> bool {
        self.workload.remote.is_some()
    }

    /// The next request, which `shard` reads.
    pub(crate) fn draw_for(&mut self, shard: u16) -> Draw {
        let remote = self.workload.remote.map(|remote| {
            self.share += remote.percent;
            let is_remote = self.share >= 100;
            self.share -= if is_remote { 100 } else { 0 };
            is_remote
        });
        let key = match remote {
            None => self.key(),
            Some(remote) => self.key_of(shard, remote),
        };
        Draw { remote, ..self.request(key) }
    }

    /// A key of `shard`, or of any other. What the distribution gives the others is drawn again, so that those who
    /// are wanted keep their shares among themselves.
    fn key_of(&mut self, shard: u16, remote: bool) -> u32 {
        /// A distribution may know no key that is wanted, or hardly one; then the next one is taken.
        const DRAWS: u32 = 1_000;
        let keys = self.workload.keys;
        let mut key = self.key();
        let mut drawn = 1;
        while self.tables.owner(key).is_some_and(|owner| (owner != shard) != remote) {
            key = if drawn < DRAWS { self.key() } else { (key + 1) % keys };
            drawn += 1;
            if drawn > DRAWS.saturating_add(keys) {
                break; // no key is: one of the shards has none
            }
        }
        key
    }

    fn request(&mut self, key: u32) -> Draw {
        let (get, set) = (u64::from(self.workload.get_parts), u64::from(self.workload.set_parts));
        if get == 0 || (set > 0 && self.rng.below(get + set) >= get) {
            return Draw { key, set_bytes: Some(self.size()), verify: false, remote: None };
        }
        self.until_verify = self.until_verify.saturating_sub(1);
        let verify = self.until_verify == 0 && self.workload.verify_every > 0;
        if verify {
            self.until_verify = self.workload.verify_every;
        }
        Draw { key, set_bytes: None, verify, remote: None }
    }

    fn key(&mut self) -> u32 {
        let keys = self.workload.keys;
        match self.workload.distribution {
            KeyDistribution::Uniform => self.rng.below(u64::from(keys)) as u32,
            KeyDistribution::Zipf(_) => {
                let rank = self.tables.keys.as_ref().map_or(0, |table| table.draw(&mut self.rng));
                scatter(rank, keys)
            }
            KeyDistribution::Hotspot { keys: share, requests } => {
                let hot = (f64::from(keys) * share).round().clamp(1.0, f64::from(keys)) as u32;
                let cold = keys - hot;
                let is_hot = cold == 0 || self.rng.unit() < requests;
                let rank = if is_hot {
                    self.rng.below(u64::from(hot))
                } else {
                    u64::from(hot) + self.rng.below(u64::from(cold))
                };
                scatter(rank as u32, keys)
            }
            KeyDistribution::Gauss { mean, deviation } => loop {
                let place = mean + deviation * self.rng.normal();
                // What falls outside is drawn again: moved to the edge it would make a hot key. The
                // mean lies inside, so that about half of all draws or more do.
                if (0.0..1.0).contains(&place) {
                    break (place * f64::from(keys)) as u32;
                }
            },
            KeyDistribution::Sequence => {
                let key = self.next_key;
                self.next_key = (key + 1) % keys;
                key
            }
        }
    }

    /// A length for a value, as it would be written.
    pub(crate) fn size(&mut self) -> u32 {
        match &self.workload.sizes {
            SizeDistribution::Fixed(size) => *size,
            SizeDistribution::Uniform(low, high) => {
                low + self.rng.below(u64::from(high - low) + 1) as u32
            }
            SizeDistribution::LogNormal { median, sigma } => {
                let size = f64::from(*median) * (sigma * self.rng.normal()).exp();
                let (low, high) = self.workload.sizes.bounds();
                (size.round() as u32).clamp(low, high)
            }
            SizeDistribution::Weighted { entries, .. } => {
                let table = self.tables.sizes.as_ref();
                entries[table.map_or(0, |table| table.draw(&mut self.rng)) as usize].0
            }
        }
    }
}

/// Spreads ranks over the keyspace, because neighbours may share a shard or a cache line: a
/// multiplication by a prime that does not divide `keys` is a permutation of it.
fn scatter(rank: u32, keys: u32) -> u32 {
    const PRIMES: [u64; 2] = [2_654_435_761, 4_294_967_291];
    let keys = u64::from(keys);
    let prime = if keys.is_multiple_of(PRIMES[0]) { PRIMES[1] } else { PRIMES[0] };
    (u64::from(rank) * prime % keys) as u32
}

#[cfg(test)]
mod tests;
