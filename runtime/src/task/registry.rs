//! Every mailbox of the process, by loop id. It only grows: a waker may ask for any id at any time.
//!
//! A loop that ends gives its id back, and the next loop adopts the mailbox and goes on with the
//! generations where the old one stopped, so that wakers of the old loop stay stale. So ids run out only
//! when 65,535 loops live at the same time.

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

/// An id and its mailbox, for as long as a loop lives.
pub(crate) struct Lease {
    id: u16,
    mailbox: &'static Mailbox,
    first_generation: u32,
}

impl Lease {
    /// An id that no living loop has; `None` when all 65,535 are taken.
    pub(crate) fn new() -> Option<Self> {
        let mut free = lock(&FREE);
        let (id, first_generation) = match free.ids.pop() {
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
        let mut free = lock(&FREE);
        free.ids.push((self.id, next_generation));
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
