//! A ring for sending.

use alloc::boxed::Box;
use alloc::vec::Vec;

use vortex_bus::virtqueue::{Buffer, QueueBroken, Virtqueue};
use vortex_bus::{Bus, BusError, Memory};
use vortex_resources::net::interface::{HEAD, Outgoing};

use super::wire;
use crate::linger::Linger;

/// Bytes of a slot: the device's header, then the frame's head.
const SLOT: usize = 192;

/// The ring.
#[derive(Debug)]
pub(super) struct TransmitRing<B: Bus> {
    pub(super) queue: Virtqueue<B>,
    /// The slots.
    memory: B::Memory,
    free: Vec<u16>,
    /// By token: the slot, and the frame.
    owners: Vec<Option<(u16, Box<Outgoing>)>>,
    pub(super) linger: Linger,
}

impl<B: Bus> TransmitRing<B> {
    /// With this queue.
    pub(super) fn new(bus: &mut B, mut queue: Virtqueue<B>) -> Result<Self, BusError> {
        let size = queue.size();
        queue.disarm();
        Ok(Self {
            queue,
            memory: bus.allocate(usize::from(size) * SLOT)?,
            free: (0..size).rev().collect(),
            owners: (0..size).map(|_| None).collect(),
            linger: Linger::default(),
        })
    }

    /// Whether the device has no frame.
    fn is_empty(&self) -> bool {
        self.queue.free() == self.queue.size()
    }

    /// Inserts a frame; `chain` is memory to build it in. Whether the device is to be told.
    ///
    /// # Errors
    /// The frame, if there is no room now.
    pub(super) fn insert(
        &mut self,
        chain: &mut Vec<Buffer>,
        frame: Box<Outgoing>,
        now_ns: u64,
    ) -> Result<bool, Box<Outgoing>> {
        let Some(&slot) = self.free.last() else {
            self.expect_room(now_ns);
            return Err(frame);
        };
        let was_empty = self.is_empty();
        let at = usize::from(slot) * SLOT;
        chain.clear();
        chain.push(Buffer {
            address: self.memory.address() + at as u64,
            length: (wire::HEADER + frame.head.len()) as u32,
        });
        for part in frame.parts() {
            let (address, length) = (part.address(), part.length);
            match chain.last_mut() {
                Some(last) if last.address + u64::from(last.length) == address => {
                    last.length += length;
                }
                _ => chain.push(Buffer { address, length }),
            }
        }
        if usize::from(self.queue.free()) < chain.len() {
            self.expect_room(now_ns);
            return Err(frame);
        }
        self.memory.write(at, &wire::outgoing(&frame));
        self.memory.write(at + wire::HEADER, &frame.head);
        let Ok(token) = self.queue.add(chain, &[]) else {
            return Err(frame);
        };
        self.free.pop();
        self.owners[usize::from(token.0)] = Some((slot, frame));
        self.linger.inserted(was_empty, now_ns);
        Ok(self.queue.wants_notification())
    }

    /// Somebody waits: the device interrupts when half of what it has is sent.
    pub(super) fn expect_room(&mut self, now_ns: u64) {
        let busy = self.owners.len() - self.free.len();
        if self.queue.arm((busy / 2) as u16) {
            self.linger.hurry(now_ns);
        }
    }

    /// Takes back what was sent.
    pub(super) fn clean(
        &mut self,
        now_ns: u64,
        sent: &mut dyn FnMut(Box<Outgoing>),
    ) -> Result<(), QueueBroken> {
        let mut has_moved = false;
        while let Some(used) = self.queue.take_used()? {
            let owner = self.owners[usize::from(used.token.0)].take();
            let (slot, frame) = owner.ok_or(QueueBroken)?;
            self.free.push(slot);
            sent(frame);
            has_moved = true;
        }
        if has_moved {
            self.queue.disarm();
        }
        self.linger.looked(has_moved, self.is_empty(), now_ns);
        Ok(())
    }

    /// Whether the device has a frame and has not sent any for too long.
    pub(super) fn is_stuck(&self, now_ns: u64) -> bool {
        self.linger.is_stuck(self.is_empty(), now_ns)
    }

    /// What it had, when the device is done with everything.
    pub(super) fn into_frames(self) -> impl Iterator<Item = Box<Outgoing>> {
        let owners = self.owners.into_iter().flatten();
        owners.map(|(_, frame)| frame)
    }
}

/// A head fits into its slot.
const _: () = assert!(wire::HEADER + HEAD <= SLOT);
