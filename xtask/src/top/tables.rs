//! The tables of each view: what stands in their columns and rows, for the screen and for scripts.
//!
//! Key types: [`View`], [`Order`], [`Table`]. Columns stand in the order of what matters: where there
//! is no room for all, the last are left away.

use std::cmp::Reverse;

use super::model::{Activity, Core, Process, Rates, Usage};
use super::text::{bytes, count, percent, time};
use crate::experiment::table;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Overview,
    Activities,
    Resources,
    Processes,
    Cores,
}

impl View {
    pub(super) const ALL: [Self; 5] = [
        Self::Overview,
        Self::Activities,
        Self::Resources,
        Self::Processes,
        Self::Cores,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Activities => "Activities",
            Self::Resources => "Resources",
            Self::Processes => "Processes",
            Self::Cores => "Cores",
        }
    }

    /// Its tables, from the top of the screen down.
    pub(super) fn tables(self, rates: &Rates, order: Order) -> Vec<Table> {
        match self {
            Self::Overview => vec![
                cores(rates),
                activities(rates, order),
                resources(rates, order),
            ],
            Self::Activities => vec![activities(rates, order)],
            Self::Resources => vec![resources(rates, order)],
            Self::Processes => vec![processes(rates, order)],
            Self::Cores => vec![cores(rates)],
        }
    }
}

/// What rows are sorted by: the most first; names from a to z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Order {
    Cpu,
    Bytes,
    Requests,
    Queue,
    Waiting,
    Memory,
    Name,
}

impl Order {
    pub(super) const ALL: [Self; 7] = [
        Self::Cpu,
        Self::Bytes,
        Self::Requests,
        Self::Queue,
        Self::Waiting,
        Self::Memory,
        Self::Name,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "processor time",
            Self::Bytes => "bytes",
            Self::Requests => "requests",
            Self::Queue => "queue length",
            Self::Waiting => "waiting time",
            Self::Memory => "memory",
            Self::Name => "name",
        }
    }

    fn of(self, usage: &Usage) -> f64 {
        match self {
            Self::Cpu => usage.cpu,
            Self::Bytes => usage.bytes,
            Self::Requests => usage.requests,
            Self::Queue => usage.queue as f64,
            Self::Waiting => usage.waiting.p99.unwrap_or_default(),
            Self::Memory => usage.held as f64,
            Self::Name => 0.0,
        }
    }

    /// Sorts rows; those that are alike by name.
    fn sort<T>(self, rows: &mut [&T], usage: fn(&T) -> &Usage) {
        rows.sort_by(|a, b| {
            let (a, b) = (usage(a), usage(b));
            let by_value = self.of(b).total_cmp(&self.of(a));
            by_value.then_with(|| a.name.cmp(&b.name))
        });
    }
}

/// Headings, and rows with as many cells.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
}

/// A column: the first is of names, to the left; the others of numbers, to the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    /// The width that it has in any case, so that it does not change with each number.
    pub(super) least: usize,
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) cells: Vec<String>,
    /// A picture of it, where there is room.
    pub(super) bar: Bar,
    /// Whether it is of something that does not run.
    pub(super) quiet: bool,
    /// The activity whose curve it explains.
    pub(super) curve: Option<String>,
}

/// A picture in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bar {
    None,
    /// What was received, with a mark at what was due.
    Share {
        received: f64,
        entitled: f64,
    },
    /// Parts of a whole, one behind the other.
    Parts([f64; 4]),
}

const fn column(heading: &'static str, least: usize) -> Column {
    Column { heading, least }
}

fn cores(rates: &Rates) -> Table {
    let row = |core: &Core| {
        let [activities, scheduling, interrupts, idle] = core.parts;
        Row {
            cells: vec![
                core.core.to_string(),
                percent(1.0 - idle),
                percent(activities),
                percent(scheduling),
                percent(interrupts),
                percent(idle),
                core.unaccounted.to_string(),
            ],
            bar: Bar::Parts(core.parts),
            quiet: false,
            curve: None,
        }
    };
    Table {
        title: "Cores",
        columns: vec![
            column("core", 4),
            column("busy", 7),
            column("activities", 10),
            column("scheduling", 10),
            column("interrupts", 10),
            column("idle", 7),
            column("lost cycles", 11),
        ],
        rows: rates.cores.iter().map(row).collect(),
    }
}

