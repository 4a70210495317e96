//! A thread's state in user mode: all registers that a program can see.
//!
//! Key types: [`Registers`], and [`Residence`], where the state is that is not saved at each trap.
//!
//! Invariants: `frame` is such that user mode may be entered with it, but for an instruction pointer
//! that is not canonical; `extended` can be loaded without a fault. The extended state and the
//! bases of FS and GS stay in the core's registers from one time in user mode to the next, until
//! [`Registers::park`]; only then may another thread use the core, or another core the thread.

use core::sync::atomic::{AtomicU64, Ordering};

use super::extended::ExtendedState;
use super::{flags, segments};
use crate::cores::{self, CoreIndex};
use crate::gdt::{USER_CODE, USER_DATA};
use crate::traps::TrapFrame;

/// Bytes of the `syscall` instruction.
const SYSTEM_CALL_BYTES: u64 = 2;

/// One past the last canonical address of user mode's half.
pub(super) const LOWER_HALF_END: u64 = 1 << 47;

/// Where a thread's extended state and bases are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Residence {
    /// In memory only.
    Memory,
    /// In memory; and in the registers of this core, unless another thread has run there since.
    Both(CoreIndex),
    /// In the registers of this core only.
    Live(CoreIndex),
}

/// A thread's registers in user mode.
///
/// Traps store into it, so it stays where it is while the thread runs; it may be moved between.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Registers {
    /// First, so that its end is a multiple of 16 as a stack must be.
    frame: TrapFrame,
    /// Never another's, so that a core can tell whose state it has.
    id: u64,
    residence: Residence,
    fs_base: u64,
    gs_base: u64,
    extended: ExtendedState,
}

const _: () = assert!(size_of::<TrapFrame>().is_multiple_of(16));
const _: () = assert!(core::mem::offset_of!(Registers, frame) == 0);

