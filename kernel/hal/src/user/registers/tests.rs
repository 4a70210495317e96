use proptest::prelude::*;

use super::*;

/// What the frame's segments and flags must be for user mode to be entered safely.
fn is_safe(registers: &Registers) -> bool {
    let frame = registers.frame();
    frame.cs == u64::from(USER_CODE)
        && frame.ss == u64::from(USER_DATA)
        && frame.rflags == flags::sanitize(frame.rflags)
}

#[test]
fn a_program_begins_with_cleared_registers() {
    let mut registers = Registers::new(0x1000, 0x2000);
    let mut expected = [0; 18];
    expected[15..].copy_from_slice(&[0x2000, 0x1000, 0x202]);
    assert_eq!(registers.general(), expected);
    let state = registers.floating_point();
    assert_eq!(state[..2], 0x37f_u16.to_le_bytes());
    assert_eq!(state[24..28], 0x1f80_u32.to_le_bytes());
}

#[test]
fn a_system_calls_registers_are_linuxs() {
    let mut registers = Registers::new(0x1000, 0);
    let values = core::array::from_fn(|index| index as u64 + 100);
    registers.set_general(&values);
    // rdi, rsi, rdx, r10, r8, r9; rax.
    assert_eq!(registers.arguments(), [108, 109, 112, 102, 100, 101]);
    assert_eq!(registers.number(), 113);
    registers.set_result(5);
    assert_eq!(registers.general()[13], 5);
    registers.set_instruction_pointer(0x1002);
    registers.restart_call(39);
    assert_eq!(registers.instruction_pointer(), 0x1000);
    assert_eq!(registers.number(), 39);
}

#[test]
fn bases_are_user_addresses() {
    let mut registers = Registers::new(0, 0);
    for good in [0, 0x1234, (1 << 47) - 1] {
        assert!(registers.set_fs_base(good) && registers.set_gs_base(good));
        assert_eq!((registers.fs_base(), registers.gs_base()), (good, good));
    }
    for bad in [1 << 47, 0xffff_8000_0000_0000, u64::MAX] {
        assert!(!registers.set_fs_base(bad) && !registers.set_gs_base(bad));
        assert_eq!(registers.fs_base(), (1 << 47) - 1);
    }
}

#[test]
fn a_fork_has_all_but_the_identity() {
    let mut registers = Registers::new(0x1000, 0x2000);
    assert!(registers.set_fs_base(0x3000));
    let mut state = registers.floating_point().to_vec();
    state[160] = 77;
    assert!(registers.set_floating_point(&state));
    let mut fork = registers.fork();
    assert_eq!(fork.general(), registers.general());
    assert_eq!(fork.fs_base(), 0x3000);
    assert_eq!(fork.floating_point(), registers.floating_point());
    assert_eq!(fork.floating_point()[160], 77);
    assert_ne!(fork.id, registers.id);
}

proptest! {
    #[test]
    fn no_general_registers_are_dangerous(values: [u64; 18]) {
        let mut registers = Registers::new(0, 0);
        registers.set_general(&values);
        prop_assert!(is_safe(&registers));
        let now = registers.general();
        prop_assert_eq!(&now[..17], &values[..17]);
    }
}
