//! Options that say which thread runs where, and how it waits there.

use std::io;
use std::time::Duration;

use clap::Args;

use crate::generator::Pacing;
use crate::layout::{Layout, Pin};
use crate::{threads, units};

/// Who runs where.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Placement")]
pub(crate) struct PlacementArgs {
    /// CPUs of the load threads, such as 0,2-3 [default: a third of the allowed cores]
    #[arg(long, value_parser = units::cpus)]
    pub(super) load_cpus: Option<units::CpuList>,
    /// Whether threads are bound to their CPUs
    #[arg(long, value_enum, default_value_t = Pin::Prefer)]
    pub(super) pin: Pin,
    /// How load threads wait for the next request [default: hybrid, sleep on a shared cpu]
    #[arg(long, value_enum)]
    pub(super) pacing: Option<Pacing>,
    /// How long to listen to the idle machine before the run
    #[arg(long, default_value = "300ms", value_parser = units::duration)]
    pub(super) noise: Duration,
}

/// Tries to bind a thread to each CPU of `layout`, where nothing less will do; else a text for the user.
///
/// # Errors
/// If no thread can be started.
pub(super) fn check_pins(layout: &Layout) -> io::Result<Result<(), String>> {
    if layout.pin != Pin::Strict {
        return Ok(Ok(()));
    }
    for cpu in layout.server_cpus.iter().chain(&layout.load_cpus) {
        if !threads::can_pin(*cpu)? {
            return Ok(Err(format!(
                "no thread can be bound to cpu {cpu}; choose others with --server-cpus and --load-cpus, or go on \
                 without with --pin prefer"
            )));
        }
    }
    Ok(Ok(()))
}
