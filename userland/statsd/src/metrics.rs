//! Statistics in Prometheus' text format, version 0.0.4.
//!
//! Each family of metrics is declared in one place, with its kind and its help; labels' values are
//! escaped. Times are in seconds, sizes in bytes, what is counted up ends with `_total`.
//!
//! Histograms have a bucket for every second power of two cycles, from 2^`FIRST_BOUND` on. The kernel
//! counts in buckets itself, so a histogram's `_sum` takes each request for the middle of its bucket.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::statistics::{Account, Statistics};

/// The format's name in a `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The first bound of a histogram's buckets, as a power of two cycles.
const FIRST_BOUND: usize = 10;
/// One past the last.
const END_BOUND: usize = 38;

/// The statistics in the text format.
#[must_use]
pub fn render(statistics: &Statistics) -> String {
    let mut text = Text(String::new());
    machine(&mut text, statistics);
    cores(&mut text, statistics);
    accounts(&mut text, statistics);
    histograms(&mut text, statistics);
    memory(&mut text, statistics);
    processes(&mut text, statistics);
    counters(&mut text, statistics);
    text.0
}

type Label<'a> = (&'a str, &'a str);

/// The text so far.
struct Text(String);

impl Text {
    /// Begins a family.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a string does not fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[Label<'_>], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (number, (label, value)) in labels.iter().enumerate() {
            self.0.push(if number == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            escape(value, &mut self.0);
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}

/// A label's value, as it stands between quotation marks.
fn escape(value: &str, into: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => into.push_str("\\\\"),
            '"' => into.push_str("\\\""),
            '\n' => into.push_str("\\n"),
            other => into.push(other),
        }
    }
}

fn machine(text: &mut Text, statistics: &Statistics) {
    let name = "vortex_uptime_seconds";
    text.family(name, "gauge", "Time since the kernel was entered.");
    text.sample(name, &[], seconds(statistics.since_boot_ns, 1_000_000_000));
    let name = "vortex_clock_hertz";
    text.family(name, "gauge", "Cycles in a second.");
    text.sample(name, &[], statistics.hertz);
    let name = "vortex_activity_weight";
    let help = "An activity's weight at the CPU multiplexors.";
    text.family(name, "gauge", help);
    for activity in &statistics.activities {
        let labels = [("activity", activity.name.as_str())];
        text.sample(name, &labels, seconds(activity.weight, 1000));
    }
    let name = "vortex_activity_suspended";
    text.family(
        name,
        "gauge",
        "1 if an activity's processes are held, else 0.",
    );
    for activity in &statistics.activities {
        let labels = [("activity", activity.name.as_str())];
        text.sample(name, &labels, u64::from(activity.suspended));
    }
}

fn cores(text: &mut Text, statistics: &Statistics) {
    let name = "vortex_core_cycles_total";
    let help =
        "A core's cycles by what they went into: activities, scheduling, interrupts, idling.";
    text.family(name, "counter", help);
    for core in &statistics.cores {
        for (state, cycles) in [
            ("attributed", core.attributed),
            ("scheduling", core.scheduling),
            ("interrupt", core.interrupt),
            ("idle", core.idle),
        ] {
            let labels = [("core", &*core.core.to_string()), ("state", state)];
            text.sample(name, &labels, cycles);
        }
    }
    let name = "vortex_core_elapsed_cycles_total";
    text.family(name, "counter", "Cycles that have passed on a core.");
    for core in &statistics.cores {
        text.sample(name, &[("core", &core.core.to_string())], core.elapsed);
    }
    let name = "vortex_core_unaccounted_cycles";
    let help = "Cycles of a core in no account; below zero if more was accounted than has passed.";
    text.family(name, "gauge", help);
    for core in &statistics.cores {
        text.sample(name, &[("core", &core.core.to_string())], core.unaccounted);
    }
}

/// A family with a value from each account: its name, kind and help, and the value.
type Family = (
    &'static str,
    &'static str,
    &'static str,
    fn(&Account) -> u64,
);

const ACCOUNT_FAMILIES: [Family; 6] = [
    (
        "vortex_cpu_cycles_total",
        "counter",
        "Cycles of a core that a resource has used for an activity.",
        |account| account.cycles,
    ),
    (
        "vortex_requests_total",
        "counter",
        "Requests that a resource has executed for an activity.",
        |account| account.requests,
    ),
    (
        "vortex_requests_returned_total",
        "counter",
        "Requests that a resource has handed back unexecuted.",
        |account| account.returned,
    ),
    (
        "vortex_moved_bytes_total",
        "counter",
        "Bytes that a resource has moved for an activity.",
        |account| account.bytes,
    ),
    (
        "vortex_memory_allocated_bytes_total",
        "counter",
        "Bytes of memory that a resource has allocated for an activity.",
        |account| account.memory,
    ),
    (
        "vortex_queue_length",
        "gauge",
        "Requests of an activity that wait for a resource.",
        |account| account.queue_length,
    ),
];

fn accounts(text: &mut Text, statistics: &Statistics) {
    for (name, kind, help, value) in ACCOUNT_FAMILIES {
        text.family(name, kind, help);
        for account in &statistics.accounts {
            let core = account.core.to_string();
            let labels = [
                ("core", core.as_str()),
                ("resource", &account.resource),
                ("activity", &account.activity),
            ];
            text.sample(name, &labels, value(account));
        }
    }
}

