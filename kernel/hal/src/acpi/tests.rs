//! Tables made here byte by byte, as firmware makes them, then damaged.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Physical memory with tables in it.
#[derive(Clone, Default)]
struct Firmware(BTreeMap<u64, Vec<u8>>);

impl PhysicalMemory for Firmware {
    fn copy(&self, address: u64, to: &mut [u8]) -> bool {
        let Some((start, bytes)) = self.0.range(..=address).next_back() else {
            return false;
        };
        let offset = usize::try_from(address - start).expect("a small test memory");
        match offset
            .checked_add(to.len())
            .and_then(|end| bytes.get(offset..end))
        {
            Some(found) => {
                to.copy_from_slice(found);
                true
            }
            None => false,
        }
    }
}

const RSDP: u64 = 0xf_5a00;
const XSDT: u64 = 0x7f_0000;
const MADT: u64 = 0x7f_1004;
const MCFG: u64 = 0x7f_2002;
const HPET: u64 = 0x7f_3000;
const FADT: u64 = 0x7f_4000;
const DSDT: u64 = 0x7f_5000;

/// A table with a right length and checksum.
fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend(
        u32::try_from(36 + body.len())
            .expect("a small table")
            .to_le_bytes(),
    );
    bytes.extend([revision, 0]);
    bytes.extend(b"VORTEXTESTTEST\x01\0\0\0TEST\x01\0\0\0");
    bytes.extend(body);
    seal(&mut bytes, 9);
    bytes
}

/// Makes the bytes add up to 0 by the one at `at`.
fn seal(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    bytes[at] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
}

fn root_pointer(revision: u8, rsdt: u32, xsdt: u64) -> Vec<u8> {
    let mut bytes = b"RSD PTR \0VORTEX".to_vec();
    bytes.push(revision);
    bytes.extend(rsdt.to_le_bytes());
    seal(&mut bytes, 8);
    bytes.extend(36u32.to_le_bytes());
    bytes.extend(xsdt.to_le_bytes());
    bytes.extend([0; 4]);
    seal(&mut bytes, 32);
    bytes
}

fn madt_body(entries: &[&[u8]]) -> Vec<u8> {
    let mut body = 0xfee0_0000u32.to_le_bytes().to_vec();
    body.extend(1u32.to_le_bytes());
    body.extend(entries.concat());
    body
}

