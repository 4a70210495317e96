//! The `syscall` instruction (System V ABI, AMD64 supplement, A.2.1).

use std::io;

/// Makes a call whose arguments are plain numbers, or addresses that the kernel only reads or
/// writes within buffers that outlive the call.
///
/// # Errors
/// What the kernel says.
///
/// # Safety
/// Arguments that the call takes for addresses must be of memory that the call may read or write,
/// as its description says.
pub(crate) unsafe fn call(number: u64, arguments: [u64; 4]) -> io::Result<u64> {
    let result: u64;
    // SAFETY: the instruction clobbers rax, rcx and r11 only, and no stack of the program's; what
    // the kernel does to memory is what the caller has promised to be fine.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    match result.cast_signed() {
        error @ -4095..=-1 => Err(io::Error::from_raw_os_error(
            i32::try_from(-error).unwrap_or(i32::MAX),
        )),
        _ => Ok(result),
    }
}
