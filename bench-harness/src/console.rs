//! What is shown while a run goes on: notes and a progress bar, all on the standard error.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::point::Progress;
use crate::report::{format_ns, format_rate};

/// Where progress goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    quiet: bool,
    bars: bool,
}

impl Console {
    /// A console that says nothing if `quiet`, and draws bars only on a terminal.
    pub(crate) fn new(quiet: bool) -> Self {
        Console { quiet, bars: !quiet && stderr().is_terminal() }
    }

    /// A line that stays.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    /// A word about what takes a moment; only where it can be seen.
    pub(crate) fn status(&self, text: &str) {
        if self.bars {
            eprintln!("         {text}");
        }
    }

    /// A bar for something that takes `length`, or nobody knows how long if that is zero.
    pub(crate) fn bar(&self, label: &str, length: Duration) -> Bar {
        let target =
            if self.bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(STEPS), target);
        // The template is a constant of ours; should it not parse, the default one is shown.
        if let Ok(style) = ProgressStyle::with_template(" {prefix:10} {bar:32} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(label.to_owned());
        Bar { bar, length, seen: (0.0, 0), rate: 0.0 }
    }
}

/// The rate that is shown is that of so many seconds.
const RATE_WINDOW_S: f64 = 0.4;

/// Steps of a bar.
const STEPS: u64 = 1_000;

/// A bar on its way.
pub(crate) struct Bar {
    bar: ProgressBar,
    length: Duration,
    /// Seconds and answers when the rate was last computed.
    seen: (f64, u64),
    rate: f64,
}

impl Bar {
    /// Shows how far it is: the rate of answers now, and the latencies of the last interval.
    pub(crate) fn set(&mut self, progress: Progress) {
        let window_s = progress.passed_s - self.seen.0;
        if window_s >= RATE_WINDOW_S {
            self.rate = (progress.done - self.seen.1) as f64 / window_s;
            self.seen = (progress.passed_s, progress.done);
        }
        let whole_s = self.length.as_secs_f64();
        let passed_s = progress.share * whole_s;
        let mut text = if self.length.is_zero() {
            format!("{:.0} %  {}", progress.share * 100.0, format_rate(self.rate))
        } else {
            format!("{passed_s:.1}/{whole_s:.1} s  {}", format_rate(self.rate))
        };
        if let Some((p50_ns, p99_ns)) = progress.latest {
            text.push_str(&format!("  p50 {}  p99 {}", format_ns(p50_ns), format_ns(p99_ns)));
        }
        self.bar.set_position((progress.share * STEPS as f64) as u64);
        self.bar.set_message(text);
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
