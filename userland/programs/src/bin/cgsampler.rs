//! `cgsampler`: what `sampler` is on Vortex, on Linux: the same lines, from control groups.
//!
//! Linux does not say what a group has used of a single processor, so all processors are one here. An
//! interrupt is charged to whom it interrupts, so there is no account for interrupts either.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;

use clap::Parser;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};
use vortex_programs::cgroups::{self, Group};
use vortex_programs::netclasses::{self, Sent};
use vortex_programs::sampling::Pace;
use vortex_programs::{configuration, work};
use vortex_sched_config::{INFRASTRUCTURE, Plan};

/// Take a sample of what all control groups have used every second, and print all at the end
///
/// The resources are `disk`, `read` (by calls, from wherever) and `net`: what was sent by the class of
/// traffic whose minor number is the activity's in the configuration, from 0 (the infrastructure).
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    pace: Pace,
    /// Also say what each activity has used of each resource
    #[arg(long)]
    resources: bool,
    /// The configuration
    #[arg(long, default_value = configuration::FILE)]
    file: String,
}

/// The clock of the samples: in a second.
const HERTZ: u64 = 1_000_000;

/// The processor time of the kernel's threads.
#[derive(Default)]
struct Threads(BTreeMap<u32, u64>);

impl Threads {
    /// In microseconds. What one has used that is gone by now still counts.
    fn used_us(&mut self) -> io::Result<u64> {
        for thread in cgroups::processes_of_root()? {
            if let Some(time) = cgroups::time_of_process(thread) {
                let used = self.0.entry(thread).or_default();
                *used = time.max(*used);
            }
        }
        Ok(self.0.values().sum::<u64>() / 1000)
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cgsampler: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<()> {
    let plan = configuration::load(&args.file)?;
    let groups = cgroups::all()?;
    let mut threads = Threads::default();
    args.pace.run(|_| line(args, &plan, &groups, &mut threads))
}

fn line(args: &Args, plan: &Plan, groups: &[Group], threads: &mut Threads) -> io::Result<Value> {
    let sent = match args.resources {
        true => netclasses::all()?,
        false => BTreeMap::new(),
    };
    let (mut activities, mut attributed) = (Vec::new(), 0);
    let now = now_us();
    for group in groups {
        let used = group.used()?;
        let cycles = match group.name() {
            INFRASTRUCTURE => used.cpu_us + threads.used_us()?,
            _ => used.cpu_us,
        };
        attributed += cycles;
        let mut record = json!({ "name": group.name(), "cycles": [cycles] });
        if args.resources {
            let class = class_of(plan, group.name());
            let sent = class.and_then(|class| sent.get(&class)).copied();
            let sent = sent.map_or((0, 0), |Sent { bytes, packets }| (bytes, packets));
            let all = [("disk", used.disk), ("read", used.read), ("net", sent)];
            record["resources"] = resources(&all);
        }
        activities.push(record);
    }
    let elapsed = now * work::cores() as u64;
    let idle = cgroups::idle_us()?;
    let missing = elapsed.cast_signed() - (attributed + idle).cast_signed();
    let core = json!({
        "elapsed": elapsed,
        "scheduling": 0,
        "interrupt": 0,
        "idle": idle,
        "unaccounted": missing,
    });
    Ok(json!({ "at": now, "hertz": HERTZ, "cores": [core], "activities": activities }))
}

/// Microseconds since the start of the system.
fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let parts = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    parts.0.unwrap_or(0) * HERTZ + parts.1.unwrap_or(0) / 1000
}

/// The minor number of an activity's class of traffic.
fn class_of(plan: &Plan, activity: &str) -> Option<u16> {
    let mut names = plan.activities.iter().map(|activity| &activity.name);
    u16::try_from(names.position(|name| name == activity)?).ok()
}

/// Bytes and requests at each resource.
fn resources(all: &[(&str, (u64, u64))]) -> Value {
    let used = |(name, (bytes, requests)): &(&str, (u64, u64))| {
        let used = json!({ "cycles": 0, "bytes": bytes, "requests": requests });
        ((*name).to_owned(), used)
    };
    Value::Object(all.iter().map(used).collect::<Map<_, _>>())
}
