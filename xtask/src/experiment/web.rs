//! The web server experiment: section 4.4, figures 12 to 14 of the paper.
//!
//! [`servers`] is the guest's side: the configuration, as `sched-config/examples/web.xml`;
//! [`clients`] the other; [`linux`] what Linux is told to compare with; [`counted`] has what the kernel
//! executes for a packet.

mod clients;
mod counted;
mod linux;
mod servers;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use vortex_sched_config::value::BitRate;
use xtask::apachebench::Outcome;
use xtask::counts::{Counter, Work};
use xtask::linux::guest;
use xtask::network::Link;
use xtask::packages::{self, Package};
use xtask::program::{self, Program};
use xtask::qemu::Guest;
use xtask::samples::{AtResource, CoreReport, Counted, Sample, analyse, at_resource, received};
use xtask::ui;

use self::servers::{NETWORK, THREADS, WRITE};
use super::at_resources::Results;
use super::baseline::{self, Comparison, Figure, Side};
use super::interface::Interface;
use super::{Common, grid, measure, table};

/// Web servers that compete for a link, one ApacheBench at each (figures 12 to 14)
///
/// The servers are on one core, the network card's resources are alone on another (with one
/// processor all are on it). Shares are of bytes at the card's transmit ring. The link is of network
/// namespaces of the experiment's own, which are gone when it ends.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// The link's rate in megabits (10^6 bits) a second
    #[arg(long, value_name = "MBIT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// The network card
    #[arg(long, value_enum, default_value_t = Nic::VirtioNet)]
    nic: Nic,
    /// Do not tell the guest what the link carries: it sends as fast as QEMU takes it, and what waits does
    /// so behind QEMU, where no scheduler chooses
    #[arg(long)]
    unpaced: bool,
    /// Bytes of the page that is asked for
    #[arg(long, value_name = "BYTES", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    page: u32,
    /// Connections of each client at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// Ask again on the same connections
    #[arg(long)]
    keep_alive: bool,
    /// Count the instructions that the kernel executes for a packet, and the locked ones among them. Needs
    /// emulation, which is slower then
    #[arg(long)]
    count: bool,
    /// Servers that nobody asks, counted from 0; their shares fall to the others
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    idle: Vec<usize>,
    /// Another web server, a static Linux program here (or `debian:PACKAGE/PATH`), and its arguments, of
    /// which `{port}` and `{root}` stand for what it is to serve; to be the last option
    #[arg(long, value_name = "PATH ARGS", num_args = 1.., allow_hyphen_values = true)]
    server: Vec<String>,
}

/// The network card of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Nic {
    /// virtio-net
    VirtioNet,
    /// Intel 82574L
    E1000e,
}

impl Nic {
    pub(super) const fn device(self) -> &'static str {
        match self {
            Self::VirtioNet => "virtio-net-pci",
            Self::E1000e => "e1000e",
        }
    }
}

impl Args {
    /// What the link carries, in bytes a second.
    fn bytes_per_second(&self) -> f64 {
        f64::from(self.rate) * 1e6 / 8.0
    }

    /// What the guest is told that the link carries, in bits a second: a little less than it does, so
    /// that nothing ever waits at the link.
    fn paced_bits(&self) -> u64 {
        u64::from(self.rate) * 1_000_000 / 100 * PACE
    }

    /// The same, unless the guest is told nothing.
    fn pace(&self) -> Option<BitRate> {
        BitRate::new(self.paced_bits()).filter(|_| !self.unpaced)
    }
}

