//! Bringing the device up (section 5.1.5), at first and after a reset.

use alloc::boxed::Box;
use alloc::vec::Vec;

use vortex_bus::virtio::{self, AGREED, Disagreement, EVENT_INDEX, Transport, status};
use vortex_bus::virtqueue::{Buffer, Virtqueue};
use vortex_bus::{Bus, BusError, Memory};
use vortex_resources::net::interface::{BUFFER, ETHERNET, Host, Loss, Notice, PARTS, Properties};

use super::receive::ReceiveRing;
use super::transmit::TransmitRing;
use super::wire::{self, configuration, feature};
use super::{Pair, Running, State, VirtioNet};

/// How long a reset may take, in nanoseconds, and how often it is looked at.
const RESET_NS: u64 = 5_000_000_000;
const LOOK_NS: u64 = 1_000_000;
/// Descriptors of a ring: more are of no use, and fewer do not hold a frame in parts.
const RING_SIZE: u16 = 256;
const LEAST_SIZE: u16 = 32;
/// MTUs: where the device says none, and the least.
const MTU: u16 = 1500;
const LEAST_MTU: u16 = 576;
/// A tag of a virtual network is not cut off a received packet.
const TAG: usize = 4;
/// The longest packet of IPv4.
const LONGEST_PACKET: u32 = 65_535;
/// Features that are of use.
const WANTED: u64 = EVENT_INDEX
    | feature::CHECKSUM
    | feature::GUEST_CHECKSUM
    | feature::MTU
    | feature::MAC
    | feature::SEGMENTATION
    | feature::MERGEABLE
    | feature::STATUS;
/// With several pairs.
const FOR_PAIRS: u64 = feature::CONTROL | feature::PAIRS;

/// The queue for control, and the command that sets the number of pairs.
#[derive(Debug)]
pub(super) struct Control<B: Bus> {
    queue: Virtqueue<B>,
    memory: B::Memory,
    pairs: usize,
}

/// Where the command's answer is in its memory.
const ANSWER_AT: usize = 8;

impl<B: Bus> Control<B> {
    /// Asks for so many pairs.
    fn ask(&mut self) {
        let [low, high] = (self.pairs as u16).to_le_bytes();
        let [class, command] = wire::SET_PAIRS;
        self.memory.write(0, &[class, command, low, high]);
        self.memory.write(ANSWER_AT, &[!wire::OK]);
        let start = self.memory.address();
        let buffer = |at: usize, length| Buffer {
            address: start + at as u64,
            length,
        };
        // There is room: it is the only one.
        let _ = self
            .queue
            .add(&[buffer(0, 2), buffer(2, 2)], &[buffer(ANSWER_AT, 1)]);
    }

    /// How many pairs there are, once the device has answered.
    pub(super) fn answer(&mut self) -> Option<usize> {
        self.queue.take_used().ok().flatten()?;
        let mut answer = [0];
        self.memory.read(ANSWER_AT, &mut answer);
        Some(if answer == [wire::OK] { self.pairs } else { 1 })
    }
}

