//! What of an ELF file goes where: the whole of the checking, with nothing mapped yet.
//!
//! Key types: [`Plan`], [`Segment`], [`Refused`].
//!
//! Invariants of every plan: segments are whole pages, in ascending order, do not overlap, and lie
//! between [`LOWEST`] and [`PROGRAM_END`]; what they show of the file is within it.
//!
//! Formats: System V ABI, "Object Files" and "Program Loading" (gABI, chapters 4 and 5); its
//! x86-64 supplement.

use alloc::vec::Vec;
use core::fmt;

use elf::abi::{EM_X86_64, ET_DYN, ET_EXEC, PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD};
use elf::endian::LittleEndian;
use elf::file::{Class, FileHeader, parse_ident};
use elf::segment::{ProgramHeader, SegmentTable};

use crate::errno::Errno;
use crate::machine::{PAGE_SIZE, USER_END};
use crate::object::Object;
use crate::space::Protection;

/// Programs begin here at the lowest, as on Linux (`vm.mmap_min_addr`).
pub const LOWEST: u64 = 0x1_0000;
/// Programs end here at the highest: the last TiB is for the stack and for mappings.
pub const PROGRAM_END: u64 = USER_END - (1 << 40);
/// The most that a program may take from its first page to its last, in bytes.
pub const MAX_PROGRAM: u64 = 1 << 36;
/// The lowest place of a position-independent program: two thirds up, as on Linux.
const BASE: u64 = USER_END / 3 * 2 / PAGE_SIZE * PAGE_SIZE;
/// How many places, a page apart, there are for it from there on.
const PLACES: u64 = 1 << 28;
/// The lowest place of an interpreter: above the programs, with a TiB for their heaps.
const INTERPRETERS: u64 = BASE + (2 << 40);
/// Its lowest place where the program itself is there.
const LOW_INTERPRETERS: u64 = 1 << 40;
/// The longest name of an interpreter, with its end mark (`PATH_MAX`).
const MAX_NAME: u64 = 4096;
/// The largest alignment that a position-independent program gets.
const MAX_ALIGNMENT: u64 = 1 << 30;

/// Bytes of an ELF64 file header.
const HEADER: usize = 64;
/// Bytes of the header's first part, which says how the rest is to be read.
const IDENT: usize = 16;
/// Bytes of an ELF64 program header.
const PROGRAM_HEADER: u16 = 56;
/// The most program headers: as many as 64 KiB hold, as on Linux.
const MAX_HEADERS: u16 = (65536 / PROGRAM_HEADER as u32) as u16;

/// A part of a program in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins: a multiple of the page size.
    pub start: u64,
    /// Its length in bytes: a multiple of the page size.
    pub length: u64,
    /// What may be done with it.
    pub protection: Protection,
    /// What of the file it shows, by offset and length, with zeros after it; zeros alone if `None`.
    pub file: Option<(u64, u64)>,
}

/// What of a file goes where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is mapped.
    pub segments: Vec<Segment>,
    /// How far from the addresses in the file it is in memory; modulo 2⁶⁴.
    pub bias: u64,
    /// Where the program begins to run. Linux does not check it either: a wrong one is a fault of
    /// the program.
    pub entry: u64,
    /// Where the heap begins: behind the last segment.
    pub heap: u64,
    /// Where the program headers are in memory; 0 if they are not.
    pub headers: u64,
    /// How many program headers there are.
    pub header_count: u16,
    /// The size of a program header.
    pub header_size: u16,
    /// Whether the stack is executable.
    pub executable_stack: bool,
}

/// Why a file is no program that can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It begins with `#!`, but the line names no program.
    Script,
    /// It is not an ELF file.
    NotElf,
    /// It is for another machine: 32 bits, big-endian, or not x86-64.
    Machine,
    /// It is not an executable: its type.
    Type(u16),
    /// It is cut off, or its headers point outside of it.
    Truncated,
    /// It has no program headers, too many, or some of an unknown size.
    Headers,
    /// The name of its interpreter is damaged, or not within what is read of it.
    Interpreter,
    /// It has nothing to load.
    Empty,
    /// Segments are not in ascending order, or share a page.
    Order,
    /// A segment has more bytes in the file than in memory.
    Sizes,
    /// A segment's place in memory and in the file are not at the same place in their pages.
    Alignment,
    /// A segment, or the entry point, lies outside of what a program may have.
    Address,
    /// It is larger than [`MAX_PROGRAM`].
    TooLarge,
}

