//! The CPU's exceptions: their names and what their error codes say (Intel SDM volume 3, 6.15).
//!
//! Key types: [`Exception`], which prints itself as one sentence.

use core::fmt;

use super::Frame;

/// The number of vectors that are exceptions; the rest are interrupts.
const EXCEPTIONS: u64 = 32;

/// Vectors the reports treat specially.
mod vector {
    pub(super) const NON_MASKABLE: u8 = 2;
    pub(super) const DOUBLE_FAULT: u8 = 8;
    pub(super) const INVALID_TSS: u8 = 10;
    pub(super) const GENERAL_PROTECTION: u8 = 13;
    pub(super) const PAGE_FAULT: u8 = 14;
}

/// An exception with its error code and, for page faults, the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    vector: u8,
    error_code: u64,
    /// CR2; means something for page faults and for double faults that began as one.
    address: u64,
}

impl Exception {
    /// What `frame` says, when its vector is an exception's; `address` is CR2.
    #[must_use]
    pub fn decode(frame: &Frame, address: u64) -> Option<Self> {
        (frame.vector < EXCEPTIONS).then_some(Self {
            vector: frame.vector as u8,
            error_code: frame.error_code,
            address,
        })
    }

    /// Whether this is a non-maskable interrupt.
    #[must_use]
    pub fn is_non_maskable(&self) -> bool {
        self.vector == vector::NON_MASKABLE
    }

    /// Whether an earlier fault could not be delivered.
    #[must_use]
    pub fn is_double_fault(&self) -> bool {
        self.vector == vector::DOUBLE_FAULT
    }

    /// The address a page fault (or the fault before a double fault) was for.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The name in the manual.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.vector {
            0 => "division error",
            1 => "debug exception",
            vector::NON_MASKABLE => "non-maskable interrupt",
            3 => "breakpoint",
            4 => "overflow",
            5 => "bound range exceeded",
            6 => "invalid opcode",
            7 => "device not available",
            vector::DOUBLE_FAULT => "double fault",
            vector::INVALID_TSS => "invalid TSS",
            11 => "segment not present",
            12 => "stack-segment fault",
            vector::GENERAL_PROTECTION => "general protection fault",
            vector::PAGE_FAULT => "page fault",
            16 => "x87 floating-point error",
            17 => "alignment check",
            18 => "machine check",
            19 => "SIMD floating-point error",
            20 => "virtualisation exception",
            21 => "control protection exception",
            28 => "hypervisor injection exception",
            29 => "VMM communication exception",
            30 => "security exception",
            _ => "reserved exception",
        }
    }

    /// What was attempted, as a page fault's error code says (Intel SDM volume 3, 4.7).
    fn describe_access(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bit = |number: u32| self.error_code >> number & 1 == 1;
        let who = if bit(2) { "user" } else { "kernel" };
        let what = match (bit(4), bit(1)) {
            (true, _) => "execute",
            (false, true) => "write to",
            (false, false) => "read from",
        };
        let why = match (bit(3), bit(0)) {
            (true, _) => "has reserved bits set in its page tables",
            (false, true) => "does not allow that",
            (false, false) => "is not mapped",
        };
        let address = self.address;
        let null = if address < 0x1000 {
            " (a null pointer)"
        } else {
            ""
        };
        write!(
            formatter,
            ": {who} tried to {what} {address:#x}{null}, which {why}"
        )
    }

    /// Which descriptor a selector error code names (Intel SDM volume 3, 6.13).
    fn describe_selector(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = match self.error_code >> 1 & 0b11 {
            0 => "GDT",
            2 => "LDT",
            _ => "IDT",
        };
        let index = self.error_code >> 3 & 0x1fff;
        write!(formatter, ": entry {index} of the {table}")
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} (vector {}, error code {:#x})",
            self.name(),
            self.vector,
            self.error_code
        )?;
        match self.vector {
            vector::PAGE_FAULT => self.describe_access(formatter),
            vector::INVALID_TSS..=vector::GENERAL_PROTECTION if self.error_code != 0 => {
                self.describe_selector(formatter)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
