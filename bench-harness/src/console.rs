//! What is shown while a run goes on: notes and a progress bar, all on the standard error.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report::format_rate;

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

    /// A bar for something that takes `length`.
    pub(crate) fn bar(&self, label: &str, length: Duration) -> Bar {
        let target =
            if self.bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(STEPS), target);
        // The template is a constant of ours; should it not parse, the default one is shown.
        if let Ok(style) = ProgressStyle::with_template(" {prefix:10} {bar:32} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(label.to_owned());
        Bar { bar, length }
    }
}

/// Steps of a bar.
const STEPS: u64 = 1_000;

/// A bar on its way.
pub(crate) struct Bar {
    bar: ProgressBar,
    length: Duration,
}

impl Bar {
    /// Shows the share of the time that has passed, and the requests answered so far.
    pub(crate) fn set(&mut self, share: f64, done: u64) {
        let whole_s = self.length.as_secs_f64();
        let passed_s = share * whole_s;
        let rate = if passed_s > 0.0 { done as f64 / passed_s } else { 0.0 };
        self.bar.set_position((share * STEPS as f64) as u64);
        self.bar.set_message(format!("{passed_s:.1}/{whole_s:.1} s  {}", format_rate(rate)));
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
