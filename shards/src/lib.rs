//! Shards: one pinned [`corelane`] loop per core, and messages between them.
//!
//! A shard is a thread with a loop of its own. Its tasks, its connections and its data stay on it,
//! need not be `Send`, and need no lock. Nothing is shared; the only way to another shard is to
//! send it a closure.
//!
//! ```
//! use corelane_shards::{Placement, Shards};
//!
//! let sums = Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
//!     let mut sum = 0;
//!     for peer in shard.all() {
//!         // Runs on the thread of `peer`, if that is another.
//!         sum += shard.invoke(peer, move || peer.index() + 1).await?;
//!     }
//!     Ok(sum)
//! })?;
//! assert_eq!(sums, [3, 3]);
//! # Ok::<(), corelane::Error>(())
//! ```
//!
//! Two small programs stand in the folder `examples` of this crate, to be copied: `echo`, a server on all cores, and
//! `calls`.
//!
//! # The walk of a call
//!
//! ```text
//! shard 0                                              shard 2
//! shard.invoke(2, f)  ·  shard.call(2, f)
//!  ├ a permit: calls in flight from 0 to 2
//!  ├ Box { f, ticket } → outbox for 2
//!  └ 16 in it, or end of the turn: one packet ─────────▶ mail phase: packets out of the lane
//!               wakes 2 only if it sleeps               ├ f runs; a `call`'s future is a task
//!                                                       ├ the outcome goes into the same box
//! mail phase: the box is handed in ◀─── one packet ─────┘ end of that turn
//!  ├ the permit goes to the next call that waits
//!  ├ the task that awaits the answer is woken
//!  └ the box is freed where it was made
//! ```
//!
//! [`invoke`](Shard::invoke) runs a plain closure where it arrives: no task, one allocation.
//! [`call`](Shard::call) is for what has to wait over there. Both are under way when they return,
//! so that a pipeline makes all its calls first and awaits them afterwards: they travel together,
//! in packets, and the other shard works on the first while the last are being made.
//! Calls of one kind and one scheduling group from one shard to another run, or start, in the order in which they
//! were made.
//!
//! [`post`](Shard::post) is for what needs no answer. The closure goes the upper half of the way and
//! its box ends over there; a panic of it is reported there. It holds one of the permits of `invoke`
//! until it has run, and permits come home many in one message: so a shard that awaits its posts
//! cannot flood another, and `post` and `invoke` keep one order. [`try_post`](Shard::try_post) gives
//! the closure back instead of waiting.
//!
//! [`broadcast`](Shard::broadcast), [`map_reduce`](Shard::map_reduce) and
//! [`call_any`](Shard::call_any) are made of these. [`Sharded`] is a service with an instance on each
//! shard, and [`Foreign`] a key that travels, to a value that does not.
//!
//! [`call_stream`](Shard::call_stream) answers with many items, one by one. A [`ServiceGroup`] keeps one
//! kind of calls to its share of the permits.
//! Whoever is no shard, a thread or another runtime beside them, has a [`ShardsHandle`].
//!
//! # When two shards wait for each other
//!
//! Nothing here blocks a thread, a full lane keeps its messages at the sender, and answers need no
//! permit. So shards may flood each other as they like.
//!
//! **A call may call back.** A task that was made by a `call` holds a permit, and what it calls itself
//! needs one as well, so a circle of calls could wait for its own permits for ever. It does not,
//! because each depth of calls inside of calls has a set of permits of its own: who holds one waits
//! only for permits of a greater depth. A chain that comes back and back without an end is refused at
//! [`Builder::call_depth`] with [`CallError::TooDeep`], which names the shards that it has gone
//! through. The depth goes along to the tasks that a call's task makes
//! ([`Shard::call_path`]); what it cannot see is a chain through a task that was there before, such as
//! a worker that is fed by a queue: **let no such worker call back to whoever waits for it.**
//!
//! `invoke` and `post` need none of this. Their closures never wait and their permits are a set of
//! their own, so any task may invoke and post anything anywhere.
//!
//! # Deadlines and priorities
//!
//! [`Shard::within`] sets a time limit that travels: calls made inside of it, and those that they make,
//! see it ([`Shard::deadline`]), and a call that arrives too late is not run.
//! [`Shard::at_priority`] says which of the calls that wait for a permit goes first. Order between two
//! shards is that of the calls of one kind, one depth, one priority and one scheduling group.
//!
//! # Shares of the time
//!
//! The [`SchedulingGroup`](corelane::SchedulingGroup) of who calls goes along. Over there closures, and the tasks of
//! calls, run in the same group, with its share of that shard's time, and what they call does as well. They wait for
//! the group's turn in the order in which they came, and hold their permits meanwhile: so each group has permits of
//! its own ([`Builder::group_permits`]), and keeps no other waiting. What comes from no group but the default runs at
//! once, or, with [`Builder::inbound_group`], in a group for all that comes in.
//!
//! # The end of a run
//!
//! SIGINT, SIGTERM, [`Shutdown::request`], or the return of every main asks for the end. Servers
//! made with [`Shard::serve`] stop accepting. Mains and connections have until one deadline, the
//! same for all shards, to end by themselves; then they are cancelled and may clean up, until a
//! second one ([`Builder::clean_up`]); then what is left is dropped and the threads are joined. What is late is
//! named in a warning, and in the [`Ending`] that [`Builder::run_to_end`] gives. A second signal ends the
//! process at once. A main that fails, or panics, has
//! all shards cancelled at once: part of a server is none. What any other panic does is a
//! [`PanicPolicy`]: nothing beyond its task, unless told otherwise.
//!
//! # Where connections go
//!
//! [`Shard::serve`] serves on one port with all shards. Whether the system deals the connections out or one shard
//! does, and which is better when, is told in [`connections`].
//!
//! # What can be seen
//!
//! [`Shard::stats`] and [`ShardsHandle::stats`] give what the loops, lanes and servers of all shards have
//! counted, also as text for Prometheus. A task that keeps its shard from everything else is named in a
//! warning while it does: see [`Builder::stall_limit`]. SIGUSR1, or [`ShardsHandle::dump_tasks`], prints
//! what each task of each shard is doing; a shard that does not answer is told of, with the task that holds it.
//!
//! # From tokio and glommio
//!
//! | there | here |
//! |---|---|
//! | `LocalExecutorPoolBuilder`, a `LocalRuntime` for each thread | [`Shards::builder`] |
//! | `spawn_local`, `JoinHandle` | [`corelane::spawn`], [`corelane::Task`]: dropped, it detaches |
//! | `abort`, `CancellationToken` | [`Task::cancel`](corelane::Task::cancel), a request that may be answered by clean-up |
//! | `JoinSet`, `TaskTracker` | [`corelane::task_group`], [`corelane::as_completed`] |
//! | `join!`, `select!` | [`corelane::gather`]; those of other crates run here, see [`corelane::asyncio`] for what to mind |
//! | `time::timeout` | [`corelane::wait_for`], [`corelane::timeout`] |
//! | `spawn_blocking` | [`corelane::to_thread`] |
//! | `Notify`, `Mutex`, `mpsc` | [`Event`](corelane::sync::Event), [`Lock`](corelane::sync::Lock), [`Queue`](corelane::sync::Queue); between shards [`sync`] |
//! | `shared_channel`, a mesh of channels | [`call`](Shard::call), [`post`](Shard::post), [`call_stream`](Shard::call_stream) |
//! | task queues with shares | [`SchedulingGroup`](corelane::SchedulingGroup) |
//! | state in a `thread_local!` | [`Sharded`], or the same |
//! | `TcpListener::bind` with `SO_REUSEPORT` on each thread | [`Shard::serve`] |
//! | `AsyncRead`, hyper, tower | the streams implement them: [`corelane::bridge`], `Shard::service` |
//!
//! # The next line, or mail, or the end
//!
//! A handler that waits for several things at a time hands them to `select` of `futures-util`, or to `tokio::select!`
//! with `biased`: both run here. What loses is dropped, so it has to be *cancel safe*: a read leaves what has come in
//! the reader, a `get` leaves the item in the queue, a receive on a channel leaves the message, and a sleep has nothing
//! to lose; an `invoke` or a `call` is given up by that. Each call says it of itself under *Cancel safety*.
//! [`Shutdown::unless_requested`] adds the end of the run.
//!
//! ```
//! use std::pin::pin;
//!
//! use corelane::sync::Queue;
//! use corelane::{Result, StreamReader, StreamWriter};
//! use corelane_shards::Shard;
//! use futures_util::future::{Either, select};
//!
//! async fn talk(
//!     shard: &Shard,
//!     mail: &Queue<String>,
//!     mut reader: StreamReader,
//!     writer: StreamWriter,
//! ) -> Result<()> {
//!     let shutdown = shard.shutdown();
//!     loop {
//!         let mut line = pin!(reader.next_text());
//!         let mut letter = pin!(mail.get());
//!         match shutdown.unless_requested(select(&mut line, &mut letter)).await {
//!             None => return writer.write("goodbye\n"), // the end was asked for
//!             Some(Either::Left((line, _))) => match line? {
//!                 None => return Ok(()), // the peer has ended
//!                 Some(line) => println!("somebody says {line}"),
//!             },
//!             Some(Either::Right((text, _))) => writer.write(text?)?,
//!         }
//!     }
//! }
//! # use corelane_shards::{Placement, Shards};
//! # Shards::builder().placement(Placement::Unpinned(1)).run(async |shard| {
//! #     let mail = Queue::new(1);
//! #     let (box_of_it, here) = (mail.clone(), shard.clone());
//! #     let handler = async move |reader: StreamReader, writer: StreamWriter| {
//! #         talk(&here, &box_of_it, reader, writer).await
//! #     };
//! #     let server = shard.serve("127.0.0.1:0", handler).await?;
//! #     let (mut reader, _writer) = corelane::open_connection(server.local_addrs()[0]).await?;
//! #     mail.put("hello\n".to_owned()).await?;
//! #     assert_eq!(reader.next_text().await?.as_deref(), Some("hello"));
//! #     shard.shutdown().request();
//! #     assert_eq!(reader.next_text().await?.as_deref(), Some("goodbye"));
//! #     Ok(())
//! # })?;
//! # Ok::<(), corelane::Error>(())
//! ```
//!
//! # In simulation
//!
//! With the feature `sim`, `Builder::simulate` runs the same mains on simulated hosts, all on one thread and under a
//! seed: the page of the module `sim` has a first test.
//!
//! # Where shards run
//!
//! [`Placement`] says how many and where. The cores on offer are those in the affinity mask of the
//! process that its control group allows, read before the first shard is pinned. A core that may
//! not be used, and more shards than cores, are errors; a pin that the system refuses is a warning
//! in the [`StartReport`], which also says what was taken and why. Masks and cpusets that somebody changes
//! later are survived and reported: see [`Builder::placement_check`]. What else the machine is to the shards, what is
//! wrong with it and what to do about that, is a [`HostReport`].

