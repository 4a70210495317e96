//! The interrupt descriptor table, one for all cores (Intel SDM volume 3, 6.14.1).
//!
//! All 256 vectors are alike but for their address and stack, so this is an array of gates and
//! not the `x86_64` crate's table with a typed field for every exception.

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, Segment};
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;

use super::entry;
use crate::gdt::IstStack;

/// A 64-bit interrupt gate: interrupts are off in the handler.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Gate {
    address_low: u16,
    selector: u16,
    /// The slot of the interrupt stack table, counted from 1; 0 keeps the stack.
    stack: u8,
    flags: u8,
    address_middle: u16,
    address_high: u32,
    reserved: u32,
}

impl Gate {
    /// Present, interrupt gate, for hardware and the kernel.
    const FLAGS: u8 = 0x8e;
    /// The same, also for user mode's INT instruction.
    const USER_FLAGS: u8 = 0xee;

    fn new(address: u64, selector: u16, stack: Option<IstStack>, flags: u8) -> Self {
        Self {
            address_low: address as u16,
            selector,
            stack: stack.map_or(0, |stack| stack as u8 + 1),
            flags,
            address_middle: (address >> 16) as u16,
            address_high: (address >> 32) as u32,
            reserved: 0,
        }
    }
}

const BREAKPOINT: usize = 3;

#[repr(C, align(4096))]
struct Table([Gate; 256]);

static TABLE: Once<Table> = Once::new();

/// Loads the table on this core, after its GDT.
pub fn load() {
    let table = TABLE.call_once(build);
    let pointer = DescriptorTablePointer {
        limit: (size_of::<Table>() - 1) as u16,
        base: VirtAddr::from_ptr(table),
    };
    // SAFETY: the table is static and complete, and its gates lead to entries for their vectors.
    unsafe { lidt(&pointer) };
}

/// The stack that `vector` switches to.
fn stack_of(vector: usize) -> Option<IstStack> {
    match vector {
        2 => Some(IstStack::NonMaskable),
        8 => Some(IstStack::DoubleFault),
        18 => Some(IstStack::MachineCheck),
        _ => None,
    }
}

fn build() -> Table {
    let stubs = entry::stubs as *const () as u64;
    assert!(stubs.is_multiple_of(entry::STUB_BYTES));
    let selector = CS::get_reg().0;
    let mut gates = [Gate::default(); 256];
    for (vector, gate) in gates.iter_mut().enumerate() {
        let address = stubs + vector as u64 * entry::STUB_BYTES;
        // Breakpoints are all that a program may raise itself.
        let flags = match vector {
            BREAKPOINT => Gate::USER_FLAGS,
            _ => Gate::FLAGS,
        };
        *gate = Gate::new(address, selector, stack_of(vector), flags);
    }
    Table(gates)
}
