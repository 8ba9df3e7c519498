//! Commands about keys, whatever they hold.

use bytes::BytesMut;

use super::{NOT_AN_INTEGER, SYNTAX_ERROR, integer_or_reply};
use crate::kv::glob;
use crate::kv::home::Home;
use crate::kv::keymap::Entry;
use crate::kv::number::{parse_cursor, parse_i64};
use crate::kv::reply::{Reply, Resp};
use crate::kv::request::Args;

/// DEL key [key ...] and UNLINK key [key ...]: a string is freed in one step either way.
pub(crate) fn del(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    reply.count(args.from(1).filter(|key| home.store.remove(key).is_some()).count());
}

/// EXISTS key [key ...]: a key that is named twice counts twice.
pub(crate) fn exists(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    reply.count(args.from(1).filter(|key| home.store.contains(key)).count());
}

/// TYPE key
pub(crate) fn kind(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    reply.status(if home.store.contains(args.at(1)) { "string" } else { "none" });
}

/// EXPIRE key seconds [NX | XX | GT | LT]
pub(crate) fn expire(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    set_time_to_live(home, args, ("expire", 1000), reply);
}

/// PEXPIRE key milliseconds [NX | XX | GT | LT]
pub(crate) fn pexpire(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    set_time_to_live(home, args, ("pexpire", 1), reply);
}

fn set_time_to_live(
    home: &mut Home,
    args: Args<'_>,
    (name, unit_ms): (&str, i64),
    reply: &mut Reply<'_>,
) {
    let options = match ExpireOptions::parse(args) {
        Ok(options) => options,
        Err(text) => return reply.error(text),
    };
    let Some(amount) = integer_or_reply(args.at(2), reply) else { return };
    let now_ms = home.store.now_ms();
    let deadline = amount.checked_mul(unit_ms).and_then(|span_ms| now_ms.checked_add(span_ms));
    // `Entry::NEVER` is the largest number; a deadline stays below it.
    let Some(deadline) = deadline.filter(|deadline| *deadline < Entry::NEVER) else {
        return reply.error(format!("invalid expire time in '{name}' command"));
    };
    let key = args.at(1);
    let Some(before) = home.store.deadline_of(key) else {
        return reply.integer(0);
    };
    let is_wanted = options.allow(before, deadline);
    if is_wanted && deadline <= now_ms {
        home.store.remove(key);
    } else if is_wanted {
        home.store.expire_at(key, deadline);
    }
    reply.integer(i64::from(is_wanted));
}

#[derive(Default)]
struct ExpireOptions {
    if_none: bool,
    if_some: bool,
    if_later: bool,
    if_earlier: bool,
}

impl ExpireOptions {
    fn parse(args: Args<'_>) -> Result<Self, Vec<u8>> {
        let mut options = Self::default();
        for option in args.from(3) {
            match option.to_ascii_lowercase().as_slice() {
                b"nx" => options.if_none = true,
                b"xx" => options.if_some = true,
                b"gt" => options.if_later = true,
                b"lt" => options.if_earlier = true,
                _ => return Err([b"Unsupported option ", option].concat()),
            }
        }
        if options.if_none && (options.if_some || options.if_later || options.if_earlier) {
            return Err(b"NX and XX, GT or LT options at the same time are not compatible".into());
        }
        if options.if_later && options.if_earlier {
            return Err(b"GT and LT options at the same time are not compatible".into());
        }
        Ok(options)
    }

    /// Says whether the deadline may change from `before` to `after`. No deadline is the latest
    /// one.
    fn allow(&self, before: i64, after: i64) -> bool {
        !(self.if_none && before != Entry::NEVER
            || self.if_some && before == Entry::NEVER
            || self.if_later && after <= before
            || self.if_earlier && after >= before)
    }
}

/// TTL key: rounded to the nearest second.
pub(crate) fn ttl(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    reply.integer(match time_to_live(home, args.at(1)) {
        Ok(left_ms) => (left_ms + 500) / 1000,
        Err(none) => none,
    });
}

/// PTTL key
pub(crate) fn pttl(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    reply.integer(time_to_live(home, args.at(1)).unwrap_or_else(|none| none));
}

/// Milliseconds that are left; -1 for no deadline and -2 for no key stand on the error's side.
fn time_to_live(home: &mut Home, key: &[u8]) -> Result<i64, i64> {
    match home.store.deadline_of(key) {
        None => Err(-2),
        Some(Entry::NEVER) => Err(-1),
        Some(deadline_ms) => Ok(deadline_ms - home.store.now_ms()),
    }
}

