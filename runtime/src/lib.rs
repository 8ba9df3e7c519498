//! One event loop on one thread, with asyncio's high-level API.

#![deny(unsafe_code)]

mod blocking;
#[allow(dead_code, unused_imports, reason = "streams, which use all of it, are being built")]
mod driver;
mod error;
#[allow(dead_code, unused_imports, reason = "streams, which use all of it, are being built")]
mod executor;
mod io;
pub mod lowlevel;
mod net;
mod runner;
pub mod sync;
mod task;
mod time;
#[allow(dead_code, unreachable_pub, reason = "the rooms that use all of it are being built")]
mod util;

pub use driver::DriverKind;
pub use error::{CancelledError, Error, Result, RuntimeError, TimeoutError, ValueError};
pub use executor::{
    CurrentTask, Idle, LoopClosed, RemoteLoop, YieldNow, advance, call_soon, create_task,
    current_task, now, set_report_handler, spawn, try_create_task, yield_now,
};
pub use io::{ReadError, StreamReader, StreamWriter};
pub use net::{
    ConnectBuilder, Server, ServerBuilder, ToSocketAddrs, open_connection, start_server,
};
pub use runner::{Builder, Runner, run};
pub use task::{Report, ReportKind, Task, TaskId};
pub use time::{Sleep, Timeout, sleep, sleep_until, timeout, timeout_at, wait_for};
pub use util::instant::Instant;
