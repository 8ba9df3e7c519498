//! Commands that read and write strings.

use super::{SYNTAX_ERROR, integer_or_reply};
use crate::kv::home::Home;
use crate::kv::reply::Reply;
use crate::kv::request::{Args, MAX_BULK_BYTES};
use crate::kv::store::{Deadline, Store};

/// GET key
pub(crate) fn get(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    reply.optional(home.store.get(args.at(1)));
}

/// `SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | KEEPTTL]`
pub(crate) fn set(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    let (key, value) = (args.at(1), args.at(2));
    if args.len() == 3 {
        home.store.set(key, value, Deadline::Never);
        return reply.ok();
    }
    let Some(options) = SetOptions::parse(args) else {
        return reply.error(SYNTAX_ERROR);
    };
    let deadline = match options.life {
        Life::Endless => Deadline::Never,
        Life::Keep => Deadline::Keep,
        Life::Lasts { amount, unit_ms } => {
            let Some(amount) = integer_or_reply(amount, reply) else { return };
            let Some(time) = deadline_after(&home.store, amount, unit_ms) else {
                return reply.error("invalid expire time in 'set' command");
            };
            Deadline::At(time)
        }
    };
    if options.wants_old {
        reply.optional(home.store.get(key));
    }
    let is_wanted = match options.condition {
        Condition::Always => true,
        Condition::IfAbsent => !home.store.contains(key),
        Condition::IfPresent => home.store.contains(key),
    };
    if is_wanted {
        home.store.set(key, value, deadline);
    }
    match (options.wants_old, is_wanted) {
        (true, _) => {}
        (false, true) => reply.ok(),
        (false, false) => reply.null(),
    }
}

/// The time that lies `amount` units ahead, if it is ahead and can be told.
fn deadline_after(store: &Store, amount: i64, unit_ms: i64) -> Option<i64> {
    let span_ms = amount.checked_mul(unit_ms).filter(|span_ms| *span_ms > 0)?;
    // `Entry::NEVER` is the largest number; a deadline stays below it.
    store.now_ms().checked_add(span_ms).filter(|time| *time < i64::MAX)
}

#[derive(Clone, Copy)]
enum Condition {
    Always,
    IfAbsent,
    IfPresent,
}

#[derive(Clone, Copy)]
enum Life<'a> {
    Endless,
    Keep,
    Lasts { amount: &'a [u8], unit_ms: i64 },
}

struct SetOptions<'a> {
    condition: Condition,
    life: Life<'a>,
    wants_old: bool,
}

impl<'a> SetOptions<'a> {
    /// Reads the options after the value. `None` for one that is none, or that contradicts an
    /// earlier one.
    fn parse(args: Args<'a>) -> Option<Self> {
        let mut options =
            Self { condition: Condition::Always, life: Life::Endless, wants_old: false };
        let mut rest = args.from(3);
        while let Some(option) = rest.next() {
            match option.to_ascii_lowercase().as_slice() {
                b"nx" if !matches!(options.condition, Condition::IfPresent) => {
                    options.condition = Condition::IfAbsent;
                }
                b"xx" if !matches!(options.condition, Condition::IfAbsent) => {
                    options.condition = Condition::IfPresent;
                }
                b"get" => options.wants_old = true,
                b"keepttl" if !matches!(options.life, Life::Lasts { .. }) => {
                    options.life = Life::Keep;
                }
                b"ex" => options.set_life(1000, rest.next()?)?,
                b"px" => options.set_life(1, rest.next()?)?,
                _ => return None,
            }
        }
        Some(options)
    }

    /// Takes EX or PX. The same unit may come twice, as in Redis; the last one counts.
    fn set_life(&mut self, unit_ms: i64, amount: &'a [u8]) -> Option<()> {
        match self.life {
            Life::Keep => return None,
            Life::Lasts { unit_ms: before, .. } if before != unit_ms => return None,
            _ => self.life = Life::Lasts { amount, unit_ms },
        }
        Some(())
    }
}

/// SETNX key value
pub(crate) fn setnx(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    let is_new = !home.store.contains(args.at(1));
    if is_new {
        home.store.set(args.at(1), args.at(2), Deadline::Never);
    }
    reply.integer(i64::from(is_new));
}

/// GETSET key value
pub(crate) fn getset(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    reply.optional(home.store.get(args.at(1)));
    home.store.set(args.at(1), args.at(2), Deadline::Never);
}

/// GETDEL key
pub(crate) fn getdel(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    reply.optional(home.store.remove(args.at(1)).as_deref());
}

/// MGET key [key ...]
pub(crate) fn mget(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    reply.array(args.len() - 1);
    for key in args.from(1) {
        reply.optional(home.store.get(key));
    }
}

/// MSET key value [key value ...]
pub(crate) fn mset(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    let mut rest = args.from(1);
    while let (Some(key), Some(value)) = (rest.next(), rest.next()) {
        home.store.set(key, value, Deadline::Never);
    }
    reply.ok();
}

/// APPEND key value
pub(crate) fn append(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    let (key, added) = (args.at(1), args.at(2));
    let Some(held) = home.store.get_mut(key) else {
        home.store.set(key, added, Deadline::Never);
        return reply.count(added.len());
    };
    if held.len() + added.len() > MAX_BULK_BYTES as usize {
        return reply.error("string exceeds maximum allowed size (proto-max-bulk-len)");
    }
    held.extend_from_slice(added);
    reply.count(held.len());
}

/// STRLEN key
pub(crate) fn strlen(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    reply.count(home.store.get(args.at(1)).map_or(0, <[u8]>::len));
}
