//! The entry code of all 256 vectors.
//!
//! Each vector has a stub of [`STUB_BYTES`] that makes the stack look alike for all of them (an
//! error code, real or 0, then the vector) and jumps to the common part, which saves the
//! registers as a [`Frame`] and calls Rust.

use core::arch::naked_asm;

use super::Frame;

/// The distance between two vectors' stubs.
pub(super) const STUB_BYTES: u64 = 16;

/// The stub of vector 0, followed by those of the other vectors.
///
/// Exceptions 8, 10 to 14, 17, 21, 29 and 30 push an error code themselves (Intel SDM volume 3,
/// table 6-1; AMD APM volume 2, 8.2): the mask 0x60227d00 has a bit for each of them.
#[unsafe(naked)]
pub(super) extern "C" fn stubs() -> ! {
    naked_asm!(
        ".set vortex_vector, 0",
        ".rept 256",
        ".balign {bytes}",
        ".if (vortex_vector >= 32) || (((0x60227d00 >> vortex_vector) & 1) == 0)",
        "push 0",
        ".endif",
        "push vortex_vector",
        "jmp {common}",
        ".set vortex_vector, vortex_vector + 1",
        ".endr",
        bytes = const STUB_BYTES,
        common = sym common,
    )
}

/// Saves all registers and has [`dispatch`](super::dispatch) look at them. The CPU aligned the
/// stack to 16 bytes before its five pushes; with the stub's two and the fifteen here there are
/// 22, an even number, so the call sees the alignment the ABI asks for.
#[unsafe(naked)]
extern "C" fn common() -> ! {
    naked_asm!(
        "push rax", "push rbx", "push rcx", "push rdx", "push rsi", "push rdi", "push rbp",
        "push r8", "push r9", "push r10", "push r11", "push r12", "push r13", "push r14",
        "push r15",
        "cld",
        "mov rdi, rsp",
        "call {enter}",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop r11", "pop r10", "pop r9", "pop r8",
        "pop rbp", "pop rdi", "pop rsi", "pop rdx", "pop rcx", "pop rbx", "pop rax",
        "add rsp, 16",
        "iretq",
        enter = sym enter,
    )
}

/// From assembly to Rust.
extern "C" fn enter(frame: &Frame) {
    super::dispatch(frame);
}
