//! One event loop on one thread, with asyncio's high-level API and its behaviour under cancellation and
//! failure.
//!
//! A loop belongs to one thread. What runs on it needs no lock and need not be `Send`; what comes from other
//! threads is a wake or a closure. For one such loop on every core, with messages between them, see
//! `corelane-shards`.
//!
//! # A first program
//!
//! A server that answers each line in capitals, and a client that talks to it:
//!
//! ```
//! corelane::run(async || {
//!     let server = corelane::start_server(
//!         async |mut reader, writer| {
//!             while let Some(line) = reader.next_line().await? {
//!                 writer.write(line.to_ascii_uppercase())?;
//!             }
//!             Ok(())
//!         },
//!         "127.0.0.1:0",
//!     )
//!     .await?;
//!
//!     let (mut reader, writer) = corelane::open_connection(server.local_addrs()[0]).await?;
//!     writer.write(b"hello\n")?;
//!     assert_eq!(&reader.read_line().await?[..], b"HELLO\n");
//!     Ok(())
//! })?;
//! # Ok::<(), corelane::Error>(())
//! ```
//!
//! More programs of that size stand in the folder `examples` of this crate, to be copied: `echo_server`, `client`, `tls`,
//! `udp`, `pipeline`, `hyper_server`, `hyper_client`.
//!
//! # From asyncio
//!
//! The chapter [`asyncio`] has an example for each call and every deliberate difference; the chapter [`rules`] has what
//! is promised, by the numbers (G21, T117) that the documentation names.
//!
//! | asyncio | corelane | |
//! |---|---|---|
//! | `asyncio.run(main())` | [`run`]`(async \|\| …)` | one `Result`; what is left is cancelled and awaited |
//! | `KeyboardInterrupt` | [`Error::is_interrupted`] | what `run` gives after SIGINT |
//! | `Runner` | [`Runner`] | also on a virtual clock, for tests |
//! | `create_task(f())` | [`create_task`], [`spawn`] | fallible and plain bodies |
//! | `create_task(f(), name=…, context=…)` | [`task()`]`.name(…).context(…).create(…)` | |
//! | `ContextVar`, `copy_context()` | [`LocalKey`], [`LocalContext`] | typed; [`LocalKey::scope`] |
//! | `Task` | [`Task`] | a dropped handle detaches; the task is never lost; several await `&task` |
//! | `task.add_done_callback(f)` | [`Task::add_done_callback`] | its key takes it back |
//! | `pstree` | [`print_tasks`], [`describe_tasks`] | who awaits whom, as a tree |
//! | `current_task()`, `all_tasks()` | [`current_task`], [`all_tasks`] | a [`TaskRef`] each |
//! | `sleep(s)`, `sleep(s, x)`, `sleep(0)` | [`sleep`], [`sleep_secs`], [`sleep_with`], [`yield_now`] | |
//! | `TaskGroup` | [`task_group`] | the scope is a closure; an [`ExceptionGroup`] of what failed |
//! | `try … except CancelledError` | [`catch_cancel`] | the code after it may wait, swallow or resume |
//! | `timeout(s)`, `wait_for` | [`timeout`], [`wait_for`] | the scope is a closure |
//! | `to_thread(f, …)` | [`to_thread`] | the closure is `Send` and fallible |
//! | `run_coroutine_threadsafe(c, loop)` | [`run_coroutine_threadsafe`] | a [`RemoteTask`]: blocks, or is awaited in any runtime |
//! | `gather(*aws)` | [`gather`] | a collection of one type, or a tuple of several |
//! | `wait(tasks, …)` | [`wait`] | lists in input order, not sets |
//! | `as_completed(aws)` | [`as_completed`] | iterate, or [`next`](AsCompleted::next)`().await` |
//! | `shield(aw)` | [`shield`] | of a task, or of a reference to one |
//! | `Queue`, `PriorityQueue`, `LifoQueue` | [`sync::Queue`], [`sync::PriorityQueue`], [`sync::LifoQueue`] | also as a stream |
//! | `Lock`, `Condition` | [`sync::Lock`], [`sync::Condition`] | around a value; a guard releases |
//! | `Event` | [`sync::Event`] | |
//! | `Semaphore`, `BoundedSemaphore` | [`sync::Semaphore`], [`sync::BoundedSemaphore`] | a [`sync::Permit`] gives back what it holds |
//! | `Barrier` | [`sync::Barrier`] | `abort` and `reset` need no `await` |
//! | `open_connection` | [`open_connection`] | |
//! | `start_server` | [`start_server`] | |
//! | `open_unix_connection`, `start_unix_server` | [`open_unix_connection`], [`start_unix_server`] | |
//! | `server.serve_forever()`, `async with server` | [`Server::serve_forever`], [`Server::scope`] | the scope is a closure; [`Server::serve_until`] ends idle connections |
//! | `StreamReader`, `StreamWriter` | [`StreamReader`], [`StreamWriter`] | a [`StreamFeed`] feeds one by hand |
//! | `ssl=context`, `start_tls` | `tls::TlsConnector`, `tls::TlsAcceptor`, `StreamWriter::start_tls` | feature `tls`: rustls |
//! | `create_subprocess_exec`, `create_subprocess_shell` | [`create_subprocess_exec`], [`create_subprocess_shell`] | builders; a [`process::Process`] |
//! | `loop.add_signal_handler` | [`signal()`] | a stream on each loop that wants it |
//! | `connect_read_pipe(…, sys.stdin)` | [`stdin`], [`stdout`], [`stderr`] | terminals, pipes, files |
//! | `loop.call_soon(f)` | [`call_soon`] | |
//! | `loop.call_soon_threadsafe(f)` | [`RemoteLoop::submit`] | |
//! | `loop.time()` | [`now`] | |
//! | `loop.set_exception_handler` | [`set_report_handler`] | |
//!
//! # What a task returns
//!
//! A fallible body returns [`Result`] and goes through [`create_task`]: `?` works in it on every standard
//! error. A body that cannot fail goes through [`spawn`]. Either way the handle gives one [`Result`]: the value, or the
//! one [`Error`] that says why there is none. The application's own error comes back by one step,
//! [`Error::downcast_ref`]. How to go to and from `thiserror`, `anyhow` and `Box<dyn Error>` stands at [`Error`].
//!
//! # Cancellation
//!
//! [`Task::cancel`] is a request. It goes first to what the task waits for: another task, a [`gather`]. Otherwise
//! it goes to the innermost [`catch_cancel`] frames of the task, where what is inside is dropped, inner guards
//! first, and the code after the frame goes on in the same step: it may wait and clean up, swallow the
//! cancellation, or [`resume`](CancelledError::resume) it. A task with no frame is dropped at its own turn and
//! ends cancelled. A [`timeout`] does the same to its body and waits for the clean-up, a [`task_group`] to all its
//! members.
//!
//! Nothing that was about to be handed over is lost: a lock goes to the next in line, an item stays in its
//! queue, unread bytes stay in the reader. Dropping a future by Rust's own means is no request: it runs guards
//! and no clean-up that waits. What each call guarantees then stands under *Cancel safety* in its
//! documentation.
//!
//! # The first of several
//!
//! "The next line, or mail, whichever is first": `select` of `futures-util` and `tokio::select!` with `biased` run here.
//! What loses is dropped, so it has to be cancel safe, as reads, `get` of a queue, receives and sleeps are. The chapter
//! [`asyncio`] has more to it, and the page of `corelane-shards` a connection's handler that waits for three things.
//!
//! # The order of things
//!
//! A turn of the loop takes the mail of other threads, asks the driver for I/O, fires timers, runs what is
//! ready, first in, first out, and sends what was written. What a task wakes runs in the next turn. No task is
//! run out of order, and none that keeps itself ready can starve I/O or timers.
//!
//! Work that must not hurt other work gets a [`SchedulingGroup`]: groups divide the loop's time by their shares,
//! and the order above holds within each. With one group, the default, it is the loop's.
//!
//! # What goes wrong unseen
//!
//! What nobody can be told, a detached task that failed, a handler that failed, a loop that is held, goes to
//! `tracing` as a warning or an error. As long as no subscriber was set, it is written to the standard error instead,
//! a line each: asyncio's logging does the same. To see nothing, set one that hears nothing:
//! `tracing::subscriber::set_global_default(NoSubscriber::new())`. [`set_report_handler`] has what failed as a value.
//!
//! # Rooms
//!
//! | folder | what lives there |
//! |---|---|
//! | `util`, `error` | ground floor: instants, the sleep flag, slabs; [`Error`] |
//! | `task` | a task, its waker, its table, its handle |
//! | `driver` | the seam to the system: owned ops down, completions up; mio, a virtual clock, a simulated net |
//! | `sync` | [`sync`]: a fair wait list and what stands on it |
//! | `stats` | [`stats`]: what a loop counts and measures, and how it is written down |
//! | `executor` | the loop: turn, ready queue, timers, ops, inbox |
//! | `group` | what acts when it is cancelled, and what waits for many |
//! | `time`, `io`, `blocking` | clocks, streams that own their bytes, the pool for what blocks |
//! | `net` | names, connections, servers, TLS |
//! | `process` | [`process`]: children, and their pipes as streams |
//! | `fs`, `stdio` | [`fs`]: files on the pool; standard streams |
//! | `remote`, `signal` | tasks asked for by other threads; signals as streams, and who answers them |
//! | `bridge` | [`bridge`]: the traits of other crates, each behind a feature |
//! | `runner`, `lowlevel`, `sim` | the front door; `sim` (a feature): several loops in a simulated world |
//!
//! # Limits
//!
//! Linux, 64 bit. 16,777,216 tasks and as many timers on one loop, 65,535 loops in a process at a time.

