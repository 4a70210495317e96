//! What is shown of a machine: what it did between two snapshots of its statistics.
//!
//! Key type: [`Rates`]. A pure function of the two snapshots. They come from outside, so nothing is
//! taken for granted: numbers that fall count as no change, sums that do not fit stay at the most
//! there is, and names lose what would steer a terminal.

use std::collections::BTreeMap;

use vortex_statsd::{Account, Statistics};

/// The part of the requests that the shorter percentile is of, and the longer one.
const HALF: f64 = 0.5;
const NEARLY_ALL: f64 = 0.99;
/// What the names of the counters of dropped packets begin with.
const DROPPED: &str = "net.dropped.";

/// What a machine did in an interval.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rates {
    /// The interval, in seconds of the machine's clock.
    pub(super) seconds: f64,
    /// Seconds since the machine was started.
    pub(super) up: f64,
    /// By number.
    pub(super) cores: Vec<Core>,
    pub(super) activities: Vec<Activity>,
    pub(super) resources: Vec<Usage>,
    pub(super) processes: Vec<Process>,
    /// Packets dropped since the start: the reason, and how many; of reasons that there were.
    pub(super) dropped: Vec<(String, u64)>,
}

/// Where the cycles of a core went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Core {
    pub(super) core: u64,
    /// Parts of the interval: activities, scheduling, interrupts, idle.
    pub(super) parts: [f64; 4],
    /// Cycles in no account, since the start.
    pub(super) unaccounted: i64,
}

/// What was done for an activity or by a resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Usage {
    pub(super) name: String,
    /// The part of all cores' cycles.
    pub(super) cpu: f64,
    /// Requests executed, in a second.
    pub(super) requests: f64,
    /// Bytes moved, in a second.
    pub(super) bytes: f64,
    /// Requests that wait now.
    pub(super) queue: u64,
    /// Bytes of memory that are held now.
    pub(super) held: u64,
    /// How long requests waited before they were executed.
    pub(super) waiting: Percentiles,
    /// How long their execution took.
    pub(super) service: Percentiles,
}

/// Times in seconds, of the requests of the interval; none if there were none. The kernel counts by
/// powers of two cycles, and this is the upper bound: at most so long.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Percentiles {
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// An activity beside what it is entitled to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Activity {
    pub(super) usage: Usage,
    /// In thousandths.
    pub(super) weight: u64,
    pub(super) suspended: bool,
    /// By weight, and as it was: its part of the processor time of the activities that ran; none if
    /// it did not.
    pub(super) share: Option<Share>,
    /// The most memory that it may hold, in bytes.
    pub(super) budget: Option<u64>,
}

/// A part that was due beside the part there was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    pub(super) entitled: f64,
    pub(super) received: f64,
}

/// A process.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Process {
    pub(super) process: u64,
    pub(super) name: String,
    pub(super) activity: String,
    /// The part of all cores' cycles.
    pub(super) cpu: f64,
    pub(super) threads: u64,
    /// Bytes of memory that are there.
    pub(super) resident: u64,
}

impl Rates {
    /// What happened from one snapshot to the next; nothing can be said if no time has passed, or if
    /// the machine was started anew meanwhile.
    pub(super) fn between(before: &Statistics, now: &Statistics) -> Option<Self> {
        let passed = now.since_boot_ns.checked_sub(before.since_boot_ns)?;
        if passed == 0 {
            return None;
        }
        let interval = Interval {
            seconds: passed as f64 / 1e9,
            cycles: total(now, |core| core.elapsed)
                .saturating_sub(total(before, |core| core.elapsed)),
            hertz: now.hertz,
        };
        Some(Self {
            seconds: interval.seconds,
            up: now.since_boot_ns as f64 / 1e9,
            cores: cores(before, now),
            activities: activities(before, now, &interval),
            resources: resources(before, now, &interval),
            processes: processes(before, now, &interval),
            dropped: (now.counters.iter())
                .filter(|counter| counter.value > 0)
                .filter_map(|counter| {
                    let reason = counter.name.strip_prefix(DROPPED)?;
                    Some((printable(reason), counter.value))
                })
                .collect(),
        })
    }

