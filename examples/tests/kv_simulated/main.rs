//! The key-value server in a simulated world: clients of several connections each, pipelines, hosts, faults, and what
//! the clients saw decided upon by a checker.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod alone;
mod client;
mod command;
mod history;
mod linear;
mod mischief;
mod talk;
