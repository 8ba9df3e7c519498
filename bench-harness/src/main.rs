//! Latency histograms of sharded servers, without coordinated omission and with its own error known.
//!
//! ```text
//! cli ─▶ phases ─▶ point ─▶ generator ─▶ connection ─▶ protocol
//!           │        │          └─▶ backlog ─▶ plan
//!           │        └─▶ record ─▶ hlog          verdict, statistics
//!           ├─▶ serve (a child process), subject
//!           └─▶ report
//! ```
//! Every request has three times: when it should have begun, when it was sent, when it was done.
#![forbid(unsafe_code)]

mod backlog;
mod cli;
mod clock;
mod connection;
mod console;
mod doctor;
mod generator;
mod hlog;
mod layout;
mod ledger;
mod micro;
mod noise;
mod phases;
mod plan;
mod point;
mod poller;
mod procfs;
mod protocol;
mod record;
mod report;
mod rng;
mod selftest;
mod serve;
mod statistics;
mod subject;
mod threads;
mod traffic;
mod verdict;
mod workload;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
