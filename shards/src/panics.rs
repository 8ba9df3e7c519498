//! What a panic on a shard does beyond the task that it ends.

use std::process::abort;

use corelane::lowlevel::{LoopPulse, PanicWatch};
use crossbeam_channel::Sender;

use crate::id::ShardId;
use crate::supervisor::Event;

/// What becomes of a shard, or of the whole run, when something on it panics: see
/// [`Builder::panic_policy`](crate::Builder::panic_policy).
///
/// It is about each panic that is caught on the thread of a shard: of a task, of what another shard has sent, of a
/// callback, a waker or a destructor. Whatever the policy, whoever waits for what panicked gets an error that says
/// so. What a program catches itself, and a panic in a thread of [`to_thread`](corelane::to_thread), counts as none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PanicPolicy {
    /// It is the matter of whoever waits for what panicked; the shard goes on. Only the panic of a main ends the
    /// run. This is the default.
    #[default]
    Isolate,
    /// The shard is shut, the others go on: for state that must not be used any more, which others do not need. It
    /// leaves the mesh at once: every call to it, and from it, fails with
    /// [`CallError::ShardGone`](crate::CallError::ShardGone). Then its tasks are cancelled and clean up, for
    /// [`clean_up`](crate::Builder::clean_up) at most, and it ends. The run fails with the panic when the others
    /// have ended; [`Ending`](crate::Ending) has what their mains returned. If it accepts all connections of a
    /// server, another shard does so from then on.
    ShutShard,
    /// All shards are cancelled, clean up and end, and the run fails with the panic: as for a main that panics.
    ShutAll,
    /// The process is aborted where the panic is caught, without clean-up.
    Abort,
}

impl PanicPolicy {
    /// Has it seen to on this thread, which is that of a shard.
    pub(crate) fn watch(
        self,
        id: ShardId,
        pulse: LoopPulse,
        events: Sender<Event>,
    ) -> Option<PanicWatch> {
        (self != Self::Isolate).then(|| {
            PanicWatch::new(move |message| {
                let message = match pulse.holder() {
                    Some(holder) => format!("{message} (in {holder})"),
                    None => message.to_owned(),
                };
                if self == Self::Abort {
                    corelane::__report!(
                        ERROR,
                        shard = id.index(),
                        "shard {id} panicked, the process is aborted: {message}"
                    );
                    abort();
                }
                // Refused means that the run is over.
                let _ = events.send(Event::Panicked(id, message));
            })
        })
    }
}
