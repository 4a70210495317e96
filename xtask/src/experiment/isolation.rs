//! The isolation experiment: a web server beside all kinds of neighbours.
//!
//! The victim serves a small page on a few connections, at a rate that takes less than what it is
//! entitled to: so it is to serve as many requests beside any neighbour as alone, about as fast. Each
//! neighbour is in an activity of equal weight, in a guest of its own, in which the victim is alone and beside
//! it in turn, for some seconds each: a minute in which the host is slow hits both alike.
//!
//! [`antagonists`] has the neighbours, [`guest`] one run, [`served`] what came of it, [`compared`] what to
//! compare with.

mod antagonists;
mod compared;
mod guest;
mod served;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use xtask::linux::Linux;
use xtask::packages::{self, Package};
use xtask::samples::{CoreSample, Sample};
use xtask::ui;

use self::antagonists::Antagonist;
use self::guest::{ANTAGONIST, System, VICTIM};
use self::served::Served;
use super::web::Nic;
use super::{baseline, table, write};
use crate::bench::Baseline;

/// A web server beside each of many unpleasant neighbours: what it keeps, and who pays
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The number of processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// How long to measure, for each neighbour: as long alone as beside it, in turn, in rounds of 4 s
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u32).range(4..=3600))]
    seconds: u32,
    /// Only beside these; all but stress-ng without it
    #[arg(long = "beside", value_name = "NAME,…", value_delimiter = ',')]
    beside: Vec<Antagonist>,
    /// Requests that the victim is asked for in a second
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Connections of the victim's clients
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// Datagrams in a second, where they flood
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    packets: u32,
    /// The network card
    #[arg(long, value_enum, default_value_t = Nic::VirtioNet)]
    nic: Nic,
    /// What the disk reads and writes in a second at the most; without it, as fast as the host
    #[arg(long, value_name = "MB/s", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    disk_rate: Option<u32>,
    /// Write the results to this file
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
    /// Draw a picture of the comparison into this folder
    #[arg(long, value_name = "DIR", requires = "baseline")]
    plot: Option<PathBuf>,
    /// Compare with another system: the same victim and neighbours in the same QEMU
    #[arg(long)]
    baseline: Option<Baseline>,
}

/// What the victim keeps at least of its throughput, and how much its 99th percentile may grow.
const KEPT: f64 = 0.95;
const SLOWER: f64 = 1.5;

/// What came of the runs on one system.
#[derive(Deserialize, Serialize)]
pub(crate) struct Of {
    pub(crate) system: String,
    pub(crate) runs: Vec<Run>,
}

/// What came of a run, beside somebody.
#[derive(Deserialize, Serialize)]
pub(crate) struct Run {
    pub(crate) beside: String,
    /// While it rests; where it is packets, they end outside of the guest meanwhile.
    pub(crate) alone: Served,
    pub(crate) served: Served,
    /// Requests in a second, and the 99th percentile, as parts of those alone.
    pub(crate) kept: f64,
    pub(crate) p99_of_alone: f64,
    /// Where all cores' time went, as parts of it: activities by name, and what is no activity's.
    cycles: BTreeMap<String, f64>,
}

impl Run {
    /// Whether the victim has kept what it is to keep.
    fn holds(&self) -> bool {
        self.kept >= KEPT && self.p99_of_alone < SLOWER && self.served.failed == 0
    }
}