fn activities(rates: &Rates, order: Order) -> Table {
    let mut activities: Vec<&Activity> = rates.activities.iter().collect();
    order.sort(&mut activities, |activity| &activity.usage);
    let row = |activity: &&Activity| {
        let usage = &activity.usage;
        let share = activity.share;
        let of_share = |part: Option<f64>| part.map_or_else(|| "–".to_owned(), percent);
        let name = match activity.suspended {
            true => format!("{} (suspended)", usage.name),
            false => usage.name.clone(),
        };
        let budget = activity.budget;
        Row {
            cells: vec![
                name,
                of_share(share.map(|share| share.received)),
                of_share(share.map(|share| share.entitled)),
                percent(usage.cpu),
                count(activity.weight as f64 / 1000.0),
                bytes(usage.held as f64),
                bytes(usage.bytes),
                count(usage.requests),
                usage.queue.to_string(),
                time(usage.waiting.p99),
                budget.map_or_else(|| "–".to_owned(), |budget| bytes(budget as f64)),
            ],
            bar: share.map_or(Bar::None, |share| Bar::Share {
                received: share.received,
                entitled: share.entitled,
            }),
            quiet: activity.suspended || usage.cpu == 0.0,
            curve: Some(usage.name.clone()),
        }
    };
    Table {
        title: "Activities",
        columns: vec![
            column("activity", 14),
            column("received", 8),
            column("entitled", 8),
            column("CPU", 7),
            column("weight", 6),
            column("memory", 7),
            column("bytes/s", 7),
            column("requests/s", 10),
            column("queue", 5),
            column("wait p99", 8),
            column("memory limit", 12),
        ],
        rows: activities.iter().map(row).collect(),
    }
}

fn resources(rates: &Rates, order: Order) -> Table {
    let mut resources: Vec<&Usage> = rates.resources.iter().collect();
    order.sort(&mut resources, |usage| usage);
    let row = |usage: &&Usage| Row {
        cells: vec![
            usage.name.clone(),
            percent(usage.cpu),
            count(usage.requests),
            usage.queue.to_string(),
            time(usage.waiting.p50),
            time(usage.waiting.p99),
            bytes(usage.bytes),
            time(usage.service.p50),
            time(usage.service.p99),
            bytes(usage.held as f64),
        ],
        bar: Bar::None,
        quiet: usage.requests == 0.0 && usage.cpu == 0.0,
        curve: None,
    };
    Table {
        title: "Resources",
        columns: vec![
            column("resource", 14),
            column("CPU", 7),
            column("requests/s", 10),
            column("queue", 5),
            column("wait p50", 8),
            column("wait p99", 8),
            column("bytes/s", 7),
            column("run p50", 8),
            column("run p99", 8),
            column("memory", 7),
        ],
        rows: resources.iter().map(row).collect(),
    }
}

/// Of what processes are not counted by, the order is by processor time.
fn processes(rates: &Rates, order: Order) -> Table {
    let mut processes: Vec<&Process> = rates.processes.iter().collect();
    match order {
        Order::Name => processes.sort_by(|a, b| (&a.name, a.process).cmp(&(&b.name, b.process))),
        Order::Memory => processes.sort_by_key(|one| (Reverse(one.resident), one.process)),
        _ => processes.sort_by(|a, b| {
            let by_cpu = b.cpu.total_cmp(&a.cpu);
            by_cpu.then(a.process.cmp(&b.process))
        }),
    }
    let row = |process: &&Process| Row {
        cells: vec![
            process.name.clone(),
            process.process.to_string(),
            percent(process.cpu),
            process.threads.to_string(),
            bytes(process.resident as f64),
            process.activity.clone(),
        ],
        bar: Bar::None,
        quiet: process.cpu == 0.0,
        curve: None,
    };
    Table {
        title: "Processes",
        columns: vec![
            column("process", 14),
            column("number", 6),
            column("CPU", 7),
            column("threads", 7),
            column("memory", 7),
            column("activity", 14),
        ],
        rows: processes.iter().map(row).collect(),
    }
}

impl Table {
    /// The table as plain text, all its columns side by side.
    pub(super) fn text(&self) -> String {
        let headings: Vec<&str> = self.columns.iter().map(|column| column.heading).collect();
        let mut table = table::table(&headings);
        for row in &self.rows {
            table.add_row(&row.cells);
        }
        table.trim_fmt()
    }
}