fn new_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Registers {
    /// Of a program that begins at `entry` with the stack pointer `stack`: all other registers are
    /// zero, floating point is as the calling convention wants it.
    #[must_use]
    pub fn new(entry: u64, stack: u64) -> Self {
        let frame = TrapFrame {
            rip: entry,
            cs: u64::from(USER_CODE),
            rflags: flags::INITIAL,
            rsp: stack,
            ss: u64::from(USER_DATA),
            ..TrapFrame::default()
        };
        Self {
            frame,
            id: new_id(),
            residence: Residence::Memory,
            fs_base: 0,
            gs_base: 0,
            extended: ExtendedState::new(),
        }
    }

    /// Of a thread that goes on where this one is.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        self.park();
        Self {
            frame: self.frame.clone(),
            id: new_id(),
            residence: Residence::Memory,
            fs_base: self.fs_base,
            gs_base: self.gs_base,
            extended: self.extended.clone(),
        }
    }

    /// Saves what is still in this core's registers: before another thread runs on this core, or
    /// this one on another. Running it here again next costs nothing then.
    ///
    /// # Panics
    /// When the state is in another core's registers.
    pub fn park(&mut self) {
        let Residence::Live(core) = self.residence else {
            return;
        };
        assert!(
            core == cores::current_index(),
            "a thread's registers were left on core {core} without being parked"
        );
        self.extended.save();
        self.fs_base = segments::fs();
        self.gs_base = segments::user_gs();
        self.residence = Residence::Both(core);
        cores::get(core)
            .user
            .unsaved
            .store(false, Ordering::Relaxed);
    }

    /// Gets the extended state and the bases into the registers of `me`, this core. With interrupts
    /// off.
    #[inline]
    pub(super) fn load(&mut self, me: CoreIndex) {
        if self.residence != Residence::Live(me) {
            self.load_saved(me);
        }
    }

    #[cold]
    fn load_saved(&mut self, me: CoreIndex) {
        if let Residence::Live(core) = self.residence {
            panic!("a thread's registers were left on core {core} without being parked");
        }
        let state = &cores::get(me).user;
        let is_unsaved = state.unsaved.swap(true, Ordering::Relaxed);
        assert!(!is_unsaved, "core {me} left a thread without parking it");
        let is_here =
            self.residence == Residence::Both(me) && state.owner.load(Ordering::Relaxed) == self.id;
        if !is_here {
            self.extended.restore();
            segments::load(self.fs_base, self.gs_base);
            state.owner.store(self.id, Ordering::Relaxed);
        }
        self.residence = Residence::Live(me);
    }

    fn is_live_here(&self) -> bool {
        self.residence == Residence::Live(cores::current_index())
    }

    /// What is in memory is about to change, so it is to be loaded again.
    fn detach(&mut self) {
        self.park();
        self.residence = Residence::Memory;
    }

    pub(super) fn frame(&self) -> &TrapFrame {
        &self.frame
    }

    pub(super) fn frame_pointer(&mut self) -> *mut TrapFrame {
        &raw mut self.frame
    }

    /// `rax`: at a system call, its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.frame.rax
    }

    /// The arguments of a system call: rdi, rsi, rdx, r10, r8, r9.
    #[must_use]
    pub fn arguments(&self) -> [u64; 6] {
        let frame = &self.frame;
        [
            frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9,
        ]
    }

    /// Sets `rax`, a system call's result.
    pub fn set_result(&mut self, value: u64) {
        self.frame.rax = value;
    }

    /// `rip`.
    #[must_use]
    pub fn instruction_pointer(&self) -> u64 {
        self.frame.rip
    }

    /// Sets `rip`. Any value: user mode that begins where it cannot faults at once.
    pub fn set_instruction_pointer(&mut self, value: u64) {
        self.frame.rip = value;
    }

    /// `rsp`.
    #[must_use]
    pub fn stack_pointer(&self) -> u64 {
        self.frame.rsp
    }

    /// Sets `rsp`.
    pub fn set_stack_pointer(&mut self, value: u64) {
        self.frame.rsp = value;
    }

    /// Goes back to the `syscall` instruction just executed, so that it is executed again, as the
    /// call `number`.
    pub fn restart_call(&mut self, number: u64) {
        self.frame.rip = self.frame.rip.wrapping_sub(SYSTEM_CALL_BYTES);
        self.frame.rax = number;
    }

    /// The base of FS: where a program has its thread's data.
    #[must_use]
    pub fn fs_base(&self) -> u64 {
        if self.is_live_here() {
            segments::fs()
        } else {
            self.fs_base
        }
    }

    /// Sets the base of FS; `false` when that is no user address.
    pub fn set_fs_base(&mut self, base: u64) -> bool {
        let is_valid = base < LOWER_HALF_END;
        if is_valid {
            self.detach();
            self.fs_base = base;
        }
        is_valid
    }

    /// The base of GS.
    #[must_use]
    pub fn gs_base(&self) -> u64 {
        if self.is_live_here() {
            segments::user_gs()
        } else {
            self.gs_base
        }
    }

    /// Sets the base of GS; `false` when that is no user address.
    pub fn set_gs_base(&mut self, base: u64) -> bool {
        let is_valid = base < LOWER_HALF_END;
        if is_valid {
            self.detach();
            self.gs_base = base;
        }
        is_valid
    }

    /// The general registers in the order of Linux's `struct sigcontext`: r8 to r15, rdi, rsi, rbp,
    /// rbx, rdx, rax, rcx, rsp, rip, eflags.
    #[must_use]
    pub fn general(&self) -> [u64; 18] {
        let frame = &self.frame;
        [
            frame.r8,
            frame.r9,
            frame.r10,
            frame.r11,
            frame.r12,
            frame.r13,
            frame.r14,
            frame.r15,
            frame.rdi,
            frame.rsi,
            frame.rbp,
            frame.rbx,
            frame.rdx,
            frame.rax,
            frame.rcx,
            frame.rsp,
            frame.rip,
            frame.rflags,
        ]
    }

    /// Sets the general registers, in the order of [`Self::general`]. Flags that a user may not set
    /// keep their usual values.
    pub fn set_general(&mut self, values: &[u64; 18]) {
        let frame = &mut self.frame;
        [
            frame.r8,
            frame.r9,
            frame.r10,
            frame.r11,
            frame.r12,
            frame.r13,
            frame.r14,
            frame.r15,
            frame.rdi,
            frame.rsi,
            frame.rbp,
            frame.rbx,
            frame.rdx,
            frame.rax,
            frame.rcx,
            frame.rsp,
            frame.rip,
            frame.rflags,
        ] = *values;
        frame.rflags = flags::sanitize(frame.rflags);
    }

    /// The state of x87 and vector registers, as XSAVE lays it out (without XSAVE: FXSAVE's 512
    /// bytes). All components are there; what the header says of them is what the CPU said.
    ///
    /// # Panics
    /// As [`Self::park`].
    #[must_use]
    pub fn floating_point(&mut self) -> &[u8] {
        self.detach();
        self.extended.bytes()
    }

    /// Sets that state from what a user wrote: as long as [`Self::floating_point`], or its first 512
    /// bytes, with which the rest gets its initial values. Components and bits that the CPU does not
    /// have are dropped. `false`, and nothing changes, when the length is neither.
    ///
    /// # Panics
    /// As [`Self::park`].
    pub fn set_floating_point(&mut self, state: &[u8]) -> bool {
        self.detach();
        self.extended.set_bytes(state)
    }
}

impl Drop for Registers {
    /// What is still in a core's registers is nobody's.
    fn drop(&mut self) {
        if let Residence::Live(core) = self.residence {
            let state = &cores::get(core).user;
            if state.owner.load(Ordering::Relaxed) == self.id {
                state.unsaved.store(false, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
