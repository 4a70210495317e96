//! Faults on purpose, each in a function of its own that a backtrace can name: whole-system tests
//! ask for them to see that each ends in a report.

use core::arch::asm;
use core::hint::black_box;

use crate::cores;

/// Reads through a null pointer.
#[inline(never)]
pub fn deliberate_null_dereference() {
    let null = core::ptr::without_provenance::<u32>(black_box(0));
    // SAFETY: not safe at all, which is the point: page 0 is never mapped, so the kernel stops.
    black_box(unsafe { null.read_volatile() });
}

/// Calls itself until the stack is full.
#[expect(unconditional_recursion, reason = "the overflow is the point")]
#[inline(never)]
pub fn deliberate_stack_overflow(depth: u64) -> u64 {
    let local = black_box([depth; 32]);
    black_box(deliberate_stack_overflow(black_box(depth + 1))) + local[7]
}

/// Divides by zero with the CPU's own instruction, which Rust's check would keep us from.
#[inline(never)]
pub fn deliberate_division_by_zero() {
    // SAFETY: the trap it causes ends the kernel.
    unsafe {
        asm!("xor edx, edx", "div {0:e}", in(reg) 0, inout("eax") 1 => _, out("edx") _);
    }
}

/// Runs an instruction that is none.
#[inline(never)]
pub fn deliberate_invalid_opcode() {
    // SAFETY: the trap it causes ends the kernel.
    unsafe { asm!("ud2") };
}

/// Traps without a stack, so that the trap cannot be delivered and becomes a double fault.
#[inline(never)]
pub fn deliberate_double_fault() {
    // SAFETY: the traps it causes end the kernel, on a stack of their own.
    unsafe { asm!("mov rsp, 8", "push rax", options(noreturn)) };
}

/// Writes to its own code.
#[inline(never)]
pub fn deliberate_write_to_code() {
    let code = deliberate_write_to_code as *mut u8;
    // SAFETY: the code is mapped read-only, so nothing is written and the trap ends the kernel.
    unsafe { code.write_volatile(0xc3) };
}

/// Calls into a static.
#[inline(never)]
pub fn deliberate_execution_of_data() {
    /// The machine code of a function that just returns.
    static DATA: [u8; 1] = [0xc3];
    // SAFETY: the page cannot be executed, so the call does not get there and the trap ends the
    // kernel.
    unsafe { asm!("call {}", in(reg) black_box(DATA.as_ptr())) };
}

/// Panics.
#[inline(never)]
pub fn deliberate_panic() {
    panic!("a deliberate panic on core {}", cores::current_index());
}

/// Panics, and once more while the message is printed.
#[inline(never)]
pub fn deliberate_nested_panic() {
    struct Unprintable;
    impl core::fmt::Display for Unprintable {
        fn fmt(&self, _formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            panic!("a deliberate panic inside a panic's message");
        }
    }
    panic!("a deliberate panic, and {Unprintable}");
}

/// Reads from an address between the halves of the address space.
#[inline(never)]
pub fn deliberate_general_protection_fault() {
    let nowhere = core::ptr::without_provenance::<u32>(black_box(1 << 62));
    // SAFETY: no such address can be mapped; the trap it causes ends the kernel.
    black_box(unsafe { nowhere.read_volatile() });
}
