//! A tokio runtime beside the shards, on a core of its own, for libraries that insist on it.
//!
//! ```text
//!  cores 0 to n-1: shards, a table on each            core n: tokio
//!    handle.invoke(owner, …)  ◀───────────────────── the "admin" listener, a tokio task
//!    shard task: tokio.spawn(…).await ─────────────▶ a tokio timer, a tokio task
//! ```
//!
//! Both ways need no glue: a [`ShardsHandle`] gives answers that any runtime can await, and the handle of
//! a tokio task can be awaited on a shard, because wakers may be called from any thread. What belongs to
//! tokio (its sockets, its timers, a library built on them) stays in tasks of tokio; what belongs to a
//! shard stays there; between them go values.
//!
//! The listener understands lines: `set KEY VALUE`, `get KEY`, and `later MILLISECONDS`, which asks a
//! shard that in turn asks tokio to wait.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use corelane::{Error, Result};
use corelane_examples::common::run_program;
use corelane_shards::{AllowedCores, Placement, Shard, ShardId, Shards, ShardsHandle};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};

thread_local! {
    /// The part of the table that this shard owns.
    static TABLE: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// A tokio runtime beside the shards.
#[derive(Clone, Debug, Parser)]
#[command(name = "beside_tokio", version)]
struct Options {
    /// Where tokio listens; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:9200")]
    listen: SocketAddr,
    /// What to log to standard error.
    #[arg(long, default_value = "warn")]
    log: String,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let log = options.log.clone();
    run_program("beside_tokio", &log, || serve(&options))
}

fn serve(options: &Options) -> Result<()> {
    // Known before anything is pinned.
    let (placement, core) = split(AllowedCores::of_process()?.cores());
    let tokio = start_tokio(core)?;
    let running = Shards::builder().placement(placement).start(async |shard: Shard| {
        shard.shutdown().requested().await;
        Ok(())
    })?;
    let listener = tokio.block_on(TcpListener::bind(options.listen))?;
    println!("beside_tokio listening on {}, {}", listener.local_addr()?, running.handle().report());
    tokio.spawn(accept(listener, running.handle(), tokio.handle().clone()));
    // SIGTERM ends the shards; then tokio may end.
    running.join()?;
    tokio.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

/// The last core for tokio, the others for shards. With one core they share it, and nothing is pinned.
fn split(cores: &[usize]) -> (Placement, Option<usize>) {
    match cores {
        [for_shards @ .., last] if !for_shards.is_empty() => {
            (Placement::Cores(for_shards.to_vec()), Some(*last))
        }
        _ => (Placement::Unpinned(1), None),
    }
}

fn start_tokio(core: Option<usize>) -> Result<Runtime> {
    let pin = move || {
        let Some(id) = core else { return };
        if !core_affinity::set_for_current(core_affinity::CoreId { id }) {
            tracing::warn!("tokio could not be pinned to core {id}");
        }
    };
    let mut builder = Builder::new_multi_thread();
    Ok(builder.worker_threads(1).on_thread_start(pin).enable_all().build()?)
}

/// A task of tokio.
async fn accept(listener: TcpListener, shards: ShardsHandle, tokio: Handle) {
    while let Ok((stream, _)) = listener.accept().await {
        let (shards, tokio_there) = (shards.clone(), tokio.clone());
        tokio.spawn(async move {
            if let Err(error) = admin(stream, &shards, tokio_there).await {
                tracing::info!(%error, "client ended");
            }
        });
    }
}

/// One client, on tokio.
async fn admin(mut stream: TcpStream, shards: &ShardsHandle, tokio: Handle) -> Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match obey(&line, shards, &tokio).await {
            Ok(answer) => answer,
            Err(error) => format!("error: {error}"),
        };
        writer.write_all(format!("{answer}\n").as_bytes()).await?;
    }
    Ok(())
}

async fn obey(line: &str, shards: &ShardsHandle, tokio: &Handle) -> Result<String> {
    let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    match &words[..] {
        [command, key, value] if command == "set" => {
            let (key, value) = (key.clone(), value.clone());
            let set = move || TABLE.with_borrow_mut(|table| table.insert(key, value));
            shards.invoke(owner(&words[1], shards), set).await?;
            Ok("ok".to_owned())
        }
        [command, key] if command == "get" => {
            let to = owner(key, shards);
            let key = key.clone();
            let found =
                shards.invoke(to, move || TABLE.with_borrow(|table| table.get(&key).cloned()));
            Ok(found.await?.unwrap_or_else(|| "nothing".to_owned()))
        }
        [command, millis] if command == "later" => {
            let millis = millis.parse().map_err(|_| Error::msg("not a number"))?;
            let tokio = tokio.clone();
            let waited = shards.call(shards.next(), move || async move {
                // On a shard: the handle of a task of tokio is a future as any other.
                let waiting = tokio.spawn(async move {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    millis
                });
                let waited = waiting.await.map_err(|error| Error::msg(error.to_string()))?;
                let shard =
                    Shard::current().map_or_else(String::new, |shard| shard.id().to_string());
                Ok(format!("waited {waited} ms for shard {shard}"))
            });
            waited.await
        }
        _ => Err(Error::msg("say: set KEY VALUE, get KEY, later MILLISECONDS")),
    }
}

/// The shard whose table has `key`.
fn owner(key: &str, shards: &ShardsHandle) -> ShardId {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    ShardId::new((hasher.finish() % shards.count() as u64) as u16)
}
