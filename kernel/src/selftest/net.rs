//! Network interfaces: each asks the network for an address, once and then thousands of times, as fast
//! as it goes, and gets an answer to each.
//!
//! Who answers is QEMU's gateway, by ARP (RFC 826), which needs nothing of the protocols above.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use vortex_hal::{clock, cpu, logging};
use vortex_resources::errand::Errand;
use vortex_resources::net::interface::{Counters, Loss, Mac, Outgoing, Packet};
use vortex_resources::net::{InterfaceId, NetMessage};
use vortex_resources::system::{self, Kind, Message};
use vortex_toolkit::Request;
use vortex_toolkit::ids::ActivityId;

use super::{Failure, ensure};
use crate::grid::{self, Hardware, Local, interrupts};
use crate::processes::{self, System};

/// Who is asked, and who asks.
const GATEWAY: [u8; 4] = [10, 0, 2, 2];
const OWN: [u8; 4] = [10, 0, 2, 15];
/// Questions at one time.
const BURST: u32 = 4000;
/// How long an interface may take for anything, in nanoseconds.
const PATIENCE_NS: u64 = 60_000_000_000;
/// The most interfaces that are looked at.
const MOST: usize = 8;
/// Types of Ethernet and ARP, and operations.
const ARP: [u8; 2] = [0x08, 0x06];
const ETHERNET_IPV4: [u8; 6] = [0, 1, 0x08, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];
const REPLY: [u8; 2] = [0, 2];
/// Bytes of an answer.
const LENGTH: usize = 42;

/// Answers, by interface.
static ANSWERS: [AtomicU32; MOST] = [const { AtomicU32::new(0) }; MOST];

type Shared = Arc<system::Shared<Hardware>>;

/// Runs the check on `local`, the boot core.
pub(super) fn check(
    wired: &grid::Shared<System>,
    local: &mut Local<System>,
) -> Result<(), Failure> {
    let missing = || Failure::new(format_args!("the boot core is not in the grid"));
    let shared = processes::shared().ok_or_else(missing)?.clone();
    shared.nics.set_tap(Box::new(count));
    for id in shared.nics.ids().take(MOST) {
        check_one(wired, local, &shared, id)?;
    }
    Ok(())
}

/// Counts an answer.
fn count(id: InterfaceId, packet: &Packet) {
    let mut bytes = [0; LENGTH];
    if packet.read(&Hardware, 0, &mut bytes) < LENGTH {
        return;
    }
    let is_answer = bytes[12..14] == ARP
        && bytes[14..20] == ETHERNET_IPV4
        && bytes[20..22] == REPLY
        && bytes[28..32] == GATEWAY;
    if is_answer {
        ANSWERS[usize::from(id.0)].fetch_add(1, Ordering::SeqCst);
        grid::wake_boot_core();
    }
}

fn answers(id: InterfaceId) -> u32 {
    ANSWERS[usize::from(id.0)].load(Ordering::SeqCst)
}

/// The question.
fn question(mac: Mac) -> Box<Outgoing> {
    let mut frame = Box::<Outgoing>::default();
    let nobody = [0; 6];
    let parts: [&[u8]; 8] = [
        &Mac::BROADCAST.0,
        &mac.0,
        &ARP,
        &ETHERNET_IPV4,
        &REQUEST,
        &mac.0,
        &OWN,
        &nobody,
    ];
    let bytes = parts.into_iter().chain([&GATEWAY[..]]).flatten();
    frame.head.extend(bytes.copied());
    frame
}

fn check_one(
    wired: &grid::Shared<System>,
    local: &mut Local<System>,
    shared: &Shared,
    id: InterfaceId,
) -> Result<(), Failure> {
    let number = id.0;
    let has_link = || shared.nics.describe(id).is_some_and(|(.., link)| link);
    wait(local, has_link);
    ensure(
        has_link(),
        format_args!("interface {number} does not come up"),
    )?;
    let (name, mac) = match shared.nics.describe(id) {
        Some((name, properties, ..)) => (name, properties.mac),
        None => return Err(Failure::new(format_args!("interface {number} is gone"))),
    };
    ask(wired, local, shared, id, (mac, 1))?;
    logging::print_line(format_args!("net: {name} {mac}: an answer"));
    let (begin, before) = (clock::now_ns(), interrupts::counted());
    ask(wired, local, shared, id, (mac, BURST))?;
    let counters = shared.nics.describe(id).map(|(_, _, counters, _)| counters);
    let counters = counters.unwrap_or_default();
    report(name, &counters, clock::now_ns() - begin);
    let after = interrupts::counted();
    logging::print_line(format_args!(
        "net: {name}: interrupts for {BURST} packets: {} ({} requests)",
        after.0 - before.0,
        after.1 - before.1
    ));
    Ok(())
}

/// Asks so many times, and waits for as many answers.
fn ask(
    wired: &grid::Shared<System>,
    local: &mut Local<System>,
    shared: &Shared,
    id: InterfaceId,
    (mac, times): (Mac, u32),
) -> Result<(), Failure> {
    let before = answers(id);
    let activity = ActivityId::INFRASTRUCTURE;
    let ring = shared.destination(Kind::NetWrite, activity);
    let ask = Errand::message(move |here| async move {
        for _ in 0..times {
            let message = Message::Net(NetMessage::Transmit(id, question(mac)));
            here.port.send(here.port.request(ring, message));
        }
    });
    let asker = shared.destination(Kind::Aio, activity);
    let request = Request::new(asker, activity, ask);
    let sent = wired.grid.submit(local.platform(), request);
    ensure(sent.is_ok(), format_args!("the inbox is full"))?;
    wait(local, || answers(id) - before >= times);
    let answered = answers(id) - before;
    ensure(
        answered == times,
        format_args!(
            "interface {}: {answered} answers to {times} questions: {:?}",
            id.0,
            shared.nics.describe(id)
        ),
    )
}

/// Waits until a condition holds, or for too long.
fn wait(local: &mut Local<System>, condition: impl FnMut() -> bool) {
    let cycles = clock::rate().map_or(u64::MAX, |rate| rate.cycles(PATIENCE_NS));
    local.run_until(cpu::timestamp().saturating_add(cycles), condition);
}

fn report(name: &str, counters: &Counters, taken_ns: u64) {
    let lost: u64 = Loss::ALL.map(|loss| counters.lost(loss)).iter().sum();
    logging::print_line(format_args!(
        "net: {name}: {} frames sent, {} received, {lost} lost, the ring was full {} times, {} resets, \
         {} ms",
        counters.sent,
        counters.received,
        counters.full,
        counters.resets,
        taken_ns / 1_000_000
    ));
}
