//! Commands that count: strings that hold a number.

use super::{NOT_AN_INTEGER, integer_or_reply};
use crate::kv::home::Home;
use crate::kv::number::{Decimal, parse_i64};
use crate::kv::reply::Reply;
use crate::kv::request::Args;
use crate::kv::store::Deadline;

/// INCR key
pub(crate) fn incr(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    add(home, args.at(1), 1, reply);
}

/// DECR key
pub(crate) fn decr(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    add(home, args.at(1), -1, reply);
}

/// INCRBY key increment
pub(crate) fn incrby(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    if let Some(amount) = integer_or_reply(args.at(2), reply) {
        add(home, args.at(1), amount, reply);
    }
}

/// DECRBY key decrement
pub(crate) fn decrby(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    let Some(amount) = integer_or_reply(args.at(2), reply) else { return };
    match amount.checked_neg() {
        Some(amount) => add(home, args.at(1), amount, reply),
        None => reply.error("decrement would overflow"),
    }
}

/// Adds to the number under `key`, 0 if there is none. Its deadline stays.
fn add(home: &mut Home, key: &[u8], amount: i64, reply: &mut Reply<'_>) {
    let Some(held) = home.store.get_mut(key) else {
        home.store.set(key, Decimal::new(amount).as_bytes(), Deadline::Never);
        return reply.integer(amount);
    };
    let Some(value) = parse_i64(held) else {
        return reply.error(NOT_AN_INTEGER);
    };
    let Some(sum) = value.checked_add(amount) else {
        return reply.error("increment or decrement would overflow");
    };
    held.clear();
    held.extend_from_slice(Decimal::new(sum).as_bytes());
    reply.integer(sum);
}
