//! The guest of the isolation experiment, and one run of it.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use vortex_sched_config::Process;
use vortex_sched_config::value::{Bytes, Metric, Microseconds};
use xtask::disks::{Controller, Disk};
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
use super::antagonists::{Antagonist, WRITTEN};
use super::served::{Round, Served};

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
/// Seconds at the beginning of the first rounds that do not count: an emulator translates what has not run
/// yet, on both sides of the first requests and of the first packets of a flood.
const WARM: u32 = 3;
/// The same for later rounds: the clients' connections are new, and the neighbour has just come or gone.
const SETTLE: u32 = 1;
/// Seconds of a round that count, at the most: shorter than what makes a host slow for a while.
const ROUND: u32 = 4;

/// What the victim runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    Vortex,
    Linux,
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
    let threads = grid::threads(args.smp, None, |_| 100);
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
/// For how long shares are saved up, in microseconds: of the victim's, which is a ninth of all that is promised,
/// that is enough for some requests.
const BURST_US: u64 = 20_000;

/// What the guest's file system has besides the project's programs, from files made in `place`: the victim's
/// page, and what the antagonist needs.
fn files(args: &Args, antagonist: Antagonist, place: &Path) -> Result<Vec<GuestFile>> {
    let file = place.join(PAGE);
    std::fs::write(&file, vec![b'x'; PAGE_BYTES]).context("cannot write the page")?;
    let path = format!("{ROOT}/{PAGE}");
    let mut files = antagonist.files(args.smp, place)?;
    files.push(GuestFile { path, file });
    Ok(files)
}

/// What came of a run.
pub(super) struct Outcome {
    /// What the victim's clients saw while the antagonist rested, and beside it.
    pub(super) alone: Served,
    pub(super) beside: Served,
    /// Of each round beside it.
    pub(super) samples: Vec<Vec<Sample>>,
}

/// Runs the victim alone and beside an antagonist, in one guest and in turn: from guest to guest, and from
/// minute to minute, the host is not the same.
pub(super) fn run(args: &Args, antagonist: Antagonist, system: System) -> Result<Outcome> {
    let link = Link::new(None)?;
    let configuration = configuration(args, antagonist, system)?;
    let place = tempfile::tempdir_in(workspace::target_subdir("experiment")?)?;
    let files = files(args, antagonist, place.path())?;
    let root = measure::Root::new(&configuration, files, u64::from(WRITTEN) << 20)?;
    drop(place);
    let disk = Disk {
        throttle: args.disk_rate.map(|rate| u64::from(rate) * 1_000_000),
        ..root.disk()
    };
    let mut extra = measure::disk_arguments(CONTROLLER, disk);
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

/// When a round is, and how long it takes.
struct Turn {
    name: String,
    settle: u32,
    seconds: u32,
}

impl Turn {
    /// The rounds in which the victim is measured for so many seconds, none much shorter than others.
    fn all(seconds: u32) -> impl Iterator<Item = Self> {
        let rounds = seconds.div_ceil(ROUND);
        (0..rounds).map(move |number| Self {
            name: format!("round {} of {rounds}", number + 1),
            settle: if number == 0 { WARM } else { SETTLE },
            seconds: seconds / rounds + u32::from(number < seconds % rounds),
        })
    }

    /// Seconds of it, with those that do not count.
    const fn whole(&self) -> u32 {
        self.settle + self.seconds
    }
}

/// Asks the victim in a guest that has been started.
fn ask(args: &Args, antagonist: Antagonist, link: &Link, guest: &mut Guest) -> Result<Outcome> {
    let spinner = ui::Spinner::start("waiting for the servers");
    for port in [PORT].into_iter().chain(antagonist.awaits()) {
        measure::wait_for(link, guest, &url(port), &spinner)?;
    }
    drop(spinner);
    let (mut alone, mut beside, mut samples) = (Vec::new(), Vec::new(), Vec::new());
    for turn in Turn::all(args.seconds) {
        let control = antagonist.control(link, args.packets, turn.whole())?;
        alone.push(served(args, link, guest, &turn, "alone")?.0);
        drop(control);
        antagonist.wake(link, args.smp)?;
        let flood = antagonist.start(link, args.packets, turn.whole())?;
        let (round, meanwhile) = served(args, link, guest, &turn, "beside it")?;
        drop(flood);
        // After the last round, too: it tells whether the neighbour was there to the end.
        antagonist.rest(link, args.smp)?;
        ensure!(
            !antagonist.has_workers() || has_worked(&meanwhile),
            "the neighbour has done nothing in {}",
            turn.name
        );
        beside.push(round);
        samples.push(meanwhile);
    }
    Ok(Outcome {
        alone: Served::of(&alone),
        beside: Served::of(&beside),
        samples,
    })
}

/// Whether the antagonist has worked in a round; samples that tell nothing of it do not say that it has not.
fn has_worked(round: &[Sample]) -> bool {
    match round {
        [first, .., last] => last.all_cycles(ANTAGONIST) > first.all_cycles(ANTAGONIST),
        _ => true,
    }
}

/// What the victim's clients see in a round, and the samples meanwhile.
fn served(
    args: &Args,
    link: &Link,
    guest: &mut Guest,
    turn: &Turn,
    beside: &str,
) -> Result<(Round, Vec<Sample>)> {
    let times = tempfile::NamedTempFile::new_in(workspace::target_subdir("experiment")?)?;
    let mut client = start_client(args, link, turn, times.path())?;
    let (settle, seconds) = (turn.settle, turn.seconds);
    let label = format!("{beside}, {}", turn.name);
    let samples = measure::collect_beside(guest, &mut client, settle, seconds, &label)?;
    Ok((outcome(client, times.path())?, samples))
}

/// Starts the victim's clients.
fn start_client(args: &Args, link: &Link, turn: &Turn, times: &Path) -> Result<Running> {
    let mut client = link.clients().command(measure::program_here("webclient")?);
    client
        .arg(format!("{}:{PORT}", Link::GUEST))
        .arg(format!("/{PAGE}"))
        .args(["--rate", &args.rate.to_string()])
        .args(["--connections", &args.connections.to_string()])
        .args(["--seconds", &turn.whole().to_string()])
        .args(["--settle", &turn.settle.to_string()])
        .arg("--times")
        .arg(times)
        .stdout(Stdio::piped());
    Running::start(&mut client)
}

fn outcome(mut client: Running, times: &Path) -> Result<Round> {
    let status = client.wait()?;
    let mut said = String::new();
    if let Some(output) = &mut client.child().stdout {
        output.read_to_string(&mut said)?;
    }
    ensure!(status.success(), "the clients failed ({status})");
    Round::read(&said, times)
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn a_neighbour_that_has_ended_is_noticed() {
        let there = [(10, 5), (20, 5), (30, 6)].map(|(at, used)| sample(ANTAGONIST, at, 0, used));
        assert!(has_worked(&there));
        assert!(!has_worked(&there[..2]));
        // Nothing can be said of a round with one sample, or none.
        assert!(has_worked(&there[..1]) && has_worked(&[]));
    }

    #[test]
    fn rounds_have_the_seconds_that_were_asked_for() {
        let seconds = |all| Turn::all(all).map(|turn| turn.seconds).collect::<Vec<_>>();
        assert_eq!(seconds(20), [4; 5]);
        assert_eq!(seconds(5), [3, 2]);
        assert_eq!(seconds(2), [2]);
        let whole: Vec<u32> = Turn::all(9).map(|turn| turn.whole()).collect();
        assert_eq!(whole, [6, 4, 4]);
    }
}
