//! The flood experiment: datagrams at somebody's address, beside a neighbour who computes.
//!
//! Whoever is flooded is to pay for the flood, and the neighbour is to have what it is entitled to, and
//! to get as much done with it as without. The generator costs the host something, too: so there is a
//! run in which the same packets end before they get to the guest.

use std::io::Write;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};
use serde::Serialize;
use vortex_sched_config::Process;
use xtask::network::Link;
use xtask::packages::{self, Package};
use xtask::process::Running;
use xtask::program::{self, Program};
use xtask::samples::{CoreSample, Sample};
use xtask::ui;

use super::web::Nic;
use super::{grid, measure, table, write};

/// A computing neighbour of somebody who is flooded by datagrams: what it keeps, and who pays
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Datagrams in a second
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Bytes of each
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1472))]
    bytes: u16,
    /// How long to measure, each time
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=300))]
    seconds: u32,
    /// How often; what is shown is the median. Under emulation once is enough: the guest's time is the
    /// instructions it has executed, whatever else the host does
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The network card
    #[arg(long, value_enum, default_value_t = Nic::VirtioNet)]
    nic: Nic,
    /// Write the results to this file
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
}

/// What happens beside the neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flood {
    Alone,
    /// The packets end outside.
    Control,
    Read,
    NeverRead,
    /// Nobody is at the port.
    Closed,
}

const ALL: [(Flood, &str); 5] = [
    (Flood::Alone, "alone"),
    (Flood::Control, "control"),
    (Flood::Read, "read"),
    (Flood::NeverRead, "never read"),
    (Flood::Closed, "closed port"),
];

const VICTIM: &str = "victim";
const FLOODED: &str = "flooded";
/// Bytes of the headers of IP and UDP.
const HEADERS: u64 = 20 + 8;
const PORT: u16 = 9;
const CLOSED: u16 = 10;
/// Seconds from the start of the guest's programs to the first sample.
const SETTLE: u32 = 2;
/// Seconds for which the victim goes on after the last sample that counts, since it begins before them,
/// and the sampler after that, so that it is there when the victim says what it has done.
const LONGER: u32 = 3;
/// How many times as long the generator may have to go on by the host's clock.
const LATE: u32 = 20;
/// For how many seconds it goes on at most.
const LONGEST: u32 = 600;
const TIMESLICE_US: u32 = 1000;
/// The part of its entitlement that the victim keeps at least, and how much its work may move.
const KEPT: f64 = 0.95;
const MOVES: f64 = 0.05;

