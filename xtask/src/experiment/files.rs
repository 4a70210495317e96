//! The file read experiment: section 4.3, figures 9 to 11 of the paper.

use std::process::ExitCode;

use anyhow::Result;
use vortex_sched_config::value::Metric;
use xtask::accel::{self, Accel};
use xtask::disks::Controller;
use xtask::packages::{self, Package};
use xtask::program::Program;
use xtask::samples::{Counted, Sample, analyse, at_resource, received};

use super::at_resources::Results;
use super::baseline::{self, Comparison, Figure, Side};
use super::{Common, grid, measure};

/// Processes that open a cached file, read 32 KB and close it (figures 10 and 11)
///
/// One thread per core each. The address space, asynchronous I/O and file cache resources have half
/// of each core, alike, the threads the rest; the processes' shares hold at each of the four.
///
/// That they do at all four takes a round of reading that costs each process the same. Several
/// emulated processors do not give that: there a switch of address spaces has the emulator forget
/// its translations, which costs most who is served least. So under emulation there is one processor
/// unless --smp says otherwise, and its instructions are its clock.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Bytes of each file, which are read by one call
    #[arg(long, value_name = "BYTES", default_value_t = 32_768, value_parser = clap::value_parser!(u32).range(8..=1_048_576))]
    size: u32,
}

/// Percentage points that a share may be off at a resource.
const ALLOWED: f64 = 0.5;
/// Seconds from the start to the first sample: the files are made in them.
const SETTLE: u32 = 3;
/// The controller that the disk with the files is at.
const CONTROLLER: Controller = Controller::VirtioScsi;
/// Where bytes that are read count.
const READS: &str = RESOURCES[2];
const THREADS: &str = "resource.thread";
/// The resources of figure 9.
const RESOURCES: [&str; 3] = [
    "resource.addressspace",
    "resource.aio",
    "resource.filecache",
];

/// Where the shares are to hold.
const JUDGED: [&str; 4] = [RESOURCES[0], RESOURCES[1], RESOURCES[2], THREADS];

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    packages::require(&[Package::Qemu, Package::Firmware])?;
    let common = &args.common;
    let smp = match common.smp {
        None if accel::detect()? == Accel::Tcg => 1,
        _ => common.smp(),
    };
    let activities = grid::activities("files", common);
    let (root, program) = program(args, smp, &activities)?;
    let samples = measure::run(&program, common, SETTLE)?;
    drop(root);
    let entitled = measure::entitlements(&activities);
    let at = |resource: &&str| at_resource(&samples, &entitled, resource, Counted::Cycles);
    let mut results = Results {
        experiment: "files",
        shares: &common.shares.0,
        smp,
        allowed: ALLOWED,
        judged: &JUDGED,
        cpu: analyse(&samples, &entitled)?,
        resources: JUDGED.iter().map(at).collect::<Result<_>>()?,
        samples: &samples,
        interface: None,
        comparison: None,
    };
    results.print()?;
    if common.baseline.is_some() {
        results.comparison = Some(compare(args, smp, &activities, &samples)?);
    }
    results.write(common)?;
    Ok(ExitCode::SUCCESS)
}

/// What is to be started, and the disk of its own that it has.
fn program(
    args: &Args,
    smp: u32,
    activities: &[(String, u32)],
) -> Result<(measure::Root, Program)> {
    let configuration = configuration(args, smp, activities)?;
    let room = u64::from(args.size).next_multiple_of(4096) * u64::from(smp);
    let root = measure::Root::new(&configuration, Vec::new(), room * activities.len() as u64)?;
    let program = Program {
        configuration,
        smp,
        memory: "512M".into(),
        accel: Some(measure::accel(smp)?),
        extra: measure::disk_arguments(CONTROLLER, root.disk()),
        ..Program::default()
    };
    Ok((root, program))
}

/// The same on Linux, beside what came out on Vortex.
fn compare(
    args: &Args,
    smp: u32,
    activities: &[(String, u32)],
    samples: &[Sample],
) -> Result<Comparison> {
    let setup = baseline::disk(CONTROLLER)?;
    let (_root, program) = program(args, smp, activities)?;
    let linux = baseline::run(&program, &setup, &args.common, SETTLE)?;
    let entitled = measure::entitlements(activities);
    let side = |system: &str, samples: &[Sample], reads: &str| -> Result<Side> {
        let bytes = |sample: &Sample, activity: &str| sample.bytes(activity, reads);
        let read = received(samples, &entitled, bytes)?.per_second;
        Ok(Side {
            system: system.into(),
            received: received(samples, &entitled, Sample::all_cycles)?,
            figures: vec![Figure::new("read from cached files", read / 1e6, "MB/s")],
        })
    };
    let comparison = Comparison {
        experiment: "files".into(),
        counted: "processor time".into(),
        sides: vec![
            side("Vortex", samples, READS)?,
            side(&linux.system, &linux.samples, baseline::READ)?,
        ],
    };
    comparison.show(&args.common)?;
    Ok(comparison)
}

/// As `sched-config/examples/files.xml`.
fn configuration(args: &Args, smp: u32, activities: &[(String, u32)]) -> Result<String> {
    let common = &args.common;
    let mut configuration = grid::begin(activities, smp);
    for name in RESOURCES {
        let resource = grid::resource(name, Metric::Cpu, 0..smp);
        configuration.schedulers.push(resource);
    }
    // As much as the three together.
    configuration
        .schedulers
        .push(grid::threads(smp, None, |_| 150));
    let size = args.size.to_string();
    for (name, _) in activities {
        let folder = format!("/files/{name}");
        let options = ["--create", "--size", &size, "--request", &size];
        let arguments = [&options[..], &[&folder]].concat();
        let reader = grid::process(name, "/bin/readfiles", &arguments);
        configuration.processes.push(reader);
    }
    let sampler = grid::sampler(common, SETTLE, &["--resources"]);
    configuration.processes.push(sampler);
    grid::xml(&configuration)
}
