//! Exact, repeatable counts per operation.
//!
//! The workload runs twice under callgrind: its warm-up only, and its warm-up and `n` operations.
//! The difference is the cost of `n` operations in steady state: the start of the program, the
//! set-up and the warm-up, which fills caches and grows tables, cancel.

use std::collections::HashMap;
use std::env::current_exe;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::callgrind::{self, Profile};
use crate::locked::Code;
use crate::workload::Workload;
use crate::{calibration, find};

/// The functions of the C library that Rust's allocator ends in.
const ALLOCATORS: [&str; 5] = [
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "aligned_alloc",
];

/// What one operation costs.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Counts {
    /// Instructions in user space, of all threads.
    pub instructions: f64,
    /// Locked operations.
    pub locked: f64,
    /// Calls of the allocator.
    pub allocations: f64,
}

/// Counts workloads. Keeps the object files it has disassembled.
#[derive(Default)]
pub struct Counter {
    /// `None`: not a file, such as the code the operating system provides.
    objects: HashMap<PathBuf, Option<Code>>,
}

/// What one run has executed.
#[derive(Clone, Copy)]
struct Sum {
    instructions: u64,
    locked: u64,
    allocations: u64,
}

impl Counter {
    /// A counter whose counts of a known workload are right.
    ///
    /// # Errors
    /// If they are not, or as [`Counter::count`].
    pub fn calibrated() -> Result<Self> {
        let mut counter = Self::default();
        let counts = counter.count(&calibration::WORKLOAD, calibration::WORKLOAD.iterations)?;
        ensure!(
            counts.locked == calibration::LOCKED as f64
                && counts.allocations == calibration::ALLOCATIONS as f64,
            "the counters are wrong: {} locked operations and {} allocations were counted where \
             there are {} and {}",
            counts.locked,
            counts.allocations,
            calibration::LOCKED,
            calibration::ALLOCATIONS
        );
        Ok(counter)
    }

    /// Counts what `iterations` operations cost and divides by their number.
    ///
    /// # Errors
    /// If valgrind is not there or the workload fails.
    pub fn count(&mut self, workload: &Workload, iterations: u64) -> Result<Counts> {
        let before = self.sum(workload, workload.warm_up)?;
        let after = self.sum(workload, workload.warm_up + iterations)?;
        // Not negative but for a few instructions of the threads' chance interleaving.
        let per_operation =
            |of: fn(Sum) -> u64| (of(after) as f64 - of(before) as f64) / iterations as f64;
        Ok(Counts {
            instructions: per_operation(|sum| sum.instructions),
            locked: per_operation(|sum| sum.locked),
            allocations: per_operation(|sum| sum.allocations),
        })
    }

    fn sum(&mut self, workload: &Workload, iterations: u64) -> Result<Sum> {
        let program = current_exe().context("cannot find this program's own file")?;
        let profile = callgrind::run(
            &program,
            &["measure", workload.name, &iterations.to_string()],
        )?;
        Ok(Sum {
            instructions: profile.total,
            locked: self.locked(&profile),
            allocations: ALLOCATORS
                .iter()
                .filter_map(|name| profile.calls.get(*name))
                .sum(),
        })
    }

    fn locked(&mut self, profile: &Profile) -> u64 {
        let mut locked = 0;
        for (path, executed) in &profile.executed {
            let code = self
                .objects
                .entry(path.clone())
                .or_insert_with(|| Code::read(path).ok());
            if let Some(code) = code {
                locked += executed
                    .iter()
                    .filter(|(address, _)| code.is_locked(**address) == Some(true))
                    .map(|(_, count)| count)
                    .sum::<u64>();
            }
        }
        locked
    }
}

/// Performs the operation of a workload: what runs under callgrind.
///
/// # Errors
/// If there is no workload of this name.
pub fn measure(name: &str, iterations: u64) -> Result<()> {
    let workload = find(name)
        .with_context(|| format!("there is no workload `{name}`; `list` names all there are"))?;
    (workload.counted)()(iterations);
    Ok(())
}
