//! Intel's 82574 (82574 GbE Controller Family Datasheet, revision 3.4), which QEMU calls `e1000e`:
//! one ring for sending and one for receiving, checksums, segmentation.
//!
//! Key type: [`E1000e`]. `setup` brings the device up, at first and after a reset; `transmit` and
//! `receive` are the two rings; `registers` and `descriptor` have the names and formats of the
//! datasheet.
//!
//! Invariants: a frame is given back once, and not before the device has said that it is done with
//! its last descriptor or was reset. What the device writes is checked against what it was given.

mod descriptor;
mod receive;
mod registers;
mod setup;
#[cfg(test)]
mod tests;
mod transmit;

use alloc::boxed::Box;
use alloc::vec::Vec;

use vortex_bus::pci::Interrupts;
use vortex_bus::{Bus, BusError, Registers};
use vortex_resources::net::interface::{
    Counters, Host, Interface, Loss, Notice, Outgoing, Properties, Refusal,
};

use receive::{ReceiveRing, RingBroken};
use registers::{self as reg, cause, status};
use setup::Step;
use transmit::TransmitRing;

/// How often the link and the device's own counts are looked at, at most, in nanoseconds: reading
/// registers is slow.
const LOOK_NS: u64 = 100_000_000;
/// When to try again if there is no memory to receive into, in nanoseconds.
const HUNGRY_NS: u64 = 5_000_000;
/// Where the registers are.
const BAR: u8 = 0;

/// An 82574.
#[derive(Debug)]
pub struct E1000e<B: Bus> {
    bus: B,
    registers: B::Registers,
    interrupts: Interrupts,
    state: State<B>,
    /// Memory of a device that was told to reset itself, until it is over.
    void: Vec<Box<Running<B>>>,
    counters: Counters,
}

/// What the device is at.
#[derive(Debug)]
enum State<B: Bus> {
    /// It is being reset; each step has until then.
    Starting {
        step: Step,
        until: u64,
        next_look: u64,
    },
    /// It works.
    Running(Box<Running<B>>),
    /// It does not, for good.
    Gone,
}

/// A device that works.
#[derive(Debug)]
struct Running<B: Bus> {
    receive: ReceiveRing<B>,
    transmit: TransmitRing<B>,
    properties: Properties,
    has_link: bool,
    /// Not before then it is looked whether there is.
    next_look: u64,
    /// There was no memory for the next packet.
    hungry_until: Option<u64>,
}

/// Why a device is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Nonsense,
    Stuck,
    Vanished,
}

impl From<RingBroken> for Trouble {
    fn from(_: RingBroken) -> Self {
        Self::Nonsense
    }
}

impl<B: Bus> E1000e<B>
where
    B::Registers: core::fmt::Debug,
{
    /// The device on `bus`, which has been made to interrupt so. It is reset at once, and is ready
    /// some time after [`Interface::service`] was called.
    ///
    /// # Errors
    /// When it has no registers.
    pub fn new(mut bus: B, interrupts: Interrupts, now_ns: u64) -> Result<Self, BusError> {
        let registers = bus.registers(BAR, 0, reg::LENGTH)?;
        let mut interface = Self {
            bus,
            registers,
            interrupts,
            state: State::Gone,
            void: Vec::new(),
            counters: Counters::default(),
        };
        interface.begin_reset(now_ns);
        Ok(interface)
    }

    /// Gives the device a frame, if it can have it now.
    fn try_transmit(
        &mut self,
        frame: Box<Outgoing>,
        now_ns: u64,
    ) -> Result<(), (Box<Outgoing>, Refusal)> {
        let running = match &mut self.state {
            State::Running(running) => running,
            State::Starting { .. } => return Err((frame, Refusal::Full)),
            State::Gone => return Err((frame, Refusal::Gone)),
        };
        if !frame.fits(&running.properties) {
            return Err((frame, Refusal::Unfit));
        }
        if !running.has_link {
            return Err((frame, Refusal::NoLink));
        }
        let bytes = frame.length() as u64;
        match running.transmit.insert(frame, now_ns) {
            Ok(tail) => self.registers.write32(reg::TDT, tail as u32),
            Err(frame) => {
                self.expect_room(now_ns);
                return Err((frame, Refusal::Full));
            }
        }
        self.counters.sent += 1;
        self.counters.sent_bytes += bytes;
        Ok(())
    }

    /// Takes what the device has, and does what is due by now; `limits` is the time, and about how
    /// many packets are taken. True if there is more.
    fn serve(&mut self, limits: (u64, usize), host: &mut dyn Host) -> Result<bool, Trouble> {
        let (now_ns, budget) = limits;
        let State::Running(running) = &mut self.state else {
            return Ok(false);
        };
        let mut is_idle = true;
        running.transmit.clean(now_ns, &mut |frame| {
            is_idle = false;
            host.sent(frame);
        });
        let taken = take_packets(&mut running.receive, &mut self.counters, budget, host)?;
        if let Some(tail) = running.receive.fill(host) {
            self.registers.write32(reg::RDT, tail as u32);
        }
        let is_hungry = running.receive.is_empty();
        running.hungry_until = is_hungry.then_some(now_ns + HUNGRY_NS);
        // What has interrupted for nothing else has done so for its link.
        let is_due = now_ns >= running.next_look;
        if is_due {
            running.next_look = now_ns + LOOK_NS;
            self.count();
        }
        if is_due || is_idle && taken == 0 {
            self.look(now_ns, host)?;
        }
        Ok(taken == budget)
    }

    /// Takes what the device has counted.
    fn count(&mut self) {
        for (register, loss) in [
            (reg::MPC, Loss::Missed),
            (reg::CRCERRS, Loss::Damaged),
            (reg::RXERRC, Loss::Damaged),
        ] {
            let count = self.registers.read32(register);
            if count != reg::NOBODY {
                self.counters.lose(loss, count.into());
            }
        }
    }

    /// Looks at the link.
    fn look(&mut self, now_ns: u64, host: &mut dyn Host) -> Result<(), Trouble> {
        let State::Running(running) = &mut self.state else {
            return Ok(());
        };
        self.registers
            .write32(reg::ICR, cause::LSC | cause::RXO | cause::OTHER);
        let status = self.registers.read32(reg::STATUS);
        if status == reg::NOBODY {
            return Err(Trouble::Vanished);
        }
        let has_link = status & status::LU != 0;
        if has_link != running.has_link {
            running.has_link = has_link;
            host.notice(Notice::Link(has_link));
        }
        if has_link && running.transmit.is_stuck(now_ns) {
            return Err(Trouble::Stuck);
        }
        Ok(())
    }
}