/// That, in per cent of the link's rate.
const PACE: u64 = 98;
/// Percentage points that a share of bytes may be off at the transmit ring.
const ALLOWED: f64 = 1.0;
/// The part of the link's rate that is to be reached.
const REACHED: f64 = 0.95;
/// Seconds from the start of the servers to the first sample: the clients have begun by then.
const SETTLE: u32 = 10;
/// Bytes of a page in a segment, and bytes of its frame on the link. What the card cuts into segments
/// counts at the transmit ring with one header.
const SEGMENT: (f64, f64) = (1448.0, 1514.0);

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    packages::require(&[Package::Qemu, Package::Firmware, Package::ApacheBench])?;
    let common = &args.common;
    let activities = grid::activities("web", common);
    ensure!(
        args.idle.iter().all(|idle| *idle < activities.len()) && args.idle.len() < activities.len(),
        "--idle wants numbers of servers from 0 to {}, and not all of them",
        activities.len() - 1
    );
    let asked: Vec<usize> = (0..activities.len())
        .filter(|server| !args.idle.contains(server))
        .collect();
    let vortex = on_vortex(args, &activities, &asked)?;
    let of_asked = |server: &usize| activities[*server].clone();
    let competing: Vec<_> = asked.iter().map(of_asked).collect();
    let mut results = results(common, &competing, &vortex.samples)?;
    results.print()?;
    show_clients(&competing, &vortex.outcomes, &results.resources[0])?;
    if let Some(interface) = &results.interface {
        interface.show(&results.resources[0])?;
    }
    show_link(args, &results.resources[0])?;
    if let Some(work) = vortex.work {
        counted::show(&work)?;
    }
    if common.baseline.is_some() {
        let linux = on_linux(args, &activities, &asked)?;
        results.comparison = Some(compare(args, &competing, &vortex, &linux)?);
    }
    results.write(common)?;
    Ok(ExitCode::SUCCESS)
}

/// What came of a run on one system.
struct Run {
    system: String,
    samples: Vec<Sample>,
    outcomes: Vec<Outcome>,
    /// If it was counted.
    work: Option<Work>,
}

/// What a guest needs while it runs: a link, the files that it has, and what counts its instructions.
struct Surroundings {
    link: Link,
    _site: servers::Site,
    counter: Option<Counter>,
}

/// What is to be started, and in which surroundings.
fn program(args: &Args, activities: &[(String, u32)]) -> Result<(Surroundings, Program)> {
    let link = Link::new(Some(args.rate))?;
    let site = servers::Site::new(args)?;
    let counter = args.count.then(Counter::new).transpose()?;
    let counting = counter.as_ref().map(Counter::arguments);
    let card = link.device(args.nic.device()).into_iter();
    let program = Program {
        configuration: servers::configuration(args, activities)?,
        smp: args.common.smp(),
        memory: "512M".into(),
        files: site.files()?,
        extra: card.chain(counting.into_iter().flatten()).collect(),
        launcher: link.guest().launcher(),
        ..Program::default()
    };
    let surroundings = Surroundings {
        link,
        _site: site,
        counter,
    };
    Ok((surroundings, program))
}

fn on_vortex(args: &Args, activities: &[(String, u32)], asked: &[usize]) -> Result<Run> {
    let (surroundings, program) = program(args, activities)?;
    let mut guest = program::start(&program)?;
    measured(args, "Vortex".into(), &surroundings, &mut guest, asked)
}

fn on_linux(args: &Args, activities: &[(String, u32)], asked: &[usize]) -> Result<Run> {
    let setup = linux::setup(args, activities)?;
    let (surroundings, program) = program(args, activities)?;
    let mut started = guest::start(&program, &setup)?;
    let system = baseline::name(&started.version);
    ui::header(&format!("the same on {system}"));
    measured(args, system, &surroundings, &mut started.guest, asked)
}

/// Asks the servers of a guest that has been started.
fn measured(
    args: &Args,
    system: String,
    Surroundings { link, counter, .. }: &Surroundings,
    guest: &mut Guest,
    asked: &[usize],
) -> Result<Run> {
    let clients = clients::start(args, link, guest, asked)?;
    let work = || counter.as_ref().map(|counter| Work::read(counter, link));
    let before = work().transpose()?;
    let samples = measure::collect(guest, args.common.seconds, SETTLE, |_| false)?;
    let after = work().transpose()?;
    let outcomes = clients::outcomes(clients)?;
    Ok(Run {
        system,
        samples,
        outcomes,
        work: after.zip(before).map(|(after, before)| after - before),
    })
}

