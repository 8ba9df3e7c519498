//! Every mailbox of the process, by loop id. It only grows: a waker may ask for any id at any time.
//!
//! A loop that ends gives its id back, and the next loop adopts the mailbox and goes on with the
//! generations where the old one stopped, so that wakers of the old loop stay stale. So ids run out only
//! when 65,535 loops live at the same time, or have on threads that live.
//!
//! A stale waker may still wake a task of the new loop for nothing, and on another thread it would do so at any time.
//! Simulations on several threads must not notice each other, so a thread keeps the ids of its loops for its next ones.

use std::cell::RefCell;
use std::sync::{Mutex, OnceLock};

use super::mailbox::Mailbox;
use crate::util::atomic::lock;

const CHUNK: usize = 256;

static MAILBOXES: [OnceLock<Box<[OnceLock<Mailbox>]>>; CHUNK] = [const { OnceLock::new() }; CHUNK];
static FREE: Mutex<Free> = Mutex::new(Free { ids: Vec::new(), next: 1 });

struct Free {
    /// Ids given back, with the generation that the next loop begins with.
    ids: Vec<(u16, u32)>,
    /// The first id never used, 65,536 when there is none. Zero is no id: a packed waker is never zero.
    next: u32,
}

thread_local! {
    static KEPT: RefCell<Kept> = const { RefCell::new(Kept(Vec::new())) };
}

/// The ids that loops of this thread have given back, as in [`Free`].
struct Kept(Vec<(u16, u32)>);

impl Drop for Kept {
    fn drop(&mut self) {
        lock(&FREE).ids.append(&mut self.0);
    }
}

/// An id and its mailbox, for as long as a loop lives.
pub(crate) struct Lease {
    id: u16,
    mailbox: &'static Mailbox,
    first_generation: u32,
}

impl Lease {
    /// An id that no living loop has; `None` when all 65,535 are taken.
    pub(crate) fn new() -> Option<Self> {
        // A thread that is ending keeps none.
        let kept = KEPT.try_with(|kept| kept.borrow_mut().0.pop()).ok().flatten();
        let mut free = lock(&FREE);
        let (id, first_generation) = match kept.or_else(|| free.ids.pop()) {
            Some(old) => old,
            None => {
                let id = u16::try_from(free.next).ok()?;
                free.next += 1;
                (id, 0)
            }
        };
        Some(Self { id, mailbox: cell(id).get_or_init(Mailbox::new), first_generation })
    }

    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    pub(crate) fn mailbox(&self) -> &'static Mailbox {
        self.mailbox
    }

    pub(crate) fn first_generation(&self) -> u32 {
        self.first_generation
    }

    /// Gives the id back; the next loop's slots begin with `next_generation`.
    pub(crate) fn end(&self, next_generation: u32) {
        self.mailbox.close();
        let given_back = (self.id, next_generation);
        if KEPT.try_with(|kept| kept.borrow_mut().0.push(given_back)).is_err() {
            lock(&FREE).ids.push(given_back);
        }
    }
}

/// The mailbox of a loop, living or ended; `None` for an id that was never given out.
pub(crate) fn mailbox(id: u16) -> Option<&'static Mailbox> {
    cell(id).get()
}

fn cell(id: u16) -> &'static OnceLock<Mailbox> {
    let chunk = MAILBOXES[usize::from(id) / CHUNK]
        .get_or_init(|| (0..CHUNK).map(|_| OnceLock::new()).collect());
    &chunk[usize::from(id) % CHUNK]
}