impl Refused {
    /// What execve(2) returns.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Self::TooLarge => Errno::ENOMEM,
            _ => Errno::ENOEXEC,
        }
    }

    /// What execve(2) returns if it is the program's interpreter that cannot be started so.
    #[must_use]
    pub const fn errno_of_interpreter(self) -> Errno {
        match self {
            Self::TooLarge => Errno::ENOMEM,
            Self::Script | Self::NotElf | Self::Machine | Self::Headers => Errno::ELIBBAD,
            Self::Truncated => Errno::EIO,
            _ => Errno::EINVAL,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Script => "its first line names no program, or is longer than 255 bytes",
            Self::NotElf => "it is not an ELF file",
            Self::Machine => "it is not for x86-64",
            Self::Type(elf::abi::ET_REL) => "it is an object file; link it to a program",
            Self::Type(_) => "it is an ELF file of a type that is no program",
            Self::Truncated => "it is cut off, or its headers are damaged",
            Self::Headers => "it has no program headers, too many, or damaged ones",
            Self::Interpreter => "the name of its dynamic loader is damaged",
            Self::Empty => "there is nothing in it to load",
            Self::Order => "its segments are out of order, or share a page",
            Self::Sizes => "a segment has more bytes in the file than in memory",
            Self::Alignment => "a segment cannot be mapped: its place in the file does not fit",
            Self::Address => "a segment or its entry point has an address that no program can have",
            Self::TooLarge => "it is larger than 64 GiB in memory",
        })
    }
}

impl core::error::Error for Refused {}

impl Plan {
    /// Plans a file's loading; `random` places a position-independent one. Its interpreter, if it
    /// wants one, is not looked at.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub fn of(file: &dyn Object, random: u64) -> Result<Self, Refused> {
        Self::at(file, BASE + random % PLACES * PAGE_SIZE)
    }

    /// Plans the loading of this program's interpreter, apart from the program and from where its
    /// heap grows; an interpreter that it wants itself is not looked at.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub fn with_interpreter(&self, file: &dyn Object, random: u64) -> Result<Self, Refused> {
        let random = random % PLACES * PAGE_SIZE;
        // No program is so long that it reaches from the one to the other.
        for base in [INTERPRETERS, LOW_INTERPRETERS] {
            let plan = Self::at(file, base + random)?;
            if plan.end() <= self.start() || plan.start() >= self.end() {
                return Ok(plan);
            }
        }
        Err(Refused::Address)
    }

    /// Where its first segment begins.
    fn start(&self) -> u64 {
        self.segments.first().map_or(0, |first| first.start)
    }

    /// Where its last segment ends.
    fn end(&self) -> u64 {
        let last = self.segments.last();
        last.map_or(0, |last| last.start + last.length)
    }

    /// Plans a file's loading; a position-independent one goes to `base`, or a little below.
    fn at(file: &dyn Object, base: u64) -> Result<Self, Refused> {
        let header = file_header(file)?;
        let headers = program_headers(file, &header)?;
        let loaded: Vec<_> = headers
            .iter()
            .filter(|header| header.p_type == PT_LOAD && header.p_memsz > 0)
            .collect();
        for header in &loaded {
            check(header, file.length())?;
        }
        let (first, last) = loaded.first().zip(loaded.last()).ok_or(Refused::Empty)?;
        // No overflow: check() has looked at all ends.
        let (start, end) = (first.p_vaddr, last.p_vaddr + last.p_memsz);
        if end.saturating_sub(start) > MAX_PROGRAM {
            return Err(Refused::TooLarge);
        }
        let bias = match header.e_type {
            ET_DYN => place(&loaded, base).wrapping_sub(page_down(start)),
            _ => 0,
        };
        let mut segments = Vec::new();
        for header in &loaded {
            add(&mut segments, header, bias, file.length())?;
        }
        let entry = header.e_entry.wrapping_add(bias);
        if entry >= USER_END {
            return Err(Refused::Address);
        }
        let shows_headers = |segment: &&&ProgramHeader| {
            let offset = header.e_phoff.checked_sub(segment.p_offset);
            offset.is_some_and(|offset| offset < segment.p_filesz)
        };
        let headers_at = loaded.iter().find(shows_headers).map_or(0, |segment| {
            (header.e_phoff - segment.p_offset)
                .wrapping_add(segment.p_vaddr)
                .wrapping_add(bias)
        });
        let stack = headers.iter().find(|header| header.p_type == PT_GNU_STACK);
        Ok(Self {
            heap: segments
                .last()
                .map_or(0, |last: &Segment| last.start + last.length),
            segments,
            bias,
            entry,
            headers: headers_at,
            header_count: header.e_phnum,
            header_size: PROGRAM_HEADER,
            executable_stack: stack.is_some_and(|stack| stack.p_flags & PF_X != 0),
        })
    }
}

/// The path of the interpreter that a program wants: its dynamic loader.
///
/// # Errors
/// When it is no program.
pub fn interpreter(file: &dyn Object) -> Result<Option<Vec<u8>>, Refused> {
    let header = file_header(file)?;
    let headers = program_headers(file, &header)?;
    let Some(name) = headers.iter().find(|header| header.p_type == PT_INTERP) else {
        return Ok(None);
    };
    if !(2..=MAX_NAME).contains(&name.p_filesz) {
        return Err(Refused::Interpreter);
    }
    let mut bytes = alloc::vec![0; name.p_filesz as usize];
    let read = file.read(name.p_offset, &mut bytes);
    if read != bytes.len() || bytes.last() != Some(&0) {
        return Err(Refused::Interpreter);
    }
    Ok(bytes.split(|&byte| byte == 0).next().map(<[u8]>::to_vec))
}

