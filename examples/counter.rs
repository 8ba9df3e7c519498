//! Counts the words of standard input on every core, and prints the most frequent.
//!
//! ```text
//! counter --top 3 < book.txt
//! cat *.txt | counter --shards 2 --unpinned
//! ```
//!
//! Each word belongs to one shard, by its hash, and is counted in the table that lives there: a service
//! on every shard, [`Sharded`]. The first shard reads and deals the words out in batches; while the
//! others count one batch it reads the next. Nobody locks anything, and the tables are not `Send`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::ExitCode;

use clap::Parser;
use corelane::{Result, stdin};
use corelane_examples::common::{PlacementOptions, run_program};
use corelane_shards::{Shard, ShardId, Sharded, Shards};

/// So much is read, at most, before its words are dealt out.
const PIECE_BYTES: usize = 64 * 1024;

/// Counts the words of standard input on every core.
#[derive(Clone, Debug, Parser)]
#[command(name = "counter", version)]
struct Options {
    /// How many words to print.
    #[arg(short, long, default_value_t = 10)]
    top: usize,

    /// Which shards run where.
    #[command(flatten)]
    placement: PlacementOptions,

    /// What to log to standard error.
    #[arg(long, default_value = "warn")]
    log: String,
}

/// The words of one shard.
#[derive(Default)]
struct Table(RefCell<BTreeMap<String, u64>>);

impl Table {
    fn add(&self, words: Vec<String>) {
        let mut counts = self.0.borrow_mut();
        for word in words {
            *counts.entry(word).or_default() += 1;
        }
    }

    /// The most frequent ones of this shard. Those of all shards are among them.
    fn top(&self, count: usize) -> Vec<(String, u64)> {
        let all = self.0.borrow().iter().map(|(word, &times)| (word.clone(), times)).collect();
        most_frequent(all, count)
    }
}

/// The first `count` by frequency, then by the alphabet.
fn most_frequent(mut words: Vec<(String, u64)>, count: usize) -> Vec<(String, u64)> {
    words.sort_by(|(a, times_a), (b, times_b)| times_b.cmp(times_a).then_with(|| a.cmp(b)));
    words.truncate(count);
    words
}

fn main() -> ExitCode {
    let options = Options::parse();
    let log = options.log.clone();
    run_program("counter", &log, || {
        let placement = options.placement.placement();
        let run = Shards::builder().placement(placement).run(async move |shard: Shard| {
            // One shard leads; the others answer it until it is done.
            if shard.id() != ShardId::new(0) {
                return Ok(Vec::new());
            }
            count(&shard, options).await
        });
        for (word, times) in run?.swap_remove(0) {
            println!("{times:>8} {word}");
        }
        Ok(())
    })
}

/// Reads everything and gives the most frequent words.
async fn count(shard: &Shard, options: Options) -> Result<Vec<(String, u64)>> {
    let tables = Sharded::start(shard, async |_shard| Ok(Table::default())).await?;
    let mut input = stdin()?;
    // The piece of a word that the next read goes on with.
    let mut unfinished = Vec::new();
    let mut counting = Vec::new();
    loop {
        let piece = input.read(PIECE_BYTES).await?;
        unfinished.extend_from_slice(&piece);
        let end = if piece.is_empty() { unfinished.len() } else { last_gap(&unfinished) };
        let batches = deal(&unfinished[..end], shard.count());
        unfinished.drain(..end);
        // What was dealt out before has been counted, or is waited for: no more than two pieces at a time.
        for counted in counting.drain(..) {
            counted.await?;
        }
        for (to, words) in shard.all().zip(batches) {
            // It is under way at once; the next piece is read meanwhile.
            counting.push(tables.invoke_on(to, move |table| table.add(words)));
        }
        if piece.is_empty() {
            break;
        }
    }
    for counted in counting {
        counted.await?;
    }
    let top = options.top;
    let gather = |mut all: Vec<_>, words| {
        all.extend(words);
        all
    };
    let words = tables.map_reduce(move |table| table.top(top), Vec::new(), gather).await?;
    tables.stop().await?;
    Ok(most_frequent(words, top))
}

/// Where the last word that is known to be complete ends.
fn last_gap(text: &[u8]) -> usize {
    text.iter().rposition(u8::is_ascii_whitespace).map_or(0, |place| place + 1)
}

/// The words of `text`, for each shard those that belong to it.
fn deal(text: &[u8], shard_count: usize) -> Vec<Vec<String>> {
    let mut batches = vec![Vec::new(); shard_count];
    for word in String::from_utf8_lossy(text).split_whitespace() {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        if !word.is_empty() {
            // The same for every run: its keys are fixed.
            let mut hasher = DefaultHasher::new();
            word.hash(&mut hasher);
            batches[hasher.finish() as usize % shard_count].push(word);
        }
    }
    batches
}
