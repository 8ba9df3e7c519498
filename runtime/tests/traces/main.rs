//! Ports of the golden traces: what each prints must equal, to the byte, what CPython 3.13 printed for the
//! program of the same name in `golden/`. `scripts/traces.sh` runs those programs again.
//!
//! All runs on the virtual clock, but for what is about sockets, threads or signals.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

#[macro_use]
mod support;

mod aggregates;
mod cancel;
mod errors;
mod groups;
mod locks;
mod order;
mod order_hops;
mod order_waits;
mod queues;
mod run;
mod sync;
mod tasks;
mod threads;
mod timeouts;
