//! The metrics of a loop by their names in Prometheus.

use super::{Exposition, GroupStats, Kind, LoopStats};

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

/// The same for a scheduling group.
type GroupMetric = (&'static str, Kind, &'static str, fn(&GroupStats) -> f64);

const GROUP_METRICS: &[GroupMetric] = &[
    ("corelane_group_shares", Kind::Gauge, "Shares of the group.", |group| group.shares.into()),
    ("corelane_group_tasks_total", Kind::Counter, "Tasks created in the group.", |group| {
        group.task_count as f64
    }),
    ("corelane_group_steps_total", Kind::Counter, "Polls of tasks of the group.", |group| {
        group.step_count as f64
    }),
    (
        "corelane_group_callbacks_total",
        Kind::Counter,
        "Callbacks of the group that ran.",
        |group| group.callback_count as f64,
    ),
    ("corelane_group_turns_total", Kind::Counter, "Turns in which the group ran.", |group| {
        group.turn_count as f64
    }),
    ("corelane_group_run_seconds_total", Kind::Counter, "Time that the group ran.", |group| {
        group.run_time.as_secs_f64()
    }),
    ("corelane_group_ready", Kind::Gauge, "Tasks and callbacks that wait for its turn.", |group| {
        group.ready_count as f64
    }),
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
        for group in &self.groups {
            let mut labels = labels.to_vec();
            labels.push(("group", &group.name));
            for (name, kind, help, value) in GROUP_METRICS {
                text.add(name, *kind, help, &labels, value(group));
            }
        }
    }
}
