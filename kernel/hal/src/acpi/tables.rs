//! Finding, copying and checking ACPI tables (ACPI 6.5, sections 5.2.5 to 5.2.8).
//!
//! A [`Table`] is a copy that lies in memory of ours, is as long as its header says, adds up to 0
//! and is followed by zeros: the fields that a shorter, older revision lacks read as 0. Only over
//! such a copy are the `acpi` crate's types laid. The crate's own walk is not used because it
//! trusts every address and length.

use alloc::vec::Vec;
use core::fmt;
use core::pin::Pin;

use acpi::AcpiTable;
use acpi::sdt::SdtHeader;
use vortex_kernel_base::address::PHYSICAL_END;

use super::AcpiError;

/// Physical memory that may hold firmware tables.
pub trait PhysicalMemory {
    /// Copies the bytes at physical `address`; false when they are not all in memory.
    #[must_use]
    fn copy(&self, address: u64, to: &mut [u8]) -> bool;
}

/// The four letters that name a kind of table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 4]);

impl Signature {
    /// The root table with 32-bit addresses.
    pub const RSDT: Self = Self(*b"RSDT");
    /// The root table with 64-bit addresses.
    pub const XSDT: Self = Self(*b"XSDT");
    /// Cores and interrupt controllers.
    pub const MADT: Self = Self(*b"APIC");
    /// Memory-mapped PCI configuration space.
    pub const MCFG: Self = Self(*b"MCFG");
    /// The high precision event timer.
    pub const HPET: Self = Self(*b"HPET");
    /// Fixed hardware registers.
    pub const FADT: Self = Self(*b"FACP");
    /// The first table of ACPI machine language.
    pub const DSDT: Self = Self(*b"DSDT");
    /// More ACPI machine language.
    pub const SSDT: Self = Self(*b"SSDT");
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // Under the names that people know.
            [b'A', b'P', b'I', b'C'] => f.write_str("MADT"),
            [b'F', b'A', b'C', b'P'] => f.write_str("FADT"),
            letters => write!(f, "{}", letters.escape_ascii()),
        }
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const HEADER: usize = size_of::<SdtHeader>();

/// The largest table taken; a DSDT of a large machine has some 200 KiB.
const MAX_TABLE: u32 = 1 << 20;

/// Entries of the root table looked at; machines have some tens.
const MAX_ENTRIES: usize = 512;

/// Zeros behind a copy, in words: more than any of the `acpi` crate's structures has bytes.
const PADDING: usize = 64;

/// A sound copy of a table.
pub(super) struct Table {
    /// The bytes, aligned for any structure, then the padding.
    words: Vec<u64>,
    len: usize,
    signature: Signature,
}

impl Table {
    /// Copies and checks the table at physical `address`, which has to be of kind `expected`.
    pub(super) fn read(
        memory: &impl PhysicalMemory,
        expected: Signature,
        address: u64,
    ) -> Result<Self, AcpiError> {
        let header = read_header(memory, expected, address)?;
        let found = Signature(field(&header, 0));
        if found != expected {
            return Err(AcpiError::WrongSignature { expected, found });
        }
        let claimed = u32::from_le_bytes(field(&header, 4));
        if (claimed as usize) < HEADER || claimed > MAX_TABLE {
            return Err(AcpiError::Length {
                table: expected,
                len: claimed,
            });
        }
        let len = claimed as usize;
        let mut bytes = zeros(len).ok_or(AcpiError::OutOfMemory(expected))?;
        if !memory.copy(address, &mut bytes) {
            return Err(AcpiError::NotInMemory {
                table: expected,
                address,
            });
        }
        if checksum(&bytes) != 0 || bytes[..8] != header[..8] {
            return Err(AcpiError::Checksum(expected));
        }
        let mut words = zeros(len.div_ceil(8) + PADDING).ok_or(AcpiError::OutOfMemory(expected))?;
        for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
            let mut padded = [0; 8];
            padded[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_le_bytes(padded);
        }
        Ok(Self {
            words,
            len,
            signature: expected,
        })
    }

    /// Which table it is.
    pub(super) fn signature(&self) -> Signature {
        self.signature
    }

    /// What follows the header, byte by byte.
    pub(super) fn body(&self) -> impl Iterator<Item = u8> + Clone {
        let bytes = self.words.iter().flat_map(|word| word.to_le_bytes());
        bytes.take(self.len).skip(HEADER)
    }

    /// The byte at `offset` from the table's start.
    pub(super) fn byte(&self, offset: usize) -> Option<u8> {
        (offset < self.len).then(|| self.words[offset / 8].to_le_bytes()[offset % 8])
    }

