//! A machine to look at in tests: the demonstration under load, with a weight that changes after a
//! minute.

use vortex_statsd::{Account, Activity, Core, Counter, Held, Process, Statistics};

pub(super) const HERTZ: u64 = 2_000_000_000;
const CORES: u64 = 4;
/// When the weight of the third server is changed, in seconds.
const CHANGE: u64 = 60;
/// Of a second of a core, what its ledger has: activities, scheduling, interrupts. The rest is idle.
const LEDGER: [u64; 3] = [1_842_000_000, 86_000_000, 22_000_000];
/// The servers, their weights, and the third one's later.
const SERVERS: [(&str, u64); 3] = [("web50", 50), ("web33", 33), ("web17", 17)];
const LATER: u64 = 67;
/// What the servers use of a second of a core, all together.
const SERVED: u64 = 1_700_000_000;

fn weight(server: usize, second: u64) -> u64 {
    match server {
        2 if second >= CHANGE => LATER,
        _ => SERVERS[server].1,
    }
}

/// Cycles on each core until then. The shares are a little off in each second.
fn server_cycles(server: usize, second: u64) -> u64 {
    let used = |second: u64| {
        let weights: u64 = (0..SERVERS.len())
            .map(|server| weight(server, second))
            .sum();
        let fair = SERVED * weight(server, second) / weights;
        let off = (second * 37 + server as u64 * 61) % 23;
        fair * (989 + off) / 1000
    };
    (0..second).map(used).sum()
}

/// The machine, so many seconds after its start.
pub(super) fn at(second: u64) -> Statistics {
    Statistics {
        taken_at: second * HERTZ,
        hertz: HERTZ,
        since_boot_ns: second * 1_000_000_000,
        cores: (0..CORES).map(|core| ledger(core, second)).collect(),
        activities: activities(second),
        accounts: (0..CORES).flat_map(|core| accounts(core, second)).collect(),
        memory: memory(),
        processes: processes(second),
        counters: vec![
            Counter {
                name: "net.connections".into(),
                value: 48,
            },
            Counter {
                name: "net.dropped.no-socket".into(),
                value: 3 * second,
            },
        ],
    }
}

fn ledger(core: u64, second: u64) -> Core {
    let [attributed, scheduling, interrupt] = LEDGER.map(|cycles| cycles * second);
    let elapsed = HERTZ * second;
    Core {
        core,
        elapsed,
        attributed,
        scheduling,
        interrupt,
        idle: elapsed - attributed - scheduling - interrupt,
        unaccounted: 0,
    }
}

fn activities(second: u64) -> Vec<Activity> {
    let servers = (0..SERVERS.len()).map(|server| (SERVERS[server].0, weight(server, second)));
    let others = [("infrastructure", 100), ("statistics", 10), ("batch", 20)];
    (0..)
        .zip(others.into_iter().chain(servers))
        .map(|(activity, (name, weight))| Activity {
            activity,
            name: name.into(),
            weight: weight * 1000,
            suspended: name == "batch",
        })
        .collect()
}

/// What one core has in its accounts.
fn accounts(core: u64, second: u64) -> Vec<Account> {
    let mut accounts = Vec::new();
    for (server, (name, _)) in SERVERS.iter().enumerate() {
        let cycles = server_cycles(server, second);
        for (resource, parts) in [
            ("resource.thread", 34),
            ("resource.tcptr", 30),
            ("resource.dwr", 22),
            ("resource.fcr", 14),
        ] {
            accounts.push(account(core, resource, name, cycles / 100 * parts));
        }
    }
    for (resource, activity, cycles) in [
        ("resource.ndrr", "infrastructure", 100_000_000),
        ("resource.interrupt", "infrastructure", 22_000_000),
        ("resource.thread", "statistics", 20_000_000),
    ] {
        accounts.push(account(core, resource, activity, cycles * second));
    }
    accounts
}

fn account(core: u64, resource: &str, activity: &str, cycles: u64) -> Account {
    let requests = cycles / 20_000;
    let mut waiting = vec![0; 24];
    waiting[13] = requests / 10 * 6;
    waiting[17] = requests / 10 * 4;
    waiting[23] = requests / 200;
    let mut service = vec![0; 16];
    service[14] = requests / 10 * 7;
    service[15] = requests / 10 * 3;
    let moves = matches!(resource, "resource.dwr" | "resource.tcptr" | "resource.fcr");
    Account {
        core,
        resource: resource.into(),
        activity: activity.into(),
        cycles,
        requests,
        bytes: if moves { requests * 1460 } else { 0 },
        memory: requests * 64,
        returned: 0,
        queue_length: if resource == "resource.dwr" {
            12 + core
        } else {
            0
        },
        waiting,
        service,
    }
}

fn memory() -> Vec<Held> {
    let held = |activity: &str, resource: Option<&str>, held: u64, budget| Held {
        activity: activity.into(),
        resource: resource.map(str::to_owned),
        held,
        budget,
    };
    let mut all: Vec<Held> = (SERVERS.iter())
        .flat_map(|(name, _)| {
            [
                held(name, None, 9_437_184, Some(64 << 20)),
                held(name, Some("resource.fcr"), 8_388_608, None),
                held(name, Some("resource.thread"), 1_048_576, None),
            ]
        })
        .collect();
    all.push(held("infrastructure", None, 25_165_824, None));
    all.push(held("statistics", None, 2_097_152, None));
    all
}

fn processes(second: u64) -> Vec<Process> {
    (SERVERS.iter().enumerate())
        .map(|(server, (name, _))| Process {
            process: 10 + server as u64,
            name: "httpd".into(),
            activity: (*name).into(),
            threads: 1,
            resident: 3_145_728,
            cycles: server_cycles(server, second) * CORES / 100 * 34,
            unknown_calls: 0,
        })
        .collect()
}
