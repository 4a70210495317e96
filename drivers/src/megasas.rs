//! MegaRAID SAS controllers of the MFI generations: SAS 1078 (QEMU's `megasas`) and SAS 2108
//! (`megasas-gen2`).
//!
//! Key type: [`MegaRaid`]. `start` brings the firmware up, at first and after a reset; `frame` has the
//! formats. Logical disks are driven, or where there are none the physical ones.
//!
//! Invariants: a slot is busy from the taking of a command to its answer, and there is none before
//! the controller has posted it or was reset. What the controller writes is copied and checked: an
//! index beyond the queue, or an answer to nothing, has it reset.

mod frame;
mod start;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use vortex_bus::{Bus, BusError, Memory, Registers};
use vortex_resources::storage::adapter::{
    Adapter, Command, Failure, Limits, Notice, Part, Refusal, SENSE_BYTES, Tag,
};

use frame::{Disk, FRAME, Frame, MOST_PARTS};
use start::Start;

/// The most commands at one time.
const SLOTS: usize = 128;
/// The context of the one frame that is not of a slot.
const CONTROL: u32 = SLOTS as u32;
/// The most bytes of a command.
const MOST_BYTES: u32 = 1 << 20;
/// How long the controller may take about an abort, in nanoseconds.
const ABORT_NS: u64 = 5_000_000_000;
/// The most answers in the queue.
const MOST_ANSWERS: usize = 4096;

/// The registers, by their offsets.
mod register {
    pub(super) const INBOUND_DOORBELL: usize = 0x20;
    pub(super) const INTERRUPT_MASK: usize = 0x34;
    pub(super) const QUEUE: usize = 0x40;
    pub(super) const CLEAR: usize = 0xa0;
    pub(super) const STATE: usize = 0xb0;
    pub(super) const QUEUE_LOW: usize = 0xc0;
    pub(super) const QUEUE_HIGH: usize = 0xc4;
    pub(super) const DIAGNOSTIC: usize = 0xf8;
    pub(super) const SEQUENCE: usize = 0xfc;
    pub(super) const BYTES: usize = 0x100;
}

/// Places in the memory: the frames, then all else.
mod place {
    use super::{FRAME, MOST_ANSWERS, SENSE_BYTES, SLOTS, frame};
    pub(super) const SENSE: usize = (SLOTS + 1) * FRAME;
    pub(super) const QUEUE: usize = SENSE + SLOTS * SENSE_BYTES;
    pub(super) const PRODUCER: usize = QUEUE + 32;
    pub(super) const CONSUMER: usize = PRODUCER + 16;
    pub(super) const NOTHING: usize = CONSUMER + 16;
    pub(super) const LIST: usize = QUEUE + 256;
    pub(super) const ANSWERS: usize = LIST + frame::LIST_BYTES;
    pub(super) const BYTES: usize = ANSWERS + 4 * MOST_ANSWERS;
}

/// Which generation a controller is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// SAS 1078.
    First,
    /// SAS 2108.
    Second,
}

impl Generation {
    /// The number of the base address register that has its registers.
    const fn bar(self) -> u8 {
        match self {
            Self::First => 0,
            Self::Second => 1,
        }
    }

    /// Interrupts of answers are let through.
    const fn interrupts(self) -> u32 {
        match self {
            Self::First => !0x8000_0004,
            Self::Second => !0x5,
        }
    }
}

/// A command that the controller has.
#[derive(Clone, Copy, Debug)]
struct Busy {
    tag: Tag,
    deadline: u64,
    aborting: bool,
}

/// A MegaRAID controller.
#[derive(Debug)]
pub struct MegaRaid<B: Bus> {
    bus: B,
    registers: B::Registers,
    memory: B::Memory,
    generation: Generation,
    state: State,
    slots: Vec<Option<Busy>>,
    free: Vec<u8>,
    /// The targets there are, and what they are.
    disks: Vec<(u8, Disk)>,
    parts: usize,
    /// Answers that the queue has room for; the index of the next one.
    answers: u32,
    next: u32,
    /// The first deadline of a command, or an earlier one.
    earliest: Option<u64>,
}

