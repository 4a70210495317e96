//! The entry code of all 256 vectors.
//!
//! Each vector has a stub of [`STUB_BYTES`] that makes the stack look alike for all of them (an
//! error code, real or 0, then the vector) and jumps to the common part, which saves the
//! registers as a [`TrapFrame`] and calls Rust.

use core::arch::naked_asm;

use vortex_kernel_base::report::has_error_code;

use super::TrapFrame;

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
        "jmp {common}",
        ".set vortex_vector, vortex_vector + 1",
        ".endr",
        bytes = const STUB_BYTES,
        error_codes = const ERROR_CODES,
        common = sym common,
    )
}

/// Saves all registers and has [`dispatch`](super::dispatch) look at them.
///
/// The CPU aligned the stack to 16 bytes before its five pushes; with the stub's two and the
/// seventeen here there are 24, an even number, so the call sees the alignment the ABI asks for.
/// The last two pushes look like a call's frame, so that a backtrace goes on from the handler to
/// the interrupted function.
#[unsafe(naked)]
extern "C" fn common() -> ! {
    naked_asm!(
        "push rax; push rbx; push rcx; push rdx; push rsi; push rdi; push rbp; push r8; push r9",
        "push r10; push r11; push r12; push r13; push r14; push r15",
        "cld",
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
        rip = const core::mem::offset_of!(TrapFrame, rip),
        enter = sym enter,
    )
}

/// From assembly to Rust.
extern "C" fn enter(frame: &TrapFrame) {
    super::dispatch(frame);
}
