//! `each`: runs commands one after another and prints how each ended. On Vortex they run in an
//! activity of their own, whose memory has to come back.
//!
//! A command is a line of words: `+rights` (all rights of the caller's), then `NAME=VALUE` for each
//! variable, then the program and its arguments. The same lines come out on Linux and on Vortex,
//! except for the last, about memory, which is told on Vortex only.
#![forbid(unsafe_code)]

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::process::{Pid, WaitOptions, waitpid};
use vortex::abi::rights;
use vortex::abi::snapshot::{Memory, Resource};
use vortex::activity::{self, Activity};
use vortex::{Scope, Snapshot, Spawn};

/// How long the kernel may take to get the memory of a process back after its end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Run commands one after another, and print how each ended
#[derive(Parser)]
struct Args {
    /// A file with a command on each line
    file: String,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("each: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<()> {
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| io::Error::other(format!("{}: {error}", args.file)))?;
    let mut account = match activity::create("commands", 1000) {
        Ok(activity) => Some(Account { activity, most: 0 }),
        Err(error) if vortex::is_unsupported(&error) => None,
        Err(error) => return Err(error),
    };
    for line in text.lines() {
        let ended = Line::parse(line)
            .ok_or_else(|| io::Error::other("expected a program"))
            .and_then(|line| match &mut account {
                Some(account) => line.run_in(account),
                None => line.run_here(),
            });
        match ended {
            Ok(ended) => println!("== {line}: {ended}"),
            Err(error) => println!("== {line}: {error}"),
        }
        if let Some(account) = &account {
            account.expect_all_back(line)?;
        }
    }
    if let Some(account) = account {
        println!("== memory is back, of {} bytes at most", account.most);
    }
    Ok(())
}

/// The activity of the commands.
struct Account {
    activity: Activity,
    /// The most that it has been seen to hold.
    most: u64,
}

impl Account {
    /// Bytes that the activity holds, without pages of files: those stay in memory for the next one
    /// who wants them, until somebody needs the room.
    fn held(&self) -> io::Result<u64> {
        let snapshot = Snapshot::take(Scope::All)?;
        let reader = snapshot.reader()?;
        let cached: Vec<u64> = reader
            .records::<Resource>()
            .filter(|resource| resource.name.as_str() == "resource.executable")
            .map(|resource| resource.resource)
            .collect();
        let held = reader
            .records::<Memory>()
            .filter(|memory| memory.activity == self.activity.0)
            .filter(|memory| memory.resource != u64::MAX && !cached.contains(&memory.resource))
            .map(|memory| memory.held)
            .sum();
        Ok(held)
    }

    fn expect_all_back(&self, line: &str) -> io::Result<()> {
        let since = Instant::now();
        loop {
            match self.held()? {
                0 => return Ok(()),
                held if since.elapsed() > PATIENCE => {
                    println!("== {line}: {held} bytes have not come back");
                    return Ok(());
                }
                _ => thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

/// A command.
struct Line<'a> {
    rights: bool,
    variables: Vec<(&'a str, &'a str)>,
    program: &'a str,
    arguments: Vec<&'a str>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_whitespace().peekable();
        let rights = words.next_if_eq(&"+rights").is_some();
        let mut variables = Vec::new();
        while let Some(variable) = words.peek().and_then(|word| word.split_once('=')) {
            variables.push(variable);
            words.next();
        }
        Some(Self {
            rights,
            variables,
            program: words.next()?,
            arguments: words.collect(),
        })
    }

    fn run_in(&self, account: &mut Account) -> io::Result<String> {
        let mut spawn = Spawn::new(self.program)?;
        for argument in &self.arguments {
            spawn.argument(argument)?;
        }
        for (name, value) in &self.variables {
            spawn.variable(name, value)?;
        }
        if self.rights {
            spawn.rights(
                rights::STATISTICS | rights::WEIGHTS | rights::ACTIVITIES | rights::SIGNALS,
            );
        }
        let process = spawn.activity(account.activity).start()?;
        account.most = account.most.max(account.held()?);
        let process = i32::try_from(process).ok().and_then(Pid::from_raw);
        let waited = waitpid(process, WaitOptions::empty())?;
        Ok(waited.map_or_else(String::new, |(_, ended)| {
            describe(ended.exit_status(), ended.terminating_signal())
        }))
    }

    fn run_here(&self) -> io::Result<String> {
        let ended = Command::new(self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(self.variables.iter().copied())
            .status()?;
        Ok(describe(ended.code(), ended.signal()))
    }
}

fn describe(status: Option<i32>, signal: Option<i32>) -> String {
    match (status, signal) {
        (Some(status), _) => format!("status {status}"),
        (_, Some(signal)) => format!("signal {signal}"),
        (None, None) => "neither ended nor killed".into(),
    }
}