fn results<'a>(
    common: &'a Common,
    activities: &[(String, u32)],
    samples: &'a [Sample],
) -> Result<Results<'a>> {
    let entitled = measure::entitlements(activities);
    let written = at_resource(samples, &entitled, WRITE, Counted::Bytes)?;
    let mut resources = vec![written];
    for name in NETWORK.iter().map(|(name, _)| *name).chain([THREADS]) {
        // Where nobody was served, there is nothing to show.
        resources.extend(at_resource(samples, &entitled, name, Counted::Cycles).ok());
    }
    Ok(Results {
        experiment: "web",
        shares: &common.shares.0,
        smp: common.smp(),
        allowed: ALLOWED,
        judged: &[WRITE],
        cpu: analyse(samples, &entitled)?,
        resources,
        interface: Some(Interface::of(samples)?),
        samples,
        comparison: None,
    })
}

/// The shares on both systems, and what the clients saw.
fn compare(
    args: &Args,
    activities: &[(String, u32)],
    vortex: &Run,
    linux: &Run,
) -> Result<Comparison> {
    let entitled = measure::entitlements(activities);
    let side = |run: &Run, sent: &str| -> Result<Side> {
        let bytes = |sample: &Sample, activity: &str| sample.bytes(activity, sent);
        let outcomes = run.outcomes.iter();
        let rate: f64 = outcomes.clone().map(bytes_per_second).sum();
        let requests: f64 = outcomes.clone().map(Outcome::rate).sum();
        let failed: u64 = outcomes.map(|outcome| outcome.failed).sum();
        let taken = rate * SEGMENT.1 / SEGMENT.0 / args.bytes_per_second();
        let cores = analyse(&run.samples, &entitled)?.cores;
        let of_cores = |part: fn(&CoreReport) -> f64| {
            cores.iter().map(part).sum::<f64>() / cores.len().max(1) as f64 * 100.0
        };
        Ok(Side {
            system: run.system.clone(),
            received: received(&run.samples, &entitled, bytes)?,
            figures: vec![
                Figure::new("requests", requests, "/s"),
                Figure::new("pages at the clients", rate / 1e6, "MB/s"),
                Figure::new("of the link taken by them", taken * 100.0, "%"),
                Figure::new("failed", failed as f64, ""),
                Figure::new(
                    "processor time of the servers",
                    of_cores(|core| core.processes),
                    "%",
                ),
                Figure::new("processors idle", of_cores(|core| core.idle), "%"),
            ],
        })
    };
    let comparison = Comparison {
        experiment: "web".into(),
        counted: "bytes sent".into(),
        sides: vec![side(vortex, WRITE)?, side(linux, baseline::NET)?],
    };
    comparison.show(&args.common)?;
    Ok(comparison)
}

fn bytes_per_second(outcome: &Outcome) -> f64 {
    outcome.bytes as f64 / outcome.seconds.max(f64::MIN_POSITIVE)
}

/// What the clients saw, and how many frames of a server waited for the ring.
fn show_clients(
    activities: &[(String, u32)],
    outcomes: &[Outcome],
    written: &AtResource,
) -> Result<()> {
    let header = [
        "Server",
        "Requests/s",
        "Failed",
        "MB/s",
        "p50, ms",
        "p99, ms",
        "p99.9, ms",
        "Frames waiting",
    ];
    let mut rows = table::table(&header);
    let servers = activities.iter().zip(outcomes).zip(&written.processes);
    for (((name, _), outcome), written) in servers {
        let rate = bytes_per_second(outcome) / 1e6;
        rows.add_row([
            name.clone(),
            format!("{:.1}", outcome.rate()),
            outcome.failed.to_string(),
            format!("{rate:.2}"),
            outcome.percentile(500).to_string(),
            outcome.percentile(990).to_string(),
            outcome.percentile(999).to_string(),
            format!("{:.1}", written.queued),
        ]);
    }
    writeln!(anstream::stdout(), "\n{}\n", rows.trim_fmt()).context("cannot print the results")
}

/// How much of the link the frames took.
fn show_link(args: &Args, written: &AtResource) -> Result<()> {
    let rate = args.bytes_per_second();
    let taken = written.bytes_per_second * SEGMENT.1 / SEGMENT.0 / rate;
    writeln!(
        anstream::stdout(),
        "the link has {:.2} MB/s; of it taken   {:.1} %   (target {:.0} %: {})",
        rate / 1e6,
        taken * 100.0,
        REACHED * 100.0,
        table::verdict(taken >= REACHED),
    )
    .context("cannot print the results")
}
