//! Temporary.
/// t
pub fn exit_failure(status: u8) { unsafe { x86_64::instructions::port::Port::<u32>::new(0xf4).write(u32::from(status)) } }
/// t
pub fn off() -> ! { exit_failure(0); crate::cpu::halt_forever() }
/// t
pub fn reboot() -> ! { exit_failure(1); crate::cpu::halt_forever() }
