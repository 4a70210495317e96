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
        }
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

    /// Says that a chain was used.
    pub fn put(&mut self, head: u32, written: u32) {
        let at = self.addresses.used;
        let index = self.ram.number(at + 2, 2) as u16;
        let place = at + 4 + 8 * u64::from(index % self.size);
        self.ram.write(place, &head.to_le_bytes());
        self.ram.write(place + 4, &written.to_le_bytes());
        self.set_used_index(index.wrapping_add(1));
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
