//! A snapshot of the statistics (paper, section 4.1) with names in the place of numbers.
//!
//! Key type: [`Statistics`].
//!
//! Resources of one name are one here: each process has some of its own, and what ended ones have
//! used is kept by name. So what is counted up never falls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vortex::abi::snapshot::{self, BUCKETS, Reader};

/// Stands for no limit, and for all resources, in the snapshot.
const ALL: u64 = u64::MAX;

/// What the machine has done since its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// When it was read, in cycles of core 0's clock.
    pub taken_at: u64,
    /// Cycles of that clock in a second.
    pub hertz: u64,
    /// Nanoseconds since the kernel was entered.
    pub since_boot_ns: u64,
    /// Each core's ledger.
    pub cores: Vec<Core>,
    /// The activities.
    pub activities: Vec<Activity>,
    /// What each activity has used of each resource on each core.
    pub accounts: Vec<Account>,
    /// The memory that activities hold.
    pub memory: Vec<Held>,
    /// The processes.
    pub processes: Vec<Process>,
    /// What is counted for the whole machine.
    pub counters: Vec<Counter>,
}

/// A core's ledger, in cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Core {
    /// The core.
    pub core: u64,
    /// Since the ledger was opened.
    pub elapsed: u64,
    /// In accounts of activities.
    pub attributed: u64,
    /// In the toolkit and the schedulers.
    pub scheduling: u64,
    /// In low-level interrupt handlers.
    pub interrupt: u64,
    /// With nothing to do.
    pub idle: u64,
    /// In no account; negative if more was accounted than has elapsed.
    pub unaccounted: i64,
}

/// An activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Its number.
    pub activity: u64,
    /// Its name.
    pub name: String,
    /// Its weight at the CPU multiplexors, in thousandths.
    pub weight: u64,
    /// Whether its processes are held.
    pub suspended: bool,
}

/// What an activity has used of the resources of one name on one core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The core.
    pub core: u64,
    /// The resource's name.
    pub resource: String,
    /// The activity's name.
    pub activity: String,
    /// Processor cycles.
    pub cycles: u64,
    /// Requests executed.
    pub requests: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Bytes of memory allocated, in all.
    pub memory: u64,
    /// Requests handed back unexecuted.
    pub returned: u64,
    /// Requests queued now.
    pub queue_length: u64,
    /// How many requests waited for 2^b cycles up to 2^(b+1), by b; zeros at the end are left away.
    pub waiting: Vec<u64>,
    /// The same for their execution.
    pub service: Vec<u64>,
}

/// Memory that an activity holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The activity's name.
    pub activity: String,
    /// By way of the resource of this name; of all resources together without one.
    pub resource: Option<String>,
    /// Bytes.
    pub held: u64,
    /// The most it may hold, in bytes, where there is a limit.
    pub budget: Option<u64>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub process: u64,
    /// Its name.
    pub name: String,
    /// The name of its activity.
    pub activity: String,
    /// Its threads.
    pub threads: u64,
    /// Bytes of memory that are there.
    pub resident: u64,
    /// Cycles of its threads.
    pub cycles: u64,
    /// How often it has made calls that the kernel does not have.
    pub unknown_calls: u64,
}

/// Something that is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// What: words with dots between them.
    pub name: String,
    /// How many.
    pub value: u64,
}

impl Statistics {
    /// What a snapshot says.
    #[must_use]
    pub fn of(reader: &Reader<'_>) -> Self {
        let header = reader.header();
        let names = Names::of(reader);
        Self {
            taken_at: header.taken_at,
            hertz: header.hertz,
            since_boot_ns: header.since_boot_ns,
            cores: reader.records().map(Core::of).collect(),
            activities: (reader.records::<snapshot::Activity>())
                .map(|activity| Activity {
                    activity: activity.activity,
                    name: names.activity(activity.activity),
                    weight: activity.weight,
                    suspended: activity.suspended != 0,
                })
                .collect(),
            accounts: accounts(reader, &names),
            memory: memory(reader, &names),
            processes: processes(reader, &names),
            counters: (reader.records::<snapshot::Counter>())
                .map(|counter| Counter {
                    name: counter.name.as_str().to_owned(),
                    value: counter.value,
                })
                .collect(),
        }
    }
}

