//! The results, as tables.

use std::io::Write;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use xtask::samples::Report;

/// One line, below the header.
const LINES: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// What was promised: percentage points over the run, for a sample, and the part in no account.
const TARGETS: (f64, f64, f64) = (0.03, 0.5, 0.000_01);

/// Prints what came out, and whether it is what was promised.
pub(crate) fn print(report: &Report) -> Result<()> {
    let mut out = anstream::stdout().lock();
    let processes = processes(report);
    let cores = cores(report);
    writeln!(out, "\n{}\n\n{}\n", processes.trim_fmt(), cores.trim_fmt())
        .and_then(|()| writeln!(out, "{}", summary(report)))
        .context("cannot print the results")
}

pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(LINES);
    table.set_header(header.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

pub(super) fn per_cent(part: f64) -> String {
    format!("{:.3} %", part * 100.0)
}

fn processes(report: &Report) -> Table {
    let mut table = table(&[
        "Process",
        "Entitled",
        "Received",
        "Off by, points",
        "Worst sample, points",
    ]);
    for process in &report.processes {
        table.add_row([
            process.activity.clone(),
            per_cent(process.entitled),
            per_cent(process.received),
            format!("{:+.4}", (process.received - process.entitled) * 100.0),
            format!("{:.3}", process.worst_sample * 100.0),
        ]);
    }
    table
}

pub(super) fn cores(report: &Report) -> Table {
    let mut table = table(&[
        "Core",
        "Processes",
        "Others",
        "Scheduling",
        "Interrupts",
        "Idle",
        "In no account",
    ]);
    for (number, core) in report.cores.iter().enumerate() {
        table.add_row([
            number.to_string(),
            per_cent(core.processes),
            per_cent(core.others),
            per_cent(core.scheduling),
            per_cent(core.interrupt),
            per_cent(core.idle),
            format!("{} cycles", core.unaccounted_cycles),
        ]);
    }
    table
}

fn summary(report: &Report) -> String {
    format!(
        "{:.1} s measured\n\
         largest deviation over the run   {:.4} points   (target {}: {})\n\
         largest deviation of a sample    {:.4} points   (target {}: {})\n\
         {}",
        report.seconds,
        report.deviation,
        TARGETS.0,
        verdict(report.deviation <= TARGETS.0),
        report.sample_deviation,
        TARGETS.1,
        verdict(report.sample_deviation <= TARGETS.1),
        unaccounted(report),
    )
}

pub(super) const fn verdict(holds: bool) -> &'static str {
    if holds { "kept" } else { "MISSED" }
}

/// The line about cycles in no account.
pub(super) fn unaccounted(report: &Report) -> String {
    format!(
        "cycles in no account             {:.7} % of elapsed   (target {:.3} %: {})",
        report.unaccounted * 100.0,
        TARGETS.2 * 100.0,
        verdict(report.unaccounted < TARGETS.2),
    )
}
