//! Words for what happened: traps, page faults, sizes and frequencies, as plain `Display` types.
//!
//! Names and bits follow the Intel SDM, volume 3, sections 6.15 and 4.7.

use core::fmt;

/// The name and mnemonic of exception `vector`.
#[must_use]
pub const fn trap_name(vector: u8) -> &'static str {
    match vector {
        0 => "divide error (#DE)",
        1 => "debug exception (#DB)",
        2 => "non-maskable interrupt (NMI)",
        3 => "breakpoint (#BP)",
        4 => "overflow (#OF)",
        5 => "bound range exceeded (#BR)",
        6 => "invalid opcode (#UD)",
        7 => "device not available (#NM)",
        8 => "double fault (#DF)",
        10 => "invalid task state segment (#TS)",
        11 => "segment not present (#NP)",
        12 => "stack-segment fault (#SS)",
        13 => "general protection fault (#GP)",
        14 => "page fault (#PF)",
        16 => "x87 floating-point error (#MF)",
        17 => "alignment check (#AC)",
        18 => "machine check (#MC)",
        19 => "SIMD floating-point exception (#XM)",
        20 => "virtualization exception (#VE)",
        21 => "control protection exception (#CP)",
        28 => "hypervisor injection exception (#HV)",
        29 => "VMM communication exception (#VC)",
        30 => "security exception (#SX)",
        9 | 15 | 22..=27 | 31 => "reserved exception",
        32.. => "interrupt",
    }
}

/// Whether the processor pushes an error code for exception `vector`.
#[must_use]
pub const fn has_error_code(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
}

/// A page fault: what was tried, where, and why it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFault {
    /// The address that was touched (CR2).
    pub address: u64,
    /// The error code that the processor pushed.
    pub error_code: u64,
}

impl PageFault {
    const PRESENT: u64 = 1 << 0;
    const WRITE: u64 = 1 << 1;
    const USER: u64 = 1 << 2;
    const RESERVED_BIT: u64 = 1 << 3;
    const FETCH: u64 = 1 << 4;
    const PROTECTION_KEY: u64 = 1 << 5;
    const SHADOW_STACK: u64 = 1 << 6;

    const fn has(self, bit: u64) -> bool {
        self.error_code & bit != 0
    }

    const fn access(self) -> &'static str {
        if self.has(Self::FETCH) {
            "execution"
        } else if self.has(Self::WRITE) {
            "write"
        } else {
            "read"
        }
    }

    const fn cause(self) -> &'static str {
        if !self.has(Self::PRESENT) {
            "the page is not mapped"
        } else if self.has(Self::RESERVED_BIT) {
            "a reserved bit is set in the page tables"
        } else if self.has(Self::PROTECTION_KEY) {
            "the protection key forbids it"
        } else if self.has(Self::SHADOW_STACK) {
            "it is a shadow-stack access"
        } else if self.has(Self::FETCH) {
            "the page is not executable"
        } else if self.has(Self::WRITE) {
            "the page is not writable"
        } else {
            "the page's protection forbids it"
        }
    }
}

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.has(Self::USER) {
            "user"
        } else {
            "kernel"
        };
        let (access, address, cause) = (self.access(), self.address, self.cause());
        write!(
            f,
            "{access} of address {address:#x} in {mode} mode: {cause}"
        )?;
        if address < 4096 {
            f.write_str(" (a null pointer)")?;
        }
        Ok(())
    }
}

/// A size in bytes, shown in the largest fitting unit with one decimal digit, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(
            f,
            self.0,
            1024,
            &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"],
        )
    }
}

/// A frequency in hertz, shown in the largest fitting unit with one decimal digit, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hertz(pub u64);

impl fmt::Display for Hertz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0, 1000, &["Hz", "kHz", "MHz", "GHz", "THz"])
    }
}

fn write_scaled(f: &mut fmt::Formatter<'_>, value: u64, step: u64, units: &[&str]) -> fmt::Result {
    let mut scale = 1;
    let mut unit = 0;
    while value / scale >= step && unit + 1 < units.len() {
        scale *= step;
        unit += 1;
    }
    let (whole, rest) = (value / scale, value % scale);
    // In 128 bits, because the rest of an exbibyte times ten has more than 64.
    let tenths = u128::from(rest) * 10 / u128::from(scale);
    let name = units[unit];
    if tenths == 0 {
        write!(f, "{whole} {name}")
    } else {
        write!(f, "{whole}.{tenths} {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(address: u64, error_code: u64) -> String {
        PageFault {
            address,
            error_code,
        }
        .to_string()
    }

    #[test]
    fn page_faults_say_what_was_tried_and_why_it_failed() {
        assert_eq!(
            fault(8, 0),
            "read of address 0x8 in kernel mode: the page is not mapped (a null pointer)"
        );
        assert_eq!(
            fault(0x20_0000, 3),
            "write of address 0x200000 in kernel mode: the page is not writable"
        );
        assert_eq!(
            fault(0x40_0000, 0x15),
            "execution of address 0x400000 in user mode: the page is not executable"
        );
        assert!(fault(1 << 40, 9).ends_with("a reserved bit is set in the page tables"));
        assert!(fault(1 << 40, 0x21).ends_with("the protection key forbids it"));
        assert!(fault(1 << 40, 0x41).ends_with("it is a shadow-stack access"));
        assert!(fault(1 << 40, 1).ends_with("the page's protection forbids it"));
    }

    #[test]
    fn traps_have_names() {
        assert_eq!(trap_name(14), "page fault (#PF)");
        assert_eq!(trap_name(15), "reserved exception");
        assert_eq!(trap_name(255), "interrupt");
        let with_code: Vec<u8> = (0..32).filter(|&vector| has_error_code(vector)).collect();
        assert_eq!(with_code, [8, 10, 11, 12, 13, 14, 17, 21, 29, 30]);
    }

    #[test]
    fn sizes_use_the_largest_unit_and_round_down() {
        let shown = |bytes| Bytes(bytes).to_string();
        assert_eq!(shown(0), "0 B");
        assert_eq!(shown(1023), "1023 B");
        assert_eq!(shown(1536), "1.5 KiB");
        assert_eq!(shown((8 << 30) - 1), "7.9 GiB");
        assert_eq!(shown(8 << 30), "8 GiB");
        assert_eq!(shown(u64::MAX), "15.9 EiB");
        assert_eq!(Hertz(2_995_200_000).to_string(), "2.9 GHz");
        assert_eq!(Hertz(u64::MAX).to_string(), "18446744 THz");
    }
}
