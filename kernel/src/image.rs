//! The kernel's own ELF file: which addresses are code, constants and data.

use elf::ElfBytes;
use elf::abi::{PF_W, PF_X, PT_LOAD};
use elf::endian::LittleEndian;
use vortex_hal::paging::{Access, Segment};

/// The loadable segments of the kernel's ELF `file`.
///
/// # Errors
/// When it is damaged, or has a segment that is both writable and executable.
pub(crate) fn segments(file: &[u8]) -> Result<impl Iterator<Item = Segment>, &'static str> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| "not an ELF file")?;
    let headers = elf.segments().ok_or("it has no program headers")?;
    let loaded = move || headers.iter().filter(|header| header.p_type == PT_LOAD);
    if loaded().any(|header| header.p_flags & (PF_W | PF_X) == PF_W | PF_X) {
        return Err("a segment is both writable and executable");
    }
    Ok(loaded().map(|header| Segment {
        start: header.p_vaddr,
        length: header.p_memsz,
        access: match header.p_flags {
            flags if flags & PF_X != 0 => Access::Execute,
            flags if flags & PF_W != 0 => Access::Write,
            _ => Access::Read,
        },
    }))
}
