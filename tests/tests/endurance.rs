//! What the network endures: bad wires, connections in large numbers, ends in the middle, and packets
//! that nobody should send. `cargo xtask soak` does it for longer.

use std::time::{Duration, Instant};

use vortex_tests::slots::Slots;
use xtask::endurance::{Endurance, PORT};
use xtask::network::Link;
use xtask::wire::{Hell, Treatment};

const VIRTIO: &str = "virtio-net-pci";
const E1000E: &str = "e1000e";

/// A guest, where this machine can have namespaces: containers often cannot.
fn start(smp: u32, card: &str) -> Option<(Endurance, Slots)> {
    if let Some(obstacle) = Link::obstacle() {
        println!("not tested: {obstacle}");
        return None;
    }
    let slots = Slots::one().unwrap();
    Some((Endurance::start(smp, card, 7).unwrap(), slots))
}

#[test]
fn bad_wires_lose_nothing() {
    // What the wire does is TCP's concern; the other card is to be in the way of none of it.
    let names: Vec<&str> = Treatment::names().collect();
    for (smp, card, names) in [(2, VIRTIO, &names[..]), (1, E1000E, &["corrupt"])] {
        let Some((mut endurance, _slots)) = start(smp, card) else {
            return;
        };
        for &name in names {
            let bytes = if name == "all" { 60_000 } else { 200_000 };
            endurance.treat(Treatment::named(name).unwrap()).unwrap();
            let done = endurance.transfer(bytes, 1).unwrap();
            let [from, to] = endurance.treated();
            println!("{card}, {name}: {done:?}, {from:?}, {to:?}");
            assert!(from.all > 30 && to.all > 30, "{name}: {from:?}, {to:?}");
            endurance.treat(Treatment::default()).unwrap();
            endurance.counted_at_rest().unwrap();
        }
    }
}

#[test]
fn connections_leave_nothing_behind() {
    let Some((mut endurance, _slots)) = start(1, VIRTIO) else {
        return;
    };
    endurance.churn(50).unwrap();
    let before = endurance.tried_at_rest().unwrap();
    endurance.churn(500).unwrap();
    endurance.together(200).unwrap();
    let after = endurance.tried_at_rest().unwrap();
    println!("before: {before:?}\nafter: {after:?}");
    assert!(after.held_by_sockets() <= before.held_by_sockets());
    assert_eq!(after.descriptor, before.descriptor);
    // The process is killed in the middle of all that, too.
    let killed = endurance.kill(3).unwrap();
    assert_eq!(killed.reset + killed.ended, 6);
    assert!(killed.reset >= 3, "{killed:?}");
    let left = endurance.counted_at_rest().unwrap();
    assert_eq!(left.held_by_sockets(), 0, "{left:?}");
}

/// Frames of a flood of wrong ones, and how long it may take.
const WRONG: usize = 20_000;
const LIMIT: Duration = Duration::from_secs(20);
/// Half-open connections of a listener, at most: what Rust asks for, for each core.
const BACKLOG: u64 = 2 * 128;
/// More memory than a guest may hold for all the neighbours that there seemed to be, in bytes.
const GROWTH: u64 = 1 << 20;

#[test]
fn packets_from_hell_are_dropped_and_counted() {
    let Some((mut endurance, _slots)) = start(2, VIRTIO) else {
        return;
    };
    let before = endurance.counted_at_rest().unwrap();
    let mut hell = Hell::new(11, PORT, PORT);
    let start = Instant::now();
    let mut sent = 0;
    while sent < WRONG && start.elapsed() < LIMIT {
        endurance.inject(&hell.frame()).unwrap();
        sent += 1;
    }
    // What has waited in the guest's queues has been looked at when this is answered.
    let done = endurance.transfer(200_000, 1).unwrap();
    let after = endurance.counted().unwrap();
    println!(
        "{sent} in {:?}, {done:?}\nafter: {after:?}",
        start.elapsed()
    );
    let more = |name: &str| after.counter(name) - before.counter(name);
    for reason in [
        "malformed",
        "checksum",
        "fragment",
        "elsewhere",
        "protocol",
        "no-socket",
        "meaningless",
    ] {
        let dropped = more(&format!("net.dropped.{reason}"));
        assert!(dropped > 20, "{dropped} dropped for being {reason}");
    }
    let dropped: u64 = after.dropped().map(|(_, count)| count).sum();
    assert!(dropped > sent as u64 / 2, "{dropped} of {sent} dropped");
    // Who asked for connections from places that there are not is waited for, but not by many.
    assert!(after.counter("net.half-open") <= BACKLOG, "{after:?}");
    let held = |counted: &xtask::endurance::Counted| -> u64 {
        let of_activities = counted.memory.values().flatten();
        of_activities.map(|(_, bytes)| bytes).sum()
    };
    let (held, holds) = (held(&before), held(&after));
    assert!(
        holds < held + GROWTH,
        "{held} bytes held before, {holds} after"
    );
}