#![deny(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!("corelane runs on Linux only");
#[cfg(all(target_os = "linux", not(target_pointer_width = "64")))]
compile_error!("corelane runs on 64-bit systems only");

// First: the others report by its macro.
#[macro_use]
pub mod lowlevel;

pub mod asyncio;
mod blocking;
pub mod bridge;
mod driver;
mod error;
mod executor;
pub mod fs;
mod group;
mod io;
mod net;
pub mod process;
mod remote;
pub mod rules;
mod runner;
mod signal;
#[cfg(feature = "sim")]
pub mod sim;
pub mod stats;
mod stdio;
pub mod sync;
mod task;
mod time;
mod util;

/// What [`gather`], [`wait`], [`as_completed`] and [`shield`] take, for who writes functions over them.
pub mod aggregate {
    pub use crate::group::{Collection, Gatherable, IntoTask, Joinable, Places, TaskHandle, Tuple};
}

/// What [`run`] and [`timeout`] take, for who writes functions over them.
pub mod body {
    pub use crate::runner::Main;
    pub use crate::time::TimeoutBody;
}

pub use blocking::to_thread;
pub use driver::{DriverKind, PeerCredentials};
pub use error::{
    CancelledError, Error, ExceptionGroup, InterruptedError, InvalidStateError, Result,
    RuntimeError, StandardError, TimeoutError, ValueError,
};
pub use executor::{
    Idle, LoopClosed, RemoteLoop, SchedulingGroup, TaskBuilder, TaskRef, YieldIfNeeded, YieldNow,
    advance, all_tasks, call_soon, create_task, current_task, describe_tasks, format_tasks,
    loop_stats, now, print_tasks, set_report_handler, spawn, task, try_create_task,
    yield_if_needed, yield_now,
};
pub use group::{
    AsCompleted, CatchCancel, CatchCancelPlain, Completions, Gather, GatherOutcomes, NextCompleted,
    ReturnWhen, Shield, TaskGroup, as_completed, catch_cancel, catch_cancel_plain, gather, shield,
    task_group, wait,
};
pub use io::codec;
pub use io::{Duplex, InUse, ReadError, StreamFeed, StreamReader, StreamWriter};
#[cfg(feature = "socket-activation")]
pub use net::Inherited;
#[cfg(feature = "tls")]
pub use net::tls;
pub use net::{
    BoundServer, ConnectBuilder, ConnectionChange, IpFamily, Server, ServerBuilder, SocketReader,
    SocketWriter, StreamsInUse, TcpListener, TcpStream, ToSocketAddrs, UdpSocket, UnixListener,
    UnixStream, lookup_host, open_connection, open_unix_connection, start_server,
    start_unix_server,
};
pub use process::{create_subprocess_exec, create_subprocess_shell};
pub use remote::{RemoteTask, run_coroutine_threadsafe};
pub use runner::{Builder, Runner, run};
pub use signal::{Signal, signal};
pub use stdio::{stderr, stdin, stdout};
pub use task::{
    DoneKey, FinishedTask, Join, LocalContext, LocalKey, LocalScope, Report, ReportKind, Task,
    TaskId, TaskInfo, TaskState,
};
pub use time::{
    Sleep, Timeout, sleep, sleep_secs, sleep_until, sleep_with, timeout, timeout_at, wait_for,
};
pub use util::instant::Instant;
pub use util::wait_kind::WaitKind;
