//! What a load thread is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::{Pacing, Times, World};
use crate::backlog::Backlog;
use crate::protocol::Protocol;
use crate::record::Recorder;

/// What a load thread sends.
#[allow(clippy::large_enum_variant, reason = "there is one in each thread, and it never moves")]
pub(crate) enum Work {
    /// Requests when they are due, whatever the server does.
    Open(Backlog),
    /// A request whenever an answer makes room.
    Closed {
        /// So many are measured; `u64::MAX` for as many as there is time for.
        requests: u64,
        /// From an answer to the next request of its connection.
        think_ns: u64,
        /// Connections begin one after the other during this time.
        ramp_ns: u64,
    },
}

/// All that one load thread needs.
pub(crate) struct Load<W: World> {
    /// Its clock and poller.
    pub(crate) world: W,
    /// Its connections; their numbers are those of the poller. What is not there is opened when a request needs it.
    pub(crate) streams: Vec<Option<W::Stream>>,
    /// The shards that read what is sent on them, where they are known and matter.
    pub(crate) shards: Vec<u16>,
    /// After so many requests a connection ends, and the next request opens another; without a number it is for
    /// good, also when it is lost.
    pub(crate) requests_each: Option<u64>,
    /// Requests on their way per connection.
    pub(crate) depth: usize,
    /// What is sent.
    pub(crate) work: Work,
    /// How it is written and read.
    pub(crate) protocol: Box<dyn Protocol>,
    /// Where latencies go.
    pub(crate) recorder: Recorder,
    /// When.
    pub(crate) times: Times,
    /// An answer later than this after the sending counts as a timeout.
    pub(crate) timeout_ns: u64,
    /// How to wait.
    pub(crate) pacing: Pacing,
    /// When the measurement begins, told from outside while it runs; zero as long as it is not known.
    /// Unless told, it begins as the times say. It must not have passed when it is told.
    pub(crate) measure_from: Arc<AtomicU64>,
    /// Set from outside to end early.
    pub(crate) stop: Arc<AtomicBool>,
}
