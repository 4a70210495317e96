//! Fuzzes the readers of what the boot loader hands over: the ramdisk, the boot options in it, and
//! the kernel's ELF file.
//!
//! Every input goes to all of them: each refuses what is not its own after a few bytes. Panics,
//! overflows and hangs are found by the fuzzer; what else must hold of every answer is asserted
//! here. `cargo xtask fuzz kernel-base` builds and runs it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vortex_kernel_base::options;
use vortex_kernel_base::ramdisk::Ramdisk;
use vortex_kernel_base::symbols::SymbolTable;

fuzz_target!(|bytes: &[u8]| {
    read_ramdisk(bytes);
    read_ramdisk(&sealed(bytes));
    read_symbols(bytes);
    options::parse(bytes, |warning| assert_line(&warning.to_string()));
});

fn read_ramdisk(bytes: &[u8]) {
    match Ramdisk::new(bytes) {
        Ok(ramdisk) => {
            for file in ramdisk.files() {
                assert_eq!(
                    ramdisk.file(&file.name),
                    Some(file.data),
                    "each name is there once"
                );
                let clean = |part: &str| !matches!(part, "" | "." | "..");
                assert!(file.name.split('/').all(clean), "{:?}", file.name);
            }
        }
        Err(error) => assert_line(&error.to_string()),
    }
}

/// The archive with its headers' checksums made right, so that damage reaches what is checked
/// after them.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for header in bytes
        .chunks_exact_mut(512)
        .filter(|block| block[257..262] == *b"ustar")
    {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes
}

fn read_symbols(bytes: &[u8]) {
    match SymbolTable::new(bytes, 0) {
        Ok(table) => {
            let last = bytes
                .last_chunk()
                .map_or(0, |chunk| u64::from_le_bytes(*chunk));
            for address in [0, 0x1000, 0x1001, 0x1fff, u64::MAX, last] {
                if let Some(symbol) = table.lookup(address) {
                    assert!(symbol.offset <= address);
                    assert!(symbol.to_string().len() < 1000, "names are cut");
                }
            }
        }
        Err(error) => assert_line(&error.to_string()),
    }
}

/// A message is one line, and nothing in it that a terminal acts on.
fn assert_line(message: &str) {
    assert!(
        !message.is_empty() && !message.chars().any(char::is_control),
        "{message:?}"
    );
}
