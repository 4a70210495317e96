//! `cases`: runs everything that a test program can do, each in a process of its own, and prints how
//! each ended. The same lines come out on Linux and on Vortex.
#![forbid(unsafe_code)]

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use clap::Parser;
use rustix::process::{Pid, WaitOptions, waitpid};
use vortex::Spawn;

/// Run the cases of a test program, each in a process, and print how each ended
#[derive(Parser)]
struct Args {
    /// The test program; it takes the name of a case
    program: String,
    /// The cases
    #[arg(required = true)]
    cases: Vec<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut status = ExitCode::SUCCESS;
    for case in &args.cases {
        match run(&args.program, case) {
            Ok(ended) => println!("case {case}: {ended}"),
            Err(error) => {
                println!("case {case}: cannot be run: {error}");
                status = ExitCode::FAILURE;
            }
        }
    }
    println!("cases end");
    status
}

fn run(program: &str, case: &str) -> io::Result<String> {
    match Spawn::new(program)?.argument(case)?.start() {
        Ok(process) => {
            let process = i32::try_from(process).ok().and_then(Pid::from_raw);
            let waited = waitpid(process, WaitOptions::empty())?;
            let (status, signal) = waited.map_or((None, None), |(_, ended)| {
                (ended.exit_status(), ended.terminating_signal())
            });
            Ok(describe(status, signal))
        }
        Err(error) if vortex::is_unsupported(&error) => {
            let ended = Command::new(program).arg(case).status()?;
            Ok(describe(ended.code(), ended.signal()))
        }
        Err(error) => Err(error),
    }
}

fn describe(status: Option<i32>, signal: Option<i32>) -> String {
    match (status, signal) {
        (Some(status), _) => format!("status {status}"),
        (_, Some(signal)) => format!("signal {signal}"),
        (None, None) => "neither ended nor killed".into(),
    }
}
