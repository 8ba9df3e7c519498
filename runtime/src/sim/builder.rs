//! Settings of a simulated world.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Simulation;
use crate::driver::sim::{Settings, World};
use crate::util::instant::Instant;

/// Settings of a [`Simulation`].
#[derive(Debug, Clone)]
#[must_use = "settings make no world"]
pub struct Builder {
    settings: Settings,
    step_limit: u64,
    time_limit: Duration,
}

/// The steps of a run, unless told otherwise.
const STEP_LIMIT: u64 = 10_000_000;
/// Its time.
const TIME_LIMIT: Duration = Duration::from_secs(30 * 24 * 3_600);

impl Builder {
    pub(super) fn new(seed: u64) -> Self {
        let settings = Settings::seeded(seed);
        Self { settings, step_limit: STEP_LIMIT, time_limit: TIME_LIMIT }
    }

    /// The same world under another seed.
    pub(super) fn with_seed(&self, seed: u64) -> Self {
        let settings = Settings { seed, ..self.settings.clone() };
        Self { settings, ..self.clone() }
    }

    pub(super) fn seed(&self) -> u64 {
        self.settings.seed
    }

    /// A world without mishaps: tasks run in their order, nothing is woken for nothing, receives give all there
    /// is, and messages take a fixed time. Which loop turns next is still drawn.
    pub fn calm(mut self) -> Self {
        self.settings = Settings::calm(self.settings.seed);
        self
    }

    /// Tasks that are ready run first in, first out, as they do on a real loop.
    pub fn fifo(mut self) -> Self {
        self.settings.shuffles = false;
        self
    }

    /// How long a message is on its way between two hosts: 20 µs to 2 ms unless told otherwise. Within one host it
    /// takes a sixteenth.
    ///
    /// # Panics
    /// If the range is empty.
    pub fn latency(mut self, range: RangeInclusive<Duration>) -> Self {
        assert!(!range.is_empty(), "a latency is drawn from a range that is not empty");
        self.settings.latency = range;
        self
    }

    /// How much a connection holds in one direction that the receiver has not read: 64 KiB unless told otherwise.
    /// Then the sender waits.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.settings.buffer_bytes = bytes.max(1);
        self
    }

    /// How many steps a run may have, each a turn of a loop or a jump of the clock: ten million unless told
    /// otherwise.
    pub fn step_limit(mut self, count: u64) -> Self {
        self.step_limit = count;
        self
    }

    /// How much time of the world a run may take: thirty days unless told otherwise.
    pub fn time_limit(mut self, duration: Duration) -> Self {
        self.time_limit = duration;
        self
    }

    /// The world, with nobody in it.
    #[must_use]
    pub fn build(self) -> Simulation {
        Simulation {
            seed: self.settings.seed,
            world: World::new(self.settings),
            machines: Vec::new(),
            seated: Vec::new(),
            step_limit: self.step_limit,
            step_count: Cell::new(0),
            time_limit: Instant::ZERO + self.time_limit,
            plan: Vec::new(),
            plan_count: 0,
            instead: None,
            is_checked: false,
            actions: BTreeMap::new(),
            action_count: 0,
            panics: Vec::new(),
            sites: BTreeMap::new(),
            unchecked: Vec::new(),
            running: None,
        }
    }
}
