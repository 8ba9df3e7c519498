//! What watches over simulated shards: the supervisor, on a loop of its own for the sake of its deadlines.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use corelane::lowlevel::EventLoop;
use corelane::sim::Keeper;
use corelane::{Result, Task, sleep};
use crossbeam_channel::Receiver;

use crate::call::ShardsHandle;
use crate::clock;
use crate::supervisor::{EndNotes, Event, Supervisor};

/// How it stands with a run, to be asked by whoever started it.
#[derive(Default)]
pub(super) enum Course {
    #[default]
    Going,
    /// The end was asked for.
    Ending,
    /// Every shard has ended.
    Over(EndNotes),
    /// The process was ended from outside, and nobody is there to say more.
    Killed,
}

/// Keeps the loop of a supervisor. What shards tell it wakes no loop: a thread waits at the channel itself.
pub(super) struct WatchKeeper {
    supervisor: Option<Supervisor>,
    heard: Receiver<Event>,
    shards: ShardsHandle,
    course: Rc<RefCell<Course>>,
    /// When it has to look even if it hears nothing, and what wakes the loop then.
    alarm: Option<(Instant, Task<()>)>,
}

impl WatchKeeper {
    pub(super) fn new(
        supervisor: Supervisor,
        heard: Receiver<Event>,
        shards: ShardsHandle,
        course: Rc<RefCell<Course>>,
    ) -> Self {
        Self { supervisor: Some(supervisor), heard, shards, course, alarm: None }
    }

    /// Has the loop wake at `moment`.
    fn wake_at(&mut self, event_loop: &mut EventLoop, moment: Option<Instant>) -> Result<()> {
        if self.alarm.as_ref().map(|(set, _)| *set) == moment {
            return Ok(());
        }
        if let Some((_, task)) = self.alarm.take() {
            event_loop.enter(|| task.cancel())?;
        }
        let Some(moment) = moment else { return Ok(()) };
        let left = event_loop.enter(|| moment.saturating_duration_since(clock::instant()))?;
        let task = event_loop.create_task(async move {
            sleep(left).await;
            Ok(())
        })?;
        self.alarm = Some((moment, task.named("deadline of the shards")));
        Ok(())
    }
}

impl Keeper for WatchKeeper {
    fn turn(&mut self, event_loop: &mut EventLoop) -> Result<bool> {
        let Some(supervisor) = &mut self.supervisor else { return Ok(false) };
        let event = self.heard.try_recv().ok();
        event_loop.enter(|| supervisor.go_on(event, &self.shards))?;
        if supervisor.is_over() {
            // What heeds signals never ends by itself, and would be reported as destroyed.
            event_loop.cancel_all()?;
            if let Some(over) = self.supervisor.take() {
                self.course.replace(Course::Over(over.into_notes()));
            }
            return Ok(false);
        }
        if supervisor.is_ending() {
            self.course.replace(Course::Ending);
        }
        let next = event_loop.enter(|| supervisor.next_look())?;
        self.wake_at(event_loop, next)?;
        event_loop.turn(true)?;
        Ok(true)
    }

    fn has_mail(&self) -> bool {
        !self.heard.is_empty()
    }
}

impl Drop for WatchKeeper {
    fn drop(&mut self) {
        let mut course = self.course.borrow_mut();
        if matches!(*course, Course::Going | Course::Ending) {
            *course = Course::Killed;
        }
    }
}