/// All of it, as JSON.
#[derive(Serialize)]
struct Results {
    experiment: &'static str,
    smp: u32,
    seconds: u32,
    rate: u32,
    packets: u32,
    /// Of the disk, in MB/s.
    disk_rate: Option<u32>,
    /// Vortex, then what it is compared with.
    systems: Vec<Of>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    packages::require(&[Package::Qemu, Package::Firmware])?;
    let chosen: &[Antagonist] = match args.beside.as_slice() {
        [] => &Antagonist::ALL,
        some => some,
    };
    let mut systems = vec![of(args, chosen, System::Vortex)?];
    show(&systems[0].runs)?;
    if args.baseline.is_some() {
        let linux = of(args, chosen, System::Linux)?;
        show(&linux.runs)?;
        systems.push(linux);
        compared::show(&systems)?;
    }
    if let Some(folder) = &args.plot {
        let picture = compared::picture(&systems)?;
        write(&folder.join("isolation-baseline.svg"), &picture)?;
    }
    if let Some(path) = &args.json {
        let results = Results {
            experiment: "isolation",
            smp: args.smp,
            seconds: args.seconds,
            rate: args.rate,
            packets: args.packets,
            disk_rate: args.disk_rate,
            systems,
        };
        write(path, &(serde_json::to_string_pretty(&results)? + "\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the victim beside each of these on a system.
fn of(args: &Args, chosen: &[Antagonist], system: System) -> Result<Of> {
    let name = match system {
        System::Vortex => "Vortex".into(),
        System::Linux => baseline::name(&Linux::fetch()?.version),
    };
    let mut runs: Vec<Run> = Vec::new();
    for &antagonist in chosen {
        let beside = antagonist.name();
        ui::header(&format!("the victim on {name}, and {beside}"));
        let outcome = guest::run(args, antagonist, system)
            .with_context(|| format!("the victim beside {beside}"))?;
        let (alone, served) = (outcome.alone, outcome.beside);
        runs.push(Run {
            kept: served.rate() / alone.rate().max(f64::MIN_POSITIVE),
            p99_of_alone: served.p99_us / alone.p99_us.max(f64::MIN_POSITIVE),
            beside,
            alone,
            served,
            cycles: cycles(&outcome.samples)?,
        });
    }
    Ok(Of { system: name, runs })
}

/// Where all cores' time went in all rounds, in each from its first sample to its last, as parts of it.
fn cycles(rounds: &[Vec<Sample>]) -> Result<BTreeMap<String, f64>> {
    let mut used: BTreeMap<String, u64> = BTreeMap::new();
    let mut elapsed = 0;
    for round in rounds {
        let (Some(first), Some(last)) = (round.first(), round.last()) else {
            continue;
        };
        let cores = || first.cores.iter().zip(&last.cores);
        let all = |count: fn(&CoreSample) -> u64| -> u64 {
            cores().map(|(from, to)| count(to) - count(from)).sum()
        };
        elapsed += all(|core| core.elapsed);
        let of_activities = last.activities.iter().map(|activity| {
            let name = activity.name.as_str();
            let before = first.all_cycles(name);
            (name, last.all_cycles(name).saturating_sub(before))
        });
        let of_nobody = [
            (SCHEDULING, all(|core| core.scheduling)),
            (INTERRUPTS, all(|core| core.interrupt)),
            (IDLE, all(|core| core.idle)),
        ];
        for (name, cycles) in of_activities.chain(of_nobody) {
            *used.entry(name.to_owned()).or_default() += cycles;
        }
    }
    ensure!(elapsed > 0, "the guest has sent no two samples in a round");
    let part = |(name, cycles): (String, u64)| (name, cycles as f64 / elapsed as f64);
    Ok(used.into_iter().map(part).collect())
}

/// What is no activity's.
const SCHEDULING: &str = "(scheduling)";
const INTERRUPTS: &str = "(interrupts)";
const IDLE: &str = "(idle)";

fn show(runs: &[Run]) -> Result<()> {
    let mut served = table::table(&[
        "Beside",
        "Requests/s",
        "Kept",
        "Failed",
        "p50, ms",
        "alone",
        "p99, ms",
        "alone",
        "p99.9, ms",
        "alone",
        "p99 of alone",
        "Verdict",
    ]);
    for run in runs {
        let ms = |us: f64| format!("{:.2}", us / 1000.0);
        served.add_row([
            run.beside.clone(),
            format!("{:.1}", run.served.rate()),
            format!("{:.1} %", run.kept * 100.0),
            run.served.failed.to_string(),
            ms(run.served.p50_us),
            ms(run.alone.p50_us),
            ms(run.served.p99_us),
            ms(run.alone.p99_us),
            ms(run.served.p999_us),
            ms(run.alone.p999_us),
            format!("{:.2}", run.p99_of_alone),
            table::verdict(run.holds()).to_string(),
        ]);
    }
    let columns = [
        VICTIM,
        ANTAGONIST,
        "infrastructure",
        SCHEDULING,
        INTERRUPTS,
        "sampler",
        IDLE,
    ];
    let header: Vec<&str> = std::iter::once("Beside").chain(columns).collect();
    let mut cycles = table::table(&header);
    for run in runs {
        let part = |name: &str| table::per_cent(run.cycles.get(name).copied().unwrap_or_default());
        cycles.add_row(std::iter::once(run.beside.clone()).chain(columns.map(part)));
    }
    writeln!(
        anstream::stdout(),
        "\n{}\n\n{}\n\ntarget: at least {:.0} % of the throughput, and a 99th percentile under {SLOWER} of that alone\n",
        served.trim_fmt(),
        cycles.trim_fmt(),
        KEPT * 100.0,
    )
    .context("cannot print the results")
}

#[cfg(test)]
mod tests {
    use xtask::samples::ActivitySample;

    use super::*;

    /// What one core and one activity have used since boot.
    pub(super) fn sample(name: &str, elapsed: u64, idle: u64, cycles: u64) -> Sample {
        let core = CoreSample {
            elapsed,
            scheduling: 0,
            interrupt: 0,
            idle,
            unaccounted: 0,
        };
        let activity = ActivitySample {
            name: name.into(),
            cycles: vec![cycles],
            waiting: Vec::new(),
            resources: BTreeMap::new(),
        };
        Sample {
            at: elapsed,
            hertz: 1,
            cores: vec![core],
            activities: vec![activity],
            counters: BTreeMap::new(),
        }
    }

    #[test]
    fn cycles_are_those_of_the_rounds_and_not_of_the_time_between() {
        let rounds = [
            vec![
                sample(VICTIM, 100, 50, 10),
                sample(VICTIM, 150, 60, 30),
                sample(VICTIM, 200, 90, 40),
            ],
            vec![sample(VICTIM, 5000, 4000, 40)],
            vec![],
            vec![
                sample(VICTIM, 9000, 8000, 1000),
                sample(VICTIM, 9300, 8200, 1090),
            ],
        ];
        let parts = cycles(&rounds).unwrap();
        assert_eq!(
            (parts[VICTIM], parts[IDLE], parts[SCHEDULING]),
            (0.3, 0.6, 0.0)
        );
        assert!(cycles(&rounds[1..3]).is_err());
    }
}
