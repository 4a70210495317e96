//! Base address registers: where a function's registers are, and how large the range is.
//!
//! The size is found by writing ones and reading what stays (PCI Local Bus Specification 3.0,
//! section 6.2.5.1). Meanwhile the function decodes no addresses, since for that moment its
//! registers would lie on top of others; nothing is logged or otherwise done in between.

use core::fmt;

use pci_types::{CommandRegister, PciAddress};
use vortex_kernel_base::report::Bytes;

use super::config::ConfigSpace;
use super::update_command;

/// A range of a function's registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// The physical address or port of its first byte; 0 when the firmware gave it none.
    pub address: u64,
    /// Its size in bytes, a power of two.
    pub size: u64,
    /// Where it is.
    pub kind: BarKind,
}

/// Where a range of registers is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// In the I/O address space.
    Ports,
    /// In memory.
    Memory {
        /// Reading has no side effects.
        prefetchable: bool,
        /// It takes a 64-bit address, and two base address registers.
        wide: bool,
    },
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.kind {
            BarKind::Ports => "port",
            BarKind::Memory { .. } => "memory",
        };
        write!(f, "{place} {:#x} ({})", self.address, Bytes(self.size))
    }
}

/// The offset of the first base address register.
const FIRST: u16 = 0x10;

/// Finds the ranges of a function with a header of type 0.
pub(super) fn find(config: &impl ConfigSpace, address: PciAddress) -> [Option<Bar>; 6] {
    let decode = CommandRegister::MEMORY_ENABLE | CommandRegister::IO_ENABLE;
    let mut before = CommandRegister::empty();
    update_command(config, address, |command| {
        before = command;
        command & !decode
    });
    let mut bars = [None; 6];
    let mut number = 0;
    while number < bars.len() {
        let bar = size(config, address, number);
        let wide = matches!(
            bar,
            Some(Bar {
                kind: BarKind::Memory { wide: true, .. },
                ..
            })
        );
        bars[number] = bar;
        // The second register of a wide one is none of its own.
        number += if wide { 2 } else { 1 };
    }
    update_command(config, address, |_| before);
    bars
}

/// The range of one register; `None` when it is empty, of a reserved type, or answers nonsense.
fn size(config: &impl ConfigSpace, address: PciAddress, number: usize) -> Option<Bar> {
    let offset = FIRST + 4 * number as u16;
    let (low, low_mask) = probe(config, address, offset);
    if low & 1 != 0 {
        // The upper half of a port's register may be hard-wired to zero.
        let mask = u64::from(low_mask & !0b11 & 0xffff);
        return range(u64::from(low & !0b11), mask, 16, BarKind::Ports);
    }
    let prefetchable = low & (1 << 3) != 0;
    let base = u64::from(low & !0xf);
    let mask = u64::from(low_mask & !0xf);
    match (low >> 1) & 0b11 {
        0b00 => range(
            base,
            mask,
            32,
            BarKind::Memory {
                prefetchable,
                wide: false,
            },
        ),
        0b10 if number < 5 => {
            let (high, high_mask) = probe(config, address, offset + 4);
            let base = base | u64::from(high) << 32;
            let mask = mask | u64::from(high_mask) << 32;
            range(
                base,
                mask,
                64,
                BarKind::Memory {
                    prefetchable,
                    wide: true,
                },
            )
        }
        _ => None,
    }
}

/// A register's value, and the bits of it that can be changed.
fn probe(config: &impl ConfigSpace, address: PciAddress, offset: u16) -> (u32, u32) {
    let value = config.read(address, offset);
    config.write(address, offset, u32::MAX);
    let mask = config.read(address, offset);
    config.write(address, offset, value);
    (value, mask)
}

/// The range whose address bits are `mask`, within an address space of so many bits. The bits that
/// can be changed have to be all those above the size.
fn range(address: u64, mask: u64, bits: u32, kind: BarKind) -> Option<Bar> {
    if mask == 0 {
        return None;
    }
    let size = 1 << mask.trailing_zeros();
    // Devices may leave out the topmost bits, too; in between there must be no gap.
    let above = mask >> mask.trailing_zeros();
    let contiguous = above & above.wrapping_add(1) == 0;
    let fits = mask.trailing_zeros() < bits && address & (size - 1) == 0;
    (contiguous && fits).then_some(Bar {
        address,
        size,
        kind,
    })
}
