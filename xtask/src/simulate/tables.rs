//! The results, as tables.

use std::fmt::Write;

use anstyle::Style;
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use vortex_sim::experiment::{ActivityRow, CoreRow, FlowRow, ResourceRow, Results};

const TITLE: Style = Style::new().bold();
/// One line, below the header.
const LINES: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// All tables.
pub(super) fn results(results: &Results) -> String {
    let mut out = String::new();
    section(&mut out, "CPU time", &activities(&results.activities));
    section(&mut out, "Resources", &resources(&results.resources));
    section(&mut out, "Jobs", &flows(&results.flows));
    section(&mut out, "Cores", &cores(&results.cores));
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "\n{} requests in {:.3} simulated seconds; trace hash {:016x}\n",
        results.dispatches, results.seconds, results.trace_hash
    );
    out
}

fn section(out: &mut String, title: &str, table: &Table) {
    if !table.is_empty() {
        // What a terminal would act on is not for a file to say.
        let control = |character: char| character.is_control() && character != '\n';
        let text = table.trim_fmt().replace(control, "·");
        let _ = write!(out, "\n{TITLE}{title}{TITLE:#}\n{text}\n");
    }
}

/// A table whose first `names` columns are names, and all others numbers.
fn table(names: usize, header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(LINES);
    table.set_header(header.iter().copied());
    for column in table.column_iter_mut().skip(names) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn per_cent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn activities(rows: &[ActivityRow]) -> Table {
    let mut table = table(1, &["Activity", "Entitled", "Received", "CPU seconds"]);
    for row in rows {
        table.add_row([
            row.activity.clone(),
            per_cent(row.entitled),
            per_cent(row.received),
            format!("{:.3}", row.cpu_seconds),
        ]);
    }
    table
}

fn resources(rows: &[ResourceRow]) -> Table {
    let header = [
        "Resource",
        "Activity",
        "By",
        "Entitled",
        "Received",
        "Requests",
        "Waiting p50 µs",
        "p99 µs",
    ];
    let mut table = table(3, &header);
    for row in rows {
        table.add_row([
            row.resource.clone(),
            row.activity.clone(),
            row.metric.clone(),
            row.entitled.map_or_else(|| "-".into(), per_cent),
            per_cent(row.received),
            row.requests.to_string(),
            format!("{:.1}", row.waiting_p50),
            format!("{:.1}", row.waiting_p99),
        ]);
    }
    table
}

fn flows(rows: &[FlowRow]) -> Table {
    let mut table = table(1, &["Activity", "Done", "Per second", "Mean latency µs"]);
    for row in rows {
        table.add_row([
            row.flow.clone(),
            row.done.to_string(),
            format!("{:.1}", row.per_second),
            format!("{:.1}", row.mean_latency),
        ]);
    }
    table
}

fn cores(rows: &[CoreRow]) -> Table {
    let header = [
        "Core",
        "Activities",
        "Scheduling",
        "Interrupt",
        "Idle",
        "In no account",
    ];
    let mut table = table(1, &header);
    for row in rows {
        table.add_row([
            row.core.to_string(),
            per_cent(row.activities),
            per_cent(row.scheduling),
            per_cent(row.interrupt),
            per_cent(row.idle),
            format!("{} cycles", row.missing_cycles),
        ]);
    }
    table
}
