//! The way from a plan to the screen and to an exit code.

use std::io::{self, Write, stdout};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::load_args::LoadArgs;
use super::output_args::Format;
use super::talk::Talk;
use super::{Exit, catch_interrupts};
use crate::console::Console;
use crate::files::curves;
use crate::layout::Layout;
use crate::phases::{self, RunOutcome, RunPlan};
use crate::point::Conditions;
use crate::report::{
    Style, intervals_csv, percentile_picture, render_markdown, render_table, write_json,
};
use crate::verdict::Status;

impl LoadArgs {
    /// Runs a plan and prints what came of it.
    ///
    /// # Errors
    /// If nothing could be measured or the result cannot be printed.
    pub(super) fn execute(&self, plan: &RunPlan, layout: Layout, talk: &Talk) -> io::Result<Exit> {
        let interrupted = catch_interrupts()?;
        let conditions = Conditions::new(layout, Arc::clone(&interrupted));
        let outcome = phases::run(plan, conditions, &self.console(talk))?;
        self.present(plan, &outcome, interrupted.load(Ordering::Relaxed), talk)
    }

    /// Where progress goes.
    pub(super) fn console(&self, talk: &Talk) -> Console {
        talk.console().silenced(self.output.format == Format::Quiet)
    }

    /// Prints what came of a plan.
    ///
    /// # Errors
    /// If the standard output is closed.
    pub(super) fn present(
        &self,
        plan: &RunPlan,
        outcome: &RunOutcome,
        interrupted: bool,
        talk: &Talk,
    ) -> io::Result<Exit> {
        print(self.output.format, outcome, &self.output.look.style(talk))?;
        if let Some(out) = plan.out.as_deref().filter(|_| self.output.format == Format::Table) {
            let names: Vec<&str> = outcome.result.artifacts.names().collect();
            println!("wrote {}/  result.json {}", out.display(), names.join(" "));
        }
        Ok(self.judge(outcome, interrupted))
    }

    fn judge(&self, outcome: &RunOutcome, interrupted: bool) -> Exit {
        let points = &outcome.result.points;
        if let Some(failure) = &outcome.failure {
            eprintln!("error: {failure}");
            return Exit::Failed;
        }
        if let Some(point) = points.iter().find(|point| !point.balanced) {
            eprintln!("error: the ledger of {} does not balance: {:?}", point.label, point.ledger);
            return Exit::Failed;
        }
        if let Some(point) = points.iter().find(|point| point.connections.wrong_replies > 0) {
            let reason = point.connections.reason.as_deref().unwrap_or_default();
            eprintln!("error: {} was answered wrongly: {reason}", point.label);
            return Exit::Failed;
        }
        if interrupted {
            return Exit::Interrupted;
        }
        let is_valid = |status| matches!(status, Status::Valid | Status::Capacity);
        if self.output.strict && points.iter().any(|point| !is_valid(point.verdict.status)) {
            return Exit::Invalid;
        }
        // The trials of a search are there to miss a condition; its bracket is the answer.
        if outcome.result.bracket.is_some() {
            return Exit::Done;
        }
        let missed = points.iter().flat_map(|point| {
            point.slo.iter().filter(|slo| !slo.holds).map(|slo| (&point.label, slo))
        });
        let mut exit = Exit::Done;
        for (label, slo) in missed {
            let measured = slo.measured.as_deref().unwrap_or("too few samples to tell");
            eprintln!("missed: {label}: {} ({measured})", slo.condition);
            exit = Exit::SloMissed;
        }
        exit
    }
}

/// Prints a result.
///
/// # Errors
/// If the standard output is closed.
pub(super) fn print(format: Format, outcome: &RunOutcome, style: &Style) -> io::Result<()> {
    let result = &outcome.result;
    match format {
        Format::Table => print_table(outcome, style),
        Format::Markdown => stdout().lock().write_all(render_markdown(result, style).as_bytes()),
        Format::Json => write_json(&mut stdout().lock(), result),
        Format::Csv => stdout().lock().write_all(intervals_csv(&outcome.recorded).as_bytes()),
        Format::Quiet => Ok(()),
    }
}

/// Prints table and picture.
///
/// # Errors
/// If the standard output is closed.
pub(super) fn print_table(outcome: &RunOutcome, style: &Style) -> io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "\n{}", render_table(&outcome.result, style))?;
    out.write_all(percentile_picture(&curves(&outcome.recorded), style.ascii).as_bytes())
}
