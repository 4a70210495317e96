//! `sampler`: statistics for an experiment, one line of JSON a second.
//!
//! `cgsampler` is its counterpart on Linux.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;

use clap::Parser;
use serde_json::{Value, json};
use vortex::abi::Name;
use vortex::abi::snapshot::{Account, BUCKETS, Core, Counter, Reader, Resource};
use vortex::{Scope, Snapshot, activity};
use vortex_programs::sampling::Pace;
use vortex_programs::shares::{activity_names, cycles_by_activity};

/// Take a sample of everybody's CPU time every second, and print all at the end
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    pace: Pace,
    /// After so many samples, give an activity so many thousandths of weight:
    /// SAMPLE:ACTIVITY:WEIGHT
    #[arg(long, value_parser = parse_change)]
    set: Vec<Change>,
    /// Also say how long requests to this resource have waited, by activity
    #[arg(long, value_name = "RESOURCE")]
    waiting: Option<String>,
    /// Also say what each activity has used of each resource, and what is counted for the whole machine
    #[arg(long)]
    resources: bool,
}

/// A change of a weight.
#[derive(Clone)]
struct Change {
    after: usize,
    activity: String,
    weight: u64,
}

fn parse_change(text: &str) -> Result<Change, String> {
    let expected = || format!("`{text}`: expected SAMPLE:ACTIVITY:WEIGHT, such as 5:cpu50:100000");
    let mut parts = text.split(':');
    let (Some(after), Some(activity), Some(weight), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(expected());
    };
    Ok(Change {
        after: after.parse().map_err(|_| expected())?,
        activity: activity.to_owned(),
        weight: weight.parse().map_err(|_| expected())?,
    })
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sampler: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<()> {
    let mut snapshot = Snapshot::default();
    args.pace.run(|sample| {
        snapshot.take_again(Scope::All)?;
        let line = line(&snapshot.reader()?, args);
        for change in args.set.iter().filter(|change| change.after == sample) {
            activity::set(activity::find(&change.activity)?, None, change.weight, None)?;
        }
        Ok(line)
    })
}

/// A snapshot as JSON: the time, each core's ledger, each activity's cycles on each core, and what
/// else was asked for.
fn line(reader: &Reader<'_>, args: &Args) -> Value {
    let header = reader.header();
    let cores: Vec<Value> = reader
        .records::<Core>()
        .map(|core| {
            json!({
                "core": core.core,
                "elapsed": core.elapsed,
                "attributed": core.attributed,
                "scheduling": core.scheduling,
                "interrupt": core.interrupt,
                "idle": core.idle,
                "unaccounted": core.unaccounted(),
            })
        })
        .collect();
    let cycles = cycles_by_activity(reader);
    let activities: Vec<Value> = activity_names(reader)
        .into_iter()
        .map(|(activity, name)| {
            let on_core = |core: usize| cycles.get(&(activity, core as u64)).copied();
            let by_core: Vec<u64> = (0..cores.len())
                .map(|core| on_core(core).unwrap_or(0))
                .collect();
            let mut record = json!({ "name": name, "cycles": by_core });
            if let Some(resource) = &args.waiting {
                record["waiting"] = json!(waiting_of(reader, resource, activity));
            }
            if args.resources {
                record["resources"] = resources_of(reader, activity);
            }
            record
        })
        .collect();
    let mut line = json!({
        "at": header.taken_at,
        "hertz": header.hertz,
        "cores": cores,
        "activities": activities,
    });
    if args.resources {
        let counters = reader.records::<Counter>();
        let named = counters.map(|one| (one.name.as_str().to_owned(), json!(one.value)));
        line["counters"] = named.collect::<serde_json::Map<_, _>>().into();
    }
    line
}

/// What an activity has used of each resource, on all cores and at all instances.
fn resources_of(reader: &Reader<'_>, activity: u64) -> Value {
    let names: BTreeMap<u64, Name> = (reader.records::<Resource>())
        .map(|resource| (resource.resource, resource.name))
        .collect();
    let mut used: BTreeMap<String, [u64; 4]> = BTreeMap::new();
    let accounts = reader.records::<Account>();
    for account in accounts.filter(|account| account.activity == activity) {
        let Some(name) = names.get(&account.resource) else {
            continue;
        };
        let sum = used.entry(name.as_str().to_owned()).or_default();
        let parts = [
            account.cycles,
            account.bytes,
            account.requests,
            account.queue_length,
        ];
        for (sum, part) in sum.iter_mut().zip(parts) {
            *sum += part;
        }
    }
    used.into_iter()
        .map(|(name, [cycles, bytes, requests, queued])| {
            let used = json!({
                "cycles": cycles,
                "bytes": bytes,
                "requests": requests,
                "queued": queued,
            });
            (name, used)
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// How long an activity's requests to a resource have waited, on all cores and at all instances.
fn waiting_of(reader: &Reader<'_>, resource: &str, activity: u64) -> Vec<u64> {
    let instances: Vec<u64> = (reader.records::<Resource>())
        .filter(|record| record.name.as_str() == resource)
        .map(|record| record.resource)
        .collect();
    let mut sum = vec![0; BUCKETS];
    let accounts = reader.records::<Account>();
    for account in accounts
        .filter(|account| account.activity == activity && instances.contains(&account.resource))
    {
        for (sum, count) in sum.iter_mut().zip(account.waiting) {
            *sum += count;
        }
    }
    sum
}