#![forbid(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!("corelane-shards runs on Linux only");

mod atomic;
mod balance;
mod call;
mod clock;
pub mod connections;
mod cores;
mod drift;
mod dump;
mod ending;
mod foreign;
mod host;
mod id;
mod kept;
mod lane;
mod mesh;
mod metrics;
mod overdue;
mod panics;
mod placement;
mod report;
mod running;
#[cfg(feature = "sim")]
mod seam;
#[cfg(not(feature = "sim"))]
#[path = "seam/none.rs"]
mod seam;
mod server;
mod shard;
mod sharded;
mod shards;
mod shutdown;
#[cfg(feature = "sim")]
pub mod sim;
mod supervisor;
mod survey;
pub mod sync;
#[cfg(feature = "tower")]
mod tower;
mod watchdog;

pub use balance::{Balance, LoadMeter};
pub use call::{
    Answers, CallError, GroupStats, Invoke, ItemStream, Posting, Priority, ServiceGroup,
    ShardsHandle, Submitted, TryPostError,
};
pub use cores::AllowedCores;
pub use dump::{ShardTasks, TaskDump};
pub use ending::{Ending, LateShard, Phase};
pub use host::{HostReport, Problem};
pub use id::ShardId;
pub use kept::Foreign;
pub use lane::LaneStats;
pub use metrics::{RunStats, ShardStats};
pub use panics::PanicPolicy;
pub use placement::{MAX_SHARD_COUNT, Placement, PlacementError};
pub use report::{ShardStart, StartReport};
pub use running::Running;
pub use server::{Accept, ShardServer, ShardServerBuilder, UnknownAccept};
pub use shard::Shard;
pub use sharded::Sharded;
pub use shards::{Builder, Shards};
pub use shutdown::Shutdown;
pub use survey::{FromShard, Silence};
#[cfg(feature = "tower")]
pub use tower::ShardService;
