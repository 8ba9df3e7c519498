//! Where others take part in a turn without the loop knowing who they are.

use std::rc::Rc;

/// Mail that comes in by a way of its own, such as the lanes between shards.
pub trait Poller {
    /// Takes in what has come, up to a budget of its own; called once a turn, in the mail phase, on the
    /// loop's thread with nothing borrowed. True if there is more.
    fn poll_mail(&self) -> bool;

    /// Whether there is something to take in. Asked again after the loop's `SleepFlag` says asleep: that
    /// look, and the sender's fence, make sure that no message is overlooked.
    fn has_mail(&self) -> bool;
}

/// Work that is saved up during a turn and done once at its end: bytes to a socket, messages to a lane.
pub trait Flush {
    /// Does it. Called in the flush phase of the turn in which it was enlisted.
    fn flush(self: Rc<Self>);
}
