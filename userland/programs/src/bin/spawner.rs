//! `spawner`: the first process. Starts what the configuration lists, and waits for all of it.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;

use clap::Parser;
use rustix::process::{WaitOptions, wait};
use vortex::abi::rights;
use vortex::{Spawn, activity};
use vortex_programs::configuration;
use vortex_sched_config::value::Right;
use vortex_sched_config::{Plan, ProcessPlan};

/// Start the processes that the configuration lists, and wait until all of them have ended
///
/// Ends with the status of the first one that failed.
#[derive(Parser)]
struct Args {
    /// The configuration
    #[arg(default_value = configuration::FILE)]
    file: String,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("spawner: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<u8> {
    let plan = configuration::load(&args.file)?;
    let mut running = BTreeMap::new();
    let mut status = 0;
    for process in &plan.processes {
        match start(&plan, process) {
            Ok(id) => {
                running.insert(id, process);
            }
            Err(error) => {
                eprintln!("spawner: {} ({}): {error}", process.name, process.path);
                if status == 0 {
                    status = status_of(&error);
                }
            }
        }
    }
    while !running.is_empty() {
        // Orphans of others come here, too; they need no more than to be waited for.
        let Some((id, ended)) = wait(WaitOptions::empty())? else {
            continue;
        };
        let Some(process) = running.remove(&id.as_raw_nonzero().get().cast_unsigned()) else {
            continue;
        };
        let (name, path) = (&process.name, &process.path);
        let code = match (ended.exit_status(), ended.terminating_signal()) {
            (Some(0), _) | (None, None) => 0,
            (Some(code), _) => {
                eprintln!("spawner: {name} ({path}) exited with status {code}");
                u8::try_from(code).unwrap_or(u8::MAX)
            }
            (None, Some(signal)) => {
                eprintln!("spawner: {name} ({path}) killed by signal {signal}");
                u8::try_from(128 + signal).unwrap_or(u8::MAX)
            }
        };
        if status == 0 {
            status = code;
        }
    }
    Ok(status)
}

/// What a shell ends with when a program cannot be started: 127 if there is none, else 126.
fn status_of(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::NotFound => 127,
        _ => 126,
    }
}

fn start(plan: &Plan, process: &ProcessPlan) -> io::Result<u32> {
    let mut spawn = Spawn::new(&process.path)?;
    for argument in &process.args {
        spawn.argument(argument)?;
    }
    for variable in &process.env {
        spawn.variable(&variable.name, &variable.value)?;
    }
    let name = &plan.activities[process.activity.0].name;
    spawn.activity(activity::find(name)?);
    let bit = |right: &Right| match right {
        Right::Statistics => rights::STATISTICS,
        Right::Weights => rights::WEIGHTS,
        Right::Activities => rights::ACTIVITIES,
        Right::Signals => rights::SIGNALS,
    };
    spawn.rights(process.rights.iter().map(bit).fold(0, |all, bit| all | bit));
    spawn.start()
}
