//! The CPU experiment: section 4.2 and figure 8 of the paper.

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use xtask::linux::guest::Setup;
use xtask::packages::{self, Package};
use xtask::program::Program;
use xtask::samples::{Entitled, Report, Sample, analyse, received};

use super::baseline::{self, Comparison, Figure, Side};
use super::{Common, grid, measure, plot, table, write};

/// CPU-bound processes with different shares, one thread per core each (figure 8)
///
/// Samples the kernel's statistics once a second. Shares are parts of what the processes of the
/// experiment received together; the sampler and the kernel's own work are apart.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// How long a thread runs before others get a turn, in microseconds
    #[arg(long, value_name = "US", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    timeslice: u32,
}

/// Seconds from the start to the first sample.
const SETTLE: u32 = 1;

/// What goes into the JSON file.
#[derive(Serialize)]
struct Output<'a> {
    experiment: &'a str,
    shares: &'a [u32],
    smp: u32,
    timeslice_us: u32,
    report: &'a Report,
    samples: &'a [Sample],
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<Comparison>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    packages::require(&[Package::Qemu, Package::Firmware])?;
    let common = &args.common;
    let activities = grid::activities("cpu", common);
    let program = Program {
        configuration: configuration(args, &activities)?,
        smp: common.smp(),
        memory: "512M".into(),
        accel: Some(measure::accel(common.smp())?),
        ..Program::default()
    };
    let samples = measure::run(&program, common, SETTLE)?;
    let entitled = measure::entitlements(&activities);
    let report = analyse(&samples, &entitled)?;
    table::print(&report)?;
    let comparison = match common.baseline {
        Some(_) => Some(compare(&program, common, &samples, &entitled)?),
        None => None,
    };
    if let Some(path) = &common.json {
        let output = Output {
            experiment: "cpu",
            shares: &common.shares.0,
            smp: common.smp(),
            timeslice_us: args.timeslice,
            report: &report,
            samples: &samples,
            comparison,
        };
        write(path, &(serde_json::to_string_pretty(&output)? + "\n"))?;
    }
    if let Some(folder) = &common.plot {
        write(&folder.join("cpu.svg"), &plot::utilisation(&report)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The same on Linux, beside what came out on Vortex.
fn compare(
    program: &Program,
    common: &Common,
    samples: &[Sample],
    entitled: &[Entitled],
) -> Result<Comparison> {
    let linux = baseline::run(program, &Setup::default(), common, SETTLE)?;
    let comparison = Comparison {
        experiment: "cpu".into(),
        counted: "processor time".into(),
        sides: vec![
            side("Vortex".into(), samples, entitled)?,
            side(linux.system, &linux.samples, entitled)?,
        ],
    };
    comparison.show(common)?;
    Ok(comparison)
}

fn side(system: String, samples: &[Sample], entitled: &[Entitled]) -> Result<Side> {
    let report = analyse(samples, entitled)?;
    let cores = report.cores.len().max(1) as f64;
    let processes: f64 = report.cores.iter().map(|core| core.processes).sum();
    Ok(Side {
        system,
        received: received(samples, entitled, Sample::all_cycles)?,
        figures: vec![
            Figure::new(
                "processor time of the processes",
                processes / cores * 100.0,
                "%",
            ),
            Figure::new("in no account", report.unaccounted * 100.0, "%"),
        ],
    })
}

/// As `sched-config/examples/cpu.xml`, with a process for each share, and one that takes samples,
/// which has a small share of its own.
fn configuration(args: &Args, activities: &[(String, u32)]) -> Result<String> {
    let common = &args.common;
    let mut configuration = grid::begin(activities, common.smp());
    let threads = grid::threads(common.smp(), Some(args.timeslice), |_| 100);
    configuration.schedulers.push(threads);
    for (name, _) in activities {
        let hog = grid::process(name, "/bin/cpuhog", &[]);
        configuration.processes.push(hog);
    }
    configuration
        .processes
        .push(grid::sampler(common, SETTLE, &[]));
    grid::xml(&configuration)
}
