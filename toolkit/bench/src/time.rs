//! Nanoseconds per operation, as criterion has found them.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::workload::Workload;

/// The part of criterion's `estimates.json` that is read.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// The median of a workload's time per operation in nanoseconds, out of the folder to which
/// criterion has written its results (`CRITERION_HOME`).
///
/// # Errors
/// If criterion has not measured this workload.
pub fn median_ns(criterion: &Path, workload: &Workload) -> Result<f64> {
    let file = criterion.join(workload.name).join("new/estimates.json");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("criterion has left no result in {}", file.display()))?;
    let estimates: Estimates = serde_json::from_str(&text)
        .with_context(|| format!("{} is not as criterion writes it", file.display()))?;
    Ok(estimates.median.point_estimate)
}

/// Times `iterations` operations; what criterion's `iter_custom` asks for.
pub fn timed(operation: &mut dyn FnMut(u64), iterations: u64) -> std::time::Duration {
    let start = Instant::now();
    operation(iterations);
    start.elapsed()
}
