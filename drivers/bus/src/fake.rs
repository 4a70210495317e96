//! A bus that is not there: memory that a fake device reaches by its address, as a real one would.
//!
//! Key types: [`FakeBus`], [`FakeMemory`], [`Ram`] (all memory of one fake machine),
//! [`FakeRegisters`].

pub mod queue;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::Mutex;

use crate::{Bus, BusError, Memory, Registers};

/// The memory of a fake machine: ranges by their first address. Clones are the same memory.
#[derive(Clone, Debug, Default)]
pub struct Ram(Arc<Mutex<BTreeMap<u64, Vec<u8>>>>);

impl Ram {
    /// A new range of zeros; its first address.
    pub fn allocate(&self, bytes: usize) -> u64 {
        let mut ranges = self.0.lock().expect("no test panics with it");
        let end = ranges.last_key_value();
        // A gap after each: what runs over is noticed.
        let end = end.map_or(0x10_0000, |(start, range)| {
            start + range.len() as u64 + 4096
        });
        let start = end.next_multiple_of(4096);
        ranges.insert(start, alloc::vec![0; bytes]);
        start
    }

    /// Frees a range.
    fn free(&self, start: u64) {
        self.0
            .lock()
            .expect("no test panics with it")
            .remove(&start);
    }

    fn with<T>(&self, address: u64, length: usize, action: impl FnOnce(&mut [u8]) -> T) -> T {
        let mut ranges = self.0.lock().expect("no test panics with it");
        let range = ranges.range_mut(..=address).next_back();
        let (start, range) = range.expect("the device reaches for memory that is there");
        let offset = (address - start) as usize;
        let range = range.get_mut(offset..offset + length);
        action(range.expect("the device stays within memory"))
    }

    /// Reads, as a device.
    pub fn read(&self, address: u64, length: usize) -> Vec<u8> {
        self.with(address, length, |bytes| bytes.to_vec())
    }

    /// Writes, as a device.
    pub fn write(&self, address: u64, from: &[u8]) {
        self.with(address, from.len(), |bytes| bytes.copy_from_slice(from));
    }

    /// Reads a little-endian number of up to 8 bytes, as a device.
    pub fn number(&self, address: u64, bytes: usize) -> u64 {
        let read = self.read(address, bytes);
        let up = |number, byte: &u8| number << 8 | u64::from(*byte);
        read.iter().rev().fold(0, up)
    }

    /// Ranges that there are.
    pub fn ranges(&self) -> usize {
        self.0.lock().expect("no test panics with it").len()
    }
}

/// A device's memory in [`Ram`].
#[derive(Debug)]
pub struct FakeMemory {
    ram: Ram,
    start: u64,
    length: usize,
}

impl Drop for FakeMemory {
    fn drop(&mut self) {
        self.ram.free(self.start);
    }
}

impl Memory for FakeMemory {
    fn address(&self) -> u64 {
        self.start
    }

    fn length(&self) -> usize {
        self.length
    }

    fn read(&self, offset: usize, into: &mut [u8]) {
        let read = self.ram.read(self.start + offset as u64, into.len());
        into.copy_from_slice(&read);
    }

    fn write(&mut self, offset: usize, from: &[u8]) {
        self.ram.write(self.start + offset as u64, from);
    }

    fn load16(&self, offset: usize) -> u16 {
        assert!(offset.is_multiple_of(2));
        self.ram.number(self.start + offset as u64, 2) as u16
    }

    fn load32(&self, offset: usize) -> u32 {
        assert!(offset.is_multiple_of(4));
        self.ram.number(self.start + offset as u64, 4) as u32
    }

    fn store16(&mut self, offset: usize, value: u16) {
        assert!(offset.is_multiple_of(2));
        self.write(offset, &value.to_le_bytes());
    }

    fn store32(&mut self, offset: usize, value: u32) {
        assert!(offset.is_multiple_of(4));
        self.write(offset, &value.to_le_bytes());
    }
}

/// What answers for a fake device's registers: offset, and the value for a write.
pub type Answer = Box<dyn FnMut(usize, Option<u32>) -> u32 + Send>;

/// Registers of 32 bits that a fake device answers for.
pub struct FakeRegisters(Mutex<Answer>);

impl core::fmt::Debug for FakeRegisters {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("FakeRegisters")
    }
}

impl FakeRegisters {
    /// Registers that `answer` answers for.
    pub fn new(answer: Answer) -> Self {
        Self(Mutex::new(answer))
    }
}

impl Registers for FakeRegisters {
    fn read8(&self, _: usize) -> u8 {
        unreachable!("the registers have 32 bits")
    }

    fn read16(&self, _: usize) -> u16 {
        unreachable!("the registers have 32 bits")
    }

    fn read32(&self, offset: usize) -> u32 {
        self.0.lock().expect("no test panics with it")(offset, None)
    }

    fn write8(&mut self, _: usize, _: u8) {
        unreachable!("the registers have 32 bits")
    }

    fn write16(&mut self, _: usize, _: u16) {
        unreachable!("the registers have 32 bits")
    }

    fn write32(&mut self, offset: usize, value: u32) {
        self.0.lock().expect("no test panics with it")(offset, Some(value));
    }
}

/// A place on a bus that is not there.
#[derive(Debug, Default)]
pub struct FakeBus {
    /// Its memory.
    pub ram: Ram,
    /// The registers that the next call of [`Bus::registers`] gives.
    pub registers: Option<FakeRegisters>,
    /// Whether the device may reach memory.
    pub master: Arc<core::sync::atomic::AtomicBool>,
}

impl Bus for FakeBus {
    type Memory = FakeMemory;
    type Registers = FakeRegisters;

    fn allocate(&mut self, bytes: usize) -> Result<FakeMemory, BusError> {
        Ok(FakeMemory {
            ram: self.ram.clone(),
            start: self.ram.allocate(bytes),
            length: bytes,
        })
    }

    fn registers(&mut self, bar: u8, _: u64, _: usize) -> Result<FakeRegisters, BusError> {
        self.registers.take().ok_or(BusError::NoRegisters { bar })
    }

    fn set_master(&mut self, allowed: bool) {
        self.master
            .store(allowed, core::sync::atomic::Ordering::SeqCst);
    }

    fn barrier() {}
}