/// What came of a run; parts are of the processor's time.
#[derive(Clone, Debug, Serialize)]
struct Run {
    flood: &'static str,
    victim: f64,
    flooded: f64,
    infrastructure: f64,
    scheduling: f64,
    interrupts: f64,
    idle: f64,
    /// What the victim has, of half of what the infrastructure and interrupts leave.
    kept: f64,
    /// Rounds for each second of processor time that the victim was charged.
    work: f64,
    /// Packets that were demultiplexed in a second, and that the flooded activity was charged there and
    /// beyond.
    received: f64,
    charged: f64,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    packages::require(&[Package::Qemu, Package::Firmware])?;
    let mut rounds = Vec::new();
    for round in 1..=args.rounds {
        let mut runs = Vec::new();
        for (flood, name) in ALL {
            ui::header(&format!(
                "the victim, {name}; round {round} of {}",
                args.rounds
            ));
            runs.push(once(args, flood, name).with_context(|| name.to_owned())?);
        }
        rounds.push(runs);
    }
    let of_flood = |flood: usize| {
        let runs: Vec<&Run> = rounds.iter().map(|runs| &runs[flood]).collect();
        median(&runs)
    };
    let runs: Vec<Run> = (0..ALL.len()).map(of_flood).collect();
    show(&runs)?;
    if let Some(path) = &args.json {
        write(path, &(serde_json::to_string_pretty(&runs)? + "\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The median of each figure.
fn median(runs: &[&Run]) -> Run {
    let of = |figure: fn(&Run) -> f64| {
        let mut figures: Vec<f64> = runs.iter().map(|run| figure(run)).collect();
        figures.sort_unstable_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    Run {
        flood: runs[0].flood,
        victim: of(|run| run.victim),
        flooded: of(|run| run.flooded),
        infrastructure: of(|run| run.infrastructure),
        scheduling: of(|run| run.scheduling),
        interrupts: of(|run| run.interrupts),
        idle: of(|run| run.idle),
        kept: of(|run| run.kept),
        work: of(|run| run.work),
        received: of(|run| run.received),
        charged: of(|run| run.charged),
    }
}

fn configuration(args: &Args, flood: Flood) -> Result<String> {
    let activities = [VICTIM, FLOODED].map(|name| (name.to_owned(), 50));
    let mut configuration = grid::begin(&activities, 1);
    configuration.activities.push(grid::infrastructure(100));
    let threads = grid::threads(1, Some(TIMESLICE_US), |_| 100);
    configuration.schedulers.push(threads);
    configuration.networks.push(grid::network(None));
    configuration.processes.extend(processes(args, flood));
    let sampler = grid::sampler_of(args.seconds + 2 * LONGER, SETTLE, &["--resources"]);
    configuration.processes.push(sampler);
    grid::xml(&configuration)
}

fn processes(args: &Args, flood: Flood) -> [Process; 2] {
    let seconds = (SETTLE + args.seconds + LONGER).to_string();
    let port = PORT.to_string();
    let sink = match flood {
        Flood::NeverRead => &["--port", &port, "--never-read"][..],
        _ => &["--port", &port],
    };
    [
        grid::process(VICTIM, "/bin/cpuhog", &["--seconds", &seconds]),
        grid::process(FLOODED, "/bin/udpsink", sink),
    ]
}

fn once(args: &Args, flood: Flood, name: &'static str) -> Result<Run> {
    let link = Link::new(None)?;
    let program = Program {
        accel: Some(measure::accel_with_network(1)?),
        configuration: configuration(args, flood)?,
        extra: link.device(args.nic.device()).to_vec(),
        launcher: link.guest().launcher(),
        ..Program::default()
    };
    let mut guest = program::start(&program)?;
    let (mut generator, mut work) = (None, None);
    let samples = measure::collect_watching(
        &mut guest,
        args.seconds + 2 * LONGER,
        SETTLE,
        |ended| ended.status == 0,
        |line| {
            if line.starts_with("udpsink: port") {
                generator = start(args, flood, &link)?;
            }
            work = work.or_else(|| work_in(line));
            Ok(())
        },
    )?;
    drop((generator, guest));
    let work = work.context("the victim has not said what it has done")?;
    let packet = u64::from(args.bytes) + HEADERS;
    seen(name, &samples[..=args.seconds as usize], work, packet)
}

/// Rounds for each second of the processor, as `cpuhog` says in the end.
fn work_in(line: &str) -> Option<f64> {
    let words = line.strip_prefix("cpuhog: ")?;
    let (rounds, rest) = words.split_once(" rounds in ")?;
    let (seconds, _) = rest.split_once(" s of the processor")?;
    let (rounds, seconds): (f64, f64) = (rounds.parse().ok()?, seconds.parse().ok()?);
    Some(rounds / seconds)
}

fn start(args: &Args, flood: Flood, link: &Link) -> Result<Option<Running>> {
    let to = match flood {
        Flood::Alone => return Ok(None),
        Flood::Control => format!("{}:{PORT}", link.outside()?),
        Flood::Read | Flood::NeverRead => format!("{}:{PORT}", Link::GUEST),
        Flood::Closed => format!("{}:{CLOSED}", Link::GUEST),
    };
    let mut command = link.clients().command(measure::program_here("flood")?);
    command.args(["udp", &to, "--rate", &args.rate.to_string()]);
    command.args(["--bytes", &args.bytes.to_string()]);
    // As long as the samples are taken, when it is ended: a guest that has instructions for a clock may be
    // late.
    let seconds = LONGEST.min(LATE * (SETTLE + args.seconds));
    command.args(["--seconds", &seconds.to_string()]);
    command.stdout(Stdio::null());
    Running::start(&mut command).map(Some)
}

fn seen(flood: &'static str, samples: &[Sample], work: f64, packet: u64) -> Result<Run> {
    let (first, last) = samples.first().zip(samples.last()).context("no samples")?;
    let (from, to) = (&first.cores[0], &last.cores[0]);
    let elapsed = (to.elapsed - from.elapsed).max(1) as f64;
    let seconds = (last.at - first.at) as f64 / first.hertz.max(1) as f64;
    let part = |name| (last.cycles(name, 0) - first.cycles(name, 0)) as f64 / elapsed;
    let of_core = |count: fn(&CoreSample) -> u64| (count(to) - count(from)) as f64 / elapsed;
    // By their bytes: a request of the demultiplexer's is of several packets.
    let in_a_second = |activity, resource| {
        let count = |sample: &Sample| {
            let used = sample.at_resource(activity, resource);
            used.map_or(0, |used| used.bytes) / packet
        };
        count(last).saturating_sub(count(first)) as f64 / seconds
    };
    let (infrastructure, interrupts) = (part("infrastructure"), of_core(|core| core.interrupt));
    Ok(Run {
        flood,
        victim: part(VICTIM),
        flooded: part(FLOODED),
        infrastructure,
        scheduling: of_core(|core| core.scheduling),
        interrupts,
        idle: of_core(|core| core.idle),
        kept: part(VICTIM) / (0.5 * (1.0 - infrastructure - interrupts)),
        work,
        received: in_a_second("infrastructure", "resource.ndrr")
            + in_a_second(FLOODED, "resource.ndrr"),
        charged: in_a_second(FLOODED, "resource.ndrr").max(in_a_second(FLOODED, "resource.udp")),
    })
}

fn show(runs: &[Run]) -> Result<()> {
    let work = |name: &str| {
        runs.iter()
            .find(|run| run.flood == name)
            .map(|run| run.work)
    };
    let (alone, control) = (work("alone"), work("control"));
    let of = |work: f64, other: Option<f64>| work / other.unwrap_or(work);
    let mut rows = table::table(&[
        "Flood",
        "Victim",
        "Of its share",
        "Work/s, of alone",
        "of control",
        "Flooded",
        "Infrastr.",
        "Decisions",
        "Interrupts",
        "Idle",
        "Packets/s",
        "Charged/s",
        "Verdict",
    ]);
    for run in runs {
        let moved = (of(run.work, control) - 1.0).abs();
        let is_control = matches!(run.flood, "alone" | "control");
        let holds = run.kept >= KEPT && (is_control || moved < MOVES);
        rows.add_row([
            run.flood.to_owned(),
            table::per_cent(run.victim),
            table::per_cent(run.kept),
            format!("{:.4}", of(run.work, alone)),
            format!("{:.4}", of(run.work, control)),
            table::per_cent(run.flooded),
            table::per_cent(run.infrastructure),
            table::per_cent(run.scheduling),
            table::per_cent(run.interrupts),
            table::per_cent(run.idle),
            format!("{:.0}", run.received),
            format!("{:.0}", run.charged),
            table::verdict(holds).to_string(),
        ]);
    }
    writeln!(
        anstream::stdout(),
        "\n{}\n\ntarget: at least {:.0} % of its share, and work for a second of the processor that moves by \
         less than {:.0} % from control\n",
        rows.trim_fmt(),
        KEPT * 100.0,
        MOVES * 100.0,
    )
    .context("cannot print the results")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let run = |work: f64| Run {
            flood: "alone",
            victim: 10.0 - work,
            flooded: 0.0,
            infrastructure: 0.0,
            scheduling: 0.0,
            interrupts: 0.0,
            idle: 0.0,
            kept: 0.0,
            work,
            received: 0.0,
            charged: 0.0,
        };
        let runs = [3.0, 1.0, 9.0].map(run);
        let middle = median(&[&runs[0], &runs[1], &runs[2]]);
        assert!((middle.work - 3.0).abs() < 1e-9 && (middle.victim - 7.0).abs() < 1e-9);
    }

    #[test]
    fn the_victim_says_what_it_has_done() {
        let work = work_in("cpuhog: 3000 rounds in 1.500 s of the processor");
        assert_eq!(work, Some(2000.0));
        assert_eq!(work_in("thread 0: 5 rounds"), None);
    }
}
