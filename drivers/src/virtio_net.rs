//! virtio-net (Virtual I/O Device 1.2, section 5.1): checksums, segmentation, packets in several
//! buffers, several pairs of queues.
//!
//! Key type: [`VirtioNet`]. `setup` brings the device up, at first and after a reset; `transmit` and
//! `receive` are the two rings of a pair; `wire` has the formats.
//!
//! Invariants: a frame is given back once, and not before its chain came back from the device or the
//! device was reset. What the device writes about packets is used after it was copied and checked.

mod receive;
mod setup;
#[cfg(test)]
mod tests;
mod transmit;
mod wire;

use alloc::boxed::Box;
use alloc::vec::Vec;

use vortex_bus::Bus;
use vortex_bus::virtio::{Transport, status};
use vortex_bus::virtqueue::{Buffer, QueueBroken};
use vortex_resources::net::interface::{
    Counters, Host, Interface, Notice, Outgoing, Properties, Refusal,
};

use receive::ReceiveRing;
use setup::Control;
use transmit::TransmitRing;
use wire::configuration;

/// How often it is looked whether there is a link, at most, in nanoseconds: reading that is slow.
const LINK_NS: u64 = 100_000_000;
/// When to try again if there is no memory to receive into, in nanoseconds.
const HUNGRY_NS: u64 = 5_000_000;

/// A virtio-net interface.
#[derive(Debug)]
pub struct VirtioNet<B: Bus, T> {
    bus: B,
    transport: T,
    /// The most pairs of queues that are of use.
    most_pairs: u16,
    state: State<B>,
    /// Memory of a device that was told to reset itself, until it is over.
    void: Vec<Box<Running<B>>>,
    counters: Counters,
    /// Buffers, used again for every frame.
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

/// A ring for sending and one for receiving.
#[derive(Debug)]
struct Pair<B: Bus> {
    receive: ReceiveRing<B>,
    transmit: TransmitRing<B>,
}

/// A device that works.
#[derive(Debug)]
struct Running<B: Bus> {
    pairs: Vec<Pair<B>>,
    /// How many the device was told to use: one, before it has answered.
    in_use: usize,
    /// The queue for control and its number, until it has.
    control: Option<(u16, Control<B>)>,
    properties: Properties,
    /// The device says whether there is a link.
    reports_link: bool,
    has_link: bool,
    /// Not before then it is looked whether there is.
    next_look: u64,
    /// There was no memory for the next packet.
    hungry_until: Option<u64>,
}

impl<B: Bus, T: Transport> VirtioNet<B, T> {
    /// The interface that is reached by `transport`; at most `pairs` pairs of queues are used, at
    /// least one. It is reset at once, and is ready some time after [`Interface::service`] was called.
    pub fn new(bus: B, transport: T, pairs: u16, now_ns: u64) -> Self {
        let mut interface = Self {
            bus,
            transport,
            most_pairs: pairs.max(1),
            state: State::Gone,
            void: Vec::new(),
            counters: Counters::default(),
            chain: Vec::new(),
        };
        interface.begin_reset(now_ns);
        interface
    }

    /// Gives the device a frame, if it can have it now.
    fn try_transmit(
        &mut self,
        queue: usize,
        frame: Box<Outgoing>,
        now_ns: u64,
    ) -> Result<(), (Box<Outgoing>, Refusal)> {
        let running = match &mut self.state {
            State::Running(running) => running,
            State::Resetting { .. } => return Err((frame, Refusal::Full)),
            State::Gone => return Err((frame, Refusal::Gone)),
        };
        if !frame.fits(&running.properties) {
            return Err((frame, Refusal::Unfit));
        }
        if !running.has_link {
            return Err((frame, Refusal::NoLink));
        }
        let pair = queue % running.in_use;
        let ring = &mut running.pairs[pair].transmit;
        let bytes = frame.length() as u64;
        let notify = ring
            .insert(&mut self.chain, frame, now_ns)
            .map_err(|frame| (frame, Refusal::Full))?;
        if notify {
            self.transport.notify(2 * pair as u16 + 1);
        }
        self.counters.sent += 1;
        self.counters.sent_bytes += bytes;
        Ok(())
    }
}

impl<B: Bus, T: Transport> Interface for VirtioNet<B, T> {
    fn name(&self) -> &'static str {
        "virtio-net"
    }

    fn properties(&self) -> Properties {
        match &self.state {
            State::Running(running) => Properties {
                queues: running.in_use,
                ..running.properties
            },
            State::Resetting { .. } | State::Gone => Properties::NONE,
        }
    }

    fn has_link(&self) -> bool {
        matches!(&self.state, State::Running(running) if running.has_link)
    }

    fn transmit(
        &mut self,
        queue: usize,
        frame: Box<Outgoing>,
        now_ns: u64,
    ) -> Result<(), (Box<Outgoing>, Refusal)> {
        let result = self.try_transmit(queue, frame, now_ns);
        if let Err((_, refusal)) = &result {
            self.counters.refuse(*refusal);
        }
        result
    }

