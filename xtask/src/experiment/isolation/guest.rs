//! The guest of the isolation experiment, and one run of it.

use std::io::Read;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use vortex_sched_config::Process;
use vortex_sched_config::value::{Bytes, Metric, Microseconds};
use xtask::disks::Controller;
use xtask::linux::guest;
use xtask::network::Link;
use xtask::process::Running;
use xtask::program::{self, Program};
use xtask::qemu::Guest;
use xtask::samples::Sample;
use xtask::userland::GuestFile;
use xtask::{ui, workspace};

use super::super::{baseline, grid, measure};
use super::Args;
use super::antagonists::{Antagonist, READ, WRITTEN};

pub(super) const VICTIM: &str = "victim";
pub(super) const ANTAGONIST: &str = "antagonist";
/// The victim's port, and the one at which the antagonist is flooded.
const PORT: u16 = 8000;
pub(super) const FLOODED: u16 = 8001;
const ROOT: &str = "/www";
const PAGE: &str = "index.html";
/// Bytes of the page.
const PAGE_BYTES: usize = 2048;
/// For how long the guest goes on: more than it takes.
const SECONDS: u32 = 86_400;
/// Seconds of the clients' that do not count: an emulator translates what has not run yet, on both
/// sides of the first requests and of the first packets of a flood.
const WARM: u32 = 3;

/// What the victim runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    Vortex,
    Linux,
}

/// What the victim's clients saw.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Served {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) seconds: f64,
    /// Microseconds within which so many thousandths of the requests were answered.
    pub(super) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) max_us: f64,
}

impl Served {
    /// Requests that were answered, in a second.
    pub(super) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}

/// A web server's process.
pub(super) fn server(activity: &str, port: u16) -> Process {
    let listen = format!("0.0.0.0:{port}");
    grid::process(activity, "/bin/httpd", &[ROOT, "--listen", &listen])
}

/// The address of a server's page.
fn url(port: u16) -> String {
    format!("http://{}:{port}/{PAGE}", Link::GUEST)
}

/// The victim beside an antagonist.
fn configuration(args: &Args, antagonist: Antagonist, system: System) -> Result<String> {
    let activities = [VICTIM, ANTAGONIST].map(|name| (name.to_owned(), 50));
    let mut configuration = grid::begin(&activities, args.smp);
    for multiplexor in &mut configuration.multiplexors {
        multiplexor.burst = Some(Microseconds::of(BURST_US));
    }
    if system == System::Linux {
        let activity = &mut configuration.activities[1];
        activity.memory = Bytes::new(LINUX_BUDGET);
    }
    configuration.activities.push(grid::infrastructure(100));
    // Of each core half is for threads.
    let threads = grid::threads(args.smp, Some(TIMESLICE_US), |_| 100);
    configuration.schedulers.push(threads);
    // So much that packets for the victim come soon in a flood of others, too.
    let interrupts = grid::resource("resource.dir", Metric::Bytes, 0..1);
    configuration.schedulers.push(interrupts);
    configuration.networks.push(grid::network(None));
    configuration.processes.push(server(VICTIM, PORT));
    let processes = antagonist.processes(args.smp);
    configuration.processes.extend(processes);
    // As little as can be: what it takes each second, it takes from one request in a hundred.
    let sampler = grid::sampler_of(SECONDS, 0, &["--live"]);
    configuration.processes.push(sampler);
    grid::xml(&configuration)
}

/// The controller of the disk.
const CONTROLLER: Controller = Controller::VirtioScsi;
/// The guest's memory, and the half of it that the antagonist may hold at most on Linux. On Vortex it may
/// hold what there is.
const MEMORY: &str = "512M";
const LINUX_BUDGET: u64 = 256 << 20;
/// How long a thread runs at a time, and for how long shares are saved up, in microseconds: of the victim's,
/// which is a ninth of all that is promised, that is enough for some requests.
const TIMESLICE_US: u32 = 300;
const BURST_US: u64 = 20_000;