    /// The table's length in bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The table as the `acpi` crate's structure; pinned, because some of its structures read what
    /// follows them.
    ///
    /// # Errors
    /// When this is another table.
    pub(super) fn view<T: AcpiTable>(&self) -> Result<Pin<&T>, AcpiError> {
        const {
            assert!(size_of::<T>() <= PADDING * 8 && align_of::<T>() <= align_of::<u64>());
        }
        if T::SIGNATURE.as_str().as_bytes() != self.signature.0 {
            let expected = T::SIGNATURE.as_str().as_bytes().first_chunk();
            let expected = Signature(*expected.unwrap_or(b"????"));
            return Err(AcpiError::WrongSignature {
                expected,
                found: self.signature,
            });
        }
        // SAFETY:
        // 1. The words are at least as many bytes as `T` (the padding alone is) and aligned for it
        //    (both asserted above), initialised, and borrowed as long as the result.
        // 2. `T` is the structure of the table with this signature (the contract of `AcpiTable`),
        //    made of integers, for which all bytes are valid.
        // 3. What `T`'s methods read behind it ends at the length in the table's header, which is
        //    `self.len`, plus at most one structure: within the words.
        let structure = unsafe { &*self.words.as_ptr().cast::<T>() };
        // SAFETY: the structure is borrowed from a heap buffer that nothing moves, and a shared
        // reference cannot move it.
        Ok(unsafe { Pin::new_unchecked(structure) })
    }
}

/// The addresses of all tables.
pub(super) struct RootTable {
    addresses: Vec<u64>,
}

impl RootTable {
    /// Follows the root pointer at physical address `rsdp`.
    pub(super) fn find(memory: &impl PhysicalMemory, rsdp: u64) -> Result<Self, AcpiError> {
        /// Bytes of the root pointer of ACPI 1.0, and of 2.0 and later.
        const OLD: usize = 20;
        const NEW: usize = 36;
        let error = AcpiError::RootPointer { address: rsdp };
        let mut pointer = [0; NEW];
        let read = |pointer: &mut [u8]| in_range(rsdp) && memory.copy(rsdp, pointer);
        if !read(&mut pointer[..OLD])
            || pointer[..8] != *b"RSD PTR "
            || checksum(&pointer[..OLD]) != 0
        {
            return Err(error);
        }
        let mut root = (
            Signature::RSDT,
            u64::from(u32::from_le_bytes(field(&pointer, 16))),
        );
        if pointer[15] >= 2 {
            if !read(&mut pointer) || checksum(&pointer) != 0 {
                return Err(error);
            }
            let extended = u64::from_le_bytes(field(&pointer, 24));
            if extended != 0 {
                root = (Signature::XSDT, extended);
            }
        }
        let table = Table::read(memory, root.0, root.1)?;
        let body: Vec<u8> = table.body().collect();
        let addresses = if root.0 == Signature::XSDT {
            body.chunks_exact(8)
                .map(|entry| u64::from_le_bytes(field(entry, 0)))
                .collect()
        } else {
            body.chunks_exact(4)
                .map(|entry| u32::from_le_bytes(field(entry, 0)).into())
                .collect()
        };
        Ok(Self { addresses })
    }

    /// The first table of this kind.
    pub(super) fn table(
        &self,
        memory: &impl PhysicalMemory,
        signature: Signature,
    ) -> Result<Table, AcpiError> {
        let mut all = self.tables(memory, signature);
        all.next().unwrap_or(Err(AcpiError::Missing(signature)))
    }

    /// All tables of this kind. Entries that lead to no table are skipped: nothing says what they
    /// were meant to be.
    pub(super) fn tables<M: PhysicalMemory>(
        &self,
        memory: &M,
        signature: Signature,
    ) -> impl Iterator<Item = Result<Table, AcpiError>> {
        let addresses = self.addresses.iter().take(MAX_ENTRIES).copied();
        addresses.filter_map(move |address| {
            let header = read_header(memory, signature, address).ok()?;
            let same = Signature(field(&header, 0)) == signature;
            same.then(|| Table::read(memory, signature, address))
        })
    }
}

fn read_header(
    memory: &impl PhysicalMemory,
    table: Signature,
    address: u64,
) -> Result<[u8; HEADER], AcpiError> {
    let mut header = [0; HEADER];
    if in_range(address) && memory.copy(address, &mut header) {
        Ok(header)
    } else {
        Err(AcpiError::NotInMemory { table, address })
    }
}

/// Whether a table may start at `address`.
fn in_range(address: u64) -> bool {
    address != 0 && address < PHYSICAL_END - u64::from(MAX_TABLE)
}

/// `N` bytes from `at` on, which the caller knows are there.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    core::array::from_fn(|index| bytes[at + index])
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// So many zeros, or `None` when there is not the memory.
fn zeros<T: Clone + Default>(count: usize) -> Option<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(count).ok()?;
    list.resize(count, T::default());
    Some(list)
}
