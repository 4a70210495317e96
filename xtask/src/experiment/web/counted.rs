//! What the kernel does for a packet: counted by a plugin of QEMU's, from the first request on.

use std::io::Write;

use anyhow::{Context, Result};
use xtask::counts::{Counter, Counts};
use xtask::network::{Link, Traffic};

use crate::experiment::table;

/// Locked operations for a packet, beyond which there are too many.
const MOST: f64 = 4.0;

/// What has been done, and what has passed the link meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    counts: Counts,
    traffic: Traffic,
}

impl Work {
    /// By now.
    pub(super) fn read(counter: &Counter, link: &Link) -> Result<Self> {
        Ok(Self {
            counts: counter.read()?,
            traffic: link.traffic()?,
        })
    }

    /// Since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            counts: self.counts - earlier.counts,
            traffic: self.traffic - earlier.traffic,
        }
    }

    /// Prints what the kernel has done for each packet.
    pub(super) fn show(&self) -> Result<()> {
        let [packets, frames] =
            [self.traffic.packets(), self.traffic.frames()].map(|count| count.max(1) as f64);
        let locked = self.counts.kernel_locked as f64;
        writeln!(
            anstream::stdout(),
            "\nfor each packet of 1500 bytes the kernel executes {:.0} instructions; {:.2} of them lock memory \
             (target {MOST:.0}: {}), {:.1} for each frame that the card has",
            self.counts.kernel as f64 / packets,
            locked / packets,
            table::verdict(locked / packets < MOST),
            locked / frames,
        )
        .context("cannot print the results")
    }
}
