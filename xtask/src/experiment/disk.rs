//! The file system experiment: section 4.5, figures 15 and 16 of the paper.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use vortex_sched_config::value::Metric;
use xtask::disks::{Controller, Disk};
use xtask::packages::{self, Package};
use xtask::program::Program;
use xtask::samples::{AtResource, Counted, Sample, analyse, at_resource, received};
use xtask::userland::GuestFile;

use super::at_resources::Results;
use super::baseline::{self, Comparison, Figure, Side};
use super::{Common, Shares, grid, measure, table};

/// Processes that read files from a disk that is the bottleneck (figures 15 and 16)
///
/// One thread per core each, which reads 32 files at once, each by four streams, and has the file
/// cache forget what it has read. Resources below the file cache count bytes; one core drives the disk controller.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Bytes that the disk reads in a second at the most; the processors must be able to do more
    #[arg(long, value_name = "BYTES/s", default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(100_000..))]
    rate: u64,
    /// The controller that the disk is at
    #[arg(long, value_enum, default_value_t = Controller::VirtioScsi)]
    controller: Controller,
    /// Files for each thread
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=256))]
    files: u32,
    /// Bytes of each file
    #[arg(long, value_name = "BYTES", default_value_t = 2_097_152, value_parser = clap::value_parser!(u32).range(4096..=16_777_216))]
    size: u32,
    /// Streams for each file
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    streams: u32,
    /// Bytes of each process's reads; the last one is for the rest of them
    #[arg(long, value_name = "A,B,…", default_value = "32768", value_parser = super::parse_shares)]
    requests: Shares,
}

/// Percentage points that a share of bytes may be off at the disk.
const ALLOWED: f64 = 1.0;
/// The part of the disk's rate that is to be reached.
const REACHED: f64 = 0.95;
/// Where the disk's share is decided.
const DISK: &str = "resource.drwr";
/// What runs on one core alone (section 4.5).
const ON_ONE_CORE: [&str; 2] = [DISK, "resource.disk.dir"];
const THREADS: &str = "resource.thread";
/// The other resources of table 2, and what is counted there.
const RESOURCES: [(&str, Metric); 7] = [
    ("resource.addressspace", Metric::Cpu),
    ("resource.aio", Metric::Cpu),
    ("resource.filecache", Metric::Cpu),
    ("resource.ext2", Metric::Bytes),
    ("resource.storage", Metric::Bytes),
    ("resource.scsi", Metric::Bytes),
    ("resource.sdrwr", Metric::Bytes),
];

/// Seconds from the start to the first sample.
const SETTLE: u32 = 5;