impl<B: Bus, T: Transport> VirtioNet<B, T> {
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
            self.counters.resets += 1;
            self.void.push(running);
        }
    }

    /// Goes on when the reset is over, or has taken too long.
    pub(super) fn look_at_reset(&mut self, now_ns: u64, host: &mut dyn Host) {
        let State::Resetting { until, next_look } = &mut self.state else {
            return;
        };
        if self.transport.status() != 0 {
            *next_look = now_ns + LOOK_NS;
            if now_ns >= *until {
                log::error!("virtio-net: the device cannot be reset");
                self.give_up(host);
            }
            return;
        }
        self.empty(host);
        match self.bring_up(now_ns) {
            Ok(mut running) => {
                running.begin(&mut self.transport, host);
                let has_link = running.has_link;
                self.state = State::Running(Box::new(running));
                host.notice(Notice::Ready);
                host.notice(Notice::Link(has_link));
            }
            Err(error) => {
                log::error!("virtio-net: {error}");
                self.give_up(host);
            }
        }
    }

    /// Cuts the device off, for good.
    fn give_up(&mut self, host: &mut dyn Host) {
        self.bus.set_master(false);
        self.empty(host);
        self.state = State::Gone;
        host.notice(Notice::Gone);
    }

    /// Gives back what the device has had, as it is done with it.
    fn empty(&mut self, host: &mut dyn Host) {
        for running in self.void.drain(..) {
            for pair in running.pairs {
                for frame in pair.transmit.into_frames() {
                    self.counters.lose(Loss::Reset, 1);
                    host.sent(frame);
                }
            }
        }
    }

    /// Sets up a device that has just been reset.
    fn bring_up(&mut self, now_ns: u64) -> Result<Running<B>, SetupError> {
        let transport = &mut self.transport;
        let wanted = WANTED | if self.most_pairs > 1 { FOR_PAIRS } else { 0 };
        let features = virtio::negotiate(transport, wanted)?;
        if features & feature::MAC == 0 {
            return Err(SetupError::NoAddress);
        }
        let offered = match features & FOR_PAIRS {
            FOR_PAIRS => transport.configuration16(configuration::PAIRS).max(1),
            _ => 1,
        };
        let count = offered.min(self.most_pairs);
        self.bus.set_master(true);
        self.transport.interrupt_on_change(Some(0));
        let mtu = match features & feature::MTU {
            0 => MTU,
            _ => self.transport.configuration16(configuration::MTU),
        };
        let mtu = sensible(mtu, features);
        let pairs: Result<Vec<_>, _> = (0..count)
            .map(|pair| self.make_pair(pair, features, mtu))
            .collect();
        let pairs = pairs?;
        let control = (count > 1)
            .then(|| self.make_control(2 * offered, pairs.len()))
            .transpose()?;
        let properties = self.properties(features, mtu);
        self.transport.set_status(AGREED | status::DRIVER_OK);
        let mut running = Running {
            pairs,
            in_use: 1,
            control: control.map(|control| (2 * offered, control)),
            properties,
            reports_link: features & feature::STATUS != 0,
            has_link: true,
            next_look: now_ns,
            hungry_until: None,
        };
        running.has_link = running.link(&mut self.transport);
        Ok(running)
    }

    fn properties(&mut self, features: u64, mtu: u16) -> Properties {
        let mac = [0, 2, 4].map(|at| self.transport.configuration16(configuration::MAC + at));
        let checksum = features & feature::CHECKSUM != 0;
        let cuts = checksum && features & feature::SEGMENTATION != 0;
        Properties {
            mac: wire::mac(mac),
            mtu,
            queues: 1,
            checksum,
            segmentation: if cuts {
                LONGEST_PACKET + ETHERNET as u32
            } else {
                0
            },
        }
    }

    fn make_pair(&mut self, pair: u16, features: u64, mtu: u16) -> Result<Pair<B>, SetupError> {
        let is_mergeable = features & feature::MERGEABLE != 0;
        let longest = usize::from(mtu) + ETHERNET + TAG;
        let receive = self.make_queue(2 * pair, features)?;
        let transmit = self.make_queue(2 * pair + 1, features)?;
        Ok(Pair {
            receive: ReceiveRing::new(receive, is_mergeable, longest),
            transmit: TransmitRing::new(&mut self.bus, transmit)?,
        })
    }

    fn make_control(&mut self, number: u16, pairs: usize) -> Result<Control<B>, SetupError> {
        Ok(Control {
            queue: self.make_queue(number, 0)?,
            memory: self.bus.allocate(2 * ANSWER_AT)?,
            pairs,
        })
    }

    fn make_queue(&mut self, number: u16, features: u64) -> Result<Virtqueue<B>, SetupError> {
        let limit = self.transport.queue_limit(number);
        if limit < LEAST_SIZE {
            return Err(SetupError::NoQueue(number));
        }
        let mut queue = Virtqueue::new(&mut self.bus, limit.min(RING_SIZE))?;
        if features & EVENT_INDEX != 0 {
            queue.use_event_index();
        }
        self.transport
            .set_queue(number, queue.size(), queue.addresses(), Some(0));
        Ok(queue)
    }
}

impl<B: Bus> Running<B> {
    /// The first that the device gets to do.
    fn begin(&mut self, transport: &mut impl Transport, host: &mut dyn Host) {
        for (pair, number) in self.pairs.iter_mut().zip((0..).step_by(2)) {
            if pair.receive.fill(host) {
                transport.notify(number);
            }
        }
        if let Some((number, control)) = &mut self.control {
            control.ask();
            transport.notify(*number);
        }
    }
}

/// The most bytes of a packet: what the device says, but no more than fits a buffer if one cannot be
/// in several.
fn sensible(mtu: u16, features: u64) -> u16 {
    let said = mtu.max(LEAST_MTU);
    match features & feature::MERGEABLE {
        0 => said.min((BUFFER - wire::HEADER - ETHERNET - TAG) as u16),
        _ => said,
    }
}

/// Why a device cannot be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SetupError {
    Bus(BusError),
    Disagreement(Disagreement),
    NoAddress,
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
            Self::NoAddress => f.write_str("the device has no address"),
            Self::NoQueue(number) => {
                write!(
                    f,
                    "the device has no queue {number} of {LEAST_SIZE} or more"
                )
            }
        }
    }
}

/// A frame in parts fits into a ring.
const _: () = assert!(LEAST_SIZE as usize > PARTS);
