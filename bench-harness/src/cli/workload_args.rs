//! Options that say what the requests are.

use std::collections::BTreeSet;

use clap::Args;

use crate::phases::Aim;
use crate::serve::{Target, Wire};
use crate::traffic::Traffic;
use crate::units;
use crate::workload::{
    KeyDistribution, MAX_KEY_BYTES, MIN_KEY_BYTES, Remote, SizeDistribution, Workload,
};

/// What is asked for.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Requests")]
pub(crate) struct WorkloadArgs {
    /// Distinct keys
    #[arg(long, default_value = "100k", value_parser = units::count)]
    keys: u64,
    /// Bytes of a key
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(MIN_KEY_BYTES as i64..=MAX_KEY_BYTES as i64))]
    key_size: u8,
    /// Which keys are asked for: uniform, zipf:EXPONENT, hotspot:KEYS/REQUESTS (two shares),
    /// gauss:MEAN/DEVIATION (shares of the keyspace) or seq
    #[arg(long, default_value = "zipf:0.99", value_parser = units::key_distribution)]
    key_dist: KeyDistribution,
    /// Bytes of the values that are written: 64, uniform:16-1024, lognormal:MEDIAN/SIGMA,
    /// list:32=80,1024=20 (sizes and their parts) or file:PATH (one size a line, or SIZE PARTS)
    #[arg(long, default_value = "64", value_parser = units::sizes)]
    value_size: SizeDistribution,
    /// Parts of GET and SET
    #[arg(long, default_value = "get=9,set=1", value_parser = units::mix)]
    mix: (u32, u32),
    /// Do not write every key once before the run
    #[arg(long)]
    no_preload: bool,
    /// One in how many replies is compared with what was written, such as 1/1024 or off [default:
    /// 1/1024; off for a server of which nobody knows what is stored there]
    #[arg(long, value_parser = units::verify)]
    verify: Option<u32>,
    /// What an HTTP server is asked for, where no URL says so [default: /]
    #[arg(long)]
    path: Option<String>,
    /// Bytes of an echo frame
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=1_048_576))]
    pub(super) frame_size: u32,
    /// Share of the requests that another shard answers than the one that reads them, for the embedded kv and hop
    /// [default: 50% of hop; what the keys make of it of kv]
    #[arg(long, value_name = "PERCENT", value_parser = units::whole_percent)]
    remote: Option<u32>,
}

/// One in so many replies is verified unless another share is asked for.
const VERIFY_EVERY: u32 = 1_024;

impl WorkloadArgs {
    /// The path that was asked for, if any was.
    pub(super) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Whether every key is written once before the run.
    pub(super) fn preloads(&self) -> bool {
        !self.no_preload
    }

    /// What is sent over `wire` by connections that end after `requests_each`. `page` is the host and the path that
    /// HTTP asks for.
    ///
    /// # Errors
    /// A text for the user, if options contradict each other.
    pub(super) fn traffic(
        &self,
        aim: &Aim,
        wire: Wire,
        page: Option<(String, String)>,
        requests_each: Option<u64>,
    ) -> Result<Traffic, String> {
        let knows_nothing = matches!(aim, Aim::Embedded(spec) if spec.target == Target::Synthetic);
        let unknown = wire != Wire::Echo && (self.no_preload || knows_nothing);
        let verify_every = self.verify.unwrap_or(if unknown { 0 } else { VERIFY_EVERY });
        let hops = matches!(aim, Aim::Embedded(spec) if spec.target == Target::Hop);
        if hops {
            return Ok(Traffic::Hop { remote_percent: self.remote.unwrap_or(50) });
        }
        let remote = match self.remote {
            Some(percent) => Some(remote(percent, aim, requests_each)?),
            None => None,
        };
        match wire {
            Wire::Echo => Ok(Traffic::Echo { frame_bytes: self.frame_size as usize, verify_every }),
            Wire::Http => self.page(page, requests_each == Some(1)),
            Wire::Resp => self.keyed(verify_every, remote).map(Traffic::Resp),
            Wire::Memcache => self.keyed(verify_every, remote).map(Traffic::Memcache),
        }
    }

    fn page(&self, page: Option<(String, String)>, one_each: bool) -> Result<Traffic, String> {
        let (host, path) = page.unwrap_or_else(|| {
            let path = self.path.clone().unwrap_or_else(|| "/".to_owned());
            ("localhost".to_owned(), path)
        });
        if !path.starts_with('/') || path.contains(char::is_whitespace) {
            return Err(format!("a path begins with / and has no blanks: {path:?}"));
        }
        Ok(Traffic::Http { host, path, one_each })
    }

    fn keyed(&self, verify_every: u32, remote: Option<Remote>) -> Result<Workload, String> {
        let keys = u32::try_from(self.keys).ok().filter(|keys| (1..=100_000_000).contains(keys));
        let workload = Workload {
            keys: keys.ok_or("between one and 100 million keys are possible")?,
            key_bytes: usize::from(self.key_size),
            distribution: self.key_dist,
            sizes: self.value_size.clone(),
            get_parts: self.mix.0,
            set_parts: self.mix.1,
            verify_every,
            remote,
        };
        if let Some(shard) = remote.and_then(|remote| without_keys(&workload, remote.shards)) {
            return Err(format!(
                "with --keys {} shard {shard} has none; --remote needs more",
                self.keys
            ));
        }
        Ok(workload)
    }
}

/// What `--remote` means for the embedded key-value server.
fn remote(percent: u32, aim: &Aim, requests_each: Option<u64>) -> Result<Remote, String> {
    let shards = match aim {
        Aim::Embedded(spec) if spec.target == Target::Kv => spec.cpus.len(),
        _ => {
            let text = "--remote is for the embedded kv and hop: where others have their keys is not known";
            return Err(text.to_owned());
        }
    };
    if requests_each.is_some() {
        let text =
            "--remote asks each connection for its shard before the run; leave out --reconnect";
        return Err(text.to_owned());
    }
    let several = u16::try_from(shards).ok().filter(|shards| *shards > 1);
    let shards = several
        .ok_or("--remote needs two shards, for example --server-cpus 0,1 with --load-cpus 0")?;
    Ok(Remote { percent, shards })
}

/// A shard that no key belongs to.
fn without_keys(workload: &Workload, shards: u16) -> Option<u16> {
    let mut missing: BTreeSet<u16> = (0..shards).collect();
    for owner in workload.owners(shards) {
        missing.remove(&owner);
        if missing.is_empty() {
            break;
        }
    }
    missing.first().copied()
}
