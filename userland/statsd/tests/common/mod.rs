//! A snapshot as a machine of two cores could have given it.

use vortex::abi::Name;
use vortex::abi::snapshot::{
    Account, Activity, BUCKETS, Core, Counter, Header, Memory, Process, Reader, Resource,
    UnknownCall, Writer,
};
use vortex_statsd::Statistics;

/// Stands for no limit, and for all resources.
const ALL: u64 = u64::MAX;

/// The statistics of the snapshot. Two of its resources have one name, and a name has characters
/// that have to be escaped.
pub(crate) fn statistics() -> Statistics {
    let bytes = snapshot();
    Statistics::of(&Reader::new(&bytes).unwrap())
}

fn snapshot() -> Vec<u8> {
    let mut writer = Writer::default();
    for core in 0..2 {
        writer.push(&Core {
            core,
            elapsed: 1_000_000,
            attributed: 600_000 + core,
            scheduling: 20_000,
            interrupt: 1_000,
            idle: 379_000,
        });
    }
    for (resource, name) in [
        (1, "resource.thread"),
        (2, "resource.thread"),
        (3, "resource.dwr"),
    ] {
        writer.push(&Resource {
            resource,
            name: Name::new(name),
        });
    }
    for (activity, weight, name) in [(0, 100_000, "infrastructure"), (7, 33_500, "a \"b\"\\c\n")] {
        writer.push(&Activity {
            activity,
            weight,
            name: Name::new(name),
            suspended: u64::from(activity == 7),
        });
    }
    for (core, resource, activity, cycles) in [
        (0, 1, 7, 400_000),
        (0, 2, 7, 200_000),
        (1, 2, 7, 500_000),
        (1, 3, 0, 100_001),
    ] {
        writer.push(&account(core, resource, activity, cycles));
    }
    for (resource, held, budget) in [(1, 4096, ALL), (2, 8192, ALL), (ALL, 12_288, 1 << 20)] {
        writer.push(&Memory {
            activity: 7,
            resource,
            held,
            budget,
        });
    }
    processes(&mut writer);
    writer.finish(&Header {
        magic: 0,
        version: 0,
        length: 0,
        taken_at: 1_000_000,
        hertz: 1_000_000_000,
        since_boot_ns: 1_500_000_000,
        caller: 7,
        sections: 0,
    })
}

/// A process, and what is counted for all.
fn processes(writer: &mut Writer) {
    writer.push(&Process {
        process: 12,
        parent: 1,
        activity: 7,
        threads: 3,
        resident: 65_536,
        cycles: 1_100_000,
        name: Name::new("httpd"),
    });
    for (number, count) in [(400, 2), (401, 3)] {
        writer.push(&UnknownCall {
            process: 12,
            number,
            count,
        });
    }
    for (name, value) in [
        ("net.connections", 5),
        ("net.dropped.no-socket", 9),
        ("net.events.interrupts", 6),
        ("net.losses.retransmitted", 7),
    ] {
        writer.push(&Counter {
            value,
            name: Name::new(name),
        });
    }
}

/// Of requests that waited for 2^4 cycles, and for 2^12 and 2^39.
fn account(core: u64, resource: u64, activity: u64, cycles: u64) -> Account {
    let mut waiting = [0; BUCKETS];
    waiting[4] = 1;
    waiting[12] = 2;
    waiting[39] = 1;
    let mut service = [0; BUCKETS];
    service[13] = 4;
    Account {
        core,
        resource,
        activity,
        cycles,
        requests: 4,
        bytes: 1500,
        memory: 4096,
        returned: 1,
        queue_length: 2,
        waiting,
        service,
    }
}