impl Args {
    /// The files of all processes, as `readfiles` expects them, in a folder for each process: copies
    /// of one in `place`.
    fn files(&self, activities: &[(String, u32)], place: &Path) -> Result<Vec<GuestFile>> {
        let file = place.join("pattern");
        fs::write(&file, measure::pattern(self.size))
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut files = Vec::new();
        for (name, _) in activities {
            for thread in 0..self.common.smp() {
                let path = |number| format!("/disk/{name}/{thread}.{number}");
                let of_thread = (0..self.files).map(path);
                files.extend(of_thread.map(|path| GuestFile {
                    path,
                    file: file.clone(),
                }));
            }
        }
        Ok(files)
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    packages::require(&[Package::Qemu, Package::Firmware])?;
    let common = &args.common;
    ensure!(
        args.requests.0.iter().all(|request| *request >= 512),
        "reads of less than 512 bytes are not what a disk does"
    );
    let activities = grid::activities("disk", common);
    let (root, program) = program(args, &activities)?;
    let samples = measure::run(&program, common, SETTLE)?;
    drop(root);
    let entitled = measure::entitlements(&activities);
    let disk = at_resource(&samples, &entitled, DISK, Counted::Bytes)?;
    let rate = disk.bytes_per_second / float(args.rate);
    let mut resources = vec![disk];
    // Where nobody was served, there is nothing to show.
    let rest = RESOURCES.map(|(name, _)| name);
    for name in rest.into_iter().chain([THREADS]) {
        resources.extend(at_resource(&samples, &entitled, name, Counted::Cycles).ok());
    }
    let mut results = Results {
        experiment: "disk",
        shares: &common.shares.0,
        smp: common.smp(),
        allowed: ALLOWED,
        judged: &[DISK],
        cpu: analyse(&samples, &entitled)?,
        resources,
        samples: &samples,
        interface: None,
        comparison: None,
    };
    results.print()?;
    report_rate(&results.resources[0], rate)?;
    if common.baseline.is_some() {
        results.comparison = Some(compare(args, &activities, &samples)?);
    }
    results.write(common)?;
    Ok(ExitCode::SUCCESS)
}

/// What is to be started, and the disk of its own that it has.
fn program(args: &Args, activities: &[(String, u32)]) -> Result<(measure::Root, Program)> {
    let configuration = configuration(args, activities)?;
    let place = tempfile::tempdir().context("cannot make a temporary folder")?;
    let files = args.files(activities, place.path())?;
    let root = measure::Root::new(&configuration, files, 0)?;
    let disk = Disk {
        read_throttle: Some(args.rate),
        ..root.disk()
    };
    let program = Program {
        configuration,
        smp: args.common.smp(),
        memory: "512M".into(),
        extra: measure::disk_arguments(args.controller, disk),
        ..Program::default()
    };
    Ok((root, program))
}

/// The same on Linux, beside what came out on Vortex.
fn compare(args: &Args, activities: &[(String, u32)], samples: &[Sample]) -> Result<Comparison> {
    let setup = baseline::disk(args.controller)?;
    let (_root, program) = program(args, activities)?;
    let linux = baseline::run(&program, &setup, &args.common, SETTLE)?;
    let entitled = measure::entitlements(activities);
    let side = |system: &str, samples: &[Sample], disk: &str| -> Result<Side> {
        let bytes = |sample: &Sample, activity: &str| sample.bytes(activity, disk);
        let received = received(samples, &entitled, bytes)?;
        let part = received.per_second / float(args.rate) * 100.0;
        Ok(Side {
            system: system.into(),
            figures: vec![
                Figure::new("read from the disk", received.per_second / 1e6, "MB/s"),
                Figure::new("of the disk's rate", part, "%"),
            ],
            received,
        })
    };
    let comparison = Comparison {
        experiment: "disk".into(),
        counted: "bytes read from the disk".into(),
        sides: vec![
            side("Vortex", samples, DISK)?,
            side(&linux.system, &linux.samples, baseline::DISK)?,
        ],
    };
    comparison.show(&args.common)?;
    Ok(comparison)
}

fn report_rate(disk: &AtResource, part: f64) -> Result<()> {
    writeln!(
        anstream::stdout(),

        "the disk's rate                  {:.2} MB/s, {:.1} % of what it can do   (target {:.0} %: {})",
        disk.bytes_per_second / 1e6,
        part * 100.0,
        REACHED * 100.0,
        table::verdict(part >= REACHED),
    )
    .context("cannot print the results")
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
const fn float(bytes: u64) -> f64 {
    bytes as f64
}

/// As `sched-config/examples/disk.xml`.
fn configuration(args: &Args, activities: &[(String, u32)]) -> Result<String> {
    let common = &args.common;
    let mut configuration = grid::begin(activities, common.smp());
    configuration.activities.push(grid::infrastructure(100));
    for (name, metric) in RESOURCES {
        let resource = grid::resource(name, metric, 0..common.smp());
        configuration.schedulers.push(resource);
    }
    let last = common.smp() - 1;
    for name in ON_ONE_CORE {
        let resource = grid::resource(name, Metric::Bytes, last..common.smp());
        configuration.schedulers.push(resource);
    }
    // As much as the core's resources together.
    let everywhere = 50 * u32::try_from(RESOURCES.len()).unwrap_or(0);
    let weight = |core| everywhere + if core == last { 100 } else { 0 };
    let threads = grid::threads(common.smp(), None, weight);
    configuration.schedulers.push(threads);
    let numbers = [args.files, args.size, args.streams].map(|number| number.to_string());
    let [files, size, streams] = &numbers;
    for (number, (name, _)) in activities.iter().enumerate() {
        let requests = &args.requests.0;
        let request = requests[number.min(requests.len() - 1)].to_string();
        let folder = format!("/disk/{name}");
        let arguments = [
            "--evict",
            "--random",
            "--files",
            files,
            "--size",
            size,
            "--streams",
            streams,
            "--request",
            &request,
            &folder,
        ];
        let reader = grid::process(name, "/bin/readfiles", &arguments);
        configuration.processes.push(reader);
    }
    let sampler = grid::sampler(common, SETTLE, &["--resources"]);
    configuration.processes.push(sampler);
    grid::xml(&configuration)
}
