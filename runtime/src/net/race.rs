//! Which of several addresses answers first: Happy Eyeballs (RFC 8305).
//!
//! ```text
//!   addresses ──▶ attempt 1 ──────────── pending ─────────▶ dropped
//!                    │ delay
//!                    └──▶ attempt 2 ── failed
//!                                        └ at once ▶ attempt 3 ── connected: the result
//! ```
//!
//! The next attempt begins when the last one to begin has had its time, or as soon as any has failed. Without a
//! delay they go one after the other. The first that connects wins, and the others are dropped, which closes
//! what they had half made.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use crate::time::{Sleep, sleep};

#[cfg(test)]
mod tests;

/// Connects to one of `addrs`, tried in order by `connect`.
///
/// # Errors
/// All failures as one.
///
/// # Cancel safety
/// As that of the futures that `connect` makes.
pub(super) async fn race<T, C>(
    addrs: Vec<SocketAddr>,
    delay: Option<Duration>,
    connect: impl Fn(SocketAddr) -> C,
) -> io::Result<T>
where
    C: Future<Output = io::Result<T>>,
{
    let mut race = Race {
        waiting: addrs.into_iter(),
        running: Vec::new(),
        failures: Vec::new(),
        delay,
        stagger: None,
        connect,
    };
    poll_fn(|context| race.poll(context)).await
}

/// Puts the addresses of both families by turns, those of the first one's first: `first_count` of them, then one
/// of each.
pub(super) fn interleave(addrs: Vec<SocketAddr>, first_count: usize) -> Vec<SocketAddr> {
    let Some(leads_v6) = addrs.first().map(SocketAddr::is_ipv6) else { return addrs };
    let (first, second): (Vec<_>, Vec<_>) =
        addrs.into_iter().partition(|addr| addr.is_ipv6() == leads_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed: Vec<_> = first.by_ref().take(first_count).collect();
    loop {
        match (second.next(), first.next()) {
            (None, None) => return mixed,
            pair => mixed.extend(pair.0.into_iter().chain(pair.1)),
        }
    }
}

struct Race<C, F> {
    waiting: vec::IntoIter<SocketAddr>,
    /// In the order in which they began.
    running: Vec<Pin<Box<C>>>,
    failures: Vec<io::Error>,
    delay: Option<Duration>,
    /// When the next one begins, if there is one and a delay.
    stagger: Option<Pin<Box<Sleep>>>,
    connect: F,
}

impl<T, C, F> Race<C, F>
where
    C: Future<Output = io::Result<T>>,
    F: Fn(SocketAddr) -> C,
{
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let mut begins = self.running.is_empty() || self.has_waited(context);
        loop {
            if begins {
                self.begin_next();
            }
            let failed_before = self.failures.len();
            if let Some(connected) = self.poll_running(context) {
                return Poll::Ready(Ok(connected));
            }
            if self.running.is_empty() && self.waiting.len() == 0 {
                return Poll::Ready(Err(one_error(std::mem::take(&mut self.failures))));
            }
            // A stagger that was just set has to be polled to be heard of.
            begins = self.failures.len() > failed_before || self.has_waited(context);
            if !begins || self.waiting.len() == 0 {
                return Poll::Pending;
            }
        }
    }

    /// Whether it is time for the next attempt although others are under way.
    fn has_waited(&mut self, context: &mut Context<'_>) -> bool {
        self.stagger.as_mut().is_some_and(|stagger| stagger.as_mut().poll(context).is_ready())
    }

    fn begin_next(&mut self) {
        self.stagger = None;
        let Some(addr) = self.waiting.next() else { return };
        self.running.push(Box::pin((self.connect)(addr)));
        if self.waiting.len() > 0 {
            self.stagger = self.delay.map(|delay| Box::pin(sleep(delay)));
        }
    }

    /// Polls what is under way; takes out what has failed.
    fn poll_running(&mut self, context: &mut Context<'_>) -> Option<T> {
        let mut place = 0;
        while let Some(attempt) = self.running.get_mut(place) {
            match attempt.as_mut().poll(context) {
                Poll::Pending => place += 1,
                Poll::Ready(Ok(connected)) => return Some(connected),
                Poll::Ready(Err(error)) => {
                    self.failures.push(error);
                    drop(self.running.remove(place));
                }
            }
        }
        None
    }
}

/// All that failed, as one error of the kind of the last.
fn one_error(mut failures: Vec<io::Error>) -> io::Error {
    let Some(last) = failures.pop() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "no address was given");
    };
    if failures.is_empty() {
        return last;
    }
    let texts: Vec<String> = failures.iter().chain([&last]).map(io::Error::to_string).collect();
    io::Error::new(last.kind(), texts.join("; "))
}
