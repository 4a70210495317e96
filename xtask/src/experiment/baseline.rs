//! Another system beside Vortex: the same programs, with the same shares, in the same QEMU.
//!
//! Key types: [`Comparison`] (what comes out: a table, a picture, JSON), [`Side`] (one system's part of
//! it). How Linux is set up is in `docs/experiments.md`.

use std::io::Write;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use xtask::disks::Controller;
use xtask::linux::guest::{self, Setup};
use xtask::network::Link;
use xtask::program::Program;
use xtask::samples::{Received, Sample};
use xtask::ui;

use super::web::Nic;
use super::{Common, measure, plot, table, write};

/// What an activity has used of Linux's disks, by calls that read, and of its network: resources of the
/// samples of `cgsampler`.
pub(super) const DISK: &str = "disk";
pub(super) const READ: &str = "read";
pub(super) const NET: &str = "net";

/// What came of a run on Linux.
pub(super) struct Run {
    pub(super) system: String,
    pub(super) samples: Vec<Sample>,
}

/// Boots Linux with what Vortex was booted with, and takes in the samples; as [`measure::run`].
pub(super) fn run(program: &Program, setup: &Setup, common: &Common, settle: u32) -> Result<Run> {
    let mut started = guest::start(program, setup)?;
    let system = name(&started.version);
    ui::header(&format!("the same on {system}"));
    let (guest, seconds) = (&mut started.guest, common.seconds);
    let samples = measure::collect(guest, seconds, settle, |ended| ended.status == 0)?;
    Ok(Run { system, samples })
}

/// What a version of Linux is called in tables.
pub(super) fn name(version: &str) -> String {
    format!("Linux {version}")
}

/// What Linux is told of the disk with the root file system: BFQ, by weights and nothing else, one request
/// at the disk at a time. Without the latter it does not promise weights
/// (Documentation/block/bfq-iosched.rst, `strict_guarantees`).
pub(super) fn disk(controller: Controller) -> Result<Setup> {
    ensure!(
        controller == Controller::VirtioScsi,
        "--baseline: Debian's kernel for virtual machines has no driver for {controller:?}"
    );
    Ok(Setup {
        modules: vec!["virtio_pci", "virtio_scsi", "sd_mod", "bfq"],
        disk: Some("sda"),
        commands: vec![
            "echo bfq >/sys/block/sda/queue/scheduler".into(),
            "echo 0 >/sys/block/sda/queue/iosched/low_latency".into(),
            "echo 1 >/sys/block/sda/queue/iosched/strict_guarantees".into(),
        ],
        ..Setup::default()
    })
}

/// What Linux is told of the link.
pub(super) fn network(nic: Nic) -> Result<Setup> {
    ensure!(
        nic == Nic::VirtioNet,
        "--baseline: Debian's kernel for virtual machines has no driver for {}",
        nic.device()
    );
    Ok(Setup {
        modules: vec!["virtio_pci", "virtio_net"],
        commands: vec![
            "ip link set lo up".into(),
            format!("ip address add {}/24 dev eth0", Link::GUEST),
            "ip link set eth0 up".into(),
        ],
        ..Setup::default()
    })
}

/// Both.
pub(super) fn disk_and_network(controller: Controller, nic: Nic) -> Result<Setup> {
    let (mut setup, network) = (disk(controller)?, self::network(nic)?);
    setup.modules.extend(network.modules);
    setup.commands.extend(network.commands);
    Ok(setup)
}

/// Systems side by side.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Comparison {
    /// The experiment.
    pub(crate) experiment: String,
    /// What is shared.
    pub(crate) counted: String,
    /// Vortex, then the others.
    pub(crate) sides: Vec<Side>,
}

/// What came out on one system.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Side {
    pub(crate) system: String,
    pub(crate) received: Received,
    /// The same ones for all systems, in the same order.
    pub(crate) figures: Vec<Figure>,
}

/// A figure of the whole run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
}

impl Figure {
    pub(super) fn new(name: &str, value: f64, unit: &str) -> Self {
        Self {
            name: name.into(),
            value,
            unit: unit.into(),
        }
    }

    /// With as many decimals as its size makes worth while.
    pub(crate) fn text(&self) -> String {
        let decimals = match self.value.abs() {
            large if large >= 100.0 => 0,
            medium if medium >= 1.0 => 2,
            0.0 => 0,
            _ => 4,
        };
        let text = format!("{:.decimals$} {}", self.value, self.unit);
        text.trim_end().to_owned()
    }
}

