//! The metrics of a loop by their names in Prometheus.

use super::{Exposition, Kind, LoopStats};

/// Name and meaning of a counter, and where its value is.
type Counter = (&'static str, &'static str, fn(&LoopStats) -> u64);

const COUNTERS: &[Counter] = &[
    ("corelane_loop_turns_total", "Turns of the loop.", |stats| stats.turn_count),
    ("corelane_loop_steps_total", "Polls of tasks.", |stats| stats.step_count),
    ("corelane_loop_tasks_total", "Tasks that were created.", |stats| stats.task_count),
    ("corelane_loop_timers_total", "Timers that fired.", |stats| stats.timer_count),
    ("corelane_loop_callbacks_total", "Callbacks that ran.", |stats| stats.callback_count),
    ("corelane_loop_completions_total", "Ends of I/O that had to wait.", |stats| {
        stats.completion_count
    }),
    ("corelane_loop_foreign_wakes_total", "Tasks that other threads woke.", |stats| {
        stats.foreign_wake_count
    }),
    ("corelane_loop_foreign_calls_total", "Closures that other threads sent.", |stats| {
        stats.foreign_call_count
    }),
    ("corelane_loop_polls_total", "Times that the system was asked for I/O.", |stats| {
        stats.driver_count
    }),
    ("corelane_loop_sleeps_total", "Times that the loop was ready to sleep.", |stats| {
        stats.sleep_count
    }),
    ("corelane_loop_received_bytes_total", "Bytes received.", |stats| stats.received_bytes),
    ("corelane_loop_sent_bytes_total", "Bytes handed over to be sent.", |stats| stats.sent_bytes),
];

impl LoopStats {
    /// Adds all to `text`, each sample with `labels`: those that tell this loop from others.
    ///
    /// # Panics
    /// If the name of a label is none in Prometheus.
    pub fn describe(&self, text: &mut Exposition, labels: &[(&str, &str)]) {
        for (name, help, value) in COUNTERS {
            text.add(name, Kind::Counter, help, labels, value(self) as f64);
        }
        let unfinished = self.unfinished_task_count as f64;
        let help = "Tasks that have not ended.";
        text.add("corelane_loop_unfinished_tasks", Kind::Gauge, help, labels, unfinished);
        let help = "Time that the loop worked between two looks at the system, sampled.";
        text.add_durations("corelane_loop_turn_seconds", help, labels, &self.turns);
        let help = "Time that a poll of a task took, sampled.";
        text.add_durations("corelane_loop_step_seconds", help, labels, &self.steps);
        let help = "Time by which the loop was behind its timers, sampled.";
        text.add_durations("corelane_loop_lateness_seconds", help, labels, &self.lateness);
    }
}
