//! What the log says of the grid: how much there is, and which policies run where.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use vortex_hal::cores::CoreIndex;
use vortex_sched_config::{Plan, SchedulerPlan};

use vortex_toolkit::System;

use super::{Places, Shared};

/// How many schedulers of one kind are named.
const NAMED: usize = 4;

/// Logs what was built from the configuration that is called `source`.
pub(super) fn log<Y: System>(shared: &Shared<Y>, source: &str, online: &[CoreIndex]) {
    let (plan, places) = (&shared.plan, &shared.places);
    let resources = shared.schedulers.iter();
    log::info!(
        "grid: {} cores, {} resources, {} activities, configuration {}",
        plan.cores.len(),
        resources.filter(|built| built.resource.is_some()).count(),
        shared.homes.len(),
        source
    );
    for (core, index) in plan.cores.iter().zip(places.machine()) {
        log::info!(
            "grid: core {index}: {} for {} schedulers",
            core.algorithm,
            core.clients.len()
        );
    }
    log_schedulers(plan, places);
    let idle = online
        .iter()
        .filter(|core| !places.machine().contains(core));
    let idle: Vec<usize> = idle.map(|core| core.as_usize()).collect();
    if !idle.is_empty() {
        log::info!(
            "grid: not named by the configuration, and idle: cores {}",
            ranges(&idle)
        );
    }
}

/// One line for all schedulers with one policy on the same cores.
fn log_schedulers(plan: &Plan, places: &Places) {
    let mut kinds: Vec<(&SchedulerPlan, Vec<&str>)> = Vec::new();
    for scheduler in &plan.schedulers {
        let same = |kind: &SchedulerPlan| {
            kind.algorithm == scheduler.algorithm && kind.cores == scheduler.cores
        };
        match kinds.iter_mut().find(|(kind, _)| same(kind)) {
            Some((_, names)) => names.push(&scheduler.name),
            None => kinds.push((scheduler, alloc::vec![scheduler.name.as_str()])),
        }
    }
    for (kind, names) in kinds {
        let cores = kind.cores.iter();
        let cores: Vec<usize> = cores
            .filter_map(|&core| places.machine().get(core))
            .map(|core| core.as_usize())
            .collect();
        let mut named = names[..names.len().min(NAMED)].join(", ");
        if names.len() > NAMED {
            // Writing to a string does not fail.
            let _ = write!(named, " and {} more", names.len() - NAMED);
        }
        log::info!(
            "grid: {} on cores {}: {named}",
            kind.algorithm,
            ranges(&cores)
        );
    }
}

/// Ascending numbers, with runs of them as `first-last`.
fn ranges(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next);
    let runs: Vec<String> = runs
        .map(|run| match run {
            [first, .., last] => alloc::format!("{first}-{last}"),
            _ => alloc::format!("{}", run[0]),
        })
        .collect();
    runs.join(", ")
}