/// What QEMU's q35 with two cores says, and one core more as x2APIC.
fn ordinary_madt() -> Vec<u8> {
    let body = madt_body(&[
        &[0, 8, 0, 0, 1, 0, 0, 0],
        &[0, 8, 1, 1, 1, 0, 0, 0],
        &[0, 8, 2, 7, 2, 0, 0, 0],
        &[0, 8, 3, 0xff, 0, 0, 0, 0],
        &[9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0],
        &[9, 16, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
        &[1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
        &[2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
        &[2, 10, 0, 9, 9, 0, 0, 0, 0b1101, 0],
        &[2, 10, 0, 11, 11, 0, 0, 0, 0b1111, 0],
        &[3, 8, 0b101, 0, 30, 0, 0, 0],
        &[4, 6, 0xff, 0, 0, 1],
        &[10, 12, 0b1111, 0, 9, 0, 0, 0, 0, 0, 0, 0],
        &[0x80, 3, 0],
    ]);
    table(b"APIC", 3, &body)
}

fn mcfg(base: u64, first: u8, last: u8) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.extend(base.to_le_bytes());
    body.extend([0, 0, first, last, 0, 0, 0, 0]);
    table(b"MCFG", 1, &body)
}

fn hpet_at(space: u8, address: u64) -> Vec<u8> {
    let mut body = 0x8086_a201u32.to_le_bytes().to_vec();
    body.extend([space, 64, 0, 0]);
    body.extend(address.to_le_bytes());
    body.extend([0; 4]);
    table(b"HPET", 1, &body)
}

/// A FADT of `len` bytes: 116 is revision 1 as QEMU's `pc` has, 244 revision 3 as `q35` has.
fn fadt(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; 276];
    bytes[40..44].copy_from_slice(&u32::try_from(DSDT).expect("it is low").to_le_bytes());
    bytes[48..52].copy_from_slice(&0xb2u32.to_le_bytes());
    bytes[52] = 2;
    bytes[64..68].copy_from_slice(&0x604u32.to_le_bytes());
    bytes[76..80].copy_from_slice(&0x608u32.to_le_bytes());
    bytes[89] = 2;
    bytes[91] = 4;
    bytes[112..116].copy_from_slice(&(1u32 << 8 | 1 << 10).to_le_bytes());
    bytes[116..120].copy_from_slice(&[1, 8, 0, 1]);
    bytes[120..128].copy_from_slice(&0xcf9u64.to_le_bytes());
    bytes[128] = 0xf;
    bytes[172..176].copy_from_slice(&[1, 16, 0, 2]);
    bytes[176..184].copy_from_slice(&0x1604u64.to_le_bytes());
    table(b"FACP", if len > 116 { 3 } else { 1 }, &bytes[36..len])
}

const S5: &[u8] = b"\x10\x20\\_SB_\x08_S5_\x12\x06\x04\x0a\x05\x01\0\0";

fn machine(tables: &[(u64, Vec<u8>)]) -> Firmware {
    let addresses: Vec<u8> = tables
        .iter()
        .filter(|(at, _)| *at != DSDT)
        .flat_map(|(at, _)| at.to_le_bytes())
        .collect();
    let mut memory: BTreeMap<u64, Vec<u8>> = tables.iter().cloned().collect();
    memory.insert(XSDT, table(b"XSDT", 1, &addresses));
    memory.insert(RSDP, root_pointer(2, 0, XSDT));
    Firmware(memory)
}

fn ordinary() -> Vec<(u64, Vec<u8>)> {
    vec![
        (MADT, ordinary_madt()),
        (MCFG, mcfg(0xb000_0000, 0, 255)),
        (HPET, hpet_at(0, 0xfed0_0000)),
        (FADT, fadt(244)),
        (DSDT, table(b"DSDT", 1, S5)),
    ]
}

fn read(memory: &Firmware) -> Acpi {
    Acpi::read(memory, Some(RSDP)).expect("the root is sound")
}

fn madt_error(body: &[u8]) -> AcpiError {
    let memory = machine(&[(MADT, table(b"APIC", 3, body))]);
    read(&memory).interrupts.expect_err("it is damaged")
}

#[test]
fn cores_are_read_in_both_forms_and_counted_once() {
    let interrupts = read(&machine(&ordinary()))
        .interrupts
        .expect("a sound MADT");
    let core = |apic_id, uid, enabled, online_capable| Processor {
        apic_id,
        uid,
        enabled,
        online_capable,
    };
    assert_eq!(
        interrupts.processors,
        [
            core(0, 0, true, false),
            core(1, 1, true, false),
            core(7, 2, false, true),
            core(256, 9, true, false)
        ]
    );
    assert_eq!(
        (interrupts.local_apic, interrupts.has_8259),
        (0xfee0_0000, true)
    );
}

#[test]
fn interrupt_lines_go_where_the_table_says_or_where_their_number_says() {
    let interrupts = read(&machine(&ordinary()))
        .interrupts
        .expect("a sound MADT");
    let high_edge = |input| Route {
        input,
        polarity: Polarity::ActiveHigh,
        trigger: Trigger::Edge,
    };
    assert_eq!(
        interrupts.io_apics,
        [IoApic {
            id: 0,
            address: 0xfec0_0000,
            first_input: 0
        }]
    );
    assert_eq!(interrupts.route(0), high_edge(2));
    assert_eq!(interrupts.route(4), high_edge(4));
    assert_eq!(
        interrupts.route(9),
        Route {
            trigger: Trigger::Level,
            ..high_edge(9)
        }
    );
    let low_level = Route {
        input: 11,
        polarity: Polarity::ActiveLow,
        trigger: Trigger::Level,
    };
    assert_eq!(interrupts.route(11), low_level);
    assert_eq!(interrupts.nmi_sources, [high_edge(30)]);
    let nmi = LocalNmi {
        processor: None,
        lint: 1,
        polarity: Polarity::ActiveHigh,
        trigger: Trigger::Edge,
    };
    let other = LocalNmi {
        processor: Some(9),
        lint: 0,
        polarity: Polarity::ActiveLow,
        trigger: Trigger::Level,
    };
    assert_eq!(interrupts.local_nmis, [nmi, other]);
}

#[test]
fn the_other_tables_are_read() {
    let acpi = read(&machine(&ordinary()));
    let region = EcamRegion {
        base: 0xb000_0000,
        segment: 0,
        first_bus: 0,
        last_bus: 255,
    };
    assert_eq!(acpi.pci, Ok(vec![region]));
    assert_eq!(
        acpi.hpet,
        Ok(Hpet {
            address: 0xfed0_0000
        })
    );
    let expected = FixedHardware {
        pm_timer: Some(PmTimer {
            register: Register::Port(0x608),
            wide: true,
        }),
        pm1a_control: Some(Register::Port(0x1604)),
        pm1b_control: None,
        sleep_control: None,
        reset: Some((Register::Port(0xcf9), 0xf)),
        enable: Some((0xb2, 2)),
        soft_off: Ok(SleepTypes { a: 5, b: 1 }),
    };
    assert_eq!(acpi.fixed, Ok(expected));
}

#[test]
fn a_fadt_of_the_first_revision_has_less() {
    let mut tables = ordinary();
    tables[3].1 = fadt(116);
    let fixed = read(&machine(&tables)).fixed.expect("a sound FADT");
    assert_eq!(fixed.pm1a_control, Some(Register::Port(0x604)));
    assert_eq!(
        fixed.reset, None,
        "the register's place lies behind the table's end"
    );
    assert_eq!(fixed.soft_off, Ok(SleepTypes { a: 5, b: 1 }));
}

#[test]
fn sleep_types_are_found_in_each_encoding() {
    let found = |aml: &[u8]| {
        let mut tables = ordinary();
        tables[4].1 = table(b"DSDT", 1, aml);
        read(&machine(&tables))
            .fixed
            .expect("a sound FADT")
            .soft_off
            .ok()
    };
    assert_eq!(
        found(b"\x08_S5_\x12\x06\x04\0\0\0\0"),
        Some(SleepTypes { a: 0, b: 0 })
    );
    assert_eq!(
        found(b"\x08\\_S5_\x12\x0a\x04\x0a\x07\x0a\x07\0\0"),
        Some(SleepTypes { a: 7, b: 7 })
    );
    assert_eq!(
        found(b"\x08_S5_\x12\x41\x01\x02\x0b\x05\0\x0c\x06\0\0\0"),
        Some(SleepTypes { a: 5, b: 6 })
    );
    assert_eq!(
        found(b"\x08_S5_\x12\x03\x01\x0a\x05"),
        Some(SleepTypes { a: 5, b: 0 })
    );
    assert_eq!(
        found(b"_S5_\x12\x06\x04\0\0\0\0"),
        None,
        "a use of the name, not its definition"
    );
    assert_eq!(found(b"\x08_S4_\x12\x06\x04\0\0\0\0"), None);
    assert_eq!(found(b"\x08_S5_\x12\x06\x04"), None);
    assert_eq!(found(b"\x08_S5_\x12\x06\x04\x70\0"), None);
    assert_eq!(
        found(b"\x08\x08_S5_\x12\x06\x04\0\x01"),
        Some(SleepTypes { a: 0, b: 1 })
    );
}

#[test]
fn sleep_types_may_stand_in_an_ssdt() {
    let mut tables = ordinary();
    tables[4].1 = table(b"DSDT", 1, b"\x10\x20");
    tables.push((0x7f_6000, table(b"SSDT", 1, b"\x10\x20")));
    tables.push((0x7f_7000, table(b"SSDT", 1, S5)));
    let fixed = read(&machine(&tables)).fixed.expect("a sound FADT");
    assert_eq!(fixed.soft_off, Ok(SleepTypes { a: 5, b: 1 }));
}

#[test]
fn a_root_of_the_first_version_is_read() {
    let mut memory = machine(&[(MADT, ordinary_madt())]);
    let address = u32::try_from(MADT).expect("it is low").to_le_bytes();
    memory.0.insert(0x7e_0000, table(b"RSDT", 1, &address));
    let mut pointer = root_pointer(0, 0x7e_0000, 0);
    pointer.truncate(20);
    memory.0.insert(RSDP, pointer);
    assert_eq!(
        read(&memory)
            .interrupts
            .expect("a sound MADT")
            .processors
            .len(),
        4
    );
}

#[test]
fn missing_and_damaged_roots_are_told() {
    let memory = machine(&ordinary());
    assert_eq!(Acpi::read(&memory, None).err(), Some(AcpiError::NoTables));
    let none = AcpiError::RootPointer { address: 0x1234 };
    assert_eq!(Acpi::read(&memory, Some(0x1234)).err(), Some(none));
    let none = AcpiError::RootPointer { address: u64::MAX };
    assert_eq!(Acpi::read(&memory, Some(u64::MAX)).err(), Some(none));
    for at in 0..36 {
        let mut memory = memory.clone();
        memory.0.get_mut(&RSDP).expect("it is there")[at] ^= 4;
        let error = Acpi::read(&memory, Some(RSDP)).err();
        assert_eq!(
            error,
            Some(AcpiError::RootPointer { address: RSDP }),
            "byte {at}"
        );
    }
    let mut memory = memory;
    memory.0.remove(&XSDT);
    let error = AcpiError::NotInMemory {
        table: Signature::XSDT,
        address: XSDT,
    };
    assert_eq!(Acpi::read(&memory, Some(RSDP)).err(), Some(error));
}

#[test]
fn a_damaged_table_is_told_and_spares_the_others() {
    let mut tables = ordinary();
    tables[0].1[50] ^= 1;
    tables.remove(1);
    let acpi = read(&machine(&tables));
    assert_eq!(
        acpi.interrupts.err(),
        Some(AcpiError::Checksum(Signature::MADT))
    );
    assert_eq!(acpi.pci, Err(AcpiError::Missing(Signature::MCFG)));
    assert!(acpi.hpet.is_ok());
    let shown = AcpiError::Missing(Signature::MADT).to_string();
    assert_eq!(shown, "ACPI: there is no MADT table");
}

#[test]
fn lengths_are_bounded() {
    for len in [0u32, 35, (1 << 20) + 1, u32::MAX] {
        let mut madt = ordinary_madt();
        madt[4..8].copy_from_slice(&len.to_le_bytes());
        let error = read(&machine(&[(MADT, madt)])).interrupts.err();
        assert_eq!(
            error,
            Some(AcpiError::Length {
                table: Signature::MADT,
                len
            })
        );
    }
    let mut madt = ordinary_madt();
    madt[4..8].copy_from_slice(&0x1000u32.to_le_bytes());
    let error = read(&machine(&[(MADT, madt)])).interrupts.err();
    assert_eq!(
        error,
        Some(AcpiError::NotInMemory {
            table: Signature::MADT,
            address: MADT
        })
    );
}

#[test]
fn damaged_madt_entries_are_located() {
    let core: &[u8] = &[0, 8, 0, 0, 1, 0, 0, 0];
    let at = |offset, problem| AcpiError::Entry {
        table: Signature::MADT,
        offset,
        problem,
    };
    assert_eq!(
        madt_error(&madt_body(&[core, &[0x7f, 0]])),
        at(52, "is too short for its kind")
    );
    assert_eq!(
        madt_error(&madt_body(&[core, &[0, 7]])),
        at(52, "is too short for its kind")
    );
    assert_eq!(
        madt_error(&madt_body(&[core, &[0x7f, 9, 0]])),
        at(52, "reaches past the table's end")
    );
    assert_eq!(
        madt_error(&madt_body(&[core, &[1]])),
        at(52, "is cut off by the table's end")
    );
}

#[test]
fn a_madt_without_sense_is_refused() {
    let value = |problem| AcpiError::Value {
        table: Signature::MADT,
        problem,
    };
    let core: &[u8] = &[0, 8, 0, 0, 1, 0, 0, 0];
    assert_eq!(
        madt_error(&[]),
        value("the local APIC's address is zero, unaligned or too high")
    );
    assert_eq!(
        madt_error(&madt_body(&[])),
        value("it lists no enabled core")
    );
    let reserved = madt_body(&[core, &[2, 10, 0, 9, 9, 0, 0, 0, 0b10, 0]]);
    assert_eq!(
        madt_error(&reserved),
        value("an interrupt line has a reserved polarity or trigger mode")
    );
    let lint = madt_body(&[core, &[4, 6, 0xff, 0, 0, 2]]);
    assert_eq!(
        madt_error(&lint),
        value("a local NMI is at neither LINT0 nor LINT1")
    );
}

#[test]
fn implausible_places_are_refused() {
    let pci = |table| read(&machine(&[(MCFG, table)])).pci.is_err();
    assert!(pci(mcfg(0xb000_0000, 9, 8)));
    assert!(pci(mcfg(0xb000_1000, 0, 8)));
    assert!(pci(mcfg(1 << 52, 0, 8)));
    assert!(pci(mcfg(0, 0, 8)));
    let hpet = |table| read(&machine(&[(HPET, table)])).hpet.is_err();
    assert!(hpet(hpet_at(1, 0xfed0_0000)));
    assert!(hpet(hpet_at(0, 0xfed0_0001)));
    assert!(hpet(hpet_at(0, 0)));
}

/// Damages some bytes of some tables; with `sealed`, makes their checksums right again.
fn damaged(damage: &[(usize, prop::sample::Index, u8)], sealed: bool) -> Firmware {
    let mut memory = machine(&ordinary());
    let addresses: Vec<u64> = memory.0.keys().copied().collect();
    for (which, at, value) in damage {
        let address = addresses[which % addresses.len()];
        let table = memory.0.get_mut(&address).expect("it is there");
        let at = at.index(table.len());
        table[at] = *value;
        if sealed && address == RSDP {
            seal(&mut table[..20], 8);
            seal(table, 32);
        } else if sealed {
            seal(table, 9);
        }
    }
    memory
}

proptest! {
    #[test]
    fn damaged_tables_are_read(
        damage in prop::collection::vec(
            (any::<usize>(), any::<prop::sample::Index>(), any::<u8>()), 1..12),
        sealed in any::<bool>(),
    ) {
        match Acpi::read(&damaged(&damage, sealed), Some(RSDP)) {
            Ok(acpi) => {
                if let Ok(interrupts) = acpi.interrupts {
                    prop_assert!(interrupts.processors.iter().any(|core| core.enabled));
                }
                if let Ok(fixed) = acpi.fixed {
                    prop_assert!(fixed.soft_off.is_ok_and(|t| t.a < 8 && t.b < 8) || fixed.soft_off.is_err());
                }
            }
            Err(error) => prop_assert!(error.to_string().starts_with("ACPI: ")),
        }
    }

    #[test]
    fn any_bytes_in_a_sound_frame_are_read(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 5),
    ) {
        let signatures = [b"APIC", b"MCFG", b"HPET", b"FACP", b"DSDT"];
        let places = [MADT, MCFG, HPET, FADT, DSDT];
        let tables: Vec<(u64, Vec<u8>)> = bodies
            .iter()
            .zip(signatures)
            .zip(places)
            .map(|((body, signature), place)| (place, table(signature, 6, body)))
            .collect();
        let acpi = read(&machine(&tables));
        prop_assert!(acpi.fixed.is_ok());
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut memory = Firmware::default();
        memory.0.insert(RSDP, bytes);
        prop_assert!(Acpi::read(&memory, Some(RSDP)).is_err());
    }
}
