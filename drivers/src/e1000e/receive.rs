//! The ring for receiving.

use alloc::vec::Vec;

use vortex_bus::{Bus, BusError, Memory};
use vortex_resources::net::interface::{Buffer, Host, Loss, Packet};

use super::descriptor;

/// Descriptors. One stays empty, as a full ring would look like an empty one.
pub(super) const SIZE: usize = 256;

/// The ring.
#[derive(Debug)]
pub(super) struct ReceiveRing<B: Bus> {
    memory: B::Memory,
    buffers: Vec<Option<Buffer>>,
    /// Where the device is expected to be done next, and behind the last that it has.
    next: usize,
    tail: usize,
    /// The rest of a packet is to be skipped.
    is_skipping: bool,
}

/// The device is done with what it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RingBroken;

impl<B: Bus> ReceiveRing<B> {
    pub(super) fn new(bus: &mut B) -> Result<Self, BusError> {
        Ok(Self {
            memory: bus.allocate(SIZE * descriptor::BYTES)?,
            buffers: (0..SIZE).map(|_| None).collect(),
            next: 0,
            tail: 0,
            is_skipping: false,
        })
    }

    pub(super) fn address(&self) -> u64 {
        self.memory.address()
    }

    /// Puts buffers into the ring. Behind the last, if there are more now: the device is to be told.
    pub(super) fn fill(&mut self, host: &mut dyn Host) -> Option<usize> {
        let before = self.tail;
        // One stays empty, as a full ring would look like an empty one.
        let wanted = (self.next + SIZE - 1 - self.tail) % SIZE;
        host.buffers(wanted, &mut |buffer| {
            let bytes = descriptor::receive(buffer.address());
            self.memory.write(self.tail * descriptor::BYTES, &bytes);
            self.buffers[self.tail] = Some(buffer);
            self.tail = (self.tail + 1) % SIZE;
        });
        (self.tail != before).then_some(self.tail)
    }

    /// Whether the device has no buffer at all.
    pub(super) const fn is_empty(&self) -> bool {
        self.next == self.tail
    }

    /// Whether there is something to take.
    pub(super) fn has_more(&self) -> bool {
        !self.is_empty() && self.answer() & descriptor::DONE != 0
    }

    fn answer(&self) -> u32 {
        let at = self.next * descriptor::BYTES;
        self.memory.load32(at + descriptor::ANSWER_AT)
    }

    /// Takes what was received into the next buffer, or says why it is no packet.
    pub(super) fn take(&mut self) -> Result<Option<Result<Packet, Loss>>, RingBroken> {
        if self.is_empty() {
            return Ok(None);
        }
        let answer = self.answer();
        if answer & descriptor::DONE == 0 {
            return Ok(None);
        }
        let at = self.next * descriptor::BYTES;
        let length = self.memory.load32(at + descriptor::LENGTH_AT) & 0xffff;
        let buffer = self.buffers[self.next].take().ok_or(RingBroken)?;
        self.next = (self.next + 1) % SIZE;
        let received = descriptor::received(answer);
        let was_skipping = core::mem::replace(&mut self.is_skipping, !received.is_last);
        if was_skipping || !received.is_last {
            // No packet that fits the link is longer than a buffer.
            return Ok(Some(Err(Loss::Length)));
        }
        if received.is_damaged {
            return Ok(Some(Err(Loss::Damaged)));
        }
        let packet = Packet::new(buffer, 0, length as usize, received.checksum);
        Ok(Some(packet.ok_or(Loss::Length)))
    }
}
