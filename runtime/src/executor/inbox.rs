//! Closures from other threads, run on the loop as callbacks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ThreadId};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::error::drop_quietly;
use crate::task::Mailbox;

/// A closure of another thread.
type Call = Box<dyn FnOnce() + Send>;

/// A closure on its way.
struct Letter(Option<Call>);

/// The loop's end.
pub(crate) struct Inbox {
    letters: Receiver<Letter>,
}

/// A loop, as other threads see it: somewhere to send closures to. `Clone`, `Send` and `Sync`.
#[derive(Clone)]
pub struct RemoteLoop {
    letters: Sender<Letter>,
    mailbox: &'static Mailbox,
    home: ThreadId,
    hold: Hold,
}

/// One of those who may wake the loop when nothing else does, the loop's own handle among them.
struct Hold {
    count: Arc<AtomicUsize>,
    mailbox: &'static Mailbox,
}

/// The loop has been closed: what was sent would never run. A closure that was refused is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopClosed;

impl Inbox {
    /// Both ends of an inbox, made on the loop's thread.
    pub(crate) fn new(mailbox: &'static Mailbox) -> (Self, RemoteLoop) {
        let (sender, receiver) = unbounded();
        let home = thread::current().id();
        (
            Self { letters: receiver },
            RemoteLoop { letters: sender, mailbox, home, hold: Hold::new(mailbox) },
        )
    }

    pub(crate) fn take(&self) -> Option<Call> {
        self.letters.try_recv().ok()?.0.take()
    }

    /// What is left of it when the loop will not turn again. What comes later is dropped.
    pub(crate) fn take_all(self) -> Vec<Call> {
        let count = self.letters.len();
        self.letters.try_iter().take(count).filter_map(|mut letter| letter.0.take()).collect()
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        // In the middle of a channel that is dropped: a panic would leave all that come after it there.
        drop_quietly(self.0.take());
    }
}

impl RemoteLoop {
    /// Runs `f` on the loop's thread, as a callback in one of its next turns. Closures of one thread run in
    /// the order in which they were sent (rule T175). Never blocks; wakes the loop if it sleeps.
    ///
    /// # Errors
    /// [`LoopClosed`] if the loop has been closed. If it closes before `f` had its turn, `f` is dropped.
    pub fn submit(&self, f: impl FnOnce() + Send + 'static) -> Result<(), LoopClosed> {
        self.letters.send(Letter(Some(Box::new(f)))).map_err(|_| LoopClosed)?;
        self.mailbox.notify();
        Ok(())
    }
}

impl RemoteLoop {
    /// Ends the loop's sleep if it sleeps, and says whether that took a system call. For senders whose
    /// messages a [`Poller`](crate::lowlevel::Poller) takes in: call it after the message is where
    /// `has_mail` sees it. Never blocks.
    pub fn notify(&self) -> bool {
        self.mailbox.unpark_sleeper()
    }
}

impl RemoteLoop {
    /// The same for one who is not counted on: a loop that only this one could wake is alone.
    pub(crate) fn uncounted(&self) -> Self {
        Self { hold: Hold::new(self.mailbox), ..self.clone() }
    }

    /// Whether nobody else has such a handle. Who had one and let go of it has sent what there was to send, so look
    /// at the mail after this.
    pub(super) fn is_alone(&self) -> bool {
        // Acquire: pairs with the release when a hold is dropped, after what its holder has sent.
        self.hold.count.load(Ordering::Acquire) == 1
    }

    /// Whether this is the loop's own thread.
    pub(crate) fn is_home(&self) -> bool {
        thread::current().id() == self.home
    }
}

impl Hold {
    fn new(mailbox: &'static Mailbox) -> Self {
        Self { count: Arc::new(AtomicUsize::new(1)), mailbox }
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        // Relaxed: who clones holds one, so the loop is not alone meanwhile.
        self.count.fetch_add(1, Ordering::Relaxed);
        Self { count: Arc::clone(&self.count), mailbox: self.mailbox }
    }
}

impl Drop for Hold {
    /// The last to go has the loop look whether anything can happen now.
    fn drop(&mut self) {
        // Release: pairs with the load in `is_alone`.
        if self.count.fetch_sub(1, Ordering::Release) == 2 {
            self.mailbox.unpark_sleeper();
        }
    }
}

impl fmt::Debug for RemoteLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteLoop")
    }
}

impl fmt::Display for LoopClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the loop has been closed")
    }
}

impl std::error::Error for LoopClosed {}
