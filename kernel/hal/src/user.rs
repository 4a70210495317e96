//! User mode: entering it is a call that returns when it is left.
//!
//! Key functions: [`run`]. Key types: [`Registers`] (a thread's), [`Exit`] (why user mode was
//! left). `entry` has the assembly, `extended` the floating-point and vector state.
//!
//! Invariants:
//! - there is no kernel stack for each thread: a trap or system call stores the registers in the
//!   thread's [`Registers`] and goes on, on the core's one stack, behind the call that entered user
//!   mode;
//! - in the kernel GS has the core's data, in user mode what the thread set; SWAPGS is the first
//!   instruction after and the last before user mode;
//! - user mode gets no flag, segment or control-register bit that could hurt the kernel: see
//!   `flags` and `init_core`;
//! - debug registers are not used, so no breakpoint of a user's can hit the kernel.

mod entry;
mod extended;
mod flags;
mod registers;
mod segments;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use x86_64::registers::model_specific::{Efer, EferFlags, Msr};

pub use registers::Registers;

use self::extended::Format;
use crate::address_space::Root;
use crate::cores::{self, Core};
use crate::cpu;
use crate::gdt;
use crate::interrupts;
use crate::sync::InterruptsOff;
use crate::traps::{self, Exception, TrapFrame};

/// General protection, which an address that is not canonical causes.
const GENERAL_PROTECTION: u8 = 13;
const PAGE_FAULT: u64 = 14;

/// The code segment of the SYSENTER instruction: 0 has it fault.
const SYSENTER_SEGMENT: u32 = 0x174;
/// The MSRs of the SYSCALL instruction: segments, address, flags to clear.
const STAR: u32 = 0xc000_0081;
const LSTAR: u32 = 0xc000_0082;
const SFMASK: u32 = 0xc000_0084;

/// Why user mode was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A `syscall` instruction; the instruction pointer is behind it, `rcx` has it too, and `r11`
    /// the flags.
    SystemCall,
    /// An exception; the instruction pointer is where it occurred (for traps, behind it).
    Exception(Exception),
    /// An interrupt, which has been handled.
    Interrupt,
    /// User mode was not entered: `may_enter` said no, or the address space has been released.
    NotEntered,
}

/// Bytes that a thread's extended state takes in memory.
#[must_use]
pub fn extended_state_bytes() -> usize {
    Format::get().bytes()
}

/// The features of the processor that leaf 1 of CPUID tells in EDX.
#[must_use]
pub fn capabilities() -> u32 {
    raw_cpuid::cpuid!(1).edx
}

/// One core's part in it.
pub(crate) struct State {
    /// User mode's stack pointer, for a moment at the beginning of a system call.
    pub(crate) user_stack: AtomicU64,
    /// Where the kernel's stack was when it entered user mode.
    pub(crate) kernel_stack: AtomicU64,
    /// The end of the [`TrapFrame`] of the thread that is in user mode, or was last.
    pub(crate) frame_end: AtomicU64,
    /// Which [`Registers`] the extended state and the bases in this core's registers are.
    pub(crate) owner: AtomicU64,
    /// They are nowhere else.
    pub(crate) unsaved: AtomicBool,
}

impl State {
    pub(crate) const fn new() -> Self {
        Self {
            user_stack: AtomicU64::new(0),
            kernel_stack: AtomicU64::new(0),
            frame_end: AtomicU64::new(0),
            owner: AtomicU64::new(0),
            unsaved: AtomicBool::new(false),
        }
    }
}

