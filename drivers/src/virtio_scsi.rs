//! virtio-scsi (Virtual I/O Device 1.2, section 5.6).
//!
//! Key type: [`VirtioScsi`]. `setup` brings the device up, at first and after a reset; `recovery` is
//! what is done about commands that take too long; `wire` has the formats.
//!
//! Invariants: a slot is busy from the taking of a command to its answer, and there is none before
//! its chain came back from the device or the device was reset. What the device writes is used after
//! it was copied and checked.

mod recovery;
mod setup;
#[cfg(test)]
mod tests;
mod wire;

use alloc::boxed::Box;
use alloc::vec::Vec;

use vortex_bus::virtio::Transport;
use vortex_bus::virtqueue::{Buffer, QueueBroken, Token, Virtqueue};
use vortex_bus::{Bus, Memory};
use vortex_resources::storage::adapter::{
    Adapter, Command, Data, Failure, Limits, Notice, Refusal, Tag, Unit,
};

use recovery::Recovery;
use setup::Running;

/// The most commands at one time.
const SLOTS: usize = 128;
/// Bytes of a slot's own memory: a request, then its response.
const SLOT_BYTES: usize = 256;
/// Where the response is in it.
const RESPONSE_AT: usize = 64;
/// The most parts of a command: with request and response, half of a queue of 256.
const MOST_PARTS: usize = 126;

/// The numbers of the queues (section 5.6.2).
const CONTROL: u16 = 0;
const EVENTS: u16 = 1;
const REQUESTS: u16 = 2;

/// A command that the device has.
#[derive(Clone, Copy, Debug)]
struct Busy {
    tag: Tag,
    unit: Unit,
    bytes: u64,
    deadline: u64,
}

/// A virtio-scsi controller.
#[derive(Debug)]
pub struct VirtioScsi<B: Bus, T> {
    bus: B,
    transport: T,
    /// The most rings for requests that are of use.
    rings: u16,
    slots: Vec<Option<Busy>>,
    free: Vec<u8>,
    state: State<B>,
    /// Memory of a device that was told to reset itself, until it is over.
    void: Vec<Box<Running<B>>>,
    /// Buffers, used again for every command.
    chain: Vec<Buffer>,
}

/// What the device is at.
#[derive(Debug)]
enum State<B: Bus> {
    /// It was told to reset itself, and has until then.
    Resetting { until: u64, next_look: u64 },
    /// It works.
    Running(Box<Running<B>>),
    /// It does not, for good.
    Gone,
}

impl<B: Bus, T: Transport> VirtioScsi<B, T> {
    /// The controller that is reached by `transport`; at most `rings` rings are used, at least one.
    /// It is reset at once, and is ready some time after [`Adapter::service`] was called.
    pub fn new(bus: B, transport: T, rings: u16, now_ns: u64) -> Self {
        let mut controller = Self {
            bus,
            transport,
            rings: rings.max(1),
            slots: alloc::vec![None; SLOTS],
            free: (0..SLOTS as u8).rev().collect(),
            state: State::Gone,
            void: Vec::new(),
            chain: Vec::new(),
        };
        controller.begin_reset(now_ns);
        controller
    }

    /// Takes back what the device is done with.
    fn drain(&mut self, now_ns: u64, tell: &mut dyn FnMut(Notice)) -> Result<(), QueueBroken> {
        let State::Running(running) = &mut self.state else {
            return Ok(());
        };
        for ring in 0..running.requests.len() {
            while let Some(used) = running.requests[ring].queue.take_used()? {
                let owner = &mut running.requests[ring].owners[usize::from(used.token.0)];
                let slot = usize::from(core::mem::take(owner));
                let Some(busy) = self.slots[slot].take() else {
                    continue;
                };
                self.free.push(slot as u8);
                let mut bytes = [0; wire::RESPONSE];
                let at = slot * SLOT_BYTES + RESPONSE_AT;
                running.memory.read(at, &mut bytes);
                let answer = wire::response(&bytes, busy.bytes);
                tell(Notice::Done(busy.tag, running.recovery.judge(slot, answer)));
            }
        }
        self.drain_control(now_ns)?;
        self.drain_events(tell)
    }

    /// Takes back the answers about tasks.
    fn drain_control(&mut self, now_ns: u64) -> Result<(), QueueBroken> {
        let State::Running(running) = &mut self.state else {
            return Ok(());
        };
        while let Some(_used) = running.control.take_used()? {
            let mut answer = [0; wire::MANAGED];
            running.memory.read(running.managed_at(), &mut answer);
            running.recovery.managed(answer == [0], now_ns);
        }
        Ok(())
    }

