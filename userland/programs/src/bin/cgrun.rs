//! `cgrun`: what `spawner` is on Vortex, on Linux. Starts what the configuration lists, each activity's
//! processes in a control group of its own.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::process::{Command, ExitCode};

use clap::Parser;
use rustix::process::{WaitOptions, WaitStatus, wait};
use rustix::system::{RebootCommand, reboot};
use vortex_programs::cgroups::{self, Group};
use vortex_programs::configuration;
use vortex_sched_config::value::Share;
use vortex_sched_config::{ActivityPlan, Plan, ProcessPlan};

/// Make a control group (version 2) for each activity of the configuration, with its weight for
/// processors and disks and its memory, and start the configuration's processes in them
///
/// `sampler` is replaced by `cgsampler`. How a process has failed is told in `spawner`'s words. As the
/// first process, ends the system when all of them have.
#[derive(Parser)]
struct Args {
    /// The configuration
    #[arg(default_value = configuration::FILE)]
    file: String,
}

/// The number of the system's first process.
const FIRST: u32 = 1;
/// What is governed by groups.
const CONTROLLERS: [&str; 3] = ["cpu", "io", "memory"];
/// The largest weights for processors and for disks.
const MAX_CPU: u32 = 10_000;
const MAX_DISK: u32 = 1000;
/// The program that reads Vortex's statistics, and what takes its place.
const SAMPLERS: (&str, &str) = ("/bin/sampler", "/bin/cgsampler");

fn main() -> ExitCode {
    let status = match run(&Args::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("cgrun: {error}");
            ExitCode::FAILURE
        }
    };
    if std::process::id() == FIRST {
        // Without its first process Linux panics, and shows no more of what was said.
        let _ = reboot(RebootCommand::PowerOff);
    }
    status
}

fn run(args: &Args) -> io::Result<u8> {
    let plan = configuration::load(&args.file)?;
    cgroups::enable(&CONTROLLERS)?;
    let groups = plan.activities.iter().map(make);
    let groups: Vec<Group> = groups.collect::<io::Result<_>>()?;
    let mut running = BTreeMap::new();
    for process in &plan.processes {
        let id = start(&plan, process, &groups)
            .map_err(|error| io::Error::other(format!("{}: {error}", process.path)))?;
        running.insert(id, process);
    }
    let mut first = 0;
    while !running.is_empty() {
        let Some((id, ended)) = wait(WaitOptions::empty())? else {
            continue;
        };
        let Some(process) = running.remove(&id.as_raw_nonzero().get().cast_unsigned()) else {
            continue;
        };
        let (how, status) = told(ended);
        if status != 0 {
            eprintln!("spawner: {} ({}) {how}", process.name, process.path);
        }
        if first == 0 {
            first = status;
        }
    }
    Ok(first)
}

/// How a process has ended, in words and as a shell has it.
fn told(ended: WaitStatus) -> (String, u8) {
    let code = |status: i32| u8::try_from(status).unwrap_or(u8::MAX);
    match (ended.exit_status(), ended.terminating_signal()) {
        (None, Some(signal)) => (format!("killed by signal {signal}"), code(128 + signal)),
        (status, _) => {
            let status = code(status.unwrap_or(0));
            (format!("exited with status {status}"), status)
        }
    }
}

/// The group of an activity.
fn make(activity: &ActivityPlan) -> io::Result<Group> {
    let group = Group::create(&activity.name)?;
    let weight = |most| weight(activity.weight, most).map(|weight| weight.to_string());
    group.set("cpu.weight", &weight(MAX_CPU)?)?;
    // There when a disk is scheduled by BFQ (Documentation/block/bfq-iosched.rst).
    for attribute in ["io.bfq.weight", "io.weight"] {
        if group.has(attribute) {
            group.set(attribute, &weight(MAX_DISK)?)?;
        }
    }
    if let Some(memory) = activity.memory {
        group.set("memory.max", &memory.get().to_string())?;
    }
    if let Some(cpu) = activity.cpu {
        let limit = format!("{} {}", cpu.time.get(), cpu.period.get());
        group.set("cpu.max", &limit)?;
    }
    Ok(group)
}

/// A weight as groups have it: a whole number from 1. Another one is refused, since shares would not be
/// those of the configuration.
fn weight(share: Share, most: u32) -> io::Result<u32> {
    let thousandths = share.thousandths();
    let weight = thousandths / 1000;
    if !thousandths.is_multiple_of(1000) || !(1..=most).contains(&weight) {
        let text =
            format!("the weight {share}: control groups take whole numbers from 1 to {most}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(weight)
}

/// Starts a process in its activity's group.
fn start(plan: &Plan, process: &ProcessPlan, groups: &[Group]) -> io::Result<u32> {
    let name = &plan.activities[process.activity.0].name;
    let group = groups.iter().find(|group| group.name() == name);
    let group = group.ok_or_else(|| io::Error::other(format!("{name} has no group")))?;
    let path = match process.path.as_str() {
        path if path == SAMPLERS.0 => SAMPLERS.1,
        path => path,
    };
    let mut command = Command::new(path);
    command.args(&process.args);
    let variables = process.env.iter();
    command.envs(variables.map(|variable| (&variable.name, &variable.value)));
    // A process begins where its parent is.
    group.enter()?;
    let started = command.spawn();
    cgroups::leave()?;
    started.map(|child| child.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_that_groups_cannot_have_are_refused() {
        let of = |thousandths, most| {
            let share = Share::from_thousandths(thousandths).unwrap();
            weight(share, most).ok()
        };
        assert_eq!(of(50_000, MAX_DISK), Some(50));
        assert_eq!(of(1_000_000, MAX_DISK), Some(1000));
        assert_eq!(of(1_001_000, MAX_DISK), None);
        assert_eq!(of(1_001_000, MAX_CPU), Some(1001));
        assert_eq!(of(33_300, MAX_CPU), None);
        assert_eq!(of(500, MAX_CPU), None);
    }
}
