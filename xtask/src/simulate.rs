//! `cargo xtask simulate`: a scheduler configuration on the simulated machine, under a workload.

mod plot;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use vortex_sim::experiment::{Experiment, HERTZ, WORKLOADS, WorkloadName};
use vortex_sim::{Interrupts, Timing};
use xtask::ui;

use crate::config;

/// Show what a scheduler configuration gives to whom, on a simulated machine
///
/// Runs the scheduler toolkit and the schedulers of FILE, the very code of the kernel, on cores
/// with virtual time, under one of these workloads:
///
///   cpu    every activity has one CPU-bound thread per core
///   files  every activity reads cached files
///   web    every activity serves files to clients over the network
///   disk   every activity reads files that are not cached
///
/// The same file, workload and seed give the same result every time: the trace hash says so.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The XML file; examples are in sched-config/examples
    file: PathBuf,
    /// What the activities do
    #[arg(long, value_name = "NAME", value_parser = workload)]
    workload: WorkloadName,
    /// Seconds to simulate; enough for the shares to settle if not given
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: Option<u32>,
    /// Where whatever is random comes from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write the results to this file, too
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
    /// Draw the activities' shares over time into this file
    #[arg(long, value_name = "OUT.svg")]
    plot: Option<PathBuf>,
}

fn workload(name: &str) -> Result<WorkloadName, String> {
    WorkloadName::from_name(name).ok_or_else(|| {
        let names: Vec<_> = WORKLOADS.iter().map(|(_, name, _)| *name).collect();
        format!("no such workload; expected one of {}", names.join(", "))
    })
}

/// Points of a plot.
const SAMPLES: u64 = 120;

/// A timer interrupt every millisecond, as a machine has it.
const INTERRUPTS: Interrupts = Interrupts {
    every_cycles: HERTZ / 1000,
    cycles: 2_000,
};

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let Some(loaded) = config::load(&args.file, None)? else {
        return Ok(ExitCode::FAILURE);
    };
    let timing = Timing {
        interrupts: Some(INTERRUPTS),
        ..Timing::default()
    };
    let mut experiment = Experiment::new(loaded.plan, args.workload, timing, args.seed)
        .with_context(|| format!("cannot simulate {}", args.file.display()))?;
    let seconds = args.seconds.unwrap_or(args.workload.usual_seconds());
    let samples = simulate(&mut experiment, args.workload, seconds);
    let results = experiment.results();
    config::print(&mut anstream::stdout().lock(), &tables::results(&results))?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&results).context("cannot make JSON")?;
        write(path, &(text + "\n"))?;
    }
    if let Some(path) = &args.plot {
        write(path, &plot::shares(&results, &samples, seconds)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the experiment; returns what each activity had received after each part of the time.
fn simulate(experiment: &mut Experiment, workload: WorkloadName, seconds: u32) -> Vec<Vec<u64>> {
    let name = workload.name();
    let spinner = ui::Spinner::start(&format!("simulating {seconds} s of `{name}`"));
    let end = u64::from(seconds) * HERTZ;
    let sample = |number: u64| {
        experiment.run_until(end / SAMPLES * number);
        spinner.detail(&format!("{} %", number * 100 / SAMPLES));
        experiment.received()
    };
    (0..=SAMPLES).map(sample).collect()
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| {
        format!(
            "cannot write {}: expected the path of a file in a folder that is there",
            path.display()
        )
    })?;
    ui::done(&format!("wrote {}", path.display()));
    Ok(())
}
