//! The page: Markdown, from what the experiments wrote.
//!
//! Key types: [`Page`], [`Origin`] (machine, time, tools).

use std::fmt;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::experiment::baseline::{Comparison, Figure};
use crate::experiment::isolation::Of;

/// Where the results are from.
pub(super) struct Origin {
    pub(super) date: String,
    pub(super) commit: String,
    pub(super) processors: usize,
    pub(super) model: String,
    pub(super) accel: String,
    pub(super) qemu: String,
}

/// The page, as far as it is there.
pub(super) struct Page {
    pub(super) origin: Origin,
    /// What was run, and what came out.
    pub(super) compared: Vec<(String, Comparison)>,
    pub(super) isolated: Vec<(String, Vec<Of>)>,
}

/// What is needed of an experiment's JSON.
#[derive(Deserialize)]
struct Written {
    comparison: Option<Comparison>,
    systems: Option<Vec<Of>>,
}

impl Page {
    pub(super) const fn new(origin: Origin) -> Self {
        Self {
            origin,
            compared: Vec::new(),
            isolated: Vec::new(),
        }
    }

    /// Adds what the command `run` wrote.
    pub(super) fn add(&mut self, run: &str, json: &str) -> Result<()> {
        let written: Written = serde_json::from_str(json)?;
        match (written.comparison, written.systems) {
            (Some(comparison), _) => self.compared.push((run.into(), comparison)),
            (None, systems) => {
                let systems = systems.context("has no comparison in it")?;
                self.isolated.push((run.into(), systems));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Made by `cargo xtask results` on {}, from commit {}: Vortex and Linux in {}, by {}, on {} \
             processors ({}).",
            self.date, self.commit, self.qemu, self.accel, self.processors, self.model
        )
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Results\n")?;
        writeln!(
            f,
            "{} What each experiment is and how Linux is set up is in [experiments](experiments.md).",
            self.origin
        )?;
        for (run, comparison) in &self.compared {
            shares(f, run, comparison)?;
        }
        for (run, systems) in &self.isolated {
            kept(f, run, systems)?;
        }
        Ok(())
    }
}

/// A row of a table.
pub(super) fn row(f: &mut fmt::Formatter<'_>, cells: &[String]) -> fmt::Result {
    writeln!(f, "| {} |", cells.join(" | "))
}

/// The first row; the first column is of words, the others of numbers.
pub(super) fn header(f: &mut fmt::Formatter<'_>, cells: &[String]) -> fmt::Result {
    row(f, cells)?;
    writeln!(f, "| --- |{}", " ---: |".repeat(cells.len() - 1))
}

fn shares(f: &mut fmt::Formatter<'_>, run: &str, comparison: &Comparison) -> fmt::Result {
    writeln!(
        f,
        "\n## {}: shares of {}\n",
        comparison.experiment, comparison.counted
    )?;
    writeln!(f, "    cargo xtask {run}\n")?;
    let systems = comparison.sides.iter().map(|side| side.system.clone());
    let words = |word: &str| vec![word.to_owned()];
    header(f, &[words(""), systems.collect()].concat())?;
    let processes = comparison.sides.first();
    let processes = processes.map_or(&[][..], |side| side.received.processes.as_slice());
    for (number, process) in processes.iter().enumerate() {
        let name = format!(
            "{}, entitled to {:.2} %",
            process.activity,
            process.entitled * 100.0
        );
        let of_side = comparison.sides.iter().map(|side| {
            let process = side.received.processes.get(number);
            process.map_or_else(String::new, |process| {
                let (received, worst) = (process.received * 100.0, process.worst_sample());
                format!("{received:.2} % (worst second off by {worst:.2})")
            })
        });
        row(f, &[vec![name], of_side.collect()].concat())?;
    }
    let deviations = comparison.sides.iter();
    let deviations = deviations.map(|side| format!("{:.3} points", side.received.deviation));
    row(
        f,
        &[words("largest deviation"), deviations.collect()].concat(),
    )?;
    let figures = comparison.sides.first();
    let figures = figures.map_or(&[][..], |side| side.figures.as_slice());
    for (number, figure) in figures.iter().enumerate() {
        let of_side = comparison.sides.iter().map(|side| {
            let figure = side.figures.get(number);
            figure.map_or_else(String::new, Figure::text)
        });
        row(f, &[words(&figure.name), of_side.collect()].concat())?;
    }
    Ok(())
}

/// The isolation experiment.
fn kept(f: &mut fmt::Formatter<'_>, run: &str, systems: &[Of]) -> fmt::Result {
    writeln!(
        f,
        "\n## isolation: what a web server keeps beside neighbours\n"
    )?;
    writeln!(f, "    cargo xtask {run}\n")?;
    let of_system = systems.iter().flat_map(|of| {
        let system = &of.system;
        [
            format!("{system}: requests kept"),
            "p99, ms".into(),
            "times that alone".into(),
        ]
    });
    header(f, &[vec!["beside".into()], of_system.collect()].concat())?;
    let first = systems.first().map_or(&[][..], |of| of.runs.as_slice());
    for (number, run) in first.iter().enumerate() {
        let runs = systems.iter().filter_map(|of| of.runs.get(number));
        let cells = runs.flat_map(|run| {
            [
                format!("{:.1} %", run.kept * 100.0),
                format!("{:.2}", run.served.p99_us / 1000.0),
                format!("{:.2}", run.p99_of_alone),
            ]
        });
        row(f, &[vec![run.beside.clone()], cells.collect()].concat())?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Of some machine, with nothing on it.
    pub(in super::super) fn page() -> Page {
        Page::new(Origin {
            date: "2026-01-02".into(),
            commit: "abc1234".into(),
            processors: 2,
            model: "Some Processor".into(),
            accel: "KVM".into(),
            qemu: "QEMU emulator version 7.2".into(),
        })
    }

    fn side(system: &str, received: f64) -> serde_json::Value {
        serde_json::json!({
            "system": system,
            "received": {
                "processes": [{
                    "activity": "cpu0-50", "entitled": 0.5, "received": received,
                    "of_samples": [0.5, null, received],
                }],
                "deviation": (received - 0.5) * 100.0, "per_second": 1.0, "seconds": 60.0,
            },
            "figures": [{ "name": "rate", "value": 4.0, "unit": "MB/s" }],
        })
    }

    #[test]
    fn the_page_has_both_systems_and_says_where_it_is_from() {
        let mut page = page();
        let json = serde_json::json!({ "experiment": "cpu", "comparison": {
            "experiment": "cpu", "counted": "processor time",
            "sides": [side("Vortex", 0.5), side("Linux 6.1", 0.6)],
        }});
        page.add("experiment cpu --baseline linux", &json.to_string())
            .unwrap();
        let text = page.to_string();
        for part in [
            "on 2026-01-02, from commit abc1234",
            "by KVM, on 2 processors (Some Processor)",
            "    cargo xtask experiment cpu --baseline linux\n",
            "|  | Vortex | Linux 6.1 |\n| --- | ---: | ---: |\n",
            "| cpu0-50, entitled to 50.00 % | 50.00 % (worst second off by 0.00) | 60.00 % (worst second off by 10.00) |",
            "| largest deviation | 0.000 points | 10.000 points |",
            "| rate | 4.00 MB/s | 4.00 MB/s |",
        ] {
            assert!(text.contains(part), "{part}\nis not in\n{text}");
        }
    }

    #[test]
    fn what_has_no_comparison_is_refused() {
        assert!(
            page()
                .add("experiment flood", "{\"experiment\": \"flood\"}")
                .is_err()
        );
        assert!(page().add("experiment flood", "{").is_err());
    }
}