/// Reads and checks the file header.
fn file_header(file: &dyn Object) -> Result<FileHeader<LittleEndian>, Refused> {
    let mut bytes = [0; HEADER];
    let length = file.read(0, &mut bytes);
    let bytes = &bytes[..length];
    if !bytes.starts_with(&elf::abi::ELFMAGIC) {
        return Err(Refused::NotElf);
    }
    if length < HEADER {
        return Err(Refused::Truncated);
    }
    let ident = parse_ident::<LittleEndian>(bytes).map_err(|_| Refused::Machine)?;
    if ident.1 != Class::ELF64 {
        return Err(Refused::Machine);
    }
    let tail = FileHeader::parse_tail(ident, &bytes[IDENT..]);
    let header = tail.map_err(|_| Refused::Truncated)?;
    if header.e_machine != EM_X86_64 {
        return Err(Refused::Machine);
    }
    if !matches!(header.e_type, ET_EXEC | ET_DYN) {
        return Err(Refused::Type(header.e_type));
    }
    Ok(header)
}

/// Reads the program headers.
fn program_headers(
    file: &dyn Object,
    header: &FileHeader<LittleEndian>,
) -> Result<Vec<ProgramHeader>, Refused> {
    if header.e_phentsize != PROGRAM_HEADER || !(1..=MAX_HEADERS).contains(&header.e_phnum) {
        return Err(Refused::Headers);
    }
    let size = usize::from(header.e_phnum) * usize::from(PROGRAM_HEADER);
    let end = header.e_phoff.checked_add(size as u64);
    if end.is_none_or(|end| end > file.length()) {
        return Err(Refused::Truncated);
    }
    let mut bytes = alloc::vec![0; size];
    if file.read(header.e_phoff, &mut bytes) != size {
        return Err(Refused::Truncated);
    }
    Ok(SegmentTable::new(LittleEndian, Class::ELF64, &bytes)
        .iter()
        .collect())
}

/// Checks what one segment says of itself.
fn check(header: &ProgramHeader, file_length: u64) -> Result<(), Refused> {
    if header.p_filesz > header.p_memsz {
        return Err(Refused::Sizes);
    }
    if header.p_memsz > MAX_PROGRAM {
        return Err(Refused::TooLarge);
    }
    let end = header.p_offset.checked_add(header.p_filesz);
    if header.p_filesz > 0 && end.is_none_or(|end| end > file_length) {
        return Err(Refused::Truncated);
    }
    if header.p_filesz > 0 && header.p_vaddr % PAGE_SIZE != header.p_offset % PAGE_SIZE {
        return Err(Refused::Alignment);
    }
    let end = header.p_vaddr.checked_add(header.p_memsz);
    if end.is_none_or(|end| end > PROGRAM_END) {
        return Err(Refused::Address);
    }
    Ok(())
}

/// Where a position-independent program goes that is to be at `base`.
fn place(loaded: &[&ProgramHeader], base: u64) -> u64 {
    let alignments = loaded.iter().map(|header| header.p_align);
    let good = alignments.filter(|align| align.is_power_of_two() && *align <= MAX_ALIGNMENT);
    let alignment = good.max().unwrap_or(PAGE_SIZE).max(PAGE_SIZE);
    // The first segment need not begin at a multiple of the alignment, but stays where it is
    // relative to one.
    let first = loaded.first().map_or(0, |first| page_down(first.p_vaddr));
    base / alignment * alignment + first % alignment
}

/// Adds what a segment is in memory: pages of the file, then zeros.
fn add(
    segments: &mut Vec<Segment>,
    header: &ProgramHeader,
    bias: u64,
    file_length: u64,
) -> Result<(), Refused> {
    let address = header.p_vaddr.wrapping_add(bias);
    let start = page_down(address);
    let end = address
        .checked_add(header.p_memsz)
        .ok_or(Refused::Address)?;
    if start < LOWEST || end > PROGRAM_END {
        return Err(Refused::Address);
    }
    let end = end.next_multiple_of(PAGE_SIZE);
    if segments
        .last()
        .is_some_and(|last| start < last.start + last.length)
    {
        return Err(Refused::Order);
    }
    let flag = |flag| header.p_flags & flag != 0;
    let protection = Protection {
        read: flag(PF_R),
        write: flag(PF_W),
        execute: flag(PF_X),
    };
    let mut push = |start: u64, end: u64, file| {
        if start < end {
            segments.push(Segment {
                start,
                length: end - start,
                protection,
                file,
            });
        }
    };
    let file_end = match header.p_filesz {
        0 => start,
        size => (address + size).next_multiple_of(PAGE_SIZE),
    };
    let offset = page_down(header.p_offset);
    let shown = match header.p_memsz == header.p_filesz {
        // Without zeros, what follows in the file may show too: a page that is shared by all then.
        true => (file_end - start).min(file_length - offset),
        false => header.p_offset - offset + header.p_filesz,
    };
    push(start, file_end, Some((offset, shown)));
    push(file_end, end, None);
    Ok(())
}

const fn page_down(address: u64) -> u64 {
    address / PAGE_SIZE * PAGE_SIZE
}
