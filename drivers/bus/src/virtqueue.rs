//! Split virtqueues (Virtual I/O Device 1.2, section 2.7): chains of buffers given to a device, and
//! taken back when it has used them.
//!
//! Key types: [`Virtqueue`], [`Buffer`], [`Token`].
//!
//! Invariants: what the device may write is used for nothing but to find out which chain it is done
//! with, and that is checked against what is in flight; the chains themselves are kept in private
//! memory. A queue that has answered nonsense is broken for good: its driver resets the device.

use alloc::vec::Vec;

use crate::{Bus, BusError, Memory};

/// The most descriptors of a queue.
pub const MAX_SIZE: u16 = 1024;

/// A part of a chain: memory of the driver's, or a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Its first byte, as the device sees it.
    pub address: u64,
    /// Its length in bytes, not 0.
    pub length: u32,
}

/// A chain that is with the device: its first descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u16);

/// A chain that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Which.
    pub token: Token,
    /// How many bytes the device says it has written; where it says more, all that there was room
    /// for.
    pub written: u32,
}

/// There are not so many free descriptors, or the chain is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

/// The device has named a chain that it does not have, or more bytes than there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueBroken;

/// Bits of a descriptor's flags.
const NEXT: u16 = 1;
const WRITE: u16 = 2;
/// The device wants no notification (in the used ring's flags).
const NO_NOTIFY: u16 = 1;
/// The driver wants no interrupt (in the available ring's flags).
const NO_INTERRUPT: u16 = 1;
/// Bytes of a descriptor, and of an entry of the used ring.
const DESCRIPTOR: usize = 16;
const USED: usize = 8;

/// A chain in flight.
#[derive(Clone, Copy, Debug, Default)]
struct Chain {
    /// Its descriptors; 0 if none begins here.
    descriptors: u16,
    /// Bytes that the device may write.
    writable: u32,
}

/// A queue.
#[derive(Debug)]
pub struct Virtqueue<B: Bus> {
    memory: B::Memory,
    size: u16,
    /// For each descriptor the next one of its chain, or of the list of free ones.
    next: Vec<u16>,
    first_free: u16,
    free: u16,
    chains: Vec<Chain>,
    /// How many chains were made available, and taken back; both wrap.
    available: u16,
    used: u16,
    /// What was available when it was last asked whether the device wants to be notified.
    notified: u16,
    /// With the event index: at which chain the device was last told to interrupt.
    armed_at: Option<u16>,
    has_events: bool,
    is_broken: bool,
}

/// Where a queue's three parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The descriptors.
    pub descriptors: u64,
    /// The ring of available chains.
    pub available: u64,
    /// The ring of used ones.
    pub used: u64,
}

impl<B: Bus> Virtqueue<B> {
    /// A queue with so many descriptors, rounded down to a power of two from 2 to [`MAX_SIZE`].
    ///
    /// # Errors
    /// [`BusError::NoMemory`].
    pub fn new(bus: &mut B, size: u16) -> Result<Self, BusError> {
        let size = size.clamp(2, MAX_SIZE);
        let size = 1 << size.ilog2();
        let end = used_offset(size) + 6 + USED * usize::from(size);
        Ok(Self {
            memory: bus.allocate(end)?,
            size,
            next: (1..=size).collect(),
            first_free: 0,
            free: size,
            chains: alloc::vec![Chain::default(); usize::from(size)],
            available: 0,
            used: 0,
            notified: 0,
            armed_at: None,
            has_events: false,
            is_broken: false,
        })
    }

    /// Both sides say by an index when they want to be told (section 2.7.10), which was agreed on
    /// ([`crate::virtio::EVENT_INDEX`]). To be called before anything is added.
    pub const fn use_event_index(&mut self) {
        self.has_events = true;
    }

    /// Its number of descriptors.
    #[must_use]
    pub const fn size(&self) -> u16 {
        self.size
    }

    /// Descriptors that are free.
    #[must_use]
    pub const fn free(&self) -> u16 {
        self.free
    }

