//! Latency histograms of sharded servers, without coordinated omission and with its own error known.
//!
//! ```text
//! cli ─▶ phases ─▶ point ─▶ generator ─▶ connection ─▶ protocol ─▶ workload
//!  │        │        │          └─▶ backlog ─▶ plan
//!  │        │        └─▶ record ─▶ hlog          verdict, slo, statistics
//!  │        ├─▶ serve (a child process), subject
//!  │        └─▶ files ─▶ report
//!  └─▶ compare, merge, search
//! ```
//! Every request has three times: when it should have begun, when it was sent, when it was done.
#![forbid(unsafe_code)]

mod advice;
mod backlog;
mod cli;
mod clock;
mod compare;
mod connection;
mod console;
mod count;
mod doctor;
mod files;
mod generator;
mod hlog;
mod hops;
mod layout;
mod ledger;
mod merge;
mod micro;
mod noise;
mod peer;
mod phases;
mod plan;
mod point;
mod poller;
mod procfs;
mod protocol;
mod record;
mod report;
mod rng;
mod search;
mod selftest;
mod serve;
mod slo;
mod statistics;
mod subject;
mod threads;
mod traffic;
mod units;
mod usage;
mod verdict;
mod warmup;
mod workload;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