/// The victim's page, for the guest's file system.
fn page() -> Result<(tempfile::TempDir, GuestFile)> {
    let folder = tempfile::tempdir_in(workspace::target_subdir("experiment")?)?;
    let file = folder.path().join(PAGE);
    std::fs::write(&file, vec![b'x'; PAGE_BYTES]).context("cannot write the page")?;
    let path = format!("{ROOT}/{PAGE}");
    Ok((folder, GuestFile { path, file }))
}

/// What came of a run.
pub(super) struct Outcome {
    /// What the victim's clients saw before the antagonist came, and beside it.
    pub(super) alone: Served,
    pub(super) beside: Served,
    /// Of the time beside it.
    pub(super) samples: Vec<Sample>,
}

/// Runs the victim alone, and then beside an antagonist, in one guest: from guest to guest, and from minute
/// to minute, the host is not the same.
pub(super) fn run(args: &Args, antagonist: Antagonist, system: System) -> Result<Outcome> {
    let link = Link::new(None)?;
    let configuration = configuration(args, antagonist, system)?;
    let (folder, page) = page()?;
    let mut files = vec![page];
    files.extend(antagonist.files()?);
    let room = u64::from(READ) * u64::from(args.smp) + (u64::from(WRITTEN) << 20);
    let root = measure::Root::new(&configuration, files, room)?;
    drop(folder);
    let mut extra = root.arguments(CONTROLLER, None);
    extra.extend(link.device(args.nic.device()));
    let program = Program {
        configuration,
        smp: args.smp,
        memory: MEMORY.into(),
        extra,
        launcher: link.guest().launcher(),
        ..Program::default()
    };
    match system {
        System::Vortex => ask(args, antagonist, &link, &mut program::start(&program)?),
        System::Linux => {
            let setup = baseline::disk_and_network(CONTROLLER, args.nic)?;
            let mut started = guest::start(&program, &setup)?;
            ask(args, antagonist, &link, &mut started.guest)
        }
    }
}

/// Asks the victim in a guest that has been started.
fn ask(args: &Args, antagonist: Antagonist, link: &Link, guest: &mut Guest) -> Result<Outcome> {
    let spinner = ui::Spinner::start("waiting for the servers");
    for port in [PORT].into_iter().chain(antagonist.awaits()) {
        measure::wait_for(link, guest, &url(port), &spinner)?;
    }
    drop(spinner);
    let seconds = args.seconds + WARM;
    let control = antagonist.control(link, args.packets, seconds)?;
    let (alone, _) = served(args, link, guest, "alone")?;
    drop(control);
    antagonist.wake(link, args.smp)?;
    let flood = antagonist.start(link, args.packets, seconds)?;
    let (beside, samples) = served(args, link, guest, "beside it")?;
    drop(flood);
    Ok(Outcome {
        alone,
        beside,
        samples,
    })
}

/// What the victim's clients see, and the samples meanwhile.
fn served(
    args: &Args,
    link: &Link,
    guest: &mut Guest,
    label: &str,
) -> Result<(Served, Vec<Sample>)> {
    let seconds = args.seconds + WARM;
    let mut client = start_client(args, link, seconds)?;
    let mut samples = measure::collect_beside(guest, &mut client, seconds, label, |ended| {
        // The kernel ends who takes all the memory that there is.
        ended.path.ends_with("/later")
    })?;
    samples.drain(..samples.len().min(WARM as usize));
    Ok((outcome(client)?, samples))
}

/// Starts the victim's clients.
fn start_client(args: &Args, link: &Link, seconds: u32) -> Result<Running> {
    let mut client = link.clients().command(measure::program_here("webclient")?);
    client
        .arg(format!("{}:{PORT}", Link::GUEST))
        .arg(format!("/{PAGE}"))
        .args(["--rate", &args.rate.to_string()])
        .args(["--connections", &args.connections.to_string()])
        .args(["--seconds", &seconds.to_string()])
        .args(["--settle", &WARM.to_string()])
        .stdout(Stdio::piped());
    Running::start(&mut client)
}

fn outcome(mut client: Running) -> Result<Served> {
    let status = client.wait()?;
    let mut said = String::new();
    if let Some(output) = &mut client.child().stdout {
        output.read_to_string(&mut said)?;
    }
    ensure!(status.success(), "the clients failed ({status})");
    serde_json::from_str(&said).with_context(|| format!("the clients say something else: {said}"))
}
