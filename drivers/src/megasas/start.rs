//! Bringing the firmware up: to its ready state, then to operation, then the list of disks.
//!
//! Nothing waits: [`MegaRaid::go_on`] looks how far the firmware has come, once in a while.

use alloc::vec::Vec;

use vortex_bus::{Bus, Memory, Registers};
use vortex_resources::storage::adapter::{Failure, Notice, Part};

use super::frame::{self, Disk, Frame};
use super::{CONTROL, MOST_ANSWERS, MOST_PARTS, MegaRaid, State, place, register};

/// How long the firmware may take, in nanoseconds: it looks for its disks meanwhile.
const START_NS: u64 = 60_000_000_000;
/// How long it may take before the whole adapter is reset.
const PATIENCE_NS: u64 = 30_000_000_000;
/// How often it is looked at.
const LOOK_NS: u64 = 1_000_000;

/// Bits of the inbound doorbell.
const ABORT_ALL: u32 = 1;
const TO_READY: u32 = 2;
const MFI_MODE: u32 = 4;
const CLEAR_HANDSHAKE: u32 = 8;
const HOTPLUG: u32 = 16;

/// States of the firmware, in the upper four bits of its register.
const WAIT_HANDSHAKE: u32 = 0x6;
const BOOT_MESSAGE: u32 = 0x9;
const READY: u32 = 0xb;
const OPERATIONAL: u32 = 0xc;
const FAULT: u32 = 0xf;

/// What lets the diagnostic register be written, and the bit in it that resets the adapter.
const KEYS: [u32; 6] = [0x00, 0x04, 0x0b, 0x02, 0x07, 0x0d];
const RESET_ADAPTER: u32 = 4;

/// How far the start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    step: Step,
    since: u64,
    pub(super) next_look: u64,
    /// The adapter has been reset once.
    was_reset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The firmware is on its way to being ready.
    ToReady,
    /// It has the frame that describes the queue.
    Initializing,
    /// It has the question for logical disks, or for physical ones.
    Listing(Disk),
}

