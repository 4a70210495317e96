//! On a small ELF file made here, on this very test program, and on damaged ones.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

const FUNC: u8 = abi::STT_FUNC;
const OBJECT: u8 = abi::STT_OBJECT;
const NOTYPE: u8 = abi::STT_NOTYPE;

/// An ELF file with nothing but these symbols: (name, type, value, size).
fn elf(symbols: &[(&str, u8, u64, u64)]) -> Vec<u8> {
    const HEADER: usize = 64;
    const SECTION: usize = 64;
    let mut strings = vec![0];
    let mut table = vec![0; 24];
    for &(name, kind, value, size) in symbols {
        table.extend(
            u32::try_from(strings.len())
                .expect("a short table")
                .to_le_bytes(),
        );
        table.extend([kind, 0]);
        table.extend(1u16.to_le_bytes());
        table.extend(value.to_le_bytes());
        table.extend(size.to_le_bytes());
        strings.extend(name.as_bytes());
        strings.push(0);
    }
    let sections = [
        (abi::SHT_NULL, 0, 0, 0, 0),
        (abi::SHT_SYMTAB, HEADER + 3 * SECTION, table.len(), 2, 24),
        (
            abi::SHT_STRTAB,
            HEADER + 3 * SECTION + table.len(),
            strings.len(),
            0,
            0,
        ),
    ];
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(2u16.to_le_bytes());
    file.extend(abi::EM_X86_64.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    file.extend([0; 16]);
    file.extend((HEADER as u64).to_le_bytes());
    file.extend(0u32.to_le_bytes());
    for half in [HEADER, 0, 0, SECTION, sections.len(), 2] {
        file.extend((half as u16).to_le_bytes());
    }
    for (kind, offset, size, link, entry) in sections {
        file.extend(0u32.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend([0; 16]);
        file.extend((offset as u64).to_le_bytes());
        file.extend((size as u64).to_le_bytes());
        file.extend((link as u32).to_le_bytes());
        file.extend([0; 4 + 8]);
        file.extend((entry as u64).to_le_bytes());
    }
    file.extend(table);
    file.extend(strings);
    file
}

fn name_at(file: &[u8], address: u64) -> Option<String> {
    SymbolTable::new(file, 0)
        .expect("it is sound")
        .lookup(address)
        .map(|s| s.to_string())
}

#[test]
fn the_function_around_an_address_is_found() {
    let file = elf(&[
        ("second", FUNC, 0x1100, 0x20),
        ("data", OBJECT, 0x1000, 0x1000),
        ("first", FUNC, 0x1000, 0x100),
    ]);
    assert_eq!(name_at(&file, 0x1000).as_deref(), Some("first+0x0"));
    assert_eq!(name_at(&file, 0x10ff).as_deref(), Some("first+0xff"));
    assert_eq!(name_at(&file, 0x1100).as_deref(), Some("second+0x0"));
    assert_eq!(name_at(&file, 0x1120), None);
    assert_eq!(name_at(&file, 0xfff), None);
}

#[test]
fn an_assembly_label_covers_what_no_function_does() {
    let file = elf(&[
        ("early", NOTYPE, 0x1000, 0),
        ("late", NOTYPE, 0x1080, 0),
        ("function", FUNC, 0x1090, 0x10),
    ]);
    assert_eq!(name_at(&file, 0x1084).as_deref(), Some("late+0x4"));
    assert_eq!(name_at(&file, 0x1010).as_deref(), Some("early+0x10"));
    assert_eq!(name_at(&file, 0x1094).as_deref(), Some("function+0x4"));
}

#[test]
fn the_load_offset_is_taken_off() {
    let file = elf(&[("first", FUNC, 0x1000, 0x100)]);
    let table = SymbolTable::new(&file, 0xffff_8000_0000_0000).expect("it is sound");
    let found = table.lookup(0xffff_8000_0000_1008).expect("it is there");
    assert_eq!(
        found,
        Symbol {
            name: "first",
            offset: 8
        }
    );
    assert_eq!(table.lookup(0x1008), None);
}

#[test]
fn names_are_demangled_without_their_hash() {
    let file = elf(&[
        (
            "_ZN6vortex4boot5start17h0123456789abcdefE",
            FUNC,
            0x1000,
            0x10,
        ),
        ("_RNvCs1234_7mycrate3foo", FUNC, 0x2000, 0x10),
    ]);
    assert_eq!(
        name_at(&file, 0x1004).as_deref(),
        Some("vortex::boot::start+0x4")
    );
    assert_eq!(name_at(&file, 0x2000).as_deref(), Some("mycrate::foo+0x0"));
}

#[test]
fn a_name_without_end_is_cut() {
    let long = "x".repeat(5000);
    let file = elf(&[(&long, FUNC, 0x1000, 0x10)]);
    let shown = name_at(&file, 0x1000).expect("it is there");
    assert!(shown.len() < 200 && shown.ends_with("...+0x0"), "{shown}");
}

#[test]
fn what_has_no_symbols_says_so() {
    let shown = |bytes: &[u8]| {
        SymbolTable::new(bytes, 0)
            .expect_err("no symbols")
            .to_string()
    };
    assert!(shown(b"").starts_with("the kernel's ELF file is damaged: "));
    assert!(shown(b"#!/bin/sh").starts_with("the kernel's ELF file is damaged: "));
    let mut other = elf(&[]);
    other[18] = 0x28;
    assert_eq!(
        shown(&other),
        "the kernel's file is not an ELF file for 64-bit x86-64"
    );
    let mut stripped = elf(&[]);
    stripped[60..62].copy_from_slice(&1u16.to_le_bytes());
    assert_eq!(
        shown(&stripped),
        "the kernel's file has no symbol table (stripped?)"
    );
}

/// A function with a name of its own, to be looked for.
#[inline(never)]
fn a_function_to_be_found() -> u32 {
    std::hint::black_box(std::process::id())
}

#[test]
fn this_program_finds_its_own_functions() {
    let program = std::env::current_exe().expect("this program has a file");
    let bytes = std::fs::read(program).expect("it is readable");
    let table = SymbolTable::new(&bytes, 0).expect("test programs are not stripped");
    let wanted = "a_function_to_be_found";
    let symbol = table
        .symbols
        .iter()
        .find(|symbol| {
            symbol.st_symtype() == FUNC
                && table
                    .named(symbol, 0)
                    .is_some_and(|found| found.name.contains(wanted))
        })
        .expect("it was compiled");
    let found = table
        .lookup(symbol.st_value + 1)
        .expect("it is there")
        .to_string();
    assert_eq!(
        found,
        "vortex_kernel_base::symbols::tests::a_function_to_be_found+0x1"
    );
    assert!(a_function_to_be_found() > 0);
}

/// Looks up edges and middles; must come back.
fn exercise(bytes: &[u8], address: u64) {
    if let Ok(table) = SymbolTable::new(bytes, address.rotate_left(17)) {
        for address in [0, 0x1000, 0x1004, 0x10ff, u64::MAX, address] {
            if let Some(symbol) = table.lookup(address) {
                assert!(symbol.to_string().len() < 400);
            }
        }
    }
}

static SMALL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    elf(&[
        (
            "_ZN6vortex4boot5start17h0123456789abcdefE",
            FUNC,
            0x1000,
            0x100,
        ),
        ("_RNvCs1234_7mycrate3foo", FUNC, 0x2000, 0x10),
        ("label", NOTYPE, 0x3000, 0),
    ])
});

proptest! {
    #[test]
    fn any_bytes_are_read(
        bytes in prop::collection::vec(any::<u8>(), 0..600), address in any::<u64>(),
    ) {
        exercise(&bytes, address);
    }

    #[test]
    fn damaged_files_are_read(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        len in any::<prop::sample::Index>(),
        address in any::<u64>(),
    ) {
        let mut bytes = SMALL.clone();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        exercise(&bytes, address);
        exercise(&bytes[..len.index(bytes.len())], address);
    }

    #[test]
    fn any_name_is_shown(name in "(_R|_ZN)[a-zA-Z0-9_.$]{0,80}") {
        let shown = Symbol { name: &name, offset: 0 }.to_string();
        prop_assert!(shown.len() < 400);
    }
}
