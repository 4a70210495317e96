//! What processes received at each of several resources: tables, targets and pictures.

use std::io::Write;

use anyhow::{Context, Result};
use serde::Serialize;
use xtask::samples::{AtResource, Counted, Report, Sample};

use super::baseline::Comparison;
use super::interface::Interface;
use super::{Common, plot, table, write};

/// Everything that came out of an experiment at several resources.
#[derive(Serialize)]
pub(super) struct Results<'a> {
    pub(super) experiment: &'a str,
    pub(super) shares: &'a [u32],
    pub(super) smp: u32,
    /// Percentage points that a share may be off over the run.
    pub(super) allowed: f64,
    /// The resources where that holds.
    pub(super) judged: &'a [&'a str],
    /// The same for CPU time, all resources together, and where each core's time went.
    pub(super) cpu: Report,
    pub(super) resources: Vec<AtResource>,
    pub(super) samples: &'a [Sample],
    /// What the network interface did, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) interface: Option<Interface>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comparison: Option<Comparison>,
}

impl Results<'_> {
    /// Prints tables.
    pub(super) fn print(&self) -> Result<()> {
        let mut out = anstream::stdout().lock();
        let (shares, cores) = (self.table(), table::cores(&self.cpu));
        writeln!(out, "\n{}\n\n{}\n", shares.trim_fmt(), cores.trim_fmt())
            .and_then(|()| writeln!(out, "{}", self.summary()))
            .context("cannot print the results")
    }

    /// Writes JSON and pictures where the user wants them.
    pub(super) fn write(&self, common: &Common) -> Result<()> {
        if let Some(path) = &common.json {
            write(path, &(serde_json::to_string_pretty(self)? + "\n"))?;
        }
        if let Some(folder) = &common.plot {
            let name = self.experiment;
            let utilisation = plot::of_resources(&self.resources, self.cpu.seconds)?;
            write(&folder.join(format!("{name}-cpu.svg")), &utilisation)?;
            let shares = plot::shares(&self.resources, self.cpu.seconds)?;
            write(&folder.join(format!("{name}-shares.svg")), &shares)?;
        }
        Ok(())
    }

    fn table(&self) -> comfy_table::Table {
        let mut header = vec!["Resource", "Counted", "Of all CPU", "MB/s"];
        header.extend(
            self.cpu
                .processes
                .iter()
                .map(|process| process.activity.as_str()),
        );
        header.push("Off by, points");
        let mut rows = table::table(&header);
        for resource in &self.resources {
            let counted = match resource.counted {
                Counted::Cycles => "cycles",
                Counted::Bytes => "bytes",
            };
            let mut row = vec![
                resource.resource.clone(),
                counted.into(),
                table::per_cent(resource.utilisation),
                format!("{:.1}", resource.bytes_per_second / 1e6),
            ];
            let received = resource
                .processes
                .iter()
                .map(|process| process.share.received);
            row.extend(received.map(table::per_cent));
            row.push(format!("{:.3}", resource.deviation));
            rows.add_row(row);
        }
        rows
    }

    /// The largest deviation at one of the resources that are judged, in percentage points.
    fn deviation(&self) -> f64 {
        let judged = (self.resources.iter())
            .filter(|resource| self.judged.contains(&resource.resource.as_str()));
        judged
            .map(|resource| resource.deviation)
            .fold(0.0, f64::max)
    }

    fn summary(&self) -> String {
        format!(
            "{:.1} s measured\nlargest deviation at a resource   {:.4} points   (target {}: {})\n{}",
            self.cpu.seconds,
            self.deviation(),
            self.allowed,
            table::verdict(self.deviation() <= self.allowed),
            table::unaccounted(&self.cpu),
        )
    }
}
