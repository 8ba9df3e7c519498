//! When a load thread sends, and how it waits for that.

/// How a load thread spends the time until the next request is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pacing {
    /// Sleep until shortly before, then spin; also spin while an answer is about to come.
    Hybrid,
    /// Never sleep: the most exact, and a CPU of its own is the price.
    Spin,
    /// Sleep until the exact time: late by what the kernel needs to wake the thread.
    Sleep,
}

/// The times of one load point, the same for all threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// The first request is due.
    pub(crate) start_ns: u64,
    /// Requests due from here on are measured; those before are warm-up.
    pub(crate) measure_ns: u64,
    /// No request is due any more.
    pub(crate) end_ns: u64,
    /// What is not answered by now stays unfinished.
    pub(crate) drain_end_ns: u64,
}

impl Times {
    /// The same lengths, measured from `measure_ns` on.
    pub(crate) fn measured_from(self, measure_ns: u64) -> Self {
        let end_ns = measure_ns.saturating_add(self.end_ns - self.measure_ns);
        let drain_end_ns = end_ns.saturating_add(self.drain_end_ns - self.end_ns);
        Times { measure_ns, end_ns, drain_end_ns, ..self }
    }
}