/// Runs a thread on this core until it makes a system call, an exception or an interrupt comes. An
/// interrupt has been handled when this returns. `may_enter` is asked last, with interrupts off: what
/// an interrupt tells after it said yes ends user mode at once.
///
/// The thread's floating-point and vector registers stay in the core's: before another thread runs
/// here or this one elsewhere, [`Registers::park`] it.
///
/// # Panics
/// When this core holds an [`IrqLock`](crate::sync::IrqLock), or a thread has not been parked.
pub fn run(root: &Root, registers: &mut Registers, may_enter: impl FnOnce() -> bool) -> Exit {
    let _interrupts = InterruptsOff::new();
    let core = cores::current();
    let held = core.held_levels.load(Ordering::Relaxed);
    assert!(held == 0, "user mode with locks held: {held:#b}");
    if !may_enter() || !root.load(core) {
        return Exit::NotEntered;
    }
    if registers.instruction_pointer() >= registers::LOWER_HALF_END {
        return Exit::Exception(Exception::new(GENERAL_PROTECTION, 0, 0));
    }
    registers.load(core.index());
    let frame = registers.frame_pointer();
    name_frame(core, frame);
    // SAFETY: interrupts are off; the instruction pointer was checked; `Registers` keeps its
    // segments and flags; the frame is borrowed mutably and was named; the tables have been
    // loaded, which have the kernel's half and user pages only.
    unsafe { entry::enter(frame) };
    why(registers.frame())
}

/// Has this core's traps from user mode and system calls store to `frame`.
#[inline]
fn name_frame(core: &Core, frame: *const TrapFrame) {
    let end = frame.addr() as u64 + size_of::<TrapFrame>() as u64;
    if core.user.frame_end.load(Ordering::Relaxed) != end {
        core.user.frame_end.store(end, Ordering::Relaxed);
        gdt::set_user_trap_stack(end);
    }
}

/// Why user mode was left with `frame`; interrupts, still off, are handled. The trap may have come
/// from user mode only: those with a stack of their own do not get here.
#[inline]
fn why(frame: &TrapFrame) -> Exit {
    if frame.vector == entry::SYSTEM_CALL {
        return Exit::SystemCall;
    }
    let begin = cpu::timestamp();
    let address = match frame.vector {
        PAGE_FAULT => traps::fault_address(),
        _ => 0,
    };
    match Exception::decode(frame, address) {
        Some(exception) => Exit::Exception(exception),
        None => {
            interrupts::dispatch(frame);
            interrupts::book_cycles(begin);
            Exit::Interrupt
        }
    }
}

/// Sets this core up for user mode: floating point as user mode has it, the SYSCALL instruction,
/// and nothing else that user mode could do beyond plain instructions. Time-stamps can be read.
pub(crate) fn init_core() {
    let cr0 = Cr0::read() - Cr0Flags::EMULATE_COPROCESSOR - Cr0Flags::TASK_SWITCHED;
    let cr0 = cr0 | Cr0Flags::MONITOR_COPROCESSOR | Cr0Flags::ALIGNMENT_MASK;
    // SAFETY: the kernel uses no floating point, and alignment is checked in user mode only.
    unsafe { Cr0::write(cr0) };
    let cr4 = Cr4::read()
        - Cr4Flags::TIMESTAMP_DISABLE
        - Cr4Flags::PERFORMANCE_MONITOR_COUNTER
        - Cr4Flags::FSGSBASE;
    let cr4 = cr4 | Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE;
    // SAFETY: every 64-bit CPU has the two features; the kernel has no use for the others.
    unsafe { Cr4::write(cr4) };
    extended::init_core(Format::get());
    // SAFETY: what SYSCALL needs is set up below, before there is user mode.
    unsafe { Efer::write(Efer::read() | EferFlags::SYSTEM_CALL_EXTENSIONS) };
    // SYSRET adds 8 and 16 to its selector for stack and code.
    let star = u64::from(gdt::KERNEL_CODE) << 32 | u64::from(gdt::KERNEL_DATA | 3) << 48;
    let entry = entry::system_call as *const () as u64;
    for (register, value) in [
        (STAR, star),
        (LSTAR, entry),
        (SFMASK, flags::CLEARED_BY_SYSTEM_CALL),
        (SYSENTER_SEGMENT, 0),
    ] {
        // SAFETY: every 64-bit CPU has these; the selectors are the GDT's, the address the
        // entry's.
        unsafe { Msr::new(register).write(value) };
    }
    segments::drop_local_table();
}
