//! What the victim keeps beside each neighbour, on each system.

use std::io::Write;

use anyhow::{Context, Result};

use super::super::{plot, table};
use super::{Of, Run};

/// Prints what the victim keeps on each system, a row for each neighbour.
pub(super) fn show(systems: &[Of]) -> Result<()> {
    writeln!(
        anstream::stdout(),
        "\nwhat the victim keeps on each system\n\n{}\n",
        rows(systems).trim_fmt()
    )
    .context("cannot print the comparison")
}

fn rows(systems: &[Of]) -> comfy_table::Table {
    let mut header = vec!["Beside".to_owned()];
    for of in systems {
        let system = &of.system;
        header.extend([
            system.clone(),
            "p99, ms".into(),
            "of alone".into(),
            "verdict".into(),
        ]);
    }
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut rows = table::table(&header);
    let first = systems.first().map_or(&[][..], |of| of.runs.as_slice());
    for (number, run) in first.iter().enumerate() {
        let all = systems.iter().filter_map(|of| of.runs.get(number));
        let cells = all.flat_map(|run| {
            [
                format!("{:.1} %", run.kept * 100.0),
                format!("{:.2}", run.served.p99_us / 1000.0),
                format!("{:.2}", run.p99_of_alone),
                table::verdict(run.holds()).to_owned(),
            ]
        });
        rows.add_row(std::iter::once(run.beside.clone()).chain(cells));
    }
    rows
}

/// The same as a picture: one curve for each system, over the neighbours in their order.
pub(super) fn picture(systems: &[Of]) -> Result<String> {
    let bars = |of: &Of, value: fn(&Run) -> f64| plot::Bars {
        label: of.system.clone(),
        values: of.runs.iter().map(value).collect(),
    };
    let all = |value: fn(&Run) -> f64| systems.iter().map(|of| bars(of, value)).collect();
    let first = systems.first().map_or(&[][..], |of| of.runs.as_slice());
    let names: Vec<String> = first.iter().map(|run| run.beside.clone()).collect();
    plot::bars(
        &names,
        &[
            ("requests kept, per cent", all(|run| run.kept * 100.0)),
            (
                "99th percentile, times that alone",
                all(|run| run.p99_of_alone),
            ),
        ],
    )
}
