//! The table: what each operation costs beside what it may cost.

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::counts::Counts;
use crate::workload::{Limit, Target, Workload};

const HEADER: Style = Style::new().bold();
const MISSED: Style = AnsiColor::Red.on_default();

/// What the columns mean.
pub const LEGEND: &str = "\
wfq-N and the like: a request sent, queued, chosen by two schedulers (the core's and one of two
resources'), executed, recorded and booked; the handler only sends the next one, to the other
resource. N activities are busy all the time, with one request each unless told otherwise.
instr., locked, alloc.: executed per operation in user space, counted by callgrind (what the
system's kernel does for a futex or a pipe is not in them, but in ns).
ns: the median time of an operation on this machine, by criterion.";

/// What was measured of one workload.
#[derive(Clone, Copy)]
pub struct Measured {
    /// Which.
    pub workload: Workload,
    /// What callgrind has counted.
    pub counts: Counts,
    /// The median of criterion's samples, in nanoseconds; `None` if it was not timed.
    pub nanoseconds: Option<f64>,
}

/// One row, as written to JSON.
#[derive(Serialize)]
pub struct Row {
    /// The workload's name.
    pub name: &'static str,
    /// What one operation is.
    pub operation: &'static str,
    /// Counts per operation.
    #[serde(flatten)]
    pub counts: Counts,
    /// Time per operation.
    pub nanoseconds: Option<f64>,
    /// What was promised, in words; empty if nothing was.
    pub target: String,
    /// Which promises were missed, in words; `None` if nothing was promised.
    pub missed: Option<Vec<String>>,
}

/// Compares what was measured with the targets.
#[must_use]
pub fn rows(measured: &[Measured]) -> Vec<Row> {
    let instructions = |name: &str| {
        let other = measured.iter().find(|other| other.workload.name == name);
        other.map(|other| other.counts.instructions)
    };
    measured
        .iter()
        .map(|one| Row {
            name: one.workload.name,
            operation: one.workload.operation,
            counts: one.counts,
            nanoseconds: one.nanoseconds,
            target: one.workload.target.to_string(),
            missed: (!one.workload.target.is_empty())
                .then(|| missed(&one.workload.target, &one.counts, instructions)),
        })
        .collect()
}

/// Names what costs more than the target allows. `instructions` are those of another workload.
fn missed(
    target: &Target,
    counts: &Counts,
    instructions: impl Fn(&str) -> Option<f64>,
) -> Vec<String> {
    let mut missed = Vec::new();
    match target.instructions {
        Some(Limit::Below(limit)) if counts.instructions >= limit => {
            missed.push(format!("{:.0} instructions", counts.instructions));
        }
        Some(Limit::AtMost(limit)) if counts.instructions > limit => {
            missed.push(format!("{:.0} instructions", counts.instructions));
        }
        Some(Limit::Ratio { of, times }) => match instructions(of) {
            Some(other) if counts.instructions <= times * other => {}
            Some(other) => missed.push(format!("{:.2} × {of}", counts.instructions / other)),
            None => missed.push(format!("{of} was not measured")),
        },
        Some(Limit::Below(_) | Limit::AtMost(_)) | None => {}
    }
    for (limit, count, what) in [
        (target.locked, counts.locked, "locked"),
        (target.allocations, counts.allocations, "allocations"),
    ] {
        if limit.is_some_and(|limit| count > limit) {
            missed.push(format!("{count:.3} {what}"));
        }
    }
    missed
}

impl Target {
    /// True if nothing was promised.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.instructions.is_none() && self.locked.is_none() && self.allocations.is_none()
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let instructions = self.instructions.map(|limit| match limit {
            Limit::Below(limit) => format!("< {limit} instr."),
            Limit::AtMost(limit) => format!("≤ {limit} instr."),
            Limit::Ratio { of, times } => format!("≤ {times} × {of}"),
        });
        let locked = self.locked.map(|limit| format!("≤ {limit} locked"));
        let allocations = self.allocations.map(|limit| format!("≤ {limit} alloc."));
        let parts: Vec<String> = [instructions, locked, allocations]
            .into_iter()
            .flatten()
            .collect();
        f.write_str(&parts.join(", "))
    }
}

