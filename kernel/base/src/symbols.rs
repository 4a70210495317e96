//! From a code address to the function it lies in, out of the kernel's own ELF file.
//!
//! [`SymbolTable::new`] finds `.symtab` and `.strtab` once; [`SymbolTable::lookup`] walks them
//! without allocating or locking, so that a panic may use it. The file may be damaged: then names
//! are missing, nothing worse. The walk is linear in the number of symbols, which is right for
//! something that happens once a crash and must not depend on a table built at a good moment.

use core::fmt;

use elf::endian::LittleEndian;
use elf::file::Class;
use elf::string_table::StringTable;
use elf::symbol::Symbol as ElfSymbol;
use elf::{ElfBytes, ParseError, abi};

use crate::text::Cut;

/// The functions of an ELF file.
#[derive(Clone, Debug)]
pub struct SymbolTable<'a> {
    symbols: elf::symbol::SymbolTable<'a, LittleEndian>,
    names: StringTable<'a>,
    load_offset: u64,
}

/// A function, and a place in it. Shows as `path::of::function+0x12`, demangled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// The name as it stands in the file, mangled.
    pub name: &'a str,
    /// How far behind the function's start the address is, in bytes.
    pub offset: u64,
}

/// Why a file has no usable symbols.
#[derive(Debug)]
pub enum SymbolError {
    /// The file is damaged.
    Damaged(ParseError),
    /// It is not a 64-bit ELF file for x86-64.
    OtherMachine,
    /// It has no symbol table (was it stripped?).
    NoSymbols,
}

impl fmt::Display for SymbolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(error) => write!(f, "the kernel's ELF file is damaged: {error}"),
            Self::OtherMachine => {
                f.write_str("the kernel's file is not an ELF file for 64-bit x86-64")
            }
            Self::NoSymbols => f.write_str("the kernel's file has no symbol table (stripped?)"),
        }
    }
}

impl core::error::Error for SymbolError {}

impl<'a> SymbolTable<'a> {
    /// The symbols of the ELF file `bytes`, which may be anything.
    ///
    /// `load_offset` is what the loader added to the file's addresses: 0 unless the file is
    /// position-independent.
    ///
    /// # Errors
    /// When there are none to be found.
    pub fn new(bytes: &'a [u8], load_offset: u64) -> Result<Self, SymbolError> {
        let file = ElfBytes::<LittleEndian>::minimal_parse(bytes).map_err(SymbolError::Damaged)?;
        if file.ehdr.class != Class::ELF64 || file.ehdr.e_machine != abi::EM_X86_64 {
            return Err(SymbolError::OtherMachine);
        }
        let tables = file.symbol_table().map_err(SymbolError::Damaged)?;
        let (symbols, names) = tables.ok_or(SymbolError::NoSymbols)?;
        Ok(Self {
            symbols,
            names,
            load_offset,
        })
    }

    /// The function that contains the loaded address, or the nearest one of unknown size below it
    /// (a label of assembly code). `None` when there is neither, or its name is damaged.
    #[must_use]
    pub fn lookup(&self, address: u64) -> Option<Symbol<'a>> {
        let address = address.wrapping_sub(self.load_offset);
        let mut label: Option<ElfSymbol> = None;
        for symbol in self.symbols.iter().filter(is_code) {
            let Some(offset) = address.checked_sub(symbol.st_value) else {
                continue;
            };
            if offset < symbol.st_size {
                return self.named(&symbol, offset);
            }
            let nearer = label
                .as_ref()
                .is_none_or(|label| label.st_value < symbol.st_value);
            if symbol.st_size == 0 && nearer {
                label = Some(symbol);
            }
        }
        let label = label?;
        self.named(&label, address - label.st_value)
    }

    fn named(&self, symbol: &ElfSymbol, offset: u64) -> Option<Symbol<'a>> {
        let name = usize::try_from(symbol.st_name)
            .ok()
            .and_then(|at| self.names.get(at).ok())?;
        (!name.is_empty()).then_some(Symbol { name, offset })
    }
}

/// Whether a symbol may name code: functions, and the untyped labels of assembly code.
fn is_code(symbol: &ElfSymbol) -> bool {
    matches!(symbol.st_symtype(), abi::STT_FUNC | abi::STT_NOTYPE) && !symbol.is_undefined()
}

impl fmt::Display for Symbol<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The alternate form leaves out the hash. A damaged name may demangle to a megabyte.
        write!(
            f,
            "{:#}+{:#x}",
            Cut(rustc_demangle::demangle(self.name)),
            self.offset
        )
    }
}

#[cfg(test)]
mod tests;
