//! Two fake interfaces and the cable between them, for tests.
//!
//! Key types: [`Cable`] (what a test does to it), [`End`] (an interface), [`Settings`].
//!
//! What an end sends is at the other one at once, cut and summed as [`Offload`] says, unless it is
//! lost: by chance, drawn from a seed, or because the other end has no room. The frame stays in the
//! sender's ring until its [`Interface::service`] is called, so a ring that is not served is full.
//! As a real interface, an end does not interrupt for what it has sent.
//!
//! [`Offload`]: super::interface::Offload

mod offload;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use spin::Mutex;

use super::interface::{
    BUFFER, Buffer, Checksum, Counters, ETHERNET, Host, Interface, Loss, Mac, Notice, Outgoing,
    Packet, Properties, Refusal,
};
use crate::machine::Machine;

/// What an end is.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What it can do.
    pub properties: Properties,
    /// Frames that its ring for sending has room for, and packets that the one for receiving has.
    pub ring: usize,
    /// Of a thousand frames that it sends, so many are lost.
    pub loss_per_mille: u32,
    /// What the loss is drawn from.
    pub seed: u64,
}

impl Settings {
    /// An end with this number as the last byte of its address, which can do everything and loses
    /// nothing.
    #[must_use]
    pub const fn number(last: u8) -> Self {
        Self {
            properties: Properties {
                mac: Mac([2, 0, 0, 0, 0, last]),
                mtu: 1500,
                queues: 1,
                checksum: true,
                segmentation: 64 << 10,
            },
            ring: 64,
            loss_per_mille: 0,
            seed: 1,
        }
    }
}

/// How long what was sent may stay in the ring, in nanoseconds.
const LINGER_NS: u64 = 1_000_000;

/// What is called when an end interrupts.
type Interrupt = Arc<dyn Fn() + Send + Sync>;

/// One end's state.
struct Side {
    settings: Settings,
    random: u64,
    /// Frames that were sent and not taken back.
    ring: VecDeque<Box<Outgoing>>,
    /// Where packets can be put.
    buffers: VecDeque<Buffer>,
    arrived: VecDeque<Packet>,
    interrupt: Option<Interrupt>,
    is_armed: bool,
    /// When to look what was sent.
    due: Option<u64>,
    /// What was told last of the link; nothing before it was ready.
    told_link: Option<bool>,
    counters: Counters,
}

impl Side {
    fn new(settings: Settings) -> Self {
        Self {
            settings,
            random: settings.seed | 1,
            ring: VecDeque::new(),
            buffers: VecDeque::new(),
            arrived: VecDeque::new(),
            interrupt: None,
            is_armed: false,
            due: None,
            told_link: None,
            counters: Counters::default(),
        }
    }

    /// Whether the next frame is lost (xorshift64).
    fn loses(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 1000 < self.settings.loss_per_mille.into()
    }

    /// A packet arrives: it takes as many buffers as it needs.
    fn receive<M: Machine>(&mut self, machine: &M, bytes: &[u8], checksum: Checksum) {
        let needed = bytes.len().div_ceil(BUFFER);
        if self.buffers.len() < needed {
            return self.counters.lose(Loss::Missed, 1);
        }
        let mut packet: Option<Packet> = None;
        for (part, buffer) in bytes.chunks(BUFFER).zip(self.buffers.drain(..needed)) {
            machine.write_frame(buffer.frame(), buffer.offset(), part);
            match &mut packet {
                None => packet = Packet::new(buffer, 0, part.len(), checksum),
                Some(packet) => assert!(packet.push(buffer, part.len()), "it fits"),
            }
        }
        match packet {
            Some(packet) => self.arrived.push_back(packet),
            None => self.counters.lose(Loss::Length, 1),
        }
    }

    /// What is to be called, if it is to interrupt now.
    fn interrupts(&mut self) -> Option<Interrupt> {
        core::mem::take(&mut self.is_armed)
            .then(|| self.interrupt.clone())
            .flatten()
    }
}

/// What both ends share.
struct Wire {
    sides: [Side; 2],
    has_link: bool,
}

/// The cable. Clones are the same one.
pub struct Cable<M> {
    machine: M,
    wire: Arc<Mutex<Wire>>,
}

impl<M: Machine> Cable<M> {
    /// A cable between two ends, which are on one machine.
    #[must_use]
    pub fn new(machine: &M, settings: [Settings; 2]) -> (Self, [End<M>; 2]) {
        let wire = Arc::new(Mutex::new(Wire {
            sides: settings.map(Side::new),
            has_link: true,
        }));
        let cable = Self {
            machine: machine.clone(),
            wire: wire.clone(),
        };
        let end = |side| End {
            machine: machine.clone(),
            wire: wire.clone(),
            side,
        };
        (cable, [end(0), end(1)])
    }

    /// Has an end's interrupts call something. Not from inside of a call of an end's methods by who
    /// holds a lock that `interrupt` takes.
    pub fn on_interrupt(&self, side: usize, interrupt: impl Fn() + Send + Sync + 'static) {
        self.wire.lock().sides[side].interrupt = Some(Arc::new(interrupt));
    }