    fn expect_room(&mut self, now_ns: u64) {
        if let State::Running(running) = &mut self.state {
            for pair in &mut running.pairs {
                pair.transmit.expect_room(now_ns);
            }
        }
    }

    fn service(&mut self, now_ns: u64, budget: usize, host: &mut dyn Host) -> bool {
        self.transport.acknowledge();
        let running = match &mut self.state {
            State::Resetting { .. } => {
                self.look_at_reset(now_ns, host);
                return false;
            }
            State::Gone => return false,
            State::Running(running) => running,
        };
        let taken = running.serve(
            &mut self.transport,
            &mut self.counters,
            (now_ns, budget),
            host,
        );
        match taken {
            Ok(has_more) => has_more,
            Err(trouble) => {
                log::warn!("virtio-net: {trouble}; the device is reset");
                self.begin_reset(now_ns);
                false
            }
        }
    }

    fn arm(&mut self) -> bool {
        let State::Running(running) = &mut self.state else {
            return false;
        };
        let mut has_more = false;
        for pair in &mut running.pairs {
            has_more |= pair.receive.queue.arm(1);
        }
        has_more
    }

    fn deadline(&self) -> Option<u64> {
        match &self.state {
            State::Resetting { next_look, .. } => Some(*next_look),
            State::Running(running) => {
                let rings = running
                    .pairs
                    .iter()
                    .filter_map(|pair| pair.transmit.linger.due());
                rings.chain(running.hungry_until).min()
            }
            State::Gone => None,
        }
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

/// Why a device is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Nonsense,
    Stuck,
    Asked,
}

impl From<QueueBroken> for Trouble {
    fn from(_: QueueBroken) -> Self {
        Self::Nonsense
    }
}

impl core::fmt::Display for Trouble {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Nonsense => "the device answers nonsense",
            Self::Stuck => "the device does not send",
            Self::Asked => "the device asks for a reset",
        })
    }
}

impl<B: Bus> Running<B> {
    /// Takes what the device has, and does what is due by now; `limits` is the time, and about how
    /// many packets are taken. True if there is more.
    fn serve(
        &mut self,
        transport: &mut impl Transport,
        counters: &mut Counters,
        limits: (u64, usize),
        host: &mut dyn Host,
    ) -> Result<bool, Trouble> {
        let (now_ns, budget) = limits;
        let share = budget.div_ceil(self.pairs.len());
        let mut is_idle = true;
        let mut has_more = false;
        self.hungry_until = None;
        for (pair, number) in self.pairs.iter_mut().zip((0..).step_by(2)) {
            pair.transmit.clean(now_ns, &mut |frame| {
                is_idle = false;
                host.sent(frame);
            })?;
            let taken = take_packets(&mut pair.receive, counters, share, host)?;
            is_idle &= taken == 0;
            has_more |= taken == share;
            if pair.receive.fill(host) {
                transport.notify(number);
            }
            if pair.receive.is_empty() {
                self.hungry_until = Some(now_ns + HUNGRY_NS);
            }
        }
        if let Some((_, control)) = &mut self.control
            && let Some(pairs) = control.answer()
        {
            log::info!("virtio-net: {pairs} pairs of rings in use");
            self.in_use = pairs;
            self.control = None;
        }
        // What has interrupted for nothing else has changed its configuration.
        if is_idle || now_ns >= self.next_look {
            self.look(transport, now_ns, host)?;
        }
        Ok(has_more)
    }

    /// Looks at the device's configuration and status.
    fn look(
        &mut self,
        transport: &mut impl Transport,
        now_ns: u64,
        host: &mut dyn Host,
    ) -> Result<(), Trouble> {
        self.next_look = now_ns + LINK_NS;
        if transport.status() & status::NEEDS_RESET != 0 {
            return Err(Trouble::Asked);
        }
        let has_link = self.link(transport);
        if has_link != self.has_link {
            self.has_link = has_link;
            host.notice(Notice::Link(has_link));
        }
        let mut rings = self.pairs.iter().map(|pair| &pair.transmit);
        if has_link && rings.any(|ring| ring.is_stuck(now_ns)) {
            return Err(Trouble::Stuck);
        }
        Ok(())
    }

    /// Whether there is a link.
    fn link(&self, transport: &mut impl Transport) -> bool {
        !self.reports_link
            || transport.configuration16(configuration::STATUS) & configuration::LINK_UP != 0
    }
}

/// Hands up to so many packets on; how many.
fn take_packets<B: Bus>(
    ring: &mut ReceiveRing<B>,
    counters: &mut Counters,
    most: usize,
    host: &mut dyn Host,
) -> Result<usize, QueueBroken> {
    for taken in 0..most {
        match ring.take(host)? {
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
