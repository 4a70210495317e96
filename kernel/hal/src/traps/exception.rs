//! The CPU's exceptions, as sentences: name, error code decoded, address.
//!
//! Key types: [`Exception`]. The words are [`vortex_kernel_base::report`]'s.

use core::fmt;

use vortex_kernel_base::report::{PageFault, trap_name};

use super::TrapFrame;

/// The number of vectors that are exceptions; the rest are interrupts.
const EXCEPTIONS: u64 = 32;

const NON_MASKABLE: u8 = 2;
const DOUBLE_FAULT: u8 = 8;
const INVALID_TSS: u8 = 10;
const GENERAL_PROTECTION: u8 = 13;
const PAGE_FAULT: u8 = 14;

/// An exception with its error code and, for page faults, the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    vector: u8,
    error_code: u64,
    /// CR2; means something for page faults and for double faults that began as one.
    address: u64,
}

impl Exception {
    /// The exception `vector` (below 32) with its error code, and CR2.
    pub(crate) fn new(vector: u8, error_code: u64, address: u64) -> Self {
        Self {
            vector,
            error_code,
            address,
        }
    }

    /// What `frame` says, when its vector is an exception's; `address` is CR2.
    #[must_use]
    pub fn decode(frame: &TrapFrame, address: u64) -> Option<Self> {
        (frame.vector < EXCEPTIONS).then_some(Self {
            vector: frame.vector as u8,
            error_code: frame.error_code,
            address,
        })
    }

    /// Which one: below 32.
    #[must_use]
    pub fn vector(&self) -> u8 {
        self.vector
    }

    /// What the CPU says about it; 0 for those that say nothing.
    #[must_use]
    pub fn error_code(&self) -> u64 {
        self.error_code
    }

    /// Whether this is a non-maskable interrupt.
    #[must_use]
    pub fn is_non_maskable(&self) -> bool {
        self.vector == NON_MASKABLE
    }

    /// The address that could not be accessed, for a page fault and for the double fault that
    /// one became.
    #[must_use]
    pub fn address(&self) -> Option<u64> {
        matches!(self.vector, PAGE_FAULT | DOUBLE_FAULT).then_some(self.address)
    }

    /// Whether the CPU could not even fetch the instruction: the code jumped to where none is.
    #[must_use]
    pub fn is_wild_call(&self) -> bool {
        const FETCH: u64 = 1 << 4;
        self.vector == PAGE_FAULT && self.error_code & FETCH != 0
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
        let Self {
            vector,
            error_code,
            address,
        } = *self;
        let name = trap_name(vector);
        write!(formatter, "{name}, error code {error_code:#x}")?;
        match vector {
            PAGE_FAULT => {
                let fault = PageFault {
                    address,
                    error_code,
                };
                write!(formatter, ": {fault}")
            }
            INVALID_TSS..=GENERAL_PROTECTION if error_code != 0 => {
                self.describe_selector(formatter)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(vector: u64, error_code: u64, address: u64) -> Option<Exception> {
        let frame = TrapFrame {
            vector,
            error_code,
            ..TrapFrame::default()
        };
        Exception::decode(&frame, address)
    }

    fn text(vector: u64, error_code: u64, address: u64) -> String {
        decode(vector, error_code, address)
            .expect("an exception's vector")
            .to_string()
    }

    #[test]
    fn a_page_fault_says_what_was_tried_where() {
        assert_eq!(
            text(14, 2, 0x10),
            "page fault (#PF), error code 0x2: write of address 0x10 in kernel mode: the page is \
             not mapped (a null pointer)"
        );
    }

    #[test]
    fn a_selector_error_names_table_and_entry() {
        assert_eq!(
            text(13, 0x80 << 3 | 0b010, 0),
            "general protection fault (#GP), error code 0x402: entry 128 of the IDT"
        );
        let plain = "general protection fault (#GP), error code 0x0";
        assert_eq!(text(13, 0, 0), plain);
    }

    #[test]
    fn interrupts_are_not_exceptions() {
        assert!(decode(31, 0, 0).is_some());
        assert!(decode(32, 0, 0).is_none());
        assert!(decode(255, 0, 0).is_none());
    }

    #[test]
    fn a_fetch_that_fails_is_a_wild_call() {
        let is_wild_call = |code| decode(14, code, 0).is_some_and(|fault| fault.is_wild_call());
        assert!(is_wild_call(0x10));
        assert!(is_wild_call(0x11));
        assert!(!is_wild_call(0x03));
    }

    #[test]
    fn only_memory_faults_have_an_address() {
        let address = |vector| decode(vector, 0, 0x1234).and_then(|fault| fault.address());
        assert_eq!(address(14), Some(0x1234));
        assert_eq!(address(8), Some(0x1234));
        assert_eq!(address(13), None);
    }
}
