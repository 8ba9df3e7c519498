//! Who keeps a loop from going on, as another thread sees it.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::task::{Beat, Doing, Pulse, TaskId};

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

/// What a loop is doing, to be asked by any thread: [`EventLoop::pulse`](crate::lowlevel::EventLoop::pulse).
///
/// It is there for good: of a loop that has ended it says that it rests.
#[derive(Clone)]
pub struct LoopPulse(pub(super) Arc<Pulse>);

impl LoopPulse {
    /// What the loop's thread is in the middle of; `None` if it waits for something to do, if nobody turns it, or if
    /// it went on while we looked.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        self.name(self.0.look()?)
    }

    fn name(&self, beat: Beat) -> Option<Holder> {
        match beat.doing {
            Doing::Resting => None,
            Doing::Other => Some(Holder::Other),
            Doing::Step(id, location) => {
                Some(Holder::Task { id, name: self.0.name_of(id), location })
            }
        }
    }
}

impl fmt::Debug for LoopPulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoopPulse").field(&self.holder()).finish()
    }
}

/// What a loop's thread is in the middle of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// The step of a task.
    #[non_exhaustive]
    Task {
        /// Its number.
        id: TaskId,
        /// Its name: the given one, if the loop was watched when it was given, or `Task-N`.
        name: String,
        /// Where it was created.
        location: &'static Location<'static>,
    },
    /// A callback, a closure of another thread, or the loop's own work.
    Other,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task { name, location, .. } => {
                write!(f, "task {name}, created at {location}")
            }
            Self::Other => f.write_str("a callback or a closure that was sent there"),
        }
    }
}

/// A loop that does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// The number that the loop was given in [`StallWatch::add`].
    pub index: usize,
    /// Who holds it, or held it.
    pub holder: Holder,
    /// For how long, at least.
    pub lasted: Duration,
    /// Whether it goes on by now.
    pub is_over: bool,
}

/// Notices loops that do not go on. It is told the time and has no thread: whoever owns it looks, some four times in
/// the time that is the limit.
///
/// A loop that works through one task's step, or one callback, for as long as the limit is stalled. It is reported
/// then, again each time that has doubled, and once more when it has gone on.
///
/// ```
/// use std::time::Duration;
/// use corelane::lowlevel::{EventLoop, LoopConfig, StallWatch};
///
/// let mut event_loop = EventLoop::new(&LoopConfig::default())?;
/// let mut watch = StallWatch::new(Duration::from_millis(200));
/// watch.add(event_loop.pulse());
/// // On a thread of its own, every 50 ms:
/// for stall in watch.look(Duration::from_millis(50)) {
///     eprintln!("loop {} is held for {:?} by {}", stall.index, stall.lasted, stall.holder);
/// }
/// # Ok::<(), corelane::Error>(())
/// ```
#[derive(Debug)]
pub struct StallWatch {
    limit: Duration,
    watched: Vec<Watched>,
    /// The last look found that no loop has done anything since the one before.
    all_rest: bool,
}

#[derive(Debug)]
struct Watched {
    pulse: LoopPulse,
    seen: Option<Beat>,
    rests: bool,
    lasted: Duration,
    /// The next report is due after so long.
    due: Duration,
    reported: Option<Holder>,
}

impl StallWatch {
    /// Without loops. A loop that does not go on for `limit` is stalled.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { limit, watched: Vec::new(), all_rest: false }
    }

    /// Watches one more loop; the first has number 0. Names that its tasks are given from now on are known.
    pub fn add(&mut self, pulse: LoopPulse) {
        pulse.0.watch();
        let due = self.limit;
        self.watched.push(Watched {
            pulse,
            seen: None,
            rests: false,
            lasted: Duration::ZERO,
            due,
            reported: None,
        });
    }

    /// How long to wait between two looks.
    #[must_use]
    pub fn interval(&self) -> Duration {
        (self.limit / 4).max(Duration::from_millis(1))
    }

    /// Looks at all loops; so much time has `passed` since the last look. More than half of the limit counts as that
    /// half: who was away for longer may have been stopped together with the loops.
    pub fn look(&mut self, passed: Duration) -> Vec<Stall> {
        let passed = passed.min(self.limit / 2);
        let looks = self.watched.iter_mut().enumerate();
        let stalls =
            looks.filter_map(|(index, watched)| watched.look(index, passed, self.limit)).collect();
        self.all_rest = self.watched.iter().all(|watched| watched.rests);
        stalls
    }

    /// Whether looks may be left out until `wake` is called, as all loops rest. To be asked after each look; it says
    /// so at the third look at the earliest at which nothing has happened.
    ///
    /// `wake` is called by the thread of each loop, once, when it next goes on, perhaps before this has said yes. It
    /// must not block. The next look may be a whole [`interval`](Self::interval) later.
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    /// use std::time::Duration;
    /// use corelane::lowlevel::{EventLoop, LoopConfig, StallWatch};
    ///
    /// let mut event_loop = EventLoop::new(&LoopConfig::default())?;
    /// let mut watch = StallWatch::new(Duration::from_millis(200));
    /// watch.add(event_loop.pulse());
    /// let (wake, woken) = channel();
    /// let wake = move || _ = wake.send(());
    /// loop {
    ///     assert_eq!(watch.look(Duration::from_millis(50)), []);
    ///     if watch.may_pause(wake.clone()) {
    ///         break;
    ///     }
    /// }
    /// assert!(woken.try_recv().is_err());
    /// event_loop.turn(false)?;
    /// assert!(woken.try_recv().is_ok());
    /// # Ok::<(), corelane::Error>(())
    /// ```
    #[must_use = "it says whether to wait or to look again"]
    pub fn may_pause(&mut self, wake: impl FnOnce() + Clone + Send + 'static) -> bool {
        if !self.all_rest {
            return false;
        }
        if self.watched.iter().all(|watched| watched.pulse.0.is_awaited()) {
            return true;
        }
        for watched in &self.watched {
            watched.pulse.0.await_going_on(Box::new(wake.clone()));
        }
        // One that was just going on may have missed that, which only another look shows.
        self.all_rest = false;
        false
    }
}

impl Watched {
    fn look(&mut self, index: usize, passed: Duration, limit: Duration) -> Option<Stall> {
        let beat = self.pulse.0.look();
        let holder = beat.and_then(|beat| self.pulse.name(beat));
        self.rests = beat.is_some() && holder.is_none() && beat == self.seen;
        if holder.is_none() || beat != self.seen {
            self.seen = beat;
            let lasted = std::mem::replace(&mut self.lasted, Duration::ZERO);
            self.due = limit;
            let holder = self.reported.take()?;
            return Some(Stall { index, holder, lasted, is_over: true });
        }
        self.lasted += passed;
        if self.lasted < self.due {
            return None;
        }
        self.due = self.lasted.saturating_mul(2);
        self.reported.clone_from(&holder);
        Some(Stall { index, holder: holder?, lasted: self.lasted, is_over: false })
    }
}
