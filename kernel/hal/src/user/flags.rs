//! The flags register as user mode may have it (Intel SDM volume 1, 3.4.3).

/// Always set.
const FIXED: u64 = 1 << 1;
/// Trap after each instruction.
pub(super) const TRAP: u64 = 1 << 8;
/// Interrupts on.
pub(super) const INTERRUPTS: u64 = 1 << 9;
/// String instructions go down.
const DIRECTION: u64 = 1 << 10;
/// I/O privilege.
const IO_PRIVILEGE: u64 = 0b11 << 12;
/// Nested task.
const NESTED: u64 = 1 << 14;
/// No instruction breakpoint at the next instruction.
pub(super) const RESUME: u64 = 1 << 16;
/// Alignment check; in the kernel: no supervisor-mode access prevention.
const ALIGNMENT: u64 = 1 << 18;
/// Carry, parity, adjust, zero, sign and overflow: results of arithmetic.
const ARITHMETIC: u64 = 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 11;

/// What a user's signal handler may choose, as on Linux.
const USERS: u64 = ARITHMETIC | TRAP | DIRECTION | RESUME | ALIGNMENT;

/// What a system call clears on its way into the kernel.
pub(super) const CLEARED_BY_SYSTEM_CALL: u64 =
    TRAP | INTERRUPTS | DIRECTION | IO_PRIVILEGE | NESTED | ALIGNMENT;

/// What a thread starts with.
pub(super) const INITIAL: u64 = FIXED | INTERRUPTS;

/// `flags` without what user mode must not have, with what it must: interrupts on, no privilege.
pub(super) const fn sanitize(flags: u64) -> u64 {
    flags & USERS | INITIAL
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_flags_give_user_mode_a_privilege(flags: u64) {
            let safe = sanitize(flags);
            prop_assert_eq!(safe & (IO_PRIVILEGE | NESTED), 0);
            prop_assert_eq!(safe & INITIAL, INITIAL);
            // No virtual-8086 mode, virtual interrupts, identification or reserved bits.
            prop_assert_eq!(safe & !0x5_0fd7, 0);
            prop_assert_eq!(safe & USERS, flags & USERS);
            prop_assert_eq!(sanitize(safe), safe);
        }
    }
}
