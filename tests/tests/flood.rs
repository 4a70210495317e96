//! Floods of packets: whoever they are for pays for them, and nobody else (paper, section 4.4).

use vortex_tests::sampled::{Sampled, Samples};
use xtask::network::Link;
use xtask::process::Running;
use xtask::samples::Sample;
use xtask::userland;

/// The part of its entitlement that a neighbour keeps at least: of half of what interrupts and the
/// infrastructure leave to the two. What it takes to find out whose a packet is, the flooded
/// have of their half.
const KEPT: f64 = 0.95;
/// Datagrams in a second, for how many seconds, and how many of them are to have arrived in a second
/// of the samples: a busy host sends fewer.
const RATE: u32 = 20_000;
const SECONDS: u32 = 8;
const ARRIVE: f64 = 500.0;

/// Bytes of a packet, with the headers of IP and UDP.
const PACKET: u64 = 64 + 28;

const NEIGHBOUR: &str = "neighbour";
const FLOODED: &str = "flooded";
const PORT: u16 = 9;
/// Where nobody is.
const CLOSED: u16 = 10;

/// A CPU-bound neighbour, beside somebody with a socket who is flooded by datagrams at a port. `None`
/// where there can be no network.
fn beside_a_flood(sink: &str, port: u16) -> Option<Samples> {
    if let Some(obstacle) = Link::obstacle() {
        println!("not tested: {obstacle}");
        return None;
    }
    let link = Link::new(None).unwrap();
    let mut flood = None;
    let samples = Sampled::new(1)
        .activity(NEIGHBOUR, 50)
        .activity(FLOODED, 50)
        .process(NEIGHBOUR, "/bin/cpuhog")
        .process(FLOODED, &format!("{sink} --port {PORT}"))
        .seconds(3)
        .sampler(&["--settle", "2", "--resources"])
        .at(&link)
        .run_watched(|line| {
            if line.starts_with("udpsink: port") {
                flood = Some(start(&link, port));
            }
        });
    assert!(flood.is_some(), "nobody was flooded");
    Some(samples)
}

fn start(link: &Link, port: u16) -> Running {
    let programs = userland::build().unwrap();
    let flood = programs.iter().find(|file| file.path == "/bin/flood");
    let mut command = link.clients().command(&flood.unwrap().file);
    command
        .args(["udp", &format!("{}:{port}", Link::GUEST)])
        .args(["--rate", &RATE.to_string()])
        .args(["--seconds", &SECONDS.to_string()]);
    Running::start(&mut command).unwrap()
}

/// What came of it, in a second, as parts of the processor's time.
struct Seen {
    neighbour: f64,
    flooded: f64,
    infrastructure: f64,
    /// Of the flooded's, what was done before it was known to be the flooded's.
    demultiplexing: f64,
    /// Decisions.
    scheduling: f64,
    /// Interrupts, which nobody is charged for.
    interrupts: f64,
    /// Packets that the interface has received.
    received: f64,
    /// Packets that were the flooded activity's.
    charged: f64,
}

fn seen(what: &str, samples: &[Sample]) -> Seen {
    let (first, last) = (&samples[0], &samples[samples.len() - 1]);
    let elapsed = float(last.cores[0].elapsed - first.cores[0].elapsed);
    let seconds = float(last.at - first.at) / float(first.hertz);
    let part = |activity| float(last.cycles(activity, 0) - first.cycles(activity, 0)) / elapsed;
    // By their bytes: a request of the demultiplexer's is of several packets.
    let packets = |sample: &Sample, activity, resource| {
        let used = sample.at_resource(activity, resource);
        used.map_or(0, |used| used.bytes) / PACKET
    };
    let in_a_second = |activity, resource| {
        let count = |sample| packets(sample, activity, resource);
        float(count(last) - count(first)) / seconds
    };
    let cycles = |sample: &Sample| {
        let used = sample.at_resource(FLOODED, "resource.ndrr");
        float(used.map_or(0, |used| used.cycles))
    };
    let (begin, end) = (&first.cores[0], &last.cores[0]);
    let seen = Seen {
        neighbour: part(NEIGHBOUR),
        flooded: part(FLOODED),
        infrastructure: part("infrastructure"),
        demultiplexing: (cycles(last) - cycles(first)) / elapsed,
        scheduling: float(end.scheduling - begin.scheduling) / elapsed,
        interrupts: float(end.interrupt - begin.interrupt) / elapsed,
        received: in_a_second("infrastructure", "resource.ndrr")
            + in_a_second(FLOODED, "resource.ndrr"),
        charged: in_a_second(FLOODED, "resource.udp"),
    };
    println!(
        "{what}: neighbour {:.3}, flooded {:.3} (demultiplexing {:.3}), infrastructure {:.3}, decisions {:.3}, \
         interrupts {:.3} of the processor; {:.0} packets a second, {:.0} of them the flooded's",
        seen.neighbour,
        seen.flooded,
        seen.demultiplexing,
        seen.infrastructure,
        seen.scheduling,
        seen.interrupts,
        seen.received,
        seen.charged
    );
    seen
}

#[expect(clippy::cast_precision_loss, reason = "shares need no 53 bits")]
fn float(count: u64) -> f64 {
    count as f64
}

#[track_caller]
fn the_neighbour_keeps_its_half(what: &str, seen: &Seen) {
    assert!(
        seen.received >= ARRIVE,
        "{what}: only {} packets a second",
        seen.received
    );
    let entitled = 0.5 * (1.0 - seen.infrastructure - seen.interrupts);
    assert!(
        seen.neighbour >= KEPT * entitled,
        "{what}: the neighbour has {} and is entitled to {entitled}",
        seen.neighbour
    );
}

#[test]
fn a_flood_that_is_read_is_paid_by_who_reads_it() {
    let Some(Samples { samples, .. }) = beside_a_flood("/bin/udpsink", PORT) else {
        return;
    };
    let seen = seen("read", &samples);
    the_neighbour_keeps_its_half("read", &seen);
    assert!(seen.charged >= ARRIVE / 2.0, "{} charged", seen.charged);
    assert!(seen.flooded > 0.02, "the flooded paid {}", seen.flooded);
}

#[test]
fn a_flood_that_nobody_reads_is_paid_by_whose_socket_it_is() {
    let Some(Samples { samples, .. }) = beside_a_flood("/bin/udpsink --never-read", PORT) else {
        return;
    };
    let seen = seen("never read", &samples);
    the_neighbour_keeps_its_half("never read", &seen);
    assert!(seen.flooded > 0.0, "the flooded paid nothing");
}

#[test]
fn a_flood_at_a_closed_port_takes_nothing_from_anybody() {
    let Some(Samples { samples, .. }) = beside_a_flood("/bin/udpsink", CLOSED) else {
        return;
    };
    the_neighbour_keeps_its_half("closed port", &seen("closed port", &samples));
}
