//! `vctl`: what activities are to the system, changed while it runs.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Parser;
use vortex::{Scope, Snapshot};
use vortex_statsd::Statistics;
use vortex_statsd::control::{Command, Failure};

/// Change what activities get while the system runs
#[derive(Parser)]
#[command(version)]
enum Args {
    /// Show the activities: weights, memory, processes; and the resources by name
    List,
    #[command(flatten)]
    Change(Command),
}

fn main() -> ExitCode {
    let result = match Args::parse() {
        Args::List => list(),
        Args::Change(command) => change(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Other(error)) if vortex::is_unsupported(&error) => {
            eprintln!("vctl: this kernel has no activities; it is not Vortex");
            ExitCode::FAILURE
        }
        Err(failure) => {
            eprintln!("vctl: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn change(command: &Command) -> Result<(), Failure> {
    let result = command.perform()?;
    match command {
        Command::Create { .. } => println!("activity {result}"),
        Command::Evict { .. } => println!("{result} pages given back"),
        _ => {}
    }
    Ok(())
}

fn list() -> Result<(), Failure> {
    let snapshot = Snapshot::take(Scope::All).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => Failure::Forbidden(
            "not allowed to see all activities: it needs `<right>statistics</right>`".to_owned(),
        ),
        _ => Failure::Other(error),
    })?;
    let reader = snapshot.reader().map_err(Failure::Other)?;
    let statistics = Statistics::of(&reader);
    let memory: BTreeMap<&str, (u64, Option<u64>)> = (statistics.memory.iter())
        .filter(|held| held.resource.is_none())
        .map(|held| (held.activity.as_str(), (held.held, held.budget)))
        .collect();
    println!("number  activity                  weight  memory, KiB  at most, KiB  processes");
    for activity in &statistics.activities {
        let (held, budget) = memory
            .get(activity.name.as_str())
            .copied()
            .unwrap_or_default();
        let budget = budget.map_or_else(|| "-".to_owned(), |bytes| (bytes / 1024).to_string());
        let processes: Vec<_> = (statistics.processes.iter())
            .filter(|process| process.activity == activity.name)
            .map(|process| format!("{} {}", process.process, process.name))
            .collect();
        println!(
            "{:>6}  {:<20} {:>7}.{:03}  {:>11}  {budget:>12}  {}{}",
            activity.activity,
            activity.name,
            activity.weight / 1000,
            activity.weight % 1000,
            held / 1024,
            processes.join(", "),
            if activity.suspended {
                " (suspended)"
            } else {
                ""
            },
        );
    }
    let mut resources: Vec<_> = (statistics.accounts.iter())
        .map(|account| account.resource.as_str())
        .collect();
    resources.sort_unstable();
    resources.dedup();
    println!("\nresources: {}", resources.join(", "));
    Ok(())
}
