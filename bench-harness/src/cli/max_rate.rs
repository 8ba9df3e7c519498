//! `max-rate`: the highest rate that keeps the conditions.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;

use super::aim::Aimed;
use super::output_args::Format;
use super::talk::Talk;
use super::{Exit, catch_interrupts, usage};
use crate::clock::{self, ns};
use crate::console::Console;
use crate::phases::{RunPlan, Session};
use crate::plan::Rate;
use crate::point::{Conditions, Mode, PointSpec};
use crate::report::{Point, format_rate};
use crate::search::{Bracket, Fault, Length, Search};
use crate::units;
use crate::verdict::Status;

/// Options of `max-rate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct MaxRate {
    #[command(flatten)]
    aimed: Aimed,
    /// The edges of the bracket may differ by this much
    #[arg(long, default_value = "2%", value_parser = units::percent)]
    precision: f64,
    /// After this time no trial is begun any more, and the bracket is what is known by then
    #[arg(long, default_value = "120s", value_parser = units::positive_duration)]
    budget: Duration,
    /// Length of a trial while rates double, while the bracket is halved, and when it is confirmed
    #[arg(long, default_value = "1s,2s,10s", value_parser = units::trials)]
    trials: units::Trials,
    /// How often the lower edge must pass at full length
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    confirm: u32,
}

/// The search begins at this share of what a closed loop reaches.
const START: f64 = 0.25;

impl MaxRate {
    /// Searches and prints the bracket.
    ///
    /// # Errors
    /// If nothing could be measured.
    pub(super) fn execute(self, talk: &Talk) -> io::Result<Exit> {
        let load = self.aimed.load();
        if !load.has_slo() {
            return Ok(usage("max-rate needs a condition, for example --slo 'p99<1ms'"));
        }
        if let Some(option) = load.not_for_search() {
            let text = "max-rate chooses rates itself, and --trials their lengths; leave out";
            return Ok(usage(&format!("{text} {option}")));
        }
        let (plan, layout) = match self.aimed.prepare()? {
            Ok(prepared) => prepared,
            Err(text) => return Ok(usage(&text)),
        };
        let interrupted = catch_interrupts()?;
        let conditions = Conditions::new(layout, Arc::clone(&interrupted));
        let console = load.console(talk);
        let mut session = Session::open(&plan, conditions, &console)?;
        let mut search = None;
        let failure = self.search(&plan, &mut session, &console, &mut search).err();
        let bracket = search.map(|search: Search| search.bracket());
        if let Some(bracket) = bracket {
            session.set_bracket(bracket);
        }
        let outcome = session.finish(failure)?;
        let exit = load.present(&plan, &outcome, interrupted.load(Ordering::Relaxed), talk)?;
        let Some(bracket) = bracket.filter(|_| exit == Exit::Done) else {
            return Ok(exit);
        };
        let text = describe(bracket);
        match load.output.format {
            Format::Table => println!("{text}"),
            Format::Markdown => println!("\n**{text}**"),
            // What follows is for programs, and has it in its own words.
            Format::Json | Format::Csv | Format::Quiet => console.note(&text),
        }
        Ok(if bracket.passes_rps.is_some() { Exit::Done } else { Exit::SloMissed })
    }

    fn search(
        &self,
        plan: &RunPlan,
        session: &mut Session<'_>,
        console: &Console,
        search: &mut Option<Search>,
    ) -> io::Result<()> {
        let deadline_ns = clock::now_ns().saturating_add(ns(self.budget));
        let start = session.probe()? * START;
        let search = search.insert(Search::new(start, self.precision, self.confirm));
        while let Some((per_second, length)) = search.next() {
            if session.interrupted() || clock::now_ns() >= deadline_ns {
                return Ok(());
            }
            let rate = Rate::per_second(per_second).map_err(io::Error::other)?;
            let duration = match length {
                Length::Short => self.trials.short,
                Length::Medium => self.trials.medium,
                Length::Full => self.trials.full,
            };
            session.point(&PointSpec {
                label: format!("try {}", format_rate(rate.as_per_second()).replace(' ', "")),
                mode: Mode::Open(rate, self.aimed.load().arrival()),
                duration,
                warmup: plan.point.warmup.at_most(duration / 2),
                ..plan.point.clone()
            })?;
            // What was cut short says nothing.
            if session.interrupted() {
                return Ok(());
            }
            let fault = session.last().and_then(fault);
            let word = fault.map_or("passes", Fault::name);
            console.note(&format!("{:>10}: {word}", format_rate(rate.as_per_second())));
            search.tell(fault);
        }
        Ok(())
    }
}

/// Why a trial does not pass, if so.
fn fault(point: &Point) -> Option<Fault> {
    if point.verdict.overloaded || point.ledger.unsent > 0 {
        return Some(Fault::Overload);
    }
    if point.verdict.status == Status::Invalid {
        return Some(Fault::Generator);
    }
    point.slo.iter().any(|slo| !slo.holds).then_some(Fault::Slo)
}

fn describe(bracket: Bracket) -> String {
    let unfinished = if bracket.finished { "" } else { " (the time ran out; see --budget)" };
    let passes = bracket.passes_rps.map(format_rate);
    let fails = bracket.fails_rps.map(format_rate);
    let why = bracket.fault.map_or("", Fault::name);
    match (passes, fails) {
        (Some(passes), Some(fails)) => {
            format!("passes at {passes}, fails at {fails}: {why}{unfinished}")
        }
        (Some(passes), None) => format!("passes at {passes}, and no rate failed{unfinished}"),
        (None, Some(fails)) => format!("no rate passes; {fails} fails: {why}{unfinished}"),
        (None, None) => "nothing was tried: the time ran out".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample_point;
    use crate::slo::SloResult;

    #[test]
    fn a_trial_passes_only_if_nothing_speaks_against_it() {
        let slo = |holds| SloResult { condition: "p99<1ms".to_owned(), measured: None, holds };
        let mut point = sample_point("try");
        point.slo = vec![slo(true)];
        assert_eq!(fault(&point), None);
        point.slo.push(slo(false));
        assert_eq!(fault(&point), Some(Fault::Slo));
        // A condition that is missed because of the generator says nothing about the server …
        point.verdict.status = Status::Invalid;
        assert_eq!(fault(&point), Some(Fault::Generator));
        // … and a server that cannot keep up is told of before all else.
        point.verdict.overloaded = true;
        assert_eq!(fault(&point), Some(Fault::Overload));
        point.verdict.overloaded = false;
        point.ledger.unsent = 1;
        assert_eq!(fault(&point), Some(Fault::Overload));
    }
}
