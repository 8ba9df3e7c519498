//! Options of every command: how much is said while it works, and how that looks.

use std::io::{IsTerminal, stdout};

use clap::{Args, ValueEnum};

use crate::console::{Console, Loudness, Progress};

/// How much is said.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "While it runs")]
pub(crate) struct Talk {
    /// Say nothing on the standard error but what is wrong; the result is printed all the same
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say also who runs where, what each load point is, and how long its warm-up took
    #[arg(short, long, global = true)]
    verbose: bool,
    /// What is shown of a load point while it lasts
    #[arg(long, value_enum, global = true, default_value_t = Progress::Auto)]
    progress: Progress,
    /// Whether verdicts have colours
    #[arg(long, value_enum, global = true, default_value_t = Color::Auto)]
    color: Color,
}

/// When there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Also in a file or a pipe.
    Always,
    /// Nowhere.
    Never,
}

impl Talk {
    /// Where progress goes.
    pub(super) fn console(&self) -> Console {
        let loudness = match (self.quiet, self.verbose) {
            (true, _) => Loudness::Quiet,
            (_, true) => Loudness::Verbose,
            _ => Loudness::Usual,
        };
        Console::new(loudness, self.progress)
    }

    /// Whether the standard output has colours.
    pub(super) fn has_colors(&self) -> bool {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self.color {
            Color::Auto => stdout().is_terminal() && !unwanted,
            Color::Always => true,
            Color::Never => false,
        }
    }
}
