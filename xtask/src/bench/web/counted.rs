//! What a guest executes for a request: counted, so that it does not matter how busy the host is.

use std::ffi::OsString;
use std::io::Write;

use anyhow::{Context, Result};
use serde::Serialize;
use xtask::counts::{Counter, Work};
use xtask::network::Link;

use super::System;
use super::measure::WORKLOADS;
use crate::experiment::table;

/// A guest's link, and what counts its instructions, if they are counted.
pub(super) struct Meter {
    pub(super) link: Link,
    counter: Option<Counter>,
}

/// What it does for a request, or for a frame that it receives or sends.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Each {
    pub(super) kernel_instructions: f64,
    pub(super) program_instructions: f64,
    pub(super) frames: f64,
    pub(super) packets: f64,
    /// The kernel's locked operations for each frame and each packet, and the programs' for each
    /// request.
    pub(super) kernel_locked_by_frame: f64,
    pub(super) kernel_locked_by_packet: f64,
    pub(super) program_locked: f64,
}

impl Meter {
    /// Of a link without a limit.
    pub(super) fn new(counts: bool) -> Result<Self> {
        Ok(Self {
            link: Link::new(None)?,
            counter: counts.then(Counter::new).transpose()?,
        })
    }

    /// What QEMU is to be started with.
    pub(super) fn devices(&self) -> Vec<OsString> {
        let card = self.link.device("virtio-net-pci");
        let counting = self.counter.as_ref().map(Counter::arguments);
        card.into_iter()
            .chain(counting.into_iter().flatten())
            .collect()
    }

    /// What has been done by now, if it is counted.
    pub(super) fn read(&self) -> Result<Option<Work>> {
        let read = |counter: &Counter| Work::read(counter, &self.link);
        self.counter.as_ref().map(read).transpose()
    }
}

impl Each {
    /// From `first` to `last`, when so many requests were answered.
    pub(super) fn of(first: Work, last: Work, requests: f64) -> Self {
        let Work { counts, traffic } = last - first;
        let (frames, packets) = (traffic.frames() as f64, traffic.packets() as f64);
        let part = |count: u64, of: f64| count as f64 / of.max(f64::MIN_POSITIVE);
        Self {
            kernel_instructions: part(counts.kernel, requests),
            program_instructions: part(counts.programs, requests),
            frames: frames / requests.max(f64::MIN_POSITIVE),
            packets: packets / requests.max(f64::MIN_POSITIVE),
            kernel_locked_by_frame: part(counts.kernel_locked, frames),
            kernel_locked_by_packet: part(counts.kernel_locked, packets),
            program_locked: part(counts.programs_locked, requests),
        }
    }
}

/// Prints what was counted.
pub(super) fn print(systems: &[System]) -> Result<()> {
    let mut table = table::table(&[
        "Workload",
        "System",
        "Kernel",
        "Programs",
        "Frames",
        "Packets",
        "Locked by the kernel, a frame",
        "A packet",
        "Locked by programs",
    ]);
    for (index, workload) in WORKLOADS.iter().enumerate() {
        for (number, system) in systems.iter().enumerate() {
            let Some(each) = &system.rows[index].work else {
                continue;
            };
            table.add_row([
                if number == 0 { workload.name } else { "" }.to_owned(),
                system.name.clone(),
                format!("{:.0}", each.kernel_instructions),
                format!("{:.0}", each.program_instructions),
                format!("{:.2}", each.frames),
                format!("{:.2}", each.packets),
                format!("{:.1}", each.kernel_locked_by_frame),
                format!("{:.1}", each.kernel_locked_by_packet),
                format!("{:.1}", each.program_locked),
            ]);
        }
    }
    let note = "Instructions, frames, packets and locked operations for each request; frames as the card has \
        them, packets as a link has that carries 1500 bytes, for which the card cuts them.";
    writeln!(anstream::stdout(), "{}\n\n{note}\n", table.trim_fmt())
        .context("cannot print the table")
}
