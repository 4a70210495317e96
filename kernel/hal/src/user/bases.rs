//! The bases of FS and GS. User mode's GS base is, in the kernel, the one that SWAPGS brings
//! (Intel SDM volume 3, 5.8.8).
//!
//! User mode changes them by system call, or to 0 by loading a selector: it has no instruction for
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

/// Loads both for user mode; below 2^47, so canonical.
pub(super) fn load(fs: u64, gs: u64) {
    for (register, value) in [(FS_BASE, fs), (OTHER_GS_BASE, gs)] {
        if read(register) != value {
            write(register, value);
        }
    }
}
