//! The segment registers of user mode: in 64-bit mode only the bases of FS and GS mean anything.
//! User mode's GS base is, in the kernel, the one that SWAPGS brings (Intel SDM volume 3, 5.8.8).
//!
//! User mode changes the bases by system call, or to 0 by loading a selector: it has no instruction for
//! other values while CR4.FSGSBASE is off. So the kernel need not save them at each trap, and GS's
//! base tells the kernel from user mode (see [`crate::traps`]).

use x86_64::registers::model_specific::Msr;

const FS_BASE: u32 = 0xc000_0100;
/// The one that is not in force.
const OTHER_GS_BASE: u32 = 0xc000_0102;

fn read(register: u32) -> u64 {
    // SAFETY: every 64-bit CPU has it; reading changes nothing.
    unsafe { Msr::new(register).read() }
}

fn write(register: u32, value: u64) {
    // SAFETY: every 64-bit CPU has it; the callers have canonical values, and the kernel uses
    // neither FS nor, before the next SWAPGS, this base.
    unsafe { Msr::new(register).write(value) }
}

/// The base of FS.
pub(super) fn fs() -> u64 {
    read(FS_BASE)
}

/// User mode's base of GS.
pub(super) fn user_gs() -> u64 {
    read(OTHER_GS_BASE)
}

/// Loads both for user mode; below 2^47, so canonical. Nothing is left of the selectors that the
/// last thread loaded. With interrupts off.
pub(super) fn load(fs: u64, gs: u64) {
    // SAFETY: the kernel uses none of the four, the kernel's GS base is swapped out of the way, and
    // traps that come in between look which base it is.
    unsafe {
        core::arch::asm!(
            "mov ds, {0:e}",
            "mov es, {0:e}",
            "mov fs, {0:e}",
            "swapgs",
            "mov gs, {0:e}",
            "swapgs",
            in(reg) 0,
            options(nostack, preserves_flags)
        );
    }
    for (register, value) in [(FS_BASE, fs), (OTHER_GS_BASE, gs)] {
        if read(register) != value {
            write(register, value);
        }
    }
}

/// Has this core use no local descriptor table: users' segments are the GDT's only.
pub(super) fn drop_local_table() {
    // SAFETY: the null selector is always allowed, and nothing of ours is in such a table.
    unsafe { core::arch::asm!("lldt {0:x}", in(reg) 0, options(nostack, preserves_flags)) };
}
