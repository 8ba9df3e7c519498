//! Takes a request to whoever answers it: the connection, this shard, another shard, or several.

use std::collections::BTreeMap;

use bytes::BytesMut;

use super::caller::{Caller, Talk};
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
        let slots = self.home.facts.slots;
        match command.route {
            Route::Key(run) => self.at(slots.shard_of(args.at(1)), run, args),
            Route::Cursor(run) => {
                let cursor = parse_cursor(args.at(1)).unwrap_or(0);
                let shard = (cursor % slots.shard_count() as u64) as usize;
                self.at(shard, run, args);
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
            Route::Each(whole, one) => self.each(whole, one, args),
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
        let resp = self.talk.resp;
        let write = |out: &mut BytesMut| Reply::new(out, resp).error(text);
        if self.plan.is_empty() { write(self.out) } else { self.plan.answer_here(write) }
    }

    /// One shard answers.
    fn at(&mut self, shard: usize, run: Run, args: Args<'_>) {
        if shard == self.home.index {
            self.here(run, args);
        } else {
            let resp = self.talk.resp;
            self.plan.answer_from(shard, |batch| batch.push(run, resp, args.from(0)));
        }
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
        let slots = self.home.facts.slots;
        let first = slots.shard_of(args.at(1));
        let mut keys = (1..args.len()).step_by(step);
        if keys.all(|key| slots.shard_of(args.at(key)) == first) {
            return self.at(first, run, args);
        }
        let mut shares: BTreeMap<usize, Vec<Range>> = BTreeMap::new();
        for key in (1..args.len()).step_by(step) {
            let share = shares.entry(slots.shard_of(args.at(key)));
            let share = share.or_insert_with(|| vec![args.range(0)]);
            share.extend((key..key + step).map(|index| args.range(index)));
        }
        let here = shares.remove(&self.home.index);
        let here_bytes = here.map_or(0, |share| self.part_here(run, args.pick(&share)));
        let resp = self.talk.resp;
        for (shard, share) in &shares {
            let part = args.pick(share);
            self.plan.send(*shard, |batch| batch.push(run, resp, part.from(0)));
        }
        let shards = shares.into_keys().collect();
        self.plan.merged(Parts { how: merge, resp, here_bytes, shards, words: Vec::new() });
    }

    /// Each key's shard answers for it, in the order of the keys.
    fn each(&mut self, whole: Run, one: Run, args: Args<'_>) {
        let (slots, index) = (self.home.facts.slots, self.home.index);
        let first = slots.shard_of(args.at(1));
        if args.from(1).all(|key| slots.shard_of(key) == first) {
            return self.at(first, whole, args);
        }
        let resp = self.talk.resp;
        self.plan.answer_here(|out| Reply::new(out, resp).array(args.len() - 1));
        for key in 1..args.len() {
            let pair = [args.range(0), args.range(key)];
            let shard = slots.shard_of(args.at(key));
            debug_assert!(shard == index || slots.shard_count() > 1, "a shard of its own is here");
            self.at(shard, one, args.pick(&pair));
        }
    }

    /// Every shard answers.
    fn everywhere(&mut self, run: Run, merge: Merge, args: Args<'_>) {
        let shard_count = self.home.facts.slots.shard_count();
        let is_printed = matches!(merge, Merge::Info);
        if shard_count == 1 && !is_printed {
            return self.here(run, args);
        }
        let (index, resp) = (self.home.index, self.talk.resp);
        let here_bytes = self.part_here(run, args);
        let shards: Vec<usize> = (0..shard_count).filter(|shard| *shard != index).collect();
        for shard in &shards {
            self.plan.send(*shard, |batch| batch.push(run, resp, args.from(0)));
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
