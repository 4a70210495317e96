//! The x86-64 hardware: cores, paging, traps, timers and logging. Everything the kernel does that
//! Rust cannot check is here, behind functions that are safe to call.
//!
//! Key types: [`sync::IrqLock`], [`cores::Core`], [`logging`]. Neighbours: `kernel/base` has the
//! pure algorithms, `kernel` wires the modules together.
//!
//! The crate also builds for the host, where its pure parts are unit-tested; what needs the
//! hardware is then a stub that says so or is left out.
#![cfg_attr(target_os = "none", no_std)]
#![expect(
    unsafe_code,
    reason = "this crate is where the kernel touches the hardware"
)]

extern crate alloc;

pub mod acpi;
pub mod address_space;
pub mod apic;
pub mod backtrace;
pub mod clock;
mod core_set;
pub mod cores;
pub mod cpu;
pub mod deliberate;
pub mod framebuffer;
pub mod frames;
pub mod gdt;
pub mod heap;
pub mod interrupts;
pub mod io;
pub mod ioapic;
pub mod logging;
pub mod paging;
pub mod pci;
pub mod power;
pub mod random;
pub mod rtc;
pub mod scratch;
pub mod serial;
pub mod shootdown;
pub mod smp;
pub mod stacks;
pub mod stop;
pub mod sync;
pub mod timer;
pub mod traps;
pub mod user;
pub mod user_frames;
pub mod wakeup;