    /// Plugs it in, or out.
    pub fn set_link(&self, has_link: bool) {
        let mut wire = self.wire.lock();
        wire.has_link = has_link;
        let interrupts: Vec<_> = wire.sides.iter_mut().map(Side::interrupts).collect();
        drop(wire);
        interrupts.into_iter().flatten().for_each(|call| call());
    }

    /// An Ethernet frame arrives at an end, whatever is in it.
    pub fn inject(&self, side: usize, frame: &[u8]) {
        deliver(&self.machine, &self.wire, side, frame, Checksum::Unknown);
    }
}

/// A frame arrives at an end.
fn deliver<M: Machine>(
    machine: &M,
    wire: &Mutex<Wire>,
    side: usize,
    frame: &[u8],
    checksum: Checksum,
) {
    let mut wire = wire.lock();
    wire.sides[side].receive(machine, frame, checksum);
    let interrupt = wire.sides[side].interrupts();
    drop(wire);
    if let Some(call) = interrupt {
        call();
    }
}

/// One end of a cable.
pub struct End<M> {
    machine: M,
    wire: Arc<Mutex<Wire>>,
    side: usize,
}

impl<M: Machine> End<M> {
    fn with<T>(&self, action: impl FnOnce(&mut Side) -> T) -> T {
        action(&mut self.wire.lock().sides[self.side])
    }

    /// The bytes of a frame.
    fn bytes(&self, frame: &Outgoing) -> Vec<u8> {
        let mut bytes = frame.head.to_vec();
        for part in frame.parts() {
            let at = bytes.len();
            bytes.resize(at + part.length as usize, 0);
            let offset = part.offset as usize;
            self.machine
                .read_frame(part.frame, offset, &mut bytes[at..]);
        }
        bytes
    }

    /// Says what has changed; false if the cable's other end is not there yet.
    fn tell_link(&self, host: &mut dyn Host) {
        let has_link = self.wire.lock().has_link;
        let told = self.with(|side| side.told_link.replace(has_link));
        if told.is_none() {
            host.notice(Notice::Ready);
        }
        if told != Some(has_link) {
            host.notice(Notice::Link(has_link));
        }
    }
}

impl<M: Machine> Interface for End<M> {
    fn name(&self) -> &'static str {
        "cable"
    }

    fn properties(&self) -> Properties {
        self.with(|side| side.settings.properties)
    }

    fn has_link(&self) -> bool {
        self.wire.lock().has_link
    }

    fn transmit(
        &mut self,
        _queue: usize,
        frame: Box<Outgoing>,
        now_ns: u64,
    ) -> Result<(), (Box<Outgoing>, Refusal)> {
        let has_link = self.has_link();
        let refusal = self.with(|side| {
            if side.ring.len() >= side.settings.ring {
                side.due = Some(now_ns);
                return Some(Refusal::Full);
            }
            if !frame.fits(&side.settings.properties) {
                return Some(Refusal::Unfit);
            }
            (!has_link).then_some(Refusal::NoLink)
        });
        if let Some(refusal) = refusal {
            self.with(|side| side.counters.refuse(refusal));
            return Err((frame, refusal));
        }
        let bytes = self.bytes(&frame);
        let offload = frame.offload;
        self.with(|side| {
            side.counters.sent += 1;
            side.counters.sent_bytes += bytes.len() as u64;
            side.ring.push_back(frame);
            side.due.get_or_insert(now_ns + LINGER_NS);
        });
        for (frame, checksum) in offload::perform(bytes, offload) {
            if !self.with(Side::loses) {
                deliver(&self.machine, &self.wire, 1 - self.side, &frame, checksum);
            }
        }
        Ok(())
    }

    fn expect_room(&mut self, now_ns: u64) {
        self.with(|side| side.due = Some(now_ns));
    }

    fn service(&mut self, _now_ns: u64, budget: usize, host: &mut dyn Host) -> bool {
        self.tell_link(host);
        let sent = self.with(|side| {
            side.due = None;
            core::mem::take(&mut side.ring)
        });
        for frame in sent {
            host.sent(frame);
        }
        for _ in 0..budget {
            let Some(packet) = self.with(|side| side.arrived.pop_front()) else {
                break;
            };
            let bytes = packet.length() as u64;
            self.with(|side| {
                side.counters.received += 1;
                side.counters.received_bytes += bytes;
            });
            host.received(0, packet);
        }
        while self.with(|side| side.buffers.len() + side.arrived.len() < side.settings.ring) {
            let Some(buffer) = host.buffer() else { break };
            self.with(|side| side.buffers.push_back(buffer));
        }
        self.with(|side| !side.arrived.is_empty())
    }

    fn arm(&mut self) -> bool {
        let has_link = self.has_link();
        self.with(|side| {
            let link_changed = side.told_link != Some(has_link);
            let is_due = !side.arrived.is_empty() || link_changed;
            side.is_armed = !is_due;
            is_due
        })
    }

    fn deadline(&self) -> Option<u64> {
        self.with(|side| match side.told_link {
            Some(_) => side.due,
            // To have its first buffers.
            None => Some(0),
        })
    }

    fn counters(&self) -> Counters {
        self.with(|side| side.counters)
    }
}

/// A frame can be kept in one buffer, so that small packets need no more.
const _: () = assert!(BUFFER >= 1500 + ETHERNET);