/// What the controller is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its firmware is coming up.
    Starting(Start),
    /// It works; perhaps it is aborting a command until then.
    Running { abort_until: Option<u64> },
    /// It does not, for good.
    Gone,
}

impl<B: Bus> MegaRaid<B>
where
    B::Registers: core::fmt::Debug,
{
    /// The controller on `bus`. It is ready some time after [`Adapter::service`] was called.
    ///
    /// # Errors
    /// [`BusError`] if it cannot be reached, or there is no memory for it.
    pub fn new(mut bus: B, generation: Generation, now_ns: u64) -> Result<Self, BusError> {
        let registers = bus.registers(generation.bar(), 0, register::BYTES)?;
        let memory = bus.allocate(place::BYTES)?;
        let mut controller = Self {
            bus,
            registers,
            memory,
            generation,
            state: State::Gone,
            slots: alloc::vec![None; SLOTS],
            free: Vec::new(),
            disks: Vec::new(),
            parts: 1,
            answers: 0,
            next: 0,
            earliest: None,
        };
        controller.begin(now_ns);
        Ok(controller)
    }

    fn address(&self, place: usize) -> u64 {
        self.memory.address() + place as u64
    }

    /// Writes a frame where that of `context` is, and gives it to the controller.
    fn post(&mut self, context: u32, frame: &Frame) {
        let at = context as usize * FRAME;
        self.memory.write(at, &frame.0);
        B::barrier();
        let address = self.address(at);
        let low = address as u32 | 1;
        match (address >> 32) as u32 {
            0 => self.registers.write32(register::QUEUE, low),
            high => {
                self.registers.write32(register::QUEUE_HIGH, high);
                self.registers.write32(register::QUEUE_LOW, low);
            }
        }
    }

    /// The status in a frame.
    fn status(&self, context: u32) -> u8 {
        let mut status = [0];
        let at = context as usize * FRAME + frame::STATUS_AT;
        self.memory.read(at, &mut status);
        status[0]
    }

    /// Takes the answers that were posted; false if they make no sense.
    fn drain(&mut self, tell: &mut dyn FnMut(Notice)) -> bool {
        let producer = self.memory.load32(place::PRODUCER);
        if producer >= self.answers {
            return false;
        }
        while self.next != producer {
            let context = self.memory.load32(place::ANSWERS + 4 * self.next as usize);
            self.next = (self.next + 1) % self.answers;
            if context == CONTROL {
                continue;
            }
            let slot = context as usize;
            let Some(busy) = self.slots.get_mut(slot).and_then(Option::take) else {
                return false;
            };
            self.free.push(slot as u8);
            tell(Notice::Done(busy.tag, self.answer(slot, busy)));
        }
        self.memory.store32(place::CONSUMER, self.next);
        true
    }

    /// What the controller says of the command in a slot.
    fn answer(
        &mut self,
        slot: usize,
        busy: Busy,
    ) -> Result<vortex_resources::storage::adapter::Response, Failure> {
        let mut statuses = [0; 2];
        let at = slot * FRAME + frame::STATUS_AT;
        self.memory.read(at, &mut statuses);
        let mut sense = [0; SENSE_BYTES];
        self.memory
            .read(place::SENSE + slot * SENSE_BYTES, &mut sense);
        if busy.aborting
            && let State::Running { abort_until } = &mut self.state
        {
            *abort_until = None;
        }
        match frame::answer(statuses[0], statuses[1], sense) {
            Err(Failure::TimedOut) if !busy.aborting => Err(Failure::Reset),
            answer => answer,
        }
    }

    /// Does what is due about commands that take too long.
    fn recover(&mut self, now_ns: u64) {
        match self.state {
            State::Running {
                abort_until: Some(until),
            } if now_ns >= until => {
                log::warn!("megasas: an abort does not help; the controller is reset");
                self.begin(now_ns);
            }
            State::Running { abort_until: None }
                if self.earliest.is_some_and(|at| at <= now_ns) =>
            {
                let busy = self.slots.iter().enumerate();
                let first = busy.filter_map(|(slot, busy)| Some((busy.as_ref()?.deadline, slot)));
                let first = first.min();
                self.earliest = first.map(|(deadline, _)| deadline);
                match first {
                    Some((deadline, slot)) if deadline <= now_ns => self.abort(slot, now_ns),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Asks the controller to abort the command in a slot.
    fn abort(&mut self, slot: usize, now_ns: u64) {
        log::warn!("megasas: a command takes too long, and is aborted");
        if let Some(busy) = &mut self.slots[slot] {
            busy.aborting = true;
        }
        self.state = State::Running {
            abort_until: Some(now_ns + ABORT_NS),
        };
        let address = self.address(slot * FRAME);
        let frame = Frame::abort(CONTROL, slot as u32, address);
        self.post(CONTROL, &frame);
    }

    /// All that was under way ends so.
    fn fail_all(&mut self, failure: Failure, tell: &mut dyn FnMut(Notice)) {
        for busy in &mut self.slots {
            if let Some(busy) = busy.take() {
                tell(Notice::Done(busy.tag, Err(failure)));
            }
        }
        self.free = (0..SLOTS as u8).rev().collect();
        self.earliest = None;
    }
}

impl<B: Bus> Adapter for MegaRaid<B>
where
    B::Registers: core::fmt::Debug,
{
    fn name(&self) -> &'static str {
        "megasas"
    }

    fn limits(&self) -> Limits {
        Limits {
            parts: self.parts,
            bytes: MOST_BYTES,
            commands: SLOTS,
        }
    }

    fn targets(&self) -> Vec<u8> {
        self.disks.iter().map(|(target, _)| *target).collect()
    }

    fn submit(&mut self, command: &Command, _core: usize, now_ns: u64) -> Result<(), Refusal> {
        match self.state {
            State::Running { .. } => {}
            State::Starting(_) => return Err(Refusal::Full),
            State::Gone => return Err(Refusal::Gone),
        }
        if command.parts.len() > self.parts || command.bytes() > MOST_BYTES.into() {
            return Err(Refusal::TooLarge);
        }
        let most = (self.answers as usize - 1).min(SLOTS);
        if SLOTS - self.free.len() >= most {
            return Err(Refusal::Full);
        }
        let slot = self.free.pop().ok_or(Refusal::Full)?;
        let target = command.unit.target;
        let known = self.disks.iter().find(|(disk, _)| *disk == target);
        let kind = known.map_or(Disk::Logical, |(_, kind)| *kind);
        let nothing = Part {
            address: self.address(place::NOTHING),
            length: 8,
        };
        let at = place::SENSE + usize::from(slot) * SENSE_BYTES;
        self.memory.write(at, &[0; SENSE_BYTES]);
        let context = u32::from(slot);
        let frame = Frame::command(context, kind, command, self.address(at), nothing);
        let deadline = now_ns.saturating_add(command.timeout_ns);
        self.slots[usize::from(slot)] = Some(Busy {
            tag: command.tag,
            deadline,
            aborting: false,
        });
        self.earliest = Some(self.earliest.map_or(deadline, |at| at.min(deadline)));
        self.post(context, &frame);
        Ok(())
    }

    fn service(&mut self, now_ns: u64, tell: &mut dyn FnMut(Notice)) {
        match self.state {
            State::Starting(start) => return self.go_on(start, now_ns, tell),
            State::Gone => return,
            State::Running { .. } => {}
        }
        self.registers.write32(register::CLEAR, u32::MAX);
        if !self.drain(tell) {
            log::warn!("megasas: the controller answers nonsense; it is reset");
            return self.begin(now_ns);
        }
        self.recover(now_ns);
    }

    fn deadline(&self) -> Option<u64> {
        match self.state {
            State::Starting(start) => Some(start.next_look),
            State::Running { abort_until } => abort_until.or(self.earliest),
            State::Gone => None,
        }
    }
}

/// Where the parts of a command end.
const _: () = assert!(MOST_PARTS >= 128);
