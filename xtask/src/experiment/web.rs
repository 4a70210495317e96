//! The web server experiment: section 4.4, figures 12 to 14 of the paper.
//!
//! [`servers`] is the guest's side: the configuration, as `sched-config/examples/web.xml`;
//! [`clients`] the other.

mod clients;
mod servers;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xtask::apachebench::Outcome;
use xtask::network::Link;
use xtask::packages::{self, Package};
use xtask::program::{self, Lines, Program};
use xtask::qemu::{Guest, Next};
use xtask::samples::{AtResource, Counted, Sample, analyse, at_resource};
use xtask::ui;

use self::servers::{NETWORK, THREADS, WRITE};
use super::at_resources::Results;
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
    /// Bytes of the page that is asked for
    #[arg(long, value_name = "BYTES", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    page: u32,
    /// Connections of each client at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// Ask again on the same connections
    #[arg(long)]
    keep_alive: bool,
    /// Servers that nobody asks, counted from 0; their shares fall to the others
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    idle: Vec<usize>,
    /// Another web server, a static Linux program here, and its arguments, of which `{port}` and
    /// `{root}` stand for what it is to serve; to be the last option
    #[arg(long, value_name = "PATH ARGS", num_args = 1.., allow_hyphen_values = true)]
    server: Vec<String>,
}

/// The network card of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Nic {
    /// virtio-net
    VirtioNet,
    /// Intel 82574L
    E1000e,
}

impl Nic {
    const fn device(self) -> &'static str {
        match self {
            Self::VirtioNet => "virtio-net-pci",
            Self::E1000e => "e1000e",
        }
    }
}

/// Percentage points that a share of bytes may be off at the transmit ring.
const ALLOWED: f64 = 1.0;
/// The part of the link's rate that is to be reached.
const REACHED: f64 = 0.95;
/// Seconds from the start of the servers to the first sample: the clients have begun by then.
const SETTLE: u32 = 10;
/// How long the guest may take beyond what it measures.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most bytes of a frame that are not counted at the transmit ring, and bytes of one that are.
const FRAME: (f64, f64) = (24.0, 1514.0);

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    packages::require(&[Package::Qemu, Package::Firmware, Package::ApacheBench])?;
    let common = &args.common;
    let activities = grid::activities("web", common);
    ensure!(
        args.idle.iter().all(|idle| *idle < activities.len()) && args.idle.len() < activities.len(),
        "--idle wants numbers of servers from 0 to {}, and not all of them",
        activities.len() - 1
    );
    let link = Link::new(Some(args.rate))?;
    let site = servers::Site::new(args)?;
    let program = Program {
        configuration: servers::configuration(args, &activities)?,
        smp: common.smp,
        memory: "512M".into(),
        files: site.files()?,
        extra: [
            "-netdev",
            &format!("{},id=net0", Link::tap_options()),
            "-device",
            &format!("{},netdev=net0,romfile=", args.nic.device()),
        ]
        .map(Into::into)
        .to_vec(),
        launcher: link.guest().launcher(),
        ..Program::default()
    };
    let mut guest = program::start(&program)?;
    let asked = |server: &usize| !args.idle.contains(server);
    let asked: Vec<usize> = (0..activities.len()).filter(asked).collect();
    let clients = clients::start(args, &link, &mut guest, &asked)?;
    let samples = collect(&mut guest, common)?;
    let outcomes = clients::outcomes(clients)?;
    drop(guest);
    let activities: Vec<_> = asked
        .iter()
        .map(|server| activities[*server].clone())
        .collect();
    report(args, &activities, &samples, &outcomes)
}

/// Takes in samples until the sampler has sent all of them.
fn collect(guest: &mut Guest, common: &Common) -> Result<Vec<Sample>> {
    let spinner = ui::Spinner::start(&format!("measuring {} s", common.seconds));
    let limit = Duration::from_secs(u64::from(common.seconds + SETTLE)) * 2 + PATIENCE;
    let deadline = Instant::now() + limit;
    let (mut samples, mut lines) = (Vec::new(), Lines::default());
    while samples.len() <= common.seconds as usize {
        match guest.next(deadline) {
            Next::Output(bytes) => {
                for line in lines.push(&bytes) {
                    match Sample::parse(&line) {
                        Some(sample) => samples.push(sample?),
                        None => spinner.detail(&line),
                    }
                }
            }
            Next::Line(line) => spinner.detail(&line.text),
            Next::Over => bail!("the guest ended after {} samples", samples.len()),
            Next::Deadline => bail!("only {} samples within {limit:?}", samples.len()),
        }
    }
    Ok(samples)
}

fn report(
    args: &Args,
    activities: &[(String, u32)],
    samples: &[Sample],
    outcomes: &[Outcome],
) -> Result<ExitCode> {
    let common = &args.common;
    let entitled = measure::entitlements(activities);
    let written = at_resource(samples, &entitled, WRITE, Counted::Bytes)?;
    let mut resources = vec![written];
    for name in NETWORK.iter().map(|(name, _)| *name).chain([THREADS]) {
        // Where nobody was served, there is nothing to show.
        resources.extend(at_resource(samples, &entitled, name, Counted::Cycles).ok());
    }
    let results = Results {
        experiment: "web",
        shares: &common.shares.0,
        smp: common.smp,
        allowed: ALLOWED,
        judged: &[WRITE],
        cpu: analyse(samples, &entitled)?,
        resources,
        samples,
    };
    results.show(common)?;
    show_clients(activities, outcomes)?;
    show_link(args, &results.resources[0])?;
    Ok(ExitCode::SUCCESS)
}

/// What the clients saw.
fn show_clients(activities: &[(String, u32)], outcomes: &[Outcome]) -> Result<()> {
    let header = [
        "Server",
        "Requests/s",
        "Failed",
        "MB/s",
        "p50, ms",
        "p99, ms",
        "p99.9, ms",
    ];
    let mut rows = table::table(&header);
    for ((name, _), outcome) in activities.iter().zip(outcomes) {
        let rate = outcome.bytes as f64 / outcome.seconds.max(f64::MIN_POSITIVE) / 1e6;
        rows.add_row([
            name.clone(),
            format!("{:.1}", outcome.rate()),
            outcome.failed.to_string(),
            format!("{rate:.2}"),
            outcome.percentile(500).to_string(),
            outcome.percentile(990).to_string(),
            outcome.percentile(999).to_string(),
        ]);
    }
    writeln!(anstream::stdout(), "\n{}\n", rows.trim_fmt()).context("cannot print the results")
}

/// How much of the link the frames took. What each has on the wire besides is not counted at the
/// ring: its checksum, and what comes before and after it.
fn show_link(args: &Args, written: &AtResource) -> Result<()> {
    let rate = f64::from(args.rate) * 1e6 / 8.0;
    let (least, most) = (
        written.bytes_per_second / rate,
        written.bytes_per_second * (1.0 + FRAME.0 / FRAME.1) / rate,
    );
    writeln!(
        anstream::stdout(),
        "the link's rate                  {:.2} MB/s, {:.1} % of what it can do   (target {:.0} %: {})",
        written.bytes_per_second / 1e6,
        least * 100.0,
        REACHED * 100.0,
        table::verdict(most >= REACHED),
    )
    .context("cannot print the results")
}
