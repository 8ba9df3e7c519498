//! Takes a request to whoever answers it: the connection, this shard, another shard, or several.

use std::collections::BTreeMap;

use bytes::BytesMut;

use super::caller::{Caller, Door, Talk};
use super::cluster::Refusal;
use super::command::{Command, Keys, Merge, Route, Run, resolve};
use super::home::Home;
use super::number::parse_cursor;
use super::plan::{Parts, Plan};
use super::reply::Reply;
use super::request::{Args, Range};

/// Where the requests of a connection are handed in. While nothing is owed from elsewhere, answers
/// go straight out; else they wait in the plan for their turn.
pub(crate) struct Desk<'a> {
    /// The connection.
    pub(crate) talk: &'a mut Talk,
    /// What it is owed.
    pub(crate) plan: &'a mut Plan,
    /// The shard it is on.
    pub(crate) home: &'a mut Home,
    /// Where answers go.
    pub(crate) out: &'a mut BytesMut,
}

impl Desk<'_> {
    /// Answers a request, or sees to it that it will be answered. Returns the command's name for
    /// CLIENT LIST.
    pub(crate) fn handle(&mut self, args: Args<'_>) -> &'static str {
        self.home.counters.commands += 1;
        let command = match resolve(args) {
            Ok(command) => command,
            Err(text) => {
                self.refuse(&text);
                return "NULL";
            }
        };
        if let Err(refusal) = self.admit(command.keys, args) {
            self.answer(|reply| reply.coded_error(refusal.to_string()));
            return command.name;
        }
        match command.route {
            Route::Key(run) => self.at(self.shard_of(args.at(1)), run, command.keys, args),
            Route::Cursor(_, run) if self.talk.door == Door::Node => self.here(run, args),
            Route::Cursor(run, _) => {
                let cursor = parse_cursor(args.at(1)).unwrap_or(0);
                let shard = (cursor % self.home.facts.shard_count as u64) as usize;
                self.at(shard, run, Keys::None, args);
            }
            Route::Connection(run) => {
                self.note(command);
                let (talk, home) = (&mut *self.talk, &mut *self.home);
                let resp = talk.resp;
                let mut write = |out: &mut BytesMut| {
                    run(&mut Caller { talk, home }, args, &mut Reply::new(out, resp));
                };
                if self.plan.is_empty() { write(self.out) } else { self.plan.answer_here(write) }
            }
            Route::Split(run, merge) => self.split(command, run, merge, args),
            Route::Each(whole, one) => self.each(command, whole, one, args),
            Route::Everywhere(run, merge) => {
                self.note(command);
                self.everywhere(run, merge, args);
            }
            Route::Subcommands => self.refuse(b"syntax error"),
        }
        command.name
    }

    /// Answers with an error.
    pub(crate) fn refuse(&mut self, text: &[u8]) {
        self.answer(|reply| reply.error(text));
    }

    /// Answers without a shard.
    fn answer(&mut self, answer: impl FnOnce(&mut Reply<'_>)) {
        let resp = self.talk.resp;
        let write = |out: &mut BytesMut| answer(&mut Reply::new(out, resp));
        if self.plan.is_empty() { write(self.out) } else { self.plan.answer_here(write) }
    }

    /// Says whether a command with these keys is answered at all, by way of this connection.
    fn admit(&self, keys: Keys, args: Args<'_>) -> Result<(), Refusal> {
        match (self.home.slots.cluster(), self.talk.door) {
            (None, _) => Ok(()),
            (Some(map), Door::Plain) => map.admit_here(keys, args),
            (Some(map), Door::Node) => map.admit_at_node(self.home.index, keys, args),
        }
    }

    /// The shard of a key that was admitted.
    fn shard_of(&self, key: &[u8]) -> usize {
        match self.talk.door {
            Door::Plain => self.home.slots.shard_of(key),
            Door::Node => self.home.index,
        }
    }

    /// One shard answers.
    fn at(&mut self, shard: usize, run: Run, keys: Keys, args: Args<'_>) {
        if shard == self.home.index {
            return self.here(run, args);
        }
        self.home.counters.hops += 1;
        let (resp, version) = (self.talk.resp, self.home.slots.version());
        self.plan.answer_from(shard, |batch| batch.push(run, keys, resp, version, args));
    }

    /// A shard gives a part of the answer.
    fn send(&mut self, shard: usize, run: Run, keys: Keys, args: Args<'_>) {
        self.home.counters.hops += 1;
        let (resp, version) = (self.talk.resp, self.home.slots.version());
        self.plan.send(shard, |batch| batch.push(run, keys, resp, version, args));
    }

    /// This shard answers.
    fn here(&mut self, run: Run, args: Args<'_>) {
        let (home, resp) = (&mut *self.home, self.talk.resp);
        let mut write = |out: &mut BytesMut| run(home, args, &mut Reply::new(out, resp));
        if self.plan.is_empty() { write(self.out) } else { self.plan.answer_here(write) }
    }

    /// Each shard that has some of the keys answers for them.
    fn split(&mut self, command: &Command, run: Run, merge: Merge, args: Args<'_>) {
        let step = match command.keys {
            Keys::All { step } => step,
            Keys::None | Keys::First => 1,
        };
        if !(args.len() - 1).is_multiple_of(step) {
            let text = format!("wrong number of arguments for '{}' command", command.name);
            return self.refuse(text.as_bytes());
        }
        let first = self.shard_of(args.at(1));
        if command.keys.of(args).all(|key| self.shard_of(key) == first) {
            return self.at(first, run, command.keys, args);
        }
        let mut shares: BTreeMap<usize, Vec<Range>> = BTreeMap::new();
        for key in (1..args.len()).step_by(step) {
            let share = shares.entry(self.shard_of(args.at(key)));
            let share = share.or_insert_with(|| vec![args.range(0)]);
            share.extend((key..key + step).map(|index| args.range(index)));
        }
        let here = shares.remove(&self.home.index);
        let here_bytes = here.map_or(0, |share| self.part_here(run, args.pick(&share)));
        for (shard, share) in &shares {
            self.send(*shard, run, command.keys, args.pick(share));
        }
        let resp = self.talk.resp;
        let shards = shares.into_keys().collect();
        self.plan.merged(Parts { how: merge, resp, here_bytes, shards, words: Vec::new() });
    }

    /// Each key's shard answers for it, in the order of the keys.
    fn each(&mut self, command: &Command, whole: Run, one: Run, args: Args<'_>) {
        let first = self.shard_of(args.at(1));
        if command.keys.of(args).all(|key| self.shard_of(key) == first) {
            return self.at(first, whole, command.keys, args);
        }
        let resp = self.talk.resp;
        self.plan.answer_here(|out| Reply::new(out, resp).array(args.len() - 1));
        for key in 1..args.len() {
            let pair = [args.range(0), args.range(key)];
            self.at(self.shard_of(args.at(key)), one, Keys::First, args.pick(&pair));
        }
    }

    /// Every shard that is in sight answers.
    fn everywhere(&mut self, run: Run, merge: Merge, args: Args<'_>) {
        let (index, resp) = (self.home.index, self.talk.resp);
        let shards: Vec<usize> = match self.talk.door {
            Door::Plain => {
                (0..self.home.facts.shard_count).filter(|shard| *shard != index).collect()
            }
            Door::Node => Vec::new(),
        };
        let is_printed = matches!(merge, Merge::Info);
        if shards.is_empty() && !is_printed {
            return self.here(run, args);
        }
        let here_bytes = self.part_here(run, args);
        for shard in &shards {
            self.send(*shard, run, Keys::None, args);
        }
        let words = if is_printed { args.from(1) } else { args.from(args.len()) };
        let words = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        self.plan.merged(Parts { how: merge, resp, here_bytes, shards, words });
    }

    /// This shard's part of an answer; returns its length.
    fn part_here(&mut self, run: Run, args: Args<'_>) -> usize {
        let (home, resp) = (&mut *self.home, self.talk.resp);
        self.plan.write_here(|out| run(home, args, &mut Reply::new(out, resp)))
    }

    /// Lists the command as the connection's last, before it runs: CLIENT LIST shows itself.
    fn note(&mut self, command: &'static Command) {
        if let Some(client) = self.home.clients.get_mut(&self.talk.id) {
            client.last_command = command.name;
        }
    }
}