impl Core {
    fn of(core: snapshot::Core) -> Self {
        Self {
            core: core.core,
            elapsed: core.elapsed,
            attributed: core.attributed,
            scheduling: core.scheduling,
            interrupt: core.interrupt,
            idle: core.idle,
            unaccounted: core.unaccounted(),
        }
    }
}

/// Names by number.
struct Names {
    resources: BTreeMap<u64, String>,
    activities: BTreeMap<u64, String>,
}

impl Names {
    fn of(reader: &Reader<'_>) -> Self {
        Self {
            resources: (reader.records::<snapshot::Resource>())
                .map(|resource| (resource.resource, resource.name.as_str().to_owned()))
                .collect(),
            activities: (reader.records::<snapshot::Activity>())
                .map(|activity| (activity.activity, activity.name.as_str().to_owned()))
                .collect(),
        }
    }

    fn resource(&self, number: u64) -> String {
        named(&self.resources, number)
    }

    fn activity(&self, number: u64) -> String {
        named(&self.activities, number)
    }
}

/// A name; the number where there is none.
fn named(names: &BTreeMap<u64, String>, number: u64) -> String {
    let name = names.get(&number).filter(|name| !name.is_empty());
    name.map_or_else(|| format!("#{number}"), String::clone)
}

fn accounts(reader: &Reader<'_>, names: &Names) -> Vec<Account> {
    let mut sums = BTreeMap::<(String, String, u64), snapshot::Account>::new();
    for account in reader.records::<snapshot::Account>() {
        let resource = names.resource(account.resource);
        let key = (resource, names.activity(account.activity), account.core);
        sums.entry(key)
            .and_modify(|sum| add(sum, &account))
            .or_insert(account);
    }
    let account = |((resource, activity, core), sum): (_, snapshot::Account)| Account {
        core,
        resource,
        activity,
        cycles: sum.cycles,
        requests: sum.requests,
        bytes: sum.bytes,
        memory: sum.memory,
        returned: sum.returned,
        queue_length: sum.queue_length,
        waiting: trimmed(&sum.waiting),
        service: trimmed(&sum.service),
    };
    sums.into_iter().map(account).collect()
}

/// Adds up; a sum that does not fit, which only a broken snapshot has, stays at the most there is.
fn add(sum: &mut snapshot::Account, account: &snapshot::Account) {
    for (sum, part) in [
        (&mut sum.cycles, account.cycles),
        (&mut sum.requests, account.requests),
        (&mut sum.bytes, account.bytes),
        (&mut sum.memory, account.memory),
        (&mut sum.returned, account.returned),
        (&mut sum.queue_length, account.queue_length),
    ] {
        *sum = sum.saturating_add(part);
    }
    let counts = account.waiting.iter().chain(&account.service);
    for (sum, part) in sum.waiting.iter_mut().chain(&mut sum.service).zip(counts) {
        *sum = sum.saturating_add(*part);
    }
}

fn trimmed(histogram: &[u64; BUCKETS]) -> Vec<u64> {
    let end = histogram.iter().rposition(|count| *count > 0);
    histogram[..end.map_or(0, |last| last + 1)].to_vec()
}

fn memory(reader: &Reader<'_>, names: &Names) -> Vec<Held> {
    let mut sums = BTreeMap::<(String, Option<String>), (u64, u64)>::new();
    for memory in reader.records::<snapshot::Memory>() {
        let resource = (memory.resource != ALL).then(|| names.resource(memory.resource));
        let (held, budget) = sums
            .entry((names.activity(memory.activity), resource))
            .or_insert((0, memory.budget));
        *held = held.saturating_add(memory.held);
        *budget = (*budget).min(memory.budget);
    }
    let held = |((activity, resource), (held, budget))| Held {
        activity,
        resource,
        held,
        budget: (budget != ALL).then_some(budget),
    };
    sums.into_iter().map(held).collect()
}

fn processes(reader: &Reader<'_>, names: &Names) -> Vec<Process> {
    let mut unknown = BTreeMap::<u64, u64>::new();
    for call in reader.records::<snapshot::UnknownCall>() {
        let count = unknown.entry(call.process).or_default();
        *count = count.saturating_add(call.count);
    }
    let process = |process: snapshot::Process| Process {
        process: process.process,
        name: process.name.as_str().to_owned(),
        activity: names.activity(process.activity),
        threads: process.threads,
        resident: process.resident,
        cycles: process.cycles,
        unknown_calls: unknown.get(&process.process).copied().unwrap_or_default(),
    };
    reader.records().map(process).collect()
}