    /// The part of all cores' cycles that were not idle.
    pub(super) fn busy(&self) -> f64 {
        let idle: f64 = self.cores.iter().map(|core| core.parts[3]).sum();
        1.0 - idle / self.cores.len().max(1) as f64
    }
}

/// What passed between the snapshots.
struct Interval {
    seconds: f64,
    /// Of all cores together.
    cycles: u64,
    /// Cycles in a second.
    hertz: u64,
}

fn total(statistics: &Statistics, of: fn(&vortex_statsd::Core) -> u64) -> u64 {
    let cores = statistics.cores.iter().map(of);
    cores.fold(0, u64::saturating_add)
}

/// A part of a whole; nothing of nothing.
fn part(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

/// A name without characters that a terminal would obey.
fn printable(name: &str) -> String {
    let shown = |character: char| match character.is_control() {
        true => char::REPLACEMENT_CHARACTER,
        false => character,
    };
    name.chars().map(shown).collect()
}

fn cores(before: &Statistics, now: &Statistics) -> Vec<Core> {
    let rows = now.cores.iter().map(|core| {
        let old = before.cores.iter().find(|old| old.core == core.core);
        let since = |of: fn(&vortex_statsd::Core) -> u64| {
            of(core).saturating_sub(old.map_or(0, of)) //
        };
        let elapsed = since(|core| core.elapsed);
        let parts: [fn(&vortex_statsd::Core) -> u64; 4] = [
            |core| core.attributed,
            |core| core.scheduling,
            |core| core.interrupt,
            |core| core.idle,
        ];
        Core {
            core: core.core,
            parts: parts.map(|of| part(since(of), elapsed)),
            unaccounted: core.unaccounted,
        }
    });
    let mut rows: Vec<Core> = rows.collect();
    rows.sort_by_key(|core| core.core);
    rows
}

/// What accounts of one kind have come to.
#[derive(Clone, Default)]
struct Sum {
    cycles: u64,
    requests: u64,
    bytes: u64,
    queue: u64,
    waiting: Vec<u64>,
    service: Vec<u64>,
}

impl Sum {
    fn add(&mut self, account: &Account) {
        for (sum, part) in [
            (&mut self.cycles, account.cycles),
            (&mut self.requests, account.requests),
            (&mut self.bytes, account.bytes),
            (&mut self.queue, account.queue_length),
        ] {
            *sum = sum.saturating_add(part);
        }
        for (sum, part) in [
            (&mut self.waiting, &account.waiting),
            (&mut self.service, &account.service),
        ] {
            sum.resize(sum.len().max(part.len()), 0);
            for (sum, part) in sum.iter_mut().zip(part) {
                *sum = sum.saturating_add(*part);
            }
        }
    }

    fn since(&self, before: &Self, name: &str, held: u64, interval: &Interval) -> Usage {
        let cycles = self.cycles.saturating_sub(before.cycles);
        let in_a_second = |now: u64, before: u64| {
            now.saturating_sub(before) as f64 / interval.seconds //
        };
        Usage {
            name: printable(name),
            cpu: part(cycles, interval.cycles),
            requests: in_a_second(self.requests, before.requests),
            bytes: in_a_second(self.bytes, before.bytes),
            queue: self.queue,
            held,
            waiting: Percentiles::of(&self.waiting, &before.waiting, interval.hertz),
            service: Percentiles::of(&self.service, &before.service, interval.hertz),
        }
    }
}

impl Percentiles {
    /// From counts by powers of two cycles, as they are and as they were.
    fn of(now: &[u64], before: &[u64], hertz: u64) -> Self {
        let old = before.iter().chain(std::iter::repeat(&0));
        let counts: Vec<u64> = (now.iter().zip(old))
            .map(|(now, before)| now.saturating_sub(*before))
            .collect();
        Self {
            p50: at_most(&counts, HALF, hertz),
            p99: at_most(&counts, NEARLY_ALL, hertz),
        }
    }
}

/// How many seconds at most the given part of the requests took.
fn at_most(counts: &[u64], part: f64, hertz: u64) -> Option<f64> {
    let all = counts.iter().copied().fold(0, u64::saturating_add);
    let mut below = 0_u64;
    for (bound, count) in (1..).zip(counts) {
        below = below.saturating_add(*count);
        if all > 0 && below as f64 >= part * all as f64 {
            return Some(2_f64.powi(bound) / hertz.max(1) as f64);
        }
    }
    None
}

type Sums<'a> = BTreeMap<&'a str, Sum>;

fn sums<'a>(statistics: &'a Statistics, key: fn(&'a Account) -> &'a str) -> Sums<'a> {
    let mut sums = Sums::new();
    for account in &statistics.accounts {
        sums.entry(key(account)).or_default().add(account);
    }
    sums
}

