//! The way into user mode and the system call's way back (Intel SDM volume 3, 5.8.8; volume 2,
//! SYSCALL, SYSRET, IRET).
//!
//! Key functions: [`enter`] is a call that returns when user mode was left, for whatever reason: a
//! system call at [`system_call`], a trap in [`crate::traps`].
//!
//! Both let the stack pointer point to the end of the thread's [`TrapFrame`] and push what user mode
//! had: saved registers are not copied. Interrupts are off meanwhile, and traps that cannot be held
//! off have stacks of their own.

use core::arch::naked_asm;
use core::mem::offset_of;

use crate::cores::Core;
use crate::gdt::{USER_CODE, USER_DATA};
use crate::traps::TrapFrame;

/// The "vector" of a system call in a [`TrapFrame`]: one that no trap has.
pub(super) const SYSTEM_CALL: u64 = 256;

/// Flags with which SYSRET must not be used: it would trap in user mode before its first
/// instruction (TF), or drops them (RF).
const NOT_BY_SYSRET: u64 = super::flags::TRAP | super::flags::RESUME;

/// Enters user mode with the registers in `frame` and returns when user mode has been left, with
/// what it had in `frame`. Interrupts are off before and after.
///
/// SYSRET is the fast way. It takes the instruction pointer from RCX and the flags from R11, so it
/// is right exactly when these agree, as after a system call.
///
/// # Safety
/// - interrupts are off;
/// - `frame.rip` is below 2^47: SYSRET and IRET to an address that is not canonical fault in the
///   kernel, on the user's stack;
/// - `frame.cs` and `frame.ss` are user mode's, `frame.rflags` has interrupts on, no I/O privilege and
///   nothing else that [`super::flags::sanitize`] removes;
/// - this core's [`super::State`] and TSS name the end of `frame`, which nobody else uses;
/// - page tables with the kernel's half are loaded whose other half has user pages only.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn enter(frame: *mut TrapFrame) {
    naked_asm!(
        "push rbp; push rbx; push r12; push r13; push r14; push r15",
        "mov gs:[{kernel_stack}], rsp",
        "mov rsp, rdi",
        "mov rcx, [rsp + {rip}]",
        "cmp rcx, [rsp + {rcx}]",
        "jne 2f",
        "mov r11, [rsp + {rflags}]",
        "cmp r11, [rsp + {r11}]",
        "jne 2f",
        "test r11d, {not_by_sysret}",
        "jnz 2f",
        "pop r15; pop r14; pop r13; pop r12; pop r11; pop r10",
        "pop r9; pop r8; pop rbp; pop rdi; pop rsi; pop rdx; pop rcx; pop rbx; pop rax",
        "mov rsp, [rsp + {rsp} - {vector}]",
        "swapgs",
        "sysretq",
        "2:",
        "pop r15; pop r14; pop r13; pop r12; pop r11; pop r10",
        "pop r9; pop r8; pop rbp; pop rdi; pop rsi; pop rdx; pop rcx; pop rbx; pop rax",
        "add rsp, 16",
        "swapgs",
        "iretq",
        kernel_stack = const offset_of!(Core, user.kernel_stack),
        rip = const offset_of!(TrapFrame, rip),
        rcx = const offset_of!(TrapFrame, rcx),
        rflags = const offset_of!(TrapFrame, rflags),
        r11 = const offset_of!(TrapFrame, r11),
        rsp = const offset_of!(TrapFrame, rsp),
        vector = const offset_of!(TrapFrame, vector),
        not_by_sysret = const NOT_BY_SYSRET,
    )
}

/// Where SYSCALL leads: RCX has the instruction pointer and R11 the flags; the stack is the user's.
#[unsafe(naked)]
pub(super) extern "C" fn system_call() -> ! {
    naked_asm!(
        "swapgs",
        "mov gs:[{user_stack}], rsp",
        "mov rsp, gs:[{frame_end}]",
        "push {user_data}",
        "push gs:[{user_stack}]",
        "push r11",
        "push {user_code}",
        "push rcx",
        "push 0",
        "push {vector}",
        "push rax; push rbx; push rcx; push rdx; push rsi; push rdi; push rbp; push r8; push r9",
        "push r10; push r11; push r12; push r13; push r14; push r15",
        "mov rsp, gs:[{kernel_stack}]",
        "pop r15; pop r14; pop r13; pop r12; pop rbx; pop rbp",
        "ret",
        user_stack = const offset_of!(Core, user.user_stack),
        frame_end = const offset_of!(Core, user.frame_end),
        kernel_stack = const offset_of!(Core, user.kernel_stack),
        user_data = const USER_DATA,
        user_code = const USER_CODE,
        vector = const SYSTEM_CALL,
    )
}
