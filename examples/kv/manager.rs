//! What the service manager and the server tell each other, where there is one (systemd's protocol).
//!
//! It is told when every shard listens, when the end has begun, and, if it asked for that, from time to time that
//! every shard still answers. The port that it may hand over is taken in `place`.

use std::fmt;
use std::time::Duration;

use corelane::sleep;
use corelane_shards::Shard;
use sd_notify::NotifyState;

/// Says that every shard listens; `status` is for people.
pub(crate) fn ready(status: &dyn fmt::Display) {
    tell(&[NotifyState::Ready, NotifyState::Status(&status.to_string())]);
}

/// Says that the server accepts no more and ends.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Says again and again that every shard answers, for as long as that is so; ends at once if nobody asked for it. A
/// shard that is held by one task keeps silent, and so does this: a server that half works is to be started
/// again.
///
/// # Cancel safety
/// Safe: it holds nothing.
pub(crate) async fn keep_alive(shard: &Shard) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    loop {
        for peer in shard.all() {
            if shard.invoke(peer, || ()).await.is_err() {
                return;
            }
        }
        tell(&[NotifyState::Watchdog]);
        // Twice in the time, as the manual of the protocol has it, and at least a moment.
        sleep((limit / 2).max(Duration::from_millis(1))).await;
    }
}

/// One datagram to a socket of this machine. It waits only for a manager that has left dozens of them unread.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("the service manager cannot be told {state:?}: {error}");
    }
}