fn activities(before: &Statistics, now: &Statistics, interval: &Interval) -> Vec<Activity> {
    let mut of_now = sums(now, |account| &account.activity);
    let of_before = sums(before, |account| &account.activity);
    // Also those that have used nothing yet.
    for activity in &now.activities {
        of_now.entry(&activity.name).or_default();
    }
    let nothing = Sum::default();
    let row = |(name, sum): (&&str, &Sum)| {
        let old = of_before.get(name).unwrap_or(&nothing);
        let activity = now.activities.iter().find(|one| one.name == **name);
        let mut memory = now.memory.iter();
        let memory = memory.find(|held| held.activity == **name && held.resource.is_none());
        let held = memory.map_or(0, |memory| memory.held);
        Activity {
            usage: sum.since(old, name, held, interval),
            weight: activity.map_or(0, |activity| activity.weight),
            suspended: activity.is_some_and(|activity| activity.suspended),
            share: None,
            budget: memory.and_then(|memory| memory.budget),
        }
    };
    let mut rows: Vec<Activity> = of_now.iter().map(row).collect();
    share(&mut rows);
    rows
}

/// Divides what went to the activities that ran and have a weight.
fn share(rows: &mut [Activity]) {
    let ran = |row: &Activity| row.usage.cpu > 0.0 && row.weight > 0;
    let weights: f64 = (rows.iter().filter(|row| ran(row)))
        .map(|row| row.weight as f64)
        .sum();
    let used: f64 = (rows.iter().filter(|row| ran(row)))
        .map(|row| row.usage.cpu)
        .sum();
    for row in rows.iter_mut().filter(|row| ran(row)) {
        row.share = Some(Share {
            entitled: row.weight as f64 / weights,
            received: row.usage.cpu / used,
        });
    }
}

fn resources(before: &Statistics, now: &Statistics, interval: &Interval) -> Vec<Usage> {
    let of_before = sums(before, |account| &account.resource);
    let mut held = BTreeMap::<&str, u64>::new();
    for memory in &now.memory {
        if let Some(resource) = &memory.resource {
            let sum = held.entry(resource).or_default();
            *sum = sum.saturating_add(memory.held);
        }
    }
    let nothing = Sum::default();
    let row = |(name, sum): (&str, Sum)| {
        let old = of_before.get(name).unwrap_or(&nothing);
        let held = held.get(name).copied().unwrap_or_default();
        let short = name.strip_prefix("resource.").unwrap_or(name);
        sum.since(old, short, held, interval)
    };
    let of_now = sums(now, |account| &account.resource);
    of_now.into_iter().map(row).collect()
}

fn processes(before: &Statistics, now: &Statistics, interval: &Interval) -> Vec<Process> {
    let old: BTreeMap<u64, u64> = (before.processes.iter())
        .map(|process| (process.process, process.cycles))
        .collect();
    let row = |process: &vortex_statsd::Process| {
        let old = old.get(&process.process).copied().unwrap_or_default();
        Process {
            process: process.process,
            name: printable(&process.name),
            activity: printable(&process.activity),
            cpu: part(process.cycles.saturating_sub(old), interval.cycles),
            threads: process.threads,
            resident: process.resident,
        }
    };
    now.processes.iter().map(row).collect()
}

#[cfg(test)]
mod tests;