/// PERSIST key
pub(crate) fn persist(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    let before = home.store.deadline_of(args.at(1)).unwrap_or(Entry::NEVER);
    let had_deadline = before != Entry::NEVER && home.store.expire_at(args.at(1), Entry::NEVER);
    reply.integer(i64::from(had_deadline));
}

/// KEYS pattern
pub(crate) fn keys(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    let (mut found, mut count) = (BytesMut::new(), 0);
    let mut list = Reply::new(&mut found, Resp::Two);
    for key in home.store.keys().filter(|key| glob::matches(args.at(1), key)) {
        list.bulk(key);
        count += 1;
    }
    reply.array(count);
    reply.encoded(&found);
}

/// DBSIZE
pub(crate) fn dbsize(home: &mut Home, _: Args<'_>, reply: &mut Reply<'_>) {
    reply.count(home.store.len());
}

/// FLUSHALL [ASYNC | SYNC] and FLUSHDB [ASYNC | SYNC]: the keys are gone at once, their memory in
/// small steps.
pub(crate) fn flush(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    let is_mode =
        |word: &[u8]| [&b"async"[..], b"sync"].iter().any(|mode| word.eq_ignore_ascii_case(mode));
    match args.len() {
        1 => {}
        2 if is_mode(args.at(1)) => {}
        _ => return reply.error(SYNTAX_ERROR),
    }
    home.store.clear();
    reply.ok();
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
///
/// A cursor names a shard and a position in it: `position * shards + shard`. The shards are scanned
/// one after the other.
pub(crate) fn scan(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    let (shard_count, index) = (home.facts.shard_count as u64, home.index as u64);
    scan_shard(home, shard_count, index, args, reply);
}

/// SCAN of this shard alone: its cursors are positions.
pub(crate) fn scan_here(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    scan_shard(home, 1, 0, args, reply);
}

/// Scans this shard, which is the one with this `index` of so many that are scanned.
fn scan_shard(home: &Home, shard_count: u64, index: u64, args: Args<'_>, reply: &mut Reply<'_>) {
    let Some(cursor) = parse_cursor(args.at(1)) else {
        return reply.error("invalid cursor");
    };
    let options = match ScanOptions::parse(args) {
        Ok(options) => options,
        Err(text) => return reply.error(text),
    };
    let (mut found, mut found_count, mut seen_count) = (BytesMut::new(), 0, 0);
    let mut list = Reply::new(&mut found, Resp::Two);
    // Like Redis: where buckets are empty, a call ends after ten of them for each key that was
    // asked for.
    let mut visits_left = options.count.saturating_mul(10);
    let Ok(start) = u32::try_from(cursor / shard_count) else {
        return end_of_scan(reply);
    };
    let mut position = Some(start);
    while let Some(from) = position
        && seen_count < options.count
        && visits_left > 0
    {
        visits_left -= 1;
        position = home.store.scan(from, |key| {
            seen_count += 1;
            if options.wants(key) {
                found_count += 1;
                list.bulk(key);
            }
        });
    }
    let next = match position {
        Some(position) => u64::from(position) * shard_count + index,
        None if index + 1 < shard_count => index + 1,
        None => 0,
    };
    reply.array(2);
    reply.bulk(next.to_string().as_bytes());
    reply.array(found_count);
    reply.encoded(&found);
}

/// A cursor that no scan gave out is past the end, as in Redis.
fn end_of_scan(reply: &mut Reply<'_>) {
    reply.array(2);
    reply.bulk(b"0");
    reply.array(0);
}

struct ScanOptions<'a> {
    pattern: Option<&'a [u8]>,
    /// How many keys a call should look at.
    count: u64,
    /// Whether the type that was asked for is the only one there is.
    wants_strings: bool,
}

impl<'a> ScanOptions<'a> {
    fn parse(args: Args<'a>) -> Result<Self, &'static str> {
        let mut options = Self { pattern: None, count: 10, wants_strings: true };
        let mut rest = args.from(2);
        while let Some(option) = rest.next() {
            let value = rest.next().ok_or(SYNTAX_ERROR)?;
            match option.to_ascii_lowercase().as_slice() {
                b"match" => options.pattern = Some(value),
                b"type" => options.wants_strings = value.eq_ignore_ascii_case(b"string"),
                b"count" => {
                    let count = parse_i64(value).ok_or(NOT_AN_INTEGER)?;
                    options.count = u64::try_from(count).map_err(|_| SYNTAX_ERROR)?;
                    if count == 0 {
                        return Err(SYNTAX_ERROR);
                    }
                }
                _ => return Err(SYNTAX_ERROR),
            }
        }
        Ok(options)
    }

    fn wants(&self, key: &[u8]) -> bool {
        self.wants_strings && self.pattern.is_none_or(|pattern| glob::matches(pattern, key))
    }
}
