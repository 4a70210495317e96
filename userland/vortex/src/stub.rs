//! The `syscall` instruction (System V ABI, AMD64 supplement, A.2.1).

use std::io;

/// Makes a call whose arguments are plain numbers, or addresses that the kernel only reads or
/// writes within buffers that outlive the call. Registers of arguments that are not given are 0.
///
/// # Errors
/// What the kernel says.
///
/// # Safety
/// Arguments that the call takes for addresses must be of memory that the call may read or write,
/// as its description says.
pub(crate) unsafe fn call<const N: usize>(number: u64, arguments: [u64; N]) -> io::Result<u64> {
    const { assert!(N <= 6, "there are six registers for arguments") };
    let mut registers = [0; 6];
    registers[..N].copy_from_slice(&arguments);
    let result: u64;
    // SAFETY: the instruction clobbers rax, rcx and r11 only, and no stack of the program's; what
    // the kernel does to memory is what the caller has promised to be fine.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") registers[0],
            in("rsi") registers[1],
            in("rdx") registers[2],
            in("r10") registers[3],
            in("r8") registers[4],
            in("r9") registers[5],
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
