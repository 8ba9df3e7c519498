//! What is shown while a run goes on: notes and progress, all on the standard error.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::point;
use crate::report::{format_ns, format_rate};

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loudness {
    /// Nothing.
    Quiet,
    /// What a reader of the result should know.
    Usual,
    /// Also what only explains it.
    Verbose,
}

/// What is shown of a load point while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Progress {
    /// A bar on a terminal, and nothing elsewhere.
    Auto,
    /// A bar; lines where there is no terminal to draw it on.
    Bar,
    /// A line each second.
    Plain,
    /// Nothing.
    None,
}

/// Where progress goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    loudness: Loudness,
    shape: Shape,
}

/// What progress looks like here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Bar,
    Lines,
    Nothing,
}

impl Console {
    /// A console on the standard error.
    pub(crate) fn new(loudness: Loudness, progress: Progress) -> Self {
        let shape = match (progress, stderr().is_terminal()) {
            _ if loudness == Loudness::Quiet => Shape::Nothing,
            (Progress::Auto | Progress::Bar, true) => Shape::Bar,
            (Progress::Bar | Progress::Plain, _) => Shape::Lines,
            (Progress::Auto | Progress::None, _) => Shape::Nothing,
        };
        Console { loudness, shape }
    }

    /// The same, and it says nothing.
    pub(crate) fn silenced(self, is_silent: bool) -> Self {
        let silent = Console { loudness: Loudness::Quiet, shape: Shape::Nothing };
        if is_silent { silent } else { self }
    }

    /// A line that stays.
    pub(crate) fn note(&self, text: &str) {
        if self.loudness >= Loudness::Usual {
            eprintln!("{text}");
        }
    }

    /// A line for those who want to know more.
    pub(crate) fn detail(&self, text: &str) {
        if self.loudness >= Loudness::Verbose {
            eprintln!("{text}");
        }
    }

    /// A bar for something that takes `length`, or nobody knows how long if that is zero.
    pub(crate) fn bar(&self, label: &str, length: Duration) -> Bar {
        let drawn = (self.shape == Shape::Bar).then(|| {
            let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
            // The template is a constant of ours; should it not parse, the default one is shown.
            if let Ok(style) = ProgressStyle::with_template(" {prefix:10} {bar:32} {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(label.to_owned());
            bar
        });
        let lines = (self.shape == Shape::Lines).then(|| label.to_owned());
        Bar { drawn, lines, told_s: 0.0, length, seen: (0.0, 0), rate: 0.0 }
    }
}

/// The rate that is shown is that of so many seconds.
const RATE_WINDOW_S: f64 = 0.4;

/// From one line to the next.
const LINE_S: f64 = 1.0;

/// Steps of a bar.
const STEPS: u64 = 1_000;

/// A bar on its way.
pub(crate) struct Bar {
    drawn: Option<ProgressBar>,
    /// What lines begin with, where there are some in place of a bar.
    lines: Option<String>,
    /// Seconds at the last line.
    told_s: f64,
    length: Duration,
    /// Seconds and answers when the rate was last computed.
    seen: (f64, u64),
    rate: f64,
}

impl Bar {
    /// Shows how far it is: the rate of answers now, and the latencies of the last interval.
    pub(crate) fn set(&mut self, progress: point::Progress) {
        let window_s = progress.passed_s - self.seen.0;
        if window_s >= RATE_WINDOW_S {
            self.rate = (progress.done - self.seen.1) as f64 / window_s;
            self.seen = (progress.passed_s, progress.done);
        }
        if let Some(bar) = &self.drawn {
            bar.set_position((progress.share * STEPS as f64) as u64);
            bar.set_message(self.text(progress));
        }
        if let Some(label) = &self.lines
            && progress.passed_s - self.told_s >= LINE_S
        {
            eprintln!(" {label:10} {}", self.text(progress));
            self.told_s = progress.passed_s;
        }
    }

    fn text(&self, progress: point::Progress) -> String {
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
        text
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.drawn {
            bar.finish_and_clear();
        }
    }
}
