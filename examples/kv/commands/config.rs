//! CONFIG GET: the settings that clients and tools ask for.

use std::sync::atomic::Ordering;

use super::help as print_help;
use crate::kv::caller::Caller;
use crate::kv::command::find;
use crate::kv::glob;
use crate::kv::home::Facts;
use crate::kv::reply::Reply;
use crate::kv::request::{Args, MAX_BULK_BYTES};

/// CONFIG GET pattern [pattern ...]
pub(crate) fn get(caller: &mut Caller<'_>, args: Args<'_>, reply: &mut Reply<'_>) {
    let settings = settings(&caller.home.facts);
    let mut asked: Vec<(&[u8], &str)> = Vec::new();
    for pattern in args.from(2) {
        let is_name = !pattern.iter().any(|byte| b"[*?".contains(byte));
        for (name, value) in &settings {
            // As in Redis: who asks by name gets the name in the letters of the question.
            let found = if is_name {
                name.as_bytes().eq_ignore_ascii_case(pattern).then_some(pattern)
            } else {
                glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes())
                    .then_some(name.as_bytes())
            };
            if let Some(found) = found
                && asked.iter().all(|(before, _)| *before != found)
            {
                asked.push((found, value));
            }
        }
    }
    reply.map(asked.len());
    for (name, value) in asked {
        reply.bulk(name);
        reply.bulk(value.as_bytes());
    }
}

/// What this server would have in its configuration, were it a Redis: nothing is saved, nothing is
/// thrown out.
fn settings(facts: &Facts) -> Vec<(&'static str, String)> {
    vec![
        ("appendonly", "no".into()),
        ("bind", facts.bind.clone()),
        ("databases", "1".into()),
        ("maxclients", facts.max_clients.to_string()),
        ("maxmemory", "0".into()),
        ("maxmemory-policy", "noeviction".into()),
        ("port", facts.port.load(Ordering::Relaxed).to_string()),
        ("proto-max-bulk-len", MAX_BULK_BYTES.to_string()),
        ("save", String::new()),
        ("timeout", "0".into()),
    ]
}

/// CONFIG HELP
pub(crate) fn help(_: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    let subcommands = find(b"config").map_or(&[][..], |command| command.subcommands);
    print_help("CONFIG", subcommands, reply);
}
