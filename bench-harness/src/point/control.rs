//! What the control thread does while load threads run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use super::PointSpec;
use crate::clock::{self, ns};
use crate::generator::Times;
use crate::record::Collector;
use crate::warmup::{Warmup, Watch};

/// How far a load point is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Progress {
    /// Share of its time that has passed.
    pub(crate) share: f64,
    /// Seconds that have passed.
    pub(crate) passed_s: f64,
    /// Answers so far.
    pub(crate) done: u64,
    /// Median and 99th percentile of the response in the last interval of a thread, in nanoseconds.
    pub(crate) latest: Option<(u64, u64)>,
}

/// How often the control thread looks up when no interval arrives.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// What the control thread has in its hands while load threads run.
pub(super) struct Control {
    /// The times if the warm-up takes as long as it may.
    pub(super) times: Times,
    /// When the measurement begins; zero until that is known.
    pub(super) measure_from: Arc<AtomicU64>,
    /// Whether to end early.
    pub(super) stop: Arc<AtomicBool>,
}

/// The beginning of the measurement is told to load threads so long before.
const NOTICE: Duration = Duration::from_millis(50);

impl Control {
    /// Collects until every load thread has ended. The times as they were.
    pub(super) fn collect(
        &self,
        collector: &mut Collector,
        spec: &PointSpec,
        interrupted: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Times {
        let (mut done, mut latest) = (0, None);
        let first = ns(spec.ramp).div_ceil(ns(spec.interval).max(1));
        let mut watch = (spec.warmup == Warmup::Automatic).then(|| Watch::new(first));
        let mut times = self.times;
        loop {
            match collector.collect(LOOK) {
                Ok(interval) => {
                    done += interval.done;
                    latest = interval.percentiles.or(latest);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return times,
            }
            if interrupted.load(Ordering::Relaxed) {
                self.stop.store(true, Ordering::Relaxed);
            }
            let now_ns = clock::now_ns();
            let from_ns = now_ns.saturating_add(ns(NOTICE));
            if from_ns < times.measure_ns
                && watch.as_mut().is_some_and(|watch| watch.is_warm(collector))
            {
                times = self.times.measured_from(from_ns);
                self.measure_from.store(from_ns, Ordering::Release);
                watch = None;
            }
            let passed_ns = now_ns.saturating_sub(times.start_ns);
            let by_time = passed_ns as f64 / (times.end_ns - times.start_ns).max(1) as f64;
            let by_count = spec.requests.map(|requests| done as f64 / requests.max(1) as f64);
            let share = by_count.unwrap_or(by_time).min(1.0);
            progress(Progress { share, passed_s: passed_ns as f64 / 1e9, done, latest });
        }
    }
}
