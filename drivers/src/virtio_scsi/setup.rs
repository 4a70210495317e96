//! Bringing the device up (section 3.1.1), at first and after a reset.

use alloc::boxed::Box;
use alloc::vec::Vec;

use vortex_bus::virtio::{self, AGREED, Disagreement, Transport, status};
use vortex_bus::virtqueue::{Buffer, Virtqueue};
use vortex_bus::{Bus, BusError, Memory};
use vortex_resources::storage::adapter::{Failure, Limits, Notice};

use super::{
    CONTROL, EVENTS, MOST_PARTS, REQUESTS, Recovery, SLOT_BYTES, SLOTS, State, VirtioScsi, wire,
};

/// How long a reset may take, in nanoseconds, and how often it is looked at.
const RESET_NS: u64 = 5_000_000_000;
const LOOK_NS: u64 = 1_000_000;
/// Descriptors of a ring: more are of no use.
const RING_SIZE: u16 = 512;
/// Events that may happen before they are looked at.
const EVENT_BUFFERS: usize = 8;
/// The most bytes of a command, where the device does not say.
const MOST_BYTES: u32 = 4 << 20;

/// A ring for requests.
#[derive(Debug)]
pub(super) struct Ring<B: Bus> {
    pub(super) queue: Virtqueue<B>,
    /// By token: the slot of the command.
    pub(super) owners: Vec<u8>,
}

/// A device that works.
#[derive(Debug)]
pub(super) struct Running<B: Bus> {
    pub(super) control: Virtqueue<B>,
    pub(super) events: Virtqueue<B>,
    /// By token: the buffer.
    pub(super) event_buffers: Vec<u8>,
    pub(super) requests: Vec<Ring<B>>,
    /// The slots' requests and responses, then the one about tasks, then events.
    pub(super) memory: B::Memory,
    pub(super) limits: Limits,
    pub(super) last_target: u8,
    pub(super) recovery: Recovery,
}

impl<B: Bus> Running<B> {
    /// Where the request about tasks is in the memory.
    #[expect(clippy::unused_self, reason = "like its neighbours")]
    pub(super) const fn manage_at(&self) -> usize {
        SLOTS * SLOT_BYTES
    }

    /// Where its response is.
    pub(super) const fn managed_at(&self) -> usize {
        self.manage_at() + wire::MANAGE
    }

    /// Where an event's buffer is.
    pub(super) const fn event_at(&self, buffer: usize) -> usize {
        self.manage_at() + 64 + buffer * wire::EVENT
    }

    /// Gives the device a buffer for an event.
    pub(super) fn offer_event(&mut self, buffer: usize) {
        let place = Buffer {
            address: self.memory.address() + self.event_at(buffer) as u64,
            length: wire::EVENT as u32,
        };
        if let Ok(token) = self.events.add(&[], &[place]) {
            self.event_buffers[usize::from(token.0)] = buffer as u8;
        }
    }
}

impl<B: Bus, T: Transport> VirtioScsi<B, T> {
    /// Tells the device to reset itself.
    pub(super) fn begin_reset(&mut self, now_ns: u64) {
        self.transport.set_status(0);
        // The queues' memory stays until the device has said that it is done with it.
        let old = core::mem::replace(
            &mut self.state,
            State::Resetting {
                until: now_ns.saturating_add(RESET_NS),
                next_look: now_ns,
            },
        );
        if let State::Running(running) = old {
            self.void.push(running);
        }
    }

    /// Goes on when the reset is over, or has taken too long.
    pub(super) fn look_at_reset(&mut self, now_ns: u64, tell: &mut dyn FnMut(Notice)) {
        let State::Resetting { until, next_look } = &mut self.state else {
            return;
        };
        if self.transport.status() != 0 {
            *next_look = now_ns + LOOK_NS;
            if now_ns >= *until {
                log::error!("virtio-scsi: the device cannot be reset");
                self.give_up(tell);
            }
            return;
        }
        self.void.clear();
        self.fail_all(Failure::Reset, tell);
        match self.bring_up() {
            Ok(running) => {
                self.state = State::Running(Box::new(running));
                self.transport.notify(EVENTS);
                tell(Notice::Ready);
            }
            Err(error) => {
                log::error!("virtio-scsi: {error}");
                self.give_up(tell);
            }
        }
    }