impl<B: Bus> MegaRaid<B>
where
    B::Registers: core::fmt::Debug,
{
    /// Begins to start, or to start again.
    pub(super) fn begin(&mut self, now_ns: u64) {
        self.registers.write32(register::INTERRUPT_MASK, u32::MAX);
        self.registers
            .write32(register::INBOUND_DOORBELL, ABORT_ALL | TO_READY | MFI_MODE);
        self.state = State::Starting(Start {
            step: Step::ToReady,
            since: now_ns,
            next_look: now_ns,
            was_reset: false,
        });
    }

    /// Looks how far the firmware has come, and goes on.
    pub(super) fn go_on(&mut self, start: Start, now_ns: u64, tell: &mut dyn FnMut(Notice)) {
        let waited = now_ns.saturating_sub(start.since);
        let step = match start.step {
            Step::ToReady => self.on_to_ready(start, waited, tell),
            step => self.on_from_ready(step),
        };
        let step = match step {
            Some(step) => step,
            None => return self.run(tell),
        };
        if waited >= START_NS {
            log::error!("megasas: the firmware does not come up");
            return self.give_up(tell);
        }
        let was_reset = start.was_reset || waited >= PATIENCE_NS;
        if was_reset && !start.was_reset {
            self.reset_adapter();
        }
        self.state = State::Starting(Start {
            step,
            since: start.since,
            next_look: now_ns + LOOK_NS,
            was_reset,
        });
    }

    /// On the way to being ready. What is next.
    fn on_to_ready(
        &mut self,
        start: Start,
        waited: u64,
        tell: &mut dyn FnMut(Notice),
    ) -> Option<Step> {
        let register = self.registers.read32(register::STATE);
        let doorbell = match register >> 28 {
            READY => {
                // Nothing of before is under way any more.
                self.fail_all(Failure::Reset, tell);
                self.initialize(register);
                return Some(Step::Initializing);
            }
            WAIT_HANDSHAKE => CLEAR_HANDSHAKE | HOTPLUG,
            BOOT_MESSAGE => HOTPLUG,
            OPERATIONAL => ABORT_ALL | TO_READY | MFI_MODE,
            FAULT if !start.was_reset && waited == 0 => {
                self.reset_adapter();
                return Some(Step::ToReady);
            }
            _ => return Some(Step::ToReady),
        };
        self.registers.write32(register::INBOUND_DOORBELL, doorbell);
        Some(Step::ToReady)
    }

    /// After that: what is next; `None` if all is done.
    fn on_from_ready(&mut self, step: Step) -> Option<Step> {
        let status = self.status(CONTROL);
        if status == frame::PENDING {
            return Some(step);
        }
        match step {
            Step::Initializing if status == 0 => {
                self.ask_for(frame::LIST_LOGICAL);
                Some(Step::Listing(Disk::Logical))
            }
            // It does not understand: only time, or a reset, helps.
            Step::ToReady | Step::Initializing => Some(step),
            Step::Listing(kind) => {
                let found = self.listed(kind, status == 0);
                if found.is_empty() && kind == Disk::Logical {
                    self.ask_for(frame::LIST_PHYSICAL);
                    return Some(Step::Listing(Disk::Physical));
                }
                self.disks = found;
                None
            }
        }
    }

    /// Tells the firmware about the queue.
    fn initialize(&mut self, register: u32) {
        let commands = register & 0xffff;
        let parts = (register >> 16 & 0xff) as usize;
        self.answers = commands.clamp(2, MOST_ANSWERS as u32);
        self.parts = parts.clamp(1, MOST_PARTS);
        self.next = 0;
        self.memory.store32(place::PRODUCER, 0);
        self.memory.store32(place::CONSUMER, 0);
        let description = frame::queue(
            self.answers,
            self.address(place::ANSWERS),
            self.address(place::PRODUCER),
            self.address(place::CONSUMER),
        );
        self.memory.write(place::QUEUE, &description);
        self.bus.set_master(true);
        let frame = Frame::init(CONTROL, self.address(place::QUEUE));
        self.post(CONTROL, &frame);
    }

    /// Asks for a list of disks.
    fn ask_for(&mut self, list: u32) {
        self.memory.write(place::LIST, &[0; frame::LIST_BYTES]);
        let into = Part {
            address: self.address(place::LIST),
            length: frame::LIST_BYTES as u32,
        };
        let frame = Frame::direct(CONTROL, list, into);
        self.post(CONTROL, &frame);
    }

    /// What was listed.
    fn listed(&self, kind: Disk, well: bool) -> Vec<(u8, Disk)> {
        if !well {
            return Vec::new();
        }
        let mut list = [0; frame::LIST_BYTES];
        self.memory.read(place::LIST, &mut list);
        let mut targets: Vec<u8> = match kind {
            Disk::Logical => frame::logical(&list).collect(),
            Disk::Physical => frame::physical(&list).collect(),
        };
        targets.sort_unstable();
        targets.dedup();
        targets.into_iter().map(|target| (target, kind)).collect()
    }

    /// It works.
    fn run(&mut self, tell: &mut dyn FnMut(Notice)) {
        self.registers.write32(register::CLEAR, u32::MAX);
        let interrupts = self.generation.interrupts();
        self.registers.write32(register::INTERRUPT_MASK, interrupts);
        self.state = State::Running { abort_until: None };
        tell(Notice::Ready);
    }

    /// Resets the whole adapter.
    fn reset_adapter(&mut self) {
        log::warn!("megasas: the adapter is reset");
        for key in KEYS {
            self.registers.write32(register::SEQUENCE, key);
        }
        let diagnostic = self.registers.read32(register::DIAGNOSTIC);
        self.registers
            .write32(register::DIAGNOSTIC, diagnostic | RESET_ADAPTER);
    }

    /// Cuts the controller off, for good.
    fn give_up(&mut self, tell: &mut dyn FnMut(Notice)) {
        self.bus.set_master(false);
        self.state = State::Gone;
        self.fail_all(Failure::Gone, tell);
        tell(Notice::Gone);
    }
}
