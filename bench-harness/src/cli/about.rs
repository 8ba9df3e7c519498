//! `schema`, `completions` and `man`: what other programs want to know of this one.

use std::io::{self, Write, stdout};

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;
use schemars::schema_for;

use super::{Cli, Exit};
use crate::compare::CompareResult;
use crate::report::RunResult;

/// Options of `schema`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Schema {
    /// Of which file
    #[arg(value_enum, default_value_t = Document::Result)]
    document: Document,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Document {
    /// result.json of a run.
    Result,
    /// compare.json of ab, and what compare prints.
    Compare,
}

impl Schema {
    /// Prints the JSON Schema.
    ///
    /// # Errors
    /// If the standard output is closed.
    pub(super) fn execute(self) -> io::Result<Exit> {
        let schema = match self.document {
            Document::Result => schema_for!(RunResult),
            Document::Compare => schema_for!(CompareResult),
        };
        let mut out = stdout().lock();
        serde_json::to_writer_pretty(&mut out, &schema)?;
        writeln!(out)?;
        Ok(Exit::Done)
    }
}

/// Options of `completions`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Completions {
    /// For which shell
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    ///
    /// # Errors
    /// If the standard output is closed.
    pub(super) fn execute(self) -> io::Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "bench-harness", &mut script);
        stdout().lock().write_all(&script)?;
        Ok(Exit::Done)
    }
}

/// Options of `man`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Man {
    /// The page of one command [default: the program's own page]
    command: Option<String>,
}

impl Man {
    /// Prints the page in roff.
    ///
    /// # Errors
    /// If the standard output is closed.
    pub(super) fn execute(self) -> io::Result<Exit> {
        let mut program = Cli::command();
        program.build();
        let page = match &self.command {
            None => clap_mangen::Man::new(program),
            Some(name) => match program.find_subcommand(name) {
                Some(command) => {
                    let title = format!("bench-harness-{name}");
                    clap_mangen::Man::new(command.clone()).title(title)
                }
                None => return Ok(super::usage(&format!("there is no command {name:?}"))),
            },
        };
        let mut roff = Vec::new();
        page.render(&mut roff)?;
        stdout().lock().write_all(&roff)?;
        Ok(Exit::Done)
    }
}
