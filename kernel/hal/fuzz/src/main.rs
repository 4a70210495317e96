//! Fuzzes the reader of the ACPI tables.
//!
//! The input is the bodies of tables, one after the other: a byte that says which table, two with
//! its length, then the body. Headers, checksums and the root are made here, since the fuzzer would
//! not find them; a last rest of the input is put there as it is, as a table of its own. Panics,
//! overflows and hangs are found by the fuzzer; what else must hold of every answer is asserted
//! here. `cargo xtask fuzz acpi` builds and runs it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vortex_hal::acpi::{Acpi, PhysicalMemory};

/// Where the root pointer, the root table and the first of the other tables are.
const POINTER: u64 = 0x1000;
const ROOT: u64 = 0x2000;
const TABLES: u64 = 0x10_0000;
/// The distance of two tables.
const STEP: u64 = 0x2_0000;
/// Where the machine language is, which the root table does not list.
const DSDT: u64 = 0x8000_0000;

const SIGNATURES: [&[u8; 4]; 6] = [b"APIC", b"MCFG", b"HPET", b"FACP", b"SSDT", b"DSDT"];

fuzz_target!(|input: &[u8]| {
    let memory = Memory::new(input);
    match Acpi::read(&memory, Some(POINTER)) {
        Ok(acpi) => {
            if let Ok(interrupts) = &acpi.interrupts {
                assert!(interrupts.processors.iter().any(|core| core.enabled));
                assert!(interrupts.local_nmis.iter().all(|nmi| nmi.lint < 2));
                for irq in 0..=u8::MAX {
                    let _route = interrupts.route(irq);
                }
            }
            if let Ok(regions) = &acpi.pci {
                assert!(
                    regions
                        .iter()
                        .all(|region| region.first_bus <= region.last_bus)
                );
            }
            if let Ok(types) = acpi
                .fixed
                .as_ref()
                .map_err(|e| *e)
                .and_then(|fixed| fixed.soft_off)
            {
                assert!(types.a < 8 && types.b < 8);
            }
            let errors = [
                acpi.interrupts.err(),
                acpi.pci.err(),
                acpi.hpet.err(),
                acpi.fixed.as_ref().err().copied(),
                acpi.fixed.ok().and_then(|fixed| fixed.soft_off.err()),
            ];
            errors
                .into_iter()
                .flatten()
                .for_each(|error| assert_line(&error.to_string()));
        }
        Err(error) => assert_line(&error.to_string()),
    }
});

/// A message is one line, and nothing in it that a terminal acts on.
fn assert_line(message: &str) {
    assert!(
        !message.is_empty() && !message.chars().any(char::is_control),
        "{message:?}"
    );
}

/// Physical memory with tables in it.
struct Memory {
    pieces: Vec<(u64, Vec<u8>)>,
}

impl Memory {
    fn new(mut input: &[u8]) -> Self {
        let mut pieces = Vec::new();
        let mut listed = Vec::new();
        let mut next = TABLES;
        while let [kind, low, high, rest @ ..] = input {
            let signature = SIGNATURES[usize::from(*kind) % SIGNATURES.len()];
            let length = usize::from(u16::from_le_bytes([*low, *high]) & 0x1fff);
            let (body, rest) = rest.split_at(length.min(rest.len()));
            input = rest;
            if signature == b"DSDT" {
                pieces.push((DSDT, table(signature, body)));
                continue;
            }
            pieces.push((next, table(signature, body)));
            listed.extend(next.to_le_bytes());
            next += STEP;
        }
        pieces.push((next, input.to_vec()));
        listed.extend(next.to_le_bytes());
        pieces.push((ROOT, table(b"XSDT", &listed)));
        pieces.push((POINTER, pointer()));
        Self { pieces }
    }
}

impl PhysicalMemory for Memory {
    fn copy(&self, address: u64, to: &mut [u8]) -> bool {
        let found = self.pieces.iter().find_map(|(start, bytes)| {
            let offset = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(offset..offset.checked_add(to.len())?)
        });
        if let Some(found) = found {
            to.copy_from_slice(found);
        }
        found.is_some()
    }
}

/// A table with a sound header; a FADT is told where the DSDT is, or the fuzzer would have to
/// guess.
fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend((36 + body.len() as u32).to_le_bytes());
    bytes.extend([6, 0]);
    bytes.extend([b'v'; 26]);
    bytes.extend(body);
    if let (b"FACP", Some(place)) = (signature, bytes.get_mut(40..44)) {
        place.copy_from_slice(&(DSDT as u32).to_le_bytes());
    }
    seal(&mut bytes, 9);
    bytes
}

/// The root pointer of ACPI 2.0.
fn pointer() -> Vec<u8> {
    let mut bytes = b"RSD PTR \0VORTEX\x02\0\0\0\0".to_vec();
    seal(&mut bytes, 8);
    bytes.extend(36u32.to_le_bytes());
    bytes.extend(ROOT.to_le_bytes());
    bytes.extend([0; 4]);
    seal(&mut bytes, 32);
    bytes
}

/// Makes the bytes add up to 0 by the one at `at`.
fn seal(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    bytes[at] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
}