impl Comparison {
    /// Prints the tables; draws a picture where the user wants pictures.
    pub(super) fn show(&self, common: &Common) -> Result<()> {
        let (shares, figures) = (self.shares(), self.figures());
        writeln!(
            anstream::stdout(),
            "\n{} on each system\n\n{}\n\n{}\n",
            self.counted,
            shares.trim_fmt(),
            figures.trim_fmt()
        )
        .context("cannot print the comparison")?;
        if let Some(folder) = &common.plot {
            let file = folder.join(format!("{}-baseline.svg", self.experiment));
            write(&file, &plot::compared(self)?)?;
        }
        Ok(())
    }

    /// Each process's share on each system.
    fn shares(&self) -> comfy_table::Table {
        let mut header = vec!["Process".to_owned(), "Entitled".into()];
        for side in &self.sides {
            let system = &side.system;
            header.extend([
                system.clone(),
                "off by, points".into(),
                "worst second".into(),
            ]);
        }
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let mut rows = table::table(&header);
        let processes = self
            .sides
            .first()
            .map_or(0, |side| side.received.processes.len());
        for number in 0..processes {
            let mut row = Vec::new();
            for side in &self.sides {
                let Some(process) = side.received.processes.get(number) else {
                    continue;
                };
                if row.is_empty() {
                    row.extend([process.activity.clone(), table::per_cent(process.entitled)]);
                }
                row.extend([
                    table::per_cent(process.received),
                    format!("{:+.3}", process.off()),
                    format!("{:.2}", process.worst_sample()),
                ]);
            }
            rows.add_row(row);
        }
        rows
    }

    fn figures(&self) -> comfy_table::Table {
        let systems = self.sides.iter().map(|side| side.system.as_str());
        let header: Vec<&str> = std::iter::once("Over the run").chain(systems).collect();
        let mut rows = table::table(&header);
        let deviations = self.sides.iter().map(|side| {
            let value = side.received.deviation;
            Figure::new("", value, "points").text()
        });
        rows.add_row(std::iter::once("largest deviation".to_owned()).chain(deviations));
        let names = self.sides.first().map(|side| side.figures.as_slice());
        for (number, figure) in names.unwrap_or_default().iter().enumerate() {
            let values = self.sides.iter().map(|side| {
                let figure = side.figures.get(number);
                figure.map_or_else(String::new, Figure::text)
            });
            rows.add_row(std::iter::once(figure.name.clone()).chain(values));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use xtask::samples::ReceivedProcess;

    use super::*;

    fn side(system: &str, received: [f64; 2]) -> Side {
        let process = |(activity, received): (&str, f64)| ReceivedProcess {
            activity: activity.into(),
            entitled: 0.5,
            received,
            of_samples: vec![Some(received), None, Some(0.5)],
        };
        Side {
            system: system.into(),
            received: Received {
                processes: ["a", "b"].into_iter().zip(received).map(process).collect(),
                deviation: (received[0] - 0.5).abs() * 100.0,
                per_second: 1e6,
                seconds: 3.0,
            },
            figures: vec![Figure::new("rate", 12.345, "MB/s")],
        }
    }

    fn comparison() -> Comparison {
        Comparison {
            experiment: "disk".into(),
            counted: "bytes read".into(),
            sides: vec![side("Vortex", [0.5, 0.5]), side("Linux 6.1", [0.75, 0.25])],
        }
    }

    #[test]
    fn each_system_has_its_columns() {
        let shares = comparison().shares().to_string();
        let row = shares.lines().find(|line| line.contains(" a ")).unwrap();
        let cells: Vec<&str> = row.split_whitespace().collect();
        let expected = "a 50.000 % 50.000 % +0.000 0.00 75.000 % +25.000 25.00";
        assert_eq!(cells.join(" "), expected);
        let figures = comparison().figures().to_string();
        assert!(figures.contains("12.35 MB/s"), "{figures}");
        assert!(figures.contains("25.00 points"), "{figures}");
    }

    #[test]
    fn figures_have_the_decimals_that_they_are_worth() {
        let text = |value| Figure::new("", value, "").text();
        let texts = [0.0, 0.000_3, 0.5, 12.0, 1234.5].map(text);
        assert_eq!(texts, ["0", "0.0003", "0.5000", "12.00", "1234"]);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let text = serde_json::to_string(&comparison()).unwrap();
        let read: Comparison = serde_json::from_str(&text).unwrap();
        assert_eq!(read.sides[1].system, "Linux 6.1");
        assert_eq!(read.sides[0].received.processes[1].of_samples[1], None);
    }

    #[test]
    fn the_picture_has_a_panel_for_each_system() {
        let picture = plot::compared(&comparison()).unwrap();
        let document = roxmltree::Document::parse(&picture).unwrap();
        let nodes = document.descendants().filter(roxmltree::Node::is_text);
        let texts = nodes.filter_map(|node| node.text());
        let titles = texts.filter(|text| text.contains("bytes read on")).count();
        assert_eq!(titles, 2);
    }
}