    /// What the device has to be told.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        let start = self.memory.address();
        Addresses {
            descriptors: start,
            available: start + available_offset(self.size) as u64,
            used: start + used_offset(self.size) as u64,
        }
    }

    /// Gives the device a chain: what it reads, then what it writes. It sees it at once, but may
    /// want to be notified: see [`Self::wants_notification`].
    ///
    /// # Errors
    /// [`QueueFull`]; nothing has happened then.
    pub fn add(&mut self, readable: &[Buffer], writable: &[Buffer]) -> Result<Token, QueueFull> {
        let count = readable.len() + writable.len();
        if count == 0 || count > usize::from(self.free) || self.is_broken {
            return Err(QueueFull);
        }
        let token = Token(self.first_free);
        let buffers = readable.iter().map(|buffer| (buffer, 0));
        let buffers = buffers.chain(writable.iter().map(|buffer| (buffer, WRITE)));
        for (number, (buffer, flags)) in (1..).zip(buffers) {
            let next = if number < count { NEXT } else { 0 };
            self.write_descriptor(*buffer, flags | next);
        }
        let bytes = writable.iter().map(|buffer| buffer.length);
        self.chains[usize::from(token.0)] = Chain {
            descriptors: count as u16,
            writable: bytes.fold(0, u32::saturating_add),
        };
        let ring = available_offset(self.size);
        let entry = ring + 4 + 2 * usize::from(self.available % self.size);
        self.memory.store16(entry, token.0);
        self.available = self.available.wrapping_add(1);
        self.memory.store16(ring + 2, self.available);
        Ok(token)
    }

    /// Takes the first free descriptor and fills it.
    fn write_descriptor(&mut self, buffer: Buffer, flags: u16) {
        let index = usize::from(self.first_free);
        let next = self.next[index];
        let mut bytes = [0; DESCRIPTOR];
        bytes[..8].copy_from_slice(&buffer.address.to_le_bytes());
        bytes[8..12].copy_from_slice(&buffer.length.to_le_bytes());
        bytes[12..14].copy_from_slice(&flags.to_le_bytes());
        // The last one's is beyond the table, and not looked at.
        bytes[14..].copy_from_slice(&next.to_le_bytes());
        self.memory.write(index * DESCRIPTOR, &bytes);
        self.first_free = next;
        self.free -= 1;
    }

    /// Whether the device wants to be told of what was added since this was asked last. A wish not to
    /// be is a hint.
    #[must_use]
    pub fn wants_notification(&mut self) -> bool {
        B::barrier();
        let before = core::mem::replace(&mut self.notified, self.available);
        let ring = used_offset(self.size);
        if self.has_events {
            let event = self.memory.load16(ring + 4 + USED * usize::from(self.size));
            let since_event = self.available.wrapping_sub(event).wrapping_sub(1);
            return since_event < self.available.wrapping_sub(before);
        }
        self.memory.load16(ring) & NO_NOTIFY == 0
    }

    /// Has the device interrupt when it has used so many more chains, at least 1. Without the event
    /// index it interrupts for each, until [`Self::disarm`]. True if it has used so many already: then
    /// it may not interrupt.
    #[must_use]
    pub fn arm(&mut self, chains: u16) -> bool {
        let ring = available_offset(self.size);
        let chains = chains.max(1);
        if self.has_events {
            let event = self.used.wrapping_add(chains - 1);
            // It knows that already, unless it has said meanwhile that it is there.
            if self.armed_at == Some(event) {
                return self.ahead() >= chains;
            }
            self.memory
                .store16(ring + 4 + 2 * usize::from(self.size), event);
            self.armed_at = Some(event);
        } else {
            self.memory.store16(ring, 0);
        }
        B::barrier();
        self.ahead() >= chains
    }

    /// The device need not interrupt. With the event index it does not anyway, after it has once.
    pub fn disarm(&mut self) {
        if !self.has_events {
            self.memory
                .store16(available_offset(self.size), NO_INTERRUPT);
        }
    }

    /// How many chains the device says it has used that were not taken back.
    fn ahead(&self) -> u16 {
        let index = self.memory.load16(used_offset(self.size) + 2);
        index.wrapping_sub(self.used)
    }

    /// Takes back a chain that the device is done with, the oldest first.
    ///
    /// # Errors
    /// [`QueueBroken`], from then on always.
    pub fn take_used(&mut self) -> Result<Option<Used>, QueueBroken> {
        if self.is_broken {
            return Err(QueueBroken);
        }
        let ring = used_offset(self.size);
        let ahead = self.ahead();
        if ahead == 0 {
            return Ok(None);
        }
        let entry = ring + 4 + USED * usize::from(self.used % self.size);
        let index = self.memory.load32(entry);
        let written = self.memory.load32(entry + 4);
        let token = u16::try_from(index).ok().filter(|&index| index < self.size);
        let chain = token.map(|token| self.chains[usize::from(token)]);
        match (token, chain) {
            (Some(token), Some(chain)) if ahead <= self.size && chain.descriptors > 0 => {
                self.used = self.used.wrapping_add(1);
                self.release(token);
                let token = Token(token);
                // QEMU's virtio-scsi counts what it has read of the chain, too.
                let written = written.min(chain.writable);
                Ok(Some(Used { token, written }))
            }
            _ => {
                self.is_broken = true;
                Err(QueueBroken)
            }
        }
    }

    /// Puts a chain's descriptors among the free ones.
    fn release(&mut self, first: u16) {
        let chain = core::mem::take(&mut self.chains[usize::from(first)]);
        let mut last = usize::from(first);
        for _ in 1..chain.descriptors {
            last = usize::from(self.next[last]);
        }
        self.next[last] = self.first_free;
        self.first_free = first;
        self.free += chain.descriptors;
    }
}

/// Where the ring of available chains begins.
const fn available_offset(size: u16) -> usize {
    DESCRIPTOR * size as usize
}

/// Where the ring of used ones begins.
const fn used_offset(size: u16) -> usize {
    (available_offset(size) + 6 + 2 * size as usize).next_multiple_of(4)
}

#[cfg(test)]
mod tests;