/// The rows as text for a terminal: those with a missed target in red.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "workload",
        "operation",
        "instr.",
        "locked",
        "alloc.",
        "ns",
        "target",
        "",
    ]);
    for row in rows {
        table.add_row(cells(row));
    }
    for column in 2..=5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.trim_fmt();
    let styles = std::iter::once(HEADER).chain(rows.iter().map(style));
    let lines = text
        .lines()
        .zip(styles)
        .map(|(line, style)| format!("{style}{line}{style:#}\n"));
    lines.collect()
}

fn cells(row: &Row) -> [String; 8] {
    [
        row.name.to_owned(),
        row.operation.to_owned(),
        format!("{:.0}", row.counts.instructions),
        format!("{:.2}", row.counts.locked),
        format!("{:.2}", row.counts.allocations),
        row.nanoseconds
            .map_or_else(|| "-".to_owned(), |ns| format!("{ns:.0}")),
        row.target.clone(),
        verdict(row),
    ]
}

fn style(row: &Row) -> Style {
    match &row.missed {
        Some(missed) if !missed.is_empty() => MISSED,
        Some(_) | None => Style::new(),
    }
}

fn verdict(row: &Row) -> String {
    match &row.missed {
        None => String::new(),
        Some(missed) if missed.is_empty() => "ok".to_owned(),
        Some(missed) => format!("missed: {}", missed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Measured, rows, table};
    use crate::counts::Counts;
    use crate::workload::{Limit, Operation, Target, Workload};

    fn nothing() -> Operation {
        Box::new(|_| {})
    }

    fn measured(name: &'static str, limit: Limit, instructions: f64, locked: f64) -> Measured {
        let target = Target {
            instructions: Some(limit),
            locked: Some(1.0),
            allocations: Some(0.0),
        };
        Measured {
            workload: Workload {
                name,
                operation: "nothing",
                warm_up: 1,
                iterations: 1,
                target,
                bound: None,
                counted: nothing,
                timed: nothing,
            },
            counts: Counts {
                instructions,
                locked,
                allocations: 0.0,
            },
            nanoseconds: None,
        }
    }

    fn verdicts(measured: &[Measured]) -> Vec<Vec<String>> {
        rows(measured)
            .into_iter()
            .filter_map(|row| row.missed)
            .collect()
    }

    #[test]
    fn limits_are_strict_where_they_say_so() {
        let below = Limit::Below(300.0);
        let verdicts = verdicts(&[
            measured("a", below, 299.9, 1.0),
            measured("b", below, 300.0, 1.0),
            measured("c", below, 10.0, 1.5),
        ]);
        assert_eq!(verdicts[0], [""; 0]);
        assert_eq!(verdicts[1], ["300 instructions"]);
        assert_eq!(verdicts[2], ["1.500 locked"]);
    }

    #[test]
    fn ratios_refer_to_another_row() {
        let ratio = |of| Limit::Ratio { of, times: 1.2 };
        let verdicts = verdicts(&[
            measured("few", Limit::Below(300.0), 100.0, 0.0),
            measured("many", ratio("few"), 120.0, 0.0),
            measured("most", ratio("few"), 130.0, 0.0),
            measured("lost", ratio("none"), 1.0, 0.0),
        ]);
        assert_eq!(verdicts[1], [""; 0]);
        assert_eq!(verdicts[2], ["1.30 × few"]);
        assert_eq!(verdicts[3], ["none was not measured"]);
    }

    #[test]
    fn the_table_names_what_was_missed() {
        let text = table(&rows(&[measured("slow", Limit::Below(300.0), 512.0, 0.0)]));
        assert!(
            text.contains("< 300 instr., ≤ 1 locked, ≤ 0 alloc."),
            "{text}"
        );
        assert!(text.contains("missed: 512 instructions"), "{text}");
    }
}
