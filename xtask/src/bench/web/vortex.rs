//! Vortex, with the project's web server.

use anyhow::Result;
use vortex_sched_config::value::Metric;
use xtask::program::{self, Program};
use xtask::qemu::Guest;
use xtask::samples::Sample;
use xtask::workspace;

use super::Args;
use super::counted::Meter;
use super::measure::{Load, pages};
use crate::experiment::grid;

const ROOT: &str = "/www";
const SERVER: &str = "web";
const INFRASTRUCTURE: &str = "infrastructure";

/// More than it takes.
const SECONDS: u32 = 86_400;

/// The policies of all schedulers.
pub(super) const FAIR: &str = "propshare.wfq";
pub(super) const FIFO: &str = "fifo";

/// Starts the guest, in which the server listens at port 80.
pub(super) fn start(args: &Args, meter: &Meter, algorithm: &str) -> Result<Guest> {
    let mut configuration = grid::begin(&[(SERVER.into(), 100)], args.smp);
    for multiplexor in &mut configuration.multiplexors {
        multiplexor.algorithm = algorithm.into();
    }
    // As in `sched-config/examples/web.xml`: the server on the last core, the card on the one before it.
    let (server, card) = (args.smp - 1, args.smp.saturating_sub(2));
    for name in ["resource.dwr", "resource.dir"] {
        let mut resource = grid::resource(name, Metric::Cpu, card..card + 1);
        resource.algorithm = algorithm.into();
        configuration.schedulers.push(resource);
    }
    let threads = grid::threads_on(server, args.smp, 100);
    configuration.schedulers.push(threads);
    configuration.networks.push(grid::network(None));
    let server = [ROOT, "--listen", "0.0.0.0:80"];
    configuration.processes = vec![
        grid::process(SERVER, "/bin/httpd", &server),
        grid::sampler_of(SECONDS, 0, &["--live"]),
    ];
    let folder = tempfile::tempdir_in(workspace::target_subdir("bench")?)?;
    program::start(&Program {
        configuration: grid::xml(&configuration)?,
        smp: args.smp,
        memory: "512M".into(),
        files: pages(folder.path(), ROOT)?,
        extra: meter.devices(),
        launcher: meter.link.guest().launcher(),
        ..Program::default()
    })
}

/// From a sample.
pub(super) fn load(line: &str) -> Option<Result<Load>> {
    Some(Sample::parse(line)?.map(|sample| of(&sample)))
}

fn of(sample: &Sample) -> Load {
    let seconds = |cycles: u64| cycles as f64 / sample.hertz as f64;
    let cores = &sample.cores;
    let idle: u64 = cores.iter().map(|core| core.idle).sum();
    let elapsed: u64 = cores.iter().map(|core| core.elapsed).sum();
    let scheduling: u64 = cores.iter().map(|core| core.scheduling).sum();
    let infrastructure: u64 = (0..cores.len())
        .map(|core| sample.cycles(INFRASTRUCTURE, core))
        .sum();
    Load {
        at: seconds(sample.at),
        busy: seconds(elapsed - idle),
        infrastructure: Some(seconds(infrastructure)),
        scheduling: Some(seconds(scheduling)),
        work: None,
    }
}
