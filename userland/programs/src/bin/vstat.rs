//! `vstat`: who uses what, from the kernel's statistics.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;
use vortex::abi::snapshot::{
    Account, Core, Counter, Memory, Process, Reader, Resource, UnknownCall,
};
use vortex::{Scope, Snapshot};
use vortex_programs::shares::activity_names;

/// Print the statistics of the machine
#[derive(Parser)]
struct Args {
    /// Only of one's own activity; needs no right
    #[arg(long)]
    own: bool,
    /// Again every second, so many times; the first shows everything since boot
    #[arg(long, value_name = "TIMES", default_value_t = 1)]
    times: u32,
    /// Once a second and for ever, a line for each activity: its processor time, and the bytes that it
    /// has put on the network
    #[arg(long, conflicts_with = "times")]
    brief: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if vortex::is_unsupported(&error) => {
            eprintln!("vstat: this kernel has no such statistics; it is not Vortex");
            ExitCode::FAILURE
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            eprintln!("vstat: not allowed to read everybody's statistics; try --own");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("vstat: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<()> {
    let scope = if args.own { Scope::Own } else { Scope::All };
    let mut before = Totals::default();
    if args.brief {
        loop {
            thread::sleep(Duration::from_secs(1));
            let snapshot = Snapshot::take(scope)?;
            let reader = snapshot.reader()?;
            let now = Totals::of(&reader);
            print_brief(&reader, &now, &before);
            before = now;
        }
    }
    for time in 0..args.times {
        if time > 0 {
            thread::sleep(Duration::from_secs(1));
        }
        let snapshot = Snapshot::take(scope)?;
        let reader = snapshot.reader()?;
        let now = Totals::of(&reader);
        print_cores(&now, &before);
        print_accounts(&reader, &now, &before);
        print_rest(&reader);
        before = now;
    }
    Ok(())
}

/// What has been used since boot.
#[derive(Default)]
struct Totals {
    cores: BTreeMap<u64, Core>,
    accounts: BTreeMap<(u64, u64), (u64, u64, u64)>,
}

impl Totals {
    fn of(reader: &Reader<'_>) -> Self {
        let mut totals = Self::default();
        totals
            .cores
            .extend(reader.records::<Core>().map(|core| (core.core, core)));
        for account in reader.records::<Account>() {
            let key = (account.resource, account.activity);
            let sum = totals.accounts.entry(key).or_default();
            sum.0 += account.cycles;
            sum.1 += account.requests;
            sum.2 += account.bytes;
        }
        totals
    }

    fn elapsed(&self) -> u64 {
        self.cores.values().map(|core| core.elapsed).sum()
    }
}

#[expect(clippy::cast_precision_loss, reason = "percentages need no 53 bits")]
fn per_cent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

fn print_cores(now: &Totals, before: &Totals) {
    println!("core  activities  scheduling  interrupts    idle  in no account");
    for (number, core) in &now.cores {
        let old = before.cores.get(number);
        let since = |field: fn(&Core) -> u64| field(core) - old.map_or(0, field);
        let elapsed = since(|core| core.elapsed);
        let share = |field| per_cent(since(field), elapsed);
        println!(
            "{number:>4}  {:>8.2} %  {:>8.2} %  {:>8.2} %  {:>4.1} %  {} cycles",
            share(|core| core.attributed),
            share(|core| core.scheduling),
            share(|core| core.interrupt),
            share(|core| core.idle),
            core.unaccounted() - old.map_or(0, Core::unaccounted),
        );
    }
}

fn print_accounts(reader: &Reader<'_>, now: &Totals, before: &Totals) {
    let names = activity_names(reader);
    let resources: BTreeMap<u64, _> = reader
        .records::<Resource>()
        .map(|resource| (resource.resource, resource.name))
        .collect();
    let elapsed = now.elapsed() - before.elapsed();
    println!("\nactivity             resource                 of all CPU    requests       bytes");
    for (key, (cycles, requests, bytes)) in &now.accounts {
        let old = before.accounts.get(key).copied().unwrap_or_default();
        if *requests == old.1 && *cycles == old.0 {
            continue;
        }
        println!(
            "{:<20} {:<24} {:>8.3} %  {:>10}  {:>10}",
            names.get(&key.1).map_or("?", String::as_str),
            resources.get(&key.0).copied().unwrap_or_default(),
            per_cent(cycles - old.0, elapsed),
            requests - old.1,
            bytes - old.2,
        );
    }
}

/// A line for each activity, and one for what nobody has used.
fn print_brief(reader: &Reader<'_>, now: &Totals, before: &Totals) {
    let is_write = |resource: &Resource| resource.name.as_str() == "resource.dwr";
    let writers: Vec<u64> = (reader.records::<Resource>())
        .filter(is_write)
        .map(|resource| resource.resource)
        .collect();
    let elapsed = now.elapsed() - before.elapsed();
    println!("activity              of all CPU     sent, MB");
    for (activity, name) in activity_names(reader) {
        let (mut cycles, mut bytes) = (0, 0);
        for (key, (used, _, moved)) in &now.accounts {
            if key.1 != activity {
                continue;
            }
            let old = before.accounts.get(key).copied().unwrap_or_default();
            cycles += used - old.0;
            bytes += if writers.contains(&key.0) {
                moved - old.2
            } else {
                0
            };
        }
        println!(
            "{name:<20} {:>10.2} %  {:>10.3}",
            per_cent(cycles, elapsed),
            bytes as f64 / 1e6
        );
    }
    let of_cores = |field: fn(&Core) -> u64| -> u64 {
        let old = |number| before.cores.get(number).map_or(0, field);
        now.cores
            .iter()
            .map(|(number, core)| field(core) - old(number))
            .sum()
    };
    let scheduling = per_cent(of_cores(|core| core.scheduling), elapsed);
    let idle = per_cent(of_cores(|core| core.idle), elapsed);
    println!(
        "{:<20} {scheduling:>10.2} %\n{:<20} {idle:>10.2} %\n",
        "(scheduling)", "(idle)"
    );
}

fn print_rest(reader: &Reader<'_>) {
    let names = activity_names(reader);
    println!("\nactivity             memory held");
    for memory in reader.records::<Memory>() {
        if memory.resource == u64::MAX {
            let name = names.get(&memory.activity).map_or("?", String::as_str);
            println!("{name:<20} {:>8} KiB", memory.held / 1024);
        }
    }
    println!("\nprocess  activity             threads   resident  name");
    for process in reader.records::<Process>() {
        println!(
            "{:>7}  {:<20} {:>7}  {:>5} KiB  {}",
            process.process,
            names.get(&process.activity).map_or("?", String::as_str),
            process.threads,
            process.resident / 1024,
            process.name,
        );
    }
    for call in reader.records::<UnknownCall>() {
        println!(
            "process {} called {} times what there is not: call {}",
            call.process, call.count, call.number
        );
    }
    let counters = reader.records::<Counter>();
    let mut counters = counters.filter(|counter| counter.value > 0).peekable();
    if counters.peek().is_some() {
        println!("\ncounted                        number");
    }
    for counter in counters {
        println!("{:<26} {:>10}", counter.name, counter.value);
    }
    println!();
}
