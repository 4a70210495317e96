//! A guest that runs an experiment, and the samples that it sends.

use std::time::Duration;

use anyhow::{Result, bail};
use xtask::program::{self, Program};
use xtask::samples::{Entitled, Sample};
use xtask::ui;

use super::Common;

/// How long the guest may take beyond what it measures.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many of its last lines a failure shows.
const SHOWN: usize = 20;

/// Boots the kernel with the experiment's processes, and collects the samples; before the first, the
/// guest may take `prepare` seconds.
pub(super) fn run(program: &Program, common: &Common, prepare: u32) -> Result<Vec<Sample>> {
    let mut guest = program::start(program)?;
    let spinner = ui::Spinner::start(&format!("measuring {} s", common.seconds));
    let limit = Duration::from_secs(u64::from(common.seconds + prepare)) * 2 + PATIENCE;
    let mut samples = Vec::new();
    let mut last_lines = Vec::new();
    let ended = program::watch(&mut guest, limit, |line| {
        if let Some(sample) = Sample::parse(line) {
            samples.push(sample?);
        } else {
            spinner.detail(line);
            last_lines.push(line.to_owned());
        }
        Ok(())
    })?;
    drop(spinner);
    if ended != 0 || samples.is_empty() {
        let from = last_lines.len().saturating_sub(SHOWN);
        bail!(
            "the guest ended with status {ended} and {} samples; its last words:\n{}",
            samples.len(),
            last_lines[from..].join("\n")
        );
    }
    Ok(samples)
}

/// What each process is entitled to.
pub(super) fn entitlements(activities: &[(String, u32)]) -> Vec<Entitled> {
    let all: u32 = activities.iter().map(|(_, share)| share).sum();
    let entitled = |(activity, share): &(String, u32)| Entitled {
        activity: activity.clone(),
        share: f64::from(*share) / f64::from(all),
    };
    activities.iter().map(entitled).collect()
}
