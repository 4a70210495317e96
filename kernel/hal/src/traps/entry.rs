//! The entry code of all 256 vectors.
//!
//! Each vector has a stub of [`STUB_BYTES`] that makes the stack look alike for all of them (an
//! error code, real or 0, then the vector) and jumps to a common part, which saves the registers
//! as a [`TrapFrame`]. Three kinds of traps go different ways:
//!
//! - from the kernel: [`common`] calls Rust and returns;
//! - from user mode: [`crate::user`] has made the end of the thread's registers the stack, so what
//!   [`common`] saves is there already; it goes on where [`crate::user`] entered user mode;
//! - those with a stack of their own come at any instruction, also at one where GS is not as the
//!   mode suggests: [`anywhere`] looks for itself.

use core::arch::naked_asm;
use core::mem::offset_of;

use vortex_kernel_base::report::has_error_code;

use super::TrapFrame;
use crate::cores::Core;

/// The distance between two vectors' stubs.
pub(super) const STUB_BYTES: u64 = 16;

/// A bit for each exception for which the CPU pushes an error code.
const ERROR_CODES: u32 = {
    let mut mask = 0;
    let mut vector = 0;
    while vector < 32 {
        mask |= (has_error_code(vector) as u32) << vector;
        vector += 1;
    }
    mask
};

/// The stub of vector 0, followed by those of the other vectors.
#[unsafe(naked)]
pub(super) extern "C" fn stubs() -> ! {
    naked_asm!(
        ".set vortex_vector, 0",
        ".rept 256",
        ".balign {bytes}",
        ".if (vortex_vector >= 32) || ((({error_codes} >> vortex_vector) & 1) == 0)",
        "push 0",
        ".endif",
        "push vortex_vector",
        ".if (vortex_vector == 2) || (vortex_vector == 8) || (vortex_vector == 18)",
        "jmp {anywhere}",
        ".else",
        "jmp {common}",
        ".endif",
        ".set vortex_vector, vortex_vector + 1",
        ".endr",
        bytes = const STUB_BYTES,
        error_codes = const ERROR_CODES,
        common = sym common,
        anywhere = sym anywhere,
    )
}

/// Saves all registers. From the kernel, has [`enter`] look at them; from user mode, returns to
/// the caller of [`crate::user::entry::enter`].
///
/// The CPU aligned the stack to 16 bytes before its five pushes; with the stub's two and the
/// seventeen here there are 24, an even number, so the call sees the alignment the ABI asks for.
/// The last two pushes look like a call's frame, so that a backtrace goes on from the handler to
/// the interrupted function.
///
/// User mode's flags (direction, alignment check) do not get through to the kernel.
#[unsafe(naked)]
extern "C" fn common() -> ! {
    naked_asm!(
        "test byte ptr [rsp + {cs} - {vector}], 3",
        "jnz 2f",
        "push rax; push rbx; push rcx; push rdx; push rsi; push rdi; push rbp; push r8; push r9",
        "push r10; push r11; push r12; push r13; push r14; push r15",
        "cld",
        "rdtsc",
        "shl rdx, 32",
        "or rax, rdx",
        "mov rsi, rax",
        "mov rdi, rsp",
        "push [rdi + {rip}]",
        "push rbp",
        "mov rbp, rsp",
        "call {enter}",
        "add rsp, 16",
        "pop r15; pop r14; pop r13; pop r12; pop r11; pop r10",
        "pop r9; pop r8; pop rbp; pop rdi; pop rsi; pop rdx; pop rcx; pop rbx; pop rax",
        "add rsp, 16",
        "iretq",
        "2:",
        "swapgs",
        "push rax; push rbx; push rcx; push rdx; push rsi; push rdi; push rbp; push r8; push r9",
        "push r10; push r11; push r12; push r13; push r14; push r15",
        "mov rsp, gs:[{kernel_stack}]",
        "push 2",
        "popfq",
        "pop r15; pop r14; pop r13; pop r12; pop rbx; pop rbp",
        "ret",
        cs = const offset_of!(TrapFrame, cs),
        vector = const offset_of!(TrapFrame, vector),
        rip = const offset_of!(TrapFrame, rip),
        enter = sym enter,
        kernel_stack = const offset_of!(Core, user.kernel_stack),
    )
}

/// As [`common`] from the kernel, but whose GS base it is must be seen: the kernel's is negative,
/// a user's never (only the kernel sets it: CR4.FSGSBASE is off).
#[unsafe(naked)]
extern "C" fn anywhere() -> ! {
    naked_asm!(
        "push rax; push rbx; push rcx; push rdx; push rsi; push rdi; push rbp; push r8; push r9",
        "push r10; push r11; push r12; push r13; push r14; push r15",
        "push 2",
        "popfq",
        "mov ecx, 0xc0000101", // The MSR of the GS base.
        "rdmsr",
        "mov ebx, edx",
        "test ebx, ebx",
        "js 2f",
        "swapgs",
        "2:",
        "mov rdi, rsp",
        "xor esi, esi",
        "push [rdi + {rip}]",
        "push rbp",
        "mov rbp, rsp",
        "call {enter}",
        "add rsp, 16",
        "test ebx, ebx",
        "js 3f",
        "swapgs",
        "3:",
        "pop r15; pop r14; pop r13; pop r12; pop r11; pop r10",
        "pop r9; pop r8; pop rbp; pop rdi; pop rsi; pop rdx; pop rcx; pop rbx; pop rax",
        "add rsp, 16",
        "iretq",
        rip = const offset_of!(TrapFrame, rip),
        enter = sym enter,
    )
}

/// From assembly to Rust: what was saved, and the time-stamp counter then.
extern "C" fn enter(frame: &TrapFrame, begin: u64) {
    super::dispatch(frame, begin);
}
