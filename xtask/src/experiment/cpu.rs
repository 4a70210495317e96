//! The CPU experiment: section 4.2 and figure 8 of the paper.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;
use xtask::packages::{self, Package};
use xtask::program::{self, Program};
use xtask::ui;

use super::{Common, plot, table, write};
use xtask::samples::{Entitled, Report, Sample, analyse};

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

/// How long the guest may take beyond what it measures.
const PATIENCE: Duration = Duration::from_secs(120);
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
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    packages::require(&[Package::Qemu, Package::Firmware])?;
    let common = &args.common;
    let samples = measure(args)?;
    let all: u32 = common.shares.0.iter().sum();
    let entitled: Vec<Entitled> = (common.shares.0.iter().enumerate())
        .map(|(number, share)| Entitled {
            activity: activity(number, *share),
            share: f64::from(*share) / f64::from(all),
        })
        .collect();
    let report = analyse(&samples, &entitled)?;
    table::print(&report)?;
    if let Some(path) = &common.json {
        let output = Output {
            experiment: "cpu",
            shares: &common.shares.0,
            smp: common.smp,
            timeslice_us: args.timeslice,
            report: &report,
            samples: &samples,
        };
        write(path, &(serde_json::to_string_pretty(&output)? + "\n"))?;
    }
    if let Some(folder) = &common.plot {
        write(&folder.join("cpu.svg"), &plot::utilisation(&report)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Boots the kernel with the experiment's processes, and collects the samples.
fn measure(args: &Args) -> Result<Vec<Sample>> {
    let common = &args.common;
    let mut guest = program::start(&Program {
        configuration: configuration(args),
        smp: common.smp,
        memory: "512M".into(),
        ..Program::default()
    })?;
    let spinner = ui::Spinner::start(&format!("measuring {} s", common.seconds));
    let limit = Duration::from_secs(u64::from(common.seconds + SETTLE)) * 2 + PATIENCE;
    let mut samples = Vec::new();
    let mut last_lines = Vec::new();
    let ended = program::watch(&mut guest, limit, |line| {
        if let Some(sample) = Sample::parse(line) {
            samples.push(sample?);
        } else {
            spinner.detail(line);
            last_lines.push(line.to_owned());
        }
        Ok(())
    })?;
    drop(spinner);
    if ended != 0 || samples.is_empty() {
        let from = last_lines.len().saturating_sub(20);
        bail!(
            "the guest ended with status {ended} and {} samples; its last words:\n{}",
            samples.len(),
            last_lines[from..].join("\n")
        );
    }
    Ok(samples)
}

/// The activity's name.
fn activity(number: usize, share: u32) -> String {
    format!("cpu{number}-{share}")
}

/// As `sched-config/examples/cpu.xml`, with a process for each share, and one that takes samples,
/// which has a small share of its own.
fn configuration(args: &Args) -> String {
    let common = &args.common;
    let shares: Vec<(String, u32)> = (common.shares.0.iter().enumerate())
        .map(|(number, share)| (activity(number, *share), *share))
        .collect();
    let mut xml = String::from("<schedulerconfig>\n");
    // Writing to a string does not fail.
    for (name, share) in &shares {
        let _ = writeln!(
            xml,
            "<activity name=\"{name}\"><weight>{share}</weight></activity>"
        );
    }
    xml.push_str("<activity name=\"sampler\"><weight>5</weight></activity>\n");
    for core in 0..common.smp {
        let _ = writeln!(
            xml,
            "<cpumultiplexor tag=\"cpumux{core}\"><core>{core}</core>\
             <algorithm>propshare.wfq</algorithm></cpumultiplexor>"
        );
    }
    let _ = writeln!(
        xml,
        "<resourcescheduler><resource>resource.thread</resource>\
         <algorithm>propshare.round-robin</algorithm><timeslice>{}</timeslice>\
         <loadsharing><policy>least-bound</policy><ttl>forever</ttl></loadsharing>",
        args.timeslice
    );
    for core in 0..common.smp {
        let _ = writeln!(
            xml,
            "<cpumultiplexor><tag>cpumux{core}</tag><share>100</share></cpumultiplexor>"
        );
    }
    xml.push_str("</resourcescheduler>\n");
    // The hogs outlive the last sample.
    let hog_seconds = common.seconds + 2 * SETTLE + 2;
    for (name, _) in &shares {
        let _ = writeln!(
            xml,
            "<process name=\"{name}\"><path>/bin/cpuhog</path><activity>{name}</activity>\
             <arg>--seconds</arg><arg>{hog_seconds}</arg></process>"
        );
    }
    let _ = writeln!(
        xml,
        "<process name=\"sampler\"><path>/bin/sampler</path><activity>sampler</activity>\
         <arg>--seconds</arg><arg>{}</arg><arg>--settle</arg><arg>{SETTLE}</arg>\
         <right>statistics</right></process>\n\
         </schedulerconfig>",
        common.seconds
    );
    xml
}