/// Causes that interrupt for what was sent.
const fn sent_causes(interrupts: Interrupts) -> u32 {
    match interrupts {
        Interrupts::Msix => cause::TXQ0,
        Interrupts::Msi | Interrupts::Pin => cause::TXDW,
        Interrupts::Polled => 0,
    }
}

/// Causes that interrupt otherwise.
const fn other_causes(interrupts: Interrupts) -> u32 {
    match interrupts {
        Interrupts::Msix => cause::RXQ0 | cause::OTHER | cause::LSC,
        Interrupts::Msi | Interrupts::Pin => cause::RXT0 | cause::RXDMT0 | cause::RXO | cause::LSC,
        Interrupts::Polled => 0,
    }
}

/// Hands up to so many packets on; how many.
fn take_packets<B: Bus>(
    ring: &mut ReceiveRing<B>,
    counters: &mut Counters,
    most: usize,
    host: &mut dyn Host,
) -> Result<usize, RingBroken> {
    for taken in 0..most {
        match ring.take()? {
            None => return Ok(taken),
            Some(Err(loss)) => counters.lose(loss, 1),
            Some(Ok(packet)) => {
                counters.received += 1;
                counters.received_bytes += packet.length() as u64;
                host.received(0, packet);
            }
        }
    }
    Ok(most)
}

impl<B: Bus> Interface for E1000e<B>
where
    B::Registers: core::fmt::Debug,
{
    fn name(&self) -> &'static str {
        "e1000e"
    }

    fn properties(&self) -> Properties {
        match &self.state {
            State::Running(running) => running.properties,
            State::Starting { .. } | State::Gone => Properties::NONE,
        }
    }

    fn has_link(&self) -> bool {
        matches!(&self.state, State::Running(running) if running.has_link)
    }

    fn transmit(
        &mut self,
        _queue: usize,
        frame: Box<Outgoing>,
        now_ns: u64,
    ) -> Result<(), (Box<Outgoing>, Refusal)> {
        let result = self.try_transmit(frame, now_ns);
        if let Err((_, refusal)) = &result {
            self.counters.refuse(*refusal);
        }
        result
    }

    fn expect_room(&mut self, now_ns: u64) {
        if let State::Running(running) = &mut self.state {
            running.transmit.expect_room(now_ns);
            self.registers
                .write32(reg::IMS, sent_causes(self.interrupts));
        }
    }

    fn service(&mut self, now_ns: u64, budget: usize, host: &mut dyn Host) -> bool {
        match &self.state {
            State::Starting { .. } => {
                self.look_at_reset(now_ns, host);
                return false;
            }
            State::Gone => return false,
            State::Running(_) => {}
        }
        match self.interrupts {
            // The device has masked the causes itself; those since then are for what is taken now.
            Interrupts::Msix => {
                self.registers.write32(reg::ICR, cause::RXQ0 | cause::TXQ0);
            }
            Interrupts::Msi | Interrupts::Pin => {
                self.registers.write32(reg::IMC, u32::MAX);
                self.registers.write32(reg::ICR, u32::MAX);
            }
            Interrupts::Polled => {}
        }
        match self.serve((now_ns, budget), host) {
            Ok(has_more) => return has_more,
            Err(Trouble::Nonsense) => {
                log::warn!("e1000e: the device answers nonsense; it is reset");
                self.begin_reset(now_ns);
            }
            Err(Trouble::Stuck) => {
                log::warn!("e1000e: the device does not send; it is reset");
                self.begin_reset(now_ns);
            }
            Err(Trouble::Vanished) => {
                log::error!("e1000e: the device is not there any more");
                self.give_up(host);
            }
        }
        false
    }

    fn arm(&mut self) -> bool {
        let State::Running(running) = &mut self.state else {
            return false;
        };
        let awaited = if running.transmit.is_awaited {
            sent_causes(self.interrupts)
        } else {
            0
        };
        self.registers
            .write32(reg::IMS, other_causes(self.interrupts) | awaited);
        running.receive.has_more() || running.transmit.is_awaited && running.transmit.has_done()
    }

    fn deadline(&self) -> Option<u64> {
        match &self.state {
            State::Starting { next_look, .. } => Some(*next_look),
            State::Running(running) => {
                let due = running.transmit.linger.due();
                due.into_iter().chain(running.hungry_until).min()
            }
            State::Gone => None,
        }
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