fn histograms(text: &mut Text, statistics: &Statistics) {
    let waiting: fn(&Account) -> &[u64] = |account| &account.waiting;
    let service: fn(&Account) -> &[u64] = |account| &account.service;
    for (name, help, counts) in [
        (
            "vortex_request_waiting_seconds",
            "Time from a request's sending to its execution; the sum is estimated from the buckets.",
            waiting,
        ),
        (
            "vortex_request_service_seconds",
            "Time of a request's execution; the sum is estimated from the buckets.",
            service,
        ),
    ] {
        let mut all = BTreeMap::<(&str, &str), Vec<u64>>::new();
        for account in &statistics.accounts {
            let key = (account.resource.as_str(), account.activity.as_str());
            let sum = all.entry(key).or_default();
            let part = counts(account);
            sum.resize(sum.len().max(part.len()), 0);
            for (sum, part) in sum.iter_mut().zip(part) {
                *sum = sum.saturating_add(*part);
            }
        }
        text.family(name, "histogram", help);
        for ((resource, activity), counts) in &all {
            let labels = [("resource", *resource), ("activity", *activity)];
            histogram(text, name, labels, counts, statistics.hertz);
        }
    }
}

/// The lines of one histogram, from counts by powers of two cycles.
fn histogram(text: &mut Text, name: &str, labels: [Label<'_>; 2], counts: &[u64], hertz: u64) {
    let below = |bound: usize| -> u64 {
        let counts = counts.iter().take(bound);
        counts.fold(0, |sum, count| sum.saturating_add(*count))
    };
    let bucket = format!("{name}_bucket");
    let [resource, activity] = labels;
    for bound in (FIRST_BOUND..END_BOUND).step_by(2) {
        let le = seconds(1 << bound, hertz).to_string();
        text.sample(&bucket, &[resource, activity, ("le", &le)], below(bound));
    }
    let count = below(counts.len());
    text.sample(&bucket, &[resource, activity, ("le", "+Inf")], count);
    let middles = (0..).zip(counts).map(|(power, count)| {
        let middle = if power == 0 { 1 } else { 3 << (power - 1) };
        u128::from(*count) * middle
    });
    let sum = u64::try_from(middles.sum::<u128>()).unwrap_or(u64::MAX);
    text.sample(&format!("{name}_sum"), &labels, seconds(sum, hertz));
    text.sample(&format!("{name}_count"), &labels, count);
}

fn memory(text: &mut Text, statistics: &Statistics) {
    let name = "vortex_memory_held_bytes";
    let help = "Memory that an activity holds by way of a resource.";
    text.family(name, "gauge", help);
    for held in &statistics.memory {
        if let Some(resource) = &held.resource {
            let labels = [("activity", &*held.activity), ("resource", resource)];
            text.sample(name, &labels, held.held);
        }
    }
    let name = "vortex_memory_budget_bytes";
    let help = "The most memory that an activity may hold, where there is a limit.";
    text.family(name, "gauge", help);
    for held in &statistics.memory {
        if let (None, Some(budget)) = (&held.resource, held.budget) {
            text.sample(name, &[("activity", &held.activity)], budget);
        }
    }
}

fn processes(text: &mut Text, statistics: &Statistics) {
    type Value = fn(&crate::Process) -> u64;
    let families: [(&str, &str, &str, Value); 4] = [
        (
            "vortex_process_cycles_total",
            "counter",
            "Cycles of a process's threads, in the program and in calls.",
            |process| process.cycles,
        ),
        (
            "vortex_process_resident_bytes",
            "gauge",
            "Memory of a process that is there.",
            |process| process.resident,
        ),
        (
            "vortex_process_threads",
            "gauge",
            "A process's threads.",
            |process| process.threads,
        ),
        (
            "vortex_process_unknown_calls_total",
            "counter",
            "Calls of a process that the kernel does not have.",
            |process| process.unknown_calls,
        ),
    ];
    for (name, kind, help, value) in families {
        text.family(name, kind, help);
        for process in &statistics.processes {
            let number = process.process.to_string();
            let labels = [
                ("process", number.as_str()),
                ("name", &process.name),
                ("activity", &process.activity),
            ];
            text.sample(name, &labels, value(process));
        }
    }
}

/// What is counted since boot: how the names begin, the metric, the label for the rest of the name, and
/// the help.
const EVENTS: [(&str, &str, &str, &str); 3] = [
    (
        "net.dropped.",
        "vortex_packets_dropped_total",
        "reason",
        "Packets that were dropped, by reason.",
    ),
    (
        "net.events.",
        "vortex_network_events_total",
        "what",
        "What interfaces received, sent, held back and missed, their interrupts, and waits for locks.",
    ),
    (
        "net.losses.",
        "vortex_tcp_losses_total",
        "what",
        "What TCP has sent again, timeouts, and recoveries that were for nothing.",
    ),
];

/// Events count up; of the rest of what is counted there are so many now.
fn counters(text: &mut Text, statistics: &Statistics) {
    for (beginning, name, label, help) in EVENTS {
        text.family(name, "counter", help);
        for counter in &statistics.counters {
            if let Some(rest) = counter.name.strip_prefix(beginning) {
                text.sample(name, &[(label, rest)], counter.value);
            }
        }
    }
    let name = "vortex_kernel_objects";
    text.family(name, "gauge", "Objects of a kind that the kernel has.");
    for counter in &statistics.counters {
        if !(EVENTS.iter()).any(|(beginning, ..)| counter.name.starts_with(beginning)) {
            text.sample(name, &[("kind", &counter.name)], counter.value);
        }
    }
}

/// So many parts of which `hertz` are one; 0 if that is 0.
#[expect(
    clippy::cast_precision_loss,
    reason = "the format's numbers are of this kind"
)]
fn seconds(parts: u64, hertz: u64) -> f64 {
    parts as f64 / hertz.max(1) as f64
}

#[cfg(test)]
mod tests;
