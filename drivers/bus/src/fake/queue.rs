//! The device's side of a virtqueue.

use alloc::vec::Vec;

use super::Ram;
use crate::virtqueue::{Addresses, Buffer};

/// A queue, as the device sees it.
#[derive(Clone, Debug)]
pub struct DeviceQueue {
    ram: Ram,
    addresses: Addresses,
    size: u16,
    taken: u16,
    has_events: bool,
}

/// A chain that the driver has made available.
#[derive(Clone, Debug)]
pub struct DeviceChain {
    /// Its first descriptor.
    pub head: u16,
    /// What the device reads.
    pub readable: Vec<Buffer>,
    /// What it writes.
    pub writable: Vec<Buffer>,
}

impl DeviceQueue {
    /// The queue of so many descriptors at these places.
    #[must_use]
    pub const fn new(ram: Ram, addresses: Addresses, size: u16) -> Self {
        Self {
            ram,
            addresses,
            size,
            taken: 0,
            has_events: false,
        }
    }

    /// Both sides say by an index when they want to be told.
    pub const fn use_event_index(&mut self) {
        self.has_events = true;
    }

    /// Says that the next chain that is made available is to be told of, by the event index.
    pub fn want_notification(&mut self) {
        let at = self.addresses.used + 4 + 8 * u64::from(self.size);
        self.ram.write(at, &self.taken.to_le_bytes());
    }

    /// Whether the driver wants to be interrupted for what was used since the index was `before`.
    #[must_use]
    pub fn wants_interrupt(&self, before: u16) -> bool {
        if self.has_events {
            let at = self.addresses.available + 4 + 2 * u64::from(self.size);
            let event = self.ram.number(at, 2) as u16;
            let index = self.ram.number(self.addresses.used + 2, 2) as u16;
            return index.wrapping_sub(event).wrapping_sub(1) < index.wrapping_sub(before);
        }
        self.ram.number(self.addresses.available, 2) & 1 == 0
    }

    /// Takes the next available chain.
    pub fn take(&mut self) -> Option<DeviceChain> {
        let at = self.addresses.available;
        if self.ram.number(at + 2, 2) as u16 == self.taken {
            return None;
        }
        let slot = u64::from(self.taken % self.size);
        self.taken = self.taken.wrapping_add(1);
        let head = self.ram.number(at + 4 + 2 * slot, 2) as u16;
        let mut chain = DeviceChain {
            head,
            readable: Vec::new(),
            writable: Vec::new(),
        };
        let mut index = head;
        loop {
            let place = self.addresses.descriptors + 16 * u64::from(index);
            let buffer = Buffer {
                address: self.ram.number(place, 8),
                length: self.ram.number(place + 8, 4) as u32,
            };
            let flags = self.ram.number(place + 12, 2);
            if flags & 2 != 0 {
                chain.writable.push(buffer);
            } else {
                assert!(chain.writable.is_empty(), "what is read comes first");
                chain.readable.push(buffer);
            }
            if flags & 1 == 0 {
                return Some(chain);
            }
            index = self.ram.number(place + 14, 2) as u16;
        }
    }

    /// Says that a chain was used; what the index was before.
    pub fn put(&mut self, head: u32, written: u32) -> u16 {
        let at = self.addresses.used;
        let index = self.ram.number(at + 2, 2) as u16;
        let place = at + 4 + 8 * u64::from(index % self.size);
        self.ram.write(place, &head.to_le_bytes());
        self.ram.write(place + 4, &written.to_le_bytes());
        self.set_used_index(index.wrapping_add(1));
        index
    }

    /// Sets the index of the used ring, to whatever.
    pub fn set_used_index(&mut self, index: u16) {
        self.ram
            .write(self.addresses.used + 2, &index.to_le_bytes());
    }

    /// Sets the flags of the used ring.
    pub fn set_flags(&mut self, flags: u16) {
        self.ram.write(self.addresses.used, &flags.to_le_bytes());
    }
}