    /// Takes back events, and gives the device their buffers again.
    fn drain_events(&mut self, tell: &mut dyn FnMut(Notice)) -> Result<(), QueueBroken> {
        let State::Running(running) = &mut self.state else {
            return Ok(());
        };
        let mut notify = false;
        while let Some(used) = running.events.take_used()? {
            let buffer = usize::from(core::mem::take(
                &mut running.event_buffers[usize::from(used.token.0)],
            ));
            let mut bytes = [0; wire::EVENT];
            running.memory.read(running.event_at(buffer), &mut bytes);
            match wire::event(&bytes) {
                wire::Happened::Removed(unit) => tell(Notice::Removed(unit)),
                wire::Happened::Rescan => tell(Notice::Rescan),
                wire::Happened::Nothing => {}
            }
            running.offer_event(buffer);
            notify = true;
        }
        if notify && running.events.wants_notification() {
            self.transport.notify(EVENTS);
        }
        Ok(())
    }

    /// All that was under way ends so.
    fn fail_all(&mut self, failure: Failure, tell: &mut dyn FnMut(Notice)) {
        for (slot, busy) in self.slots.iter_mut().enumerate() {
            if let Some(busy) = busy.take() {
                self.free.push(slot as u8);
                tell(Notice::Done(busy.tag, Err(failure)));
            }
        }
    }
}

impl<B: Bus, T: Transport> Adapter for VirtioScsi<B, T> {
    fn name(&self) -> &'static str {
        "virtio-scsi"
    }

    fn limits(&self) -> Limits {
        match &self.state {
            State::Running(running) => running.limits,
            State::Resetting { .. } | State::Gone => Limits {
                parts: 1,
                bytes: 0,
                commands: 0,
            },
        }
    }

    fn targets(&self) -> Vec<u8> {
        match &self.state {
            State::Running(running) => (0..=running.last_target).collect(),
            State::Resetting { .. } | State::Gone => Vec::new(),
        }
    }

    fn submit(&mut self, command: &Command, core: usize, now_ns: u64) -> Result<(), Refusal> {
        let running = match &mut self.state {
            State::Running(running) => running,
            State::Resetting { .. } => return Err(Refusal::Full),
            State::Gone => return Err(Refusal::Gone),
        };
        let bytes = command.bytes();
        if command.parts.len() > running.limits.parts || bytes > running.limits.bytes.into() {
            return Err(Refusal::TooLarge);
        }
        let slot = usize::from(*self.free.last().ok_or(Refusal::Full)?);
        let ring = core % running.requests.len();
        let Token(first) = running.send(&mut self.chain, ring, slot, command)?;
        running.requests[ring].owners[usize::from(first)] = slot as u8;
        self.free.pop();
        let deadline = now_ns.saturating_add(command.timeout_ns);
        self.slots[slot] = Some(Busy {
            tag: command.tag,
            unit: command.unit,
            bytes,
            deadline,
        });
        running.recovery.expect(deadline);
        if running.requests[ring].queue.wants_notification() {
            self.transport.notify(REQUESTS + ring as u16);
        }
        Ok(())
    }

    fn service(&mut self, now_ns: u64, tell: &mut dyn FnMut(Notice)) {
        self.transport.acknowledge();
        if let State::Resetting { .. } = self.state {
            return self.look_at_reset(now_ns, tell);
        }
        if self.drain(now_ns, tell).is_err() {
            log::warn!("virtio-scsi: the device answers nonsense; it is reset");
            return self.begin_reset(now_ns);
        }
        self.recover(now_ns);
    }

    fn deadline(&self) -> Option<u64> {
        match &self.state {
            State::Resetting { next_look, .. } => Some(*next_look),
            State::Running(running) => running.recovery.deadline(),
            State::Gone => None,
        }
    }
}

impl<B: Bus> Running<B> {
    /// Gives the device a command in this slot.
    fn send(
        &mut self,
        chain: &mut Vec<Buffer>,
        ring: usize,
        slot: usize,
        command: &Command,
    ) -> Result<Token, Refusal> {
        let at = slot * SLOT_BYTES;
        let own = self.memory.address() + at as u64;
        let buffer = |address, length: usize| Buffer {
            address,
            length: length as u32,
        };
        chain.clear();
        chain.push(buffer(own, wire::REQUEST));
        let data = command.parts.iter().map(|part| Buffer {
            address: part.address,
            length: part.length,
        });
        let response = buffer(own + RESPONSE_AT as u64, wire::RESPONSE);
        let readable = match command.data {
            Data::Out => {
                chain.extend(data);
                chain.push(response);
                chain.len() - 1
            }
            Data::In | Data::None => {
                chain.push(response);
                chain.extend(data);
                1
            }
        };
        let queue: &mut Virtqueue<B> = &mut self.requests[ring].queue;
        if usize::from(queue.free()) < chain.len() {
            return Err(Refusal::Full);
        }
        let request = wire::request(command.unit, slot as u64, command.cdb.bytes());
        self.memory.write(at, &request);
        // An answer that the device does not write is none.
        self.memory.write(at + RESPONSE_AT, &[0xff; wire::RESPONSE]);
        let (readable, writable) = chain.split_at(readable);
        queue.add(readable, writable).map_err(|_| Refusal::Full)
    }
}
