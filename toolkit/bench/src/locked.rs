//! Which instructions lock the bus or the cache line: found by disassembling what was executed.
//!
//! Counted are instructions with a `lock` prefix, an exchange with memory (which locks without the
//! prefix) and `mfence`, which costs as much; see the Intel SDM, volume 3, section 9.1.2.

use std::path::Path;

use anyhow::{Context, Result};
use elf::ElfBytes;
use elf::abi::PT_LOAD;
use elf::endian::LittleEndian;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};

/// The longest instruction of x86-64, in bytes.
const LONGEST: usize = 15;

/// The machine code of one object file.
pub struct Code {
    bytes: Vec<u8>,
    segments: Vec<Segment>,
}

/// Where the object file's bytes lie in memory.
struct Segment {
    address: u64,
    offset: usize,
    len: usize,
}

impl Code {
    /// Reads an ELF file.
    ///
    /// # Errors
    /// If it cannot be read or is no ELF file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let segments = load_segments(&bytes)
            .with_context(|| format!("{} is no readable ELF file", path.display()))?;
        Ok(Self { bytes, segments })
    }

    /// True if the instruction at `address` is a locked operation; `None` if there is no
    /// instruction at this address of the file.
    #[must_use]
    pub fn is_locked(&self, address: u64) -> Option<bool> {
        let bytes = self.segments.iter().find_map(|segment| {
            let start = usize::try_from(address.checked_sub(segment.address)?).ok()?;
            let len = segment.len.checked_sub(start)?.min(LONGEST);
            self.bytes
                .get(segment.offset + start..segment.offset + start + len)
        })?;
        let instruction = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode();
        (!instruction.is_invalid()).then(|| locks(&instruction))
    }
}

fn locks(instruction: &Instruction) -> bool {
    let touches_memory = instruction.op_kinds().any(|kind| kind == OpKind::Memory);
    instruction.has_lock_prefix()
        || (instruction.mnemonic() == Mnemonic::Xchg && touches_memory)
        || instruction.mnemonic() == Mnemonic::Mfence
}

fn load_segments(bytes: &[u8]) -> Result<Vec<Segment>> {
    let file = ElfBytes::<LittleEndian>::minimal_parse(bytes)?;
    file.segments()
        .context("it has no segments")?
        .iter()
        .filter(|header| header.p_type == PT_LOAD)
        .map(|header| {
            Ok(Segment {
                address: header.p_vaddr,
                offset: usize::try_from(header.p_offset)?,
                len: usize::try_from(header.p_filesz)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Code, Segment};

    /// Machine code at address 0x1000.
    fn is_locked(bytes: &[u8]) -> Option<bool> {
        let segments = vec![Segment {
            address: 0x1000,
            offset: 0,
            len: bytes.len(),
        }];
        Code {
            bytes: bytes.to_vec(),
            segments,
        }
        .is_locked(0x1000)
    }

    #[test]
    fn locked_operations_are_told_from_others() {
        assert_eq!(
            is_locked(&[0xf0, 0x48, 0xff, 0x07]),
            Some(true),
            "lock inc [rdi]"
        );
        assert_eq!(is_locked(&[0x87, 0x07]), Some(true), "xchg [rdi], eax");
        assert_eq!(is_locked(&[0x0f, 0xae, 0xf0]), Some(true), "mfence");
        assert_eq!(is_locked(&[0x87, 0xd8]), Some(false), "xchg eax, ebx");
        assert_eq!(is_locked(&[0x48, 0xff, 0x07]), Some(false), "inc [rdi]");
    }

    #[test]
    fn no_instruction_is_not_an_answer() {
        assert_eq!(is_locked(&[]), None);
        assert_eq!(is_locked(&[0x06]), None, "invalid in 64-bit mode");
        assert_eq!(
            Code {
                bytes: vec![],
                segments: vec![]
            }
            .is_locked(7),
            None
        );
    }
}