    /// Cuts the device off, for good.
    fn give_up(&mut self, tell: &mut dyn FnMut(Notice)) {
        self.bus.set_master(false);
        self.void.clear();
        self.state = State::Gone;
        self.fail_all(Failure::Gone, tell);
        tell(Notice::Gone);
    }

    /// Sets up a device that has just been reset.
    fn bring_up(&mut self) -> Result<Running<B>, SetupError> {
        let transport = &mut self.transport;
        virtio::negotiate(transport, wire::HOTPLUG)?;
        let [sense, cdb] = wire::configuration::SIZES;
        for (place, size) in [sense, cdb] {
            transport.set_configuration(place, size);
        }
        self.bus.set_master(true);
        let running = self.make_queues()?;
        self.transport.set_status(AGREED | status::DRIVER_OK);
        Ok(running)
    }

    /// The queues, told to the device.
    fn make_queues(&mut self) -> Result<Running<B>, SetupError> {
        let number = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
        let offered = number(self.transport.configuration(wire::configuration::QUEUES));
        let rings = offered.min(self.rings).max(1);
        let control = self.make_queue(CONTROL)?;
        let events = self.make_queue(EVENTS)?;
        let requests: Result<Vec<_>, SetupError> = (0..rings)
            .map(|ring| {
                let queue = self.make_queue(REQUESTS + ring)?;
                let owners = alloc::vec![0; usize::from(queue.size())];
                Ok(Ring { queue, owners })
            })
            .collect();
        let requests = requests?;
        let descriptors = requests.iter().map(|ring| ring.queue.size()).min();
        let limits = self.limits(descriptors.unwrap_or(0), requests.len());
        let target = self
            .transport
            .configuration(wire::configuration::MAX_TARGET)
            >> 16;
        let event_buffers = alloc::vec![0; usize::from(events.size())];
        let buffers = EVENT_BUFFERS.min(event_buffers.len());
        let bytes = SLOTS * SLOT_BYTES + 64 + EVENT_BUFFERS * wire::EVENT;
        let mut running = Running {
            control,
            events,
            event_buffers,
            requests,
            memory: self.bus.allocate(bytes)?,
            limits,
            last_target: u8::try_from(target).unwrap_or(u8::MAX),
            recovery: Recovery::default(),
        };
        (0..buffers).for_each(|buffer| running.offer_event(buffer));
        Ok(running)
    }

    fn make_queue(&mut self, number: u16) -> Result<Virtqueue<B>, SetupError> {
        let limit = self.transport.queue_limit(number);
        if limit < 4 {
            return Err(SetupError::NoQueue(number));
        }
        let queue = Virtqueue::new(&mut self.bus, limit.min(RING_SIZE))?;
        let message = Some(0);
        self.transport
            .set_queue(number, queue.size(), queue.addresses(), message);
        Ok(queue)
    }

    fn limits(&mut self, descriptors: u16, rings: usize) -> Limits {
        let mut number = |offset| self.transport.configuration(offset) as usize;
        // With request and response, a command fits into an empty ring.
        let room = usize::from(descriptors) - 2;
        let parts = number(wire::configuration::PARTS).clamp(1, MOST_PARTS.min(room));
        let sectors = number(wire::configuration::SECTORS) as u64;
        let bytes = match sectors * 512 {
            0 => MOST_BYTES,
            bytes => bytes.min(MOST_BYTES.into()) as u32,
        };
        Limits {
            parts,
            bytes,
            commands: SLOTS.min(rings * usize::from(descriptors) / 3),
        }
    }
}

/// Why a device cannot be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetupError {
    Bus(BusError),
    Disagreement(Disagreement),
    NoQueue(u16),
}

impl From<BusError> for SetupError {
    fn from(error: BusError) -> Self {
        Self::Bus(error)
    }
}

impl From<Disagreement> for SetupError {
    fn from(error: Disagreement) -> Self {
        Self::Disagreement(error)
    }
}

impl core::fmt::Display for SetupError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Bus(error) => error.fmt(f),
            Self::Disagreement(error) => error.fmt(f),
            Self::NoQueue(number) => write!(f, "the device has no queue {number}"),
        }
    }
}
