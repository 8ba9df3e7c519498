//! `noise`: what the machine takes from a thread that only spins.

use std::io::{self, Write, stdout};
use std::time::Duration;

use clap::Args;

use super::{Exit, usage};
use crate::layout::allowed_cpus;
use crate::noise::measure;
use crate::units;
use crate::verdict::HICCUP_US;

/// Options of `noise`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Noise {
    /// CPUs to listen to, all at once [default: all that this process may use]
    #[arg(long, value_parser = units::cpus)]
    cpus: Option<units::CpuList>,
    /// How long
    #[arg(short, long, default_value = "3s", value_parser = units::positive_duration)]
    duration: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Exit with 3 if a CPU stood still for longer than a valid run allows
    #[arg(long)]
    strict: bool,
}

impl Noise {
    /// Listens and reports.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub(super) fn execute(self) -> io::Result<Exit> {
        let allowed = allowed_cpus()?;
        let cpus = self.cpus.map_or_else(|| allowed.to_vec(), |list| list.0);
        if let Some(cpu) = cpus.iter().find(|cpu| !allowed.contains(cpu)) {
            return Ok(usage(&format!("this process may not use cpu {cpu}, only {allowed:?}")));
        }
        let noise = measure(&cpus, self.duration)?;
        let mut out = stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &noise)?;
            writeln!(out)?;
        } else {
            for one in &noise {
                writeln!(
                    out,
                    "cpu {:3}  longest gap {:9.1} us  gaps over 10 us {:8.1} /s  lost {:.3} %",
                    one.cpu,
                    one.max_us,
                    one.over_10us_per_s,
                    one.lost_ppm / 1e4
                )?;
            }
        }
        let noisy = noise.iter().any(|one| one.max_us > HICCUP_US);
        Ok(if self.strict && noisy { Exit::Invalid } else { Exit::Done })
    }
}
