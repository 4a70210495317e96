//! The order of accesses, on a machine that remembers them.

use std::collections::HashMap;

use super::*;
use crate::acpi::SleepTypes;

const PM1A: Register = Register::Port(0x604);
const PM1B: Register = Register::Memory(0xfed8_0004);
const SMI: Register = Register::Port(0xb2);

#[derive(Default)]
struct Fake {
    values: HashMap<u64, u32>,
    writes: Vec<(Register, Width, u32)>,
    /// Waits that ran out.
    timeouts: usize,
    /// What a write to the SMI port makes of PM1a.
    after_smi: Option<u32>,
}

fn key(register: Register) -> u64 {
    match register {
        Register::Port(port) => port.into(),
        Register::Memory(address) => address,
    }
}

impl Machine for Fake {
    fn read(&mut self, register: Register, _: Width) -> u32 {
        self.values.get(&key(register)).copied().unwrap_or(u32::MAX)
    }

    fn write(&mut self, register: Register, width: Width, value: u32) {
        self.writes.push((register, width, value));
        if register == SMI
            && let Some(value) = self.after_smi
        {
            self.values.insert(key(PM1A), value);
        }
    }

    fn wait(&mut self, mut condition: impl FnMut(&mut Self) -> bool) -> bool {
        let came = (0..10).any(|_| condition(self));
        self.timeouts += usize::from(!came);
        came
    }
}

fn fixed() -> FixedHardware {
    FixedHardware {
        pm_timer: None,
        pm1a_control: Some(PM1A),
        pm1b_control: None,
        sleep_control: None,
        reset: Some((Register::Port(0xcf9), 0xf)),
        enable: Some((0xb2, 2)),
        soft_off: Ok(SleepTypes { a: 5, b: 6 }),
    }
}

fn machine(pm1a: u32) -> Fake {
    Fake {
        values: HashMap::from([(key(PM1A), pm1a), (key(PM1B), 0)]),
        ..Fake::default()
    }
}

#[test]
fn soft_off_writes_the_sleep_type_then_that_it_counts() {
    let mut fake = machine(0x1c01);
    assert_eq!(
        soft_off(&fixed(), &mut fake),
        Err(PowerError::WithoutEffect)
    );
    let expected = [(PM1A, Width::Word, 0x1401), (PM1A, Width::Word, 0x3401)];
    assert_eq!(fake.writes, expected, "other bits are kept");
    assert_eq!(fake.timeouts, 1);
}

#[test]
fn both_control_registers_are_written_where_there_are_two() {
    let mut fake = machine(1);
    let both = FixedHardware {
        pm1b_control: Some(PM1B),
        ..fixed()
    };
    assert_eq!(soft_off(&both, &mut fake), Err(PowerError::WithoutEffect));
    assert_eq!(
        fake.writes[2..],
        [(PM1B, Width::Word, 0x1800), (PM1B, Width::Word, 0x3800)]
    );
}

#[test]
fn a_chipset_in_legacy_mode_is_switched_first() {
    let mut fake = machine(0);
    fake.after_smi = Some(1);
    assert_eq!(
        soft_off(&fixed(), &mut fake),
        Err(PowerError::WithoutEffect)
    );
    assert_eq!(fake.writes[0], (SMI, Width::Byte, 2));
    assert_eq!(fake.writes[1], (PM1A, Width::Word, 0x1401));
    assert_eq!(fake.timeouts, 1, "the switch came about");
}

#[test]
fn a_chipset_that_does_not_switch_is_tried_all_the_same() {
    let mut fake = machine(0);
    assert_eq!(
        soft_off(&fixed(), &mut fake),
        Err(PowerError::WithoutEffect)
    );
    assert_eq!(fake.timeouts, 2);
    assert_eq!(fake.writes.last(), Some(&(PM1A, Width::Word, 0x3400)));
}

#[test]
fn hardware_reduced_machines_have_a_register_of_their_own() {
    let mut fake = machine(0);
    let register = Register::Memory(0x1000);
    let reduced = FixedHardware {
        pm1a_control: None,
        sleep_control: Some(register),
        ..fixed()
    };
    assert_eq!(
        soft_off(&reduced, &mut fake),
        Err(PowerError::WithoutEffect)
    );
    assert_eq!(fake.writes, [(register, Width::Byte, 0x34)]);
}

#[test]
fn without_sleep_type_or_register_nothing_is_written() {
    let mut fake = machine(1);
    let error = AcpiError::NoTables;
    let untyped = FixedHardware {
        soft_off: Err(error),
        ..fixed()
    };
    assert_eq!(
        soft_off(&untyped, &mut fake),
        Err(PowerError::SleepTypeUnknown(error))
    );
    let nowhere = FixedHardware {
        pm1a_control: None,
        ..fixed()
    };
    assert_eq!(
        soft_off(&nowhere, &mut fake),
        Err(PowerError::RegisterUnknown)
    );
    assert_eq!(fake.writes, []);
}

#[test]
fn reset_writes_the_value_that_the_tables_name() {
    let mut fake = machine(1);
    reset_by_register(&fixed(), &mut fake);
    assert_eq!(fake.writes, [(Register::Port(0xcf9), Width::Byte, 0xf)]);
    fake.writes.clear();
    reset_by_register(
        &FixedHardware {
            reset: None,
            ..fixed()
        },
        &mut fake,
    );
    assert_eq!(fake.writes, []);
}

#[test]
fn the_keyboard_controller_is_asked_when_it_listens() {
    let mut fake = machine(1);
    reset_by_keyboard_controller(&mut fake);
    assert_eq!((fake.writes.len(), fake.timeouts), (0, 1), "there is none");
    fake.values.insert(KEYBOARD.into(), 0x1c);
    reset_by_keyboard_controller(&mut fake);
    assert_eq!(fake.writes, [(Register::Port(KEYBOARD), Width::Byte, 0xfe)]);
}
