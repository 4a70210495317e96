//! What the kernel does for a packet: counted by a plugin of QEMU's, from the first request on.

use std::io::Write;

use anyhow::{Context, Result};
use xtask::counts::Work;

use crate::experiment::table;

/// Locked operations for a packet, beyond which there are too many.
const MOST: f64 = 4.0;

/// Prints what the kernel has done for each packet.
pub(super) fn show(work: &Work) -> Result<()> {
    let [packets, frames] =
        [work.traffic.packets(), work.traffic.frames()].map(|count| count.max(1) as f64);
    let locked = work.counts.kernel_locked as f64;
    writeln!(
        anstream::stdout(),
        "\nfor each packet of 1500 bytes the kernel executes {:.0} instructions; {:.2} of them lock memory \
         (target {MOST:.0}: {}), {:.1} for each frame that the card has",
        work.counts.kernel as f64 / packets,
        locked / packets,
        table::verdict(locked / packets < MOST),
        locked / frames,
    )
    .context("cannot print the results")
}
