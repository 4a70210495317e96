//! Directory entries: inode, length of the record, length of the name, kind, name.
//!
//! The records of a block fill it. A record's space that its entry does not use is free; a record
//! with inode 0 is free as a whole. Every record that is looked at has been checked.

use super::bytes::{put_u16, put_u32, u16_at, u32_at};
use crate::attributes::{InodeNumber, Kind};
use crate::error::Error;

const HEADER: usize = 8;
/// The longest name in bytes.
pub(crate) const LONGEST_NAME: usize = 255;

/// A record, at its place in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) at: usize,
    /// The whole record.
    pub(crate) length: usize,
    /// 0 if it is free.
    pub(crate) inode: u32,
    /// As the volume says it; 0 when it does not.
    pub(crate) kind: u8,
    pub(crate) name: &'a [u8],
}

impl Record<'_> {
    /// How much of it the entry needs.
    pub(crate) const fn used(&self) -> usize {
        if self.inode == 0 {
            0
        } else {
            needed(self.name.len())
        }
    }
}

/// What a record for a name of `length` bytes needs.
pub(crate) const fn needed(length: usize) -> usize {
    (HEADER + length + 3) & !3
}

/// The records of a block; after an error there are no more.
pub(crate) const fn records(block: &[u8], kinds: bool) -> Records<'_> {
    Records {
        block,
        kinds,
        at: 0,
    }
}

/// An iterator of records.
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    block: &'a [u8],
    kinds: bool,
    at: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.block.get(self.at..)?;
        if rest.is_empty() {
            return None;
        }
        let record = read(rest, self.at, self.kinds);
        self.at = match record {
            Ok(record) => self.at + record.length,
            Err(_) => self.block.len(),
        };
        Some(record)
    }
}

fn read(rest: &[u8], at: usize, kinds: bool) -> Result<Record<'_>, Error> {
    const WRONG: Error = Error::Corrupt("a directory entry of a wrong length");
    if rest.len() < HEADER {
        return Err(WRONG);
    }
    let length = usize::from(u16_at(rest, 4));
    // Without kinds the length of the name has 16 bits.
    let name_length = if kinds {
        rest[6].into()
    } else {
        usize::from(u16_at(rest, 6))
    };
    let inode = u32_at(rest, 0);
    if length < HEADER + 4 || !length.is_multiple_of(4) || length > rest.len() {
        return Err(WRONG);
    }
    let name = rest.get(HEADER..HEADER + name_length);
    let name = match name {
        Some(name) if needed(name_length) <= length && name_length <= LONGEST_NAME => name,
        _ if inode == 0 => &[],
        _ => return Err(WRONG),
    };
    if inode != 0 && name.is_empty() {
        return Err(Error::Corrupt("a directory entry without a name"));
    }
    Ok(Record {
        at,
        length,
        inode,
        kind: if kinds { rest[7] } else { 0 },
        name,
    })
}

/// Writes an entry over the `length` bytes at `at`.
pub(crate) fn write(
    block: &mut [u8],
    at: usize,
    length: usize,
    inode: InodeNumber,
    kind: u8,
    name: &[u8],
) {
    put_u32(block, at, inode.0);
    put_u16(block, at + 4, u16::try_from(length).unwrap_or(u16::MAX));
    block[at + 6] = u8::try_from(name.len()).unwrap_or(u8::MAX);
    block[at + 7] = kind;
    block[at + HEADER..at + HEADER + name.len()].copy_from_slice(name);
}

/// Gives the entry at `at` another inode.
pub(crate) fn set_inode(block: &mut [u8], at: usize, inode: InodeNumber, kind: u8) {
    put_u32(block, at, inode.0);
    block[at + 7] = kind;
}

/// The first record with room for an entry that needs so many bytes.
pub(crate) fn room(block: &[u8], kinds: bool, needed: usize) -> Option<usize> {
    let mut records = records(block, kinds).flatten();
    let record = records.find(|record| record.length - record.used() >= needed)?;
    Some(record.at)
}

/// How many entries that need so many bytes each there is room for.
pub(crate) fn capacity(block: &[u8], kinds: bool, needed: usize) -> usize {
    let records = records(block, kinds).flatten();
    records
        .map(|record| (record.length - record.used()) / needed)
        .sum()
}

/// Puts an entry into the record at `at`, behind what is there.
pub(crate) fn insert(block: &mut [u8], at: usize, inode: InodeNumber, kind: u8, name: &[u8]) {
    let length = usize::from(u16_at(block, at + 4));
    let used = match u32_at(block, at) {
        0 => 0,
        _ => needed(block[at + 6].into()),
    };
    if used > 0 {
        put_u16(block, at + 4, u16::try_from(used).unwrap_or(u16::MAX));
    }
    write(block, at + used, length - used, inode, kind, name);
}

/// Takes the entry at `at` out: its space goes to the record before it, or is free as a whole.
pub(crate) fn remove(block: &mut [u8], at: usize) {
    let mut before = 0;
    while before < at {
        let next = before + usize::from(u16_at(block, before + 4));
        if next >= at {
            break;
        }
        before = next;
    }
    if at == 0 {
        put_u32(block, 0, 0);
    } else {
        let length = u16_at(block, before + 4) + u16_at(block, at + 4);
        put_u16(block, before + 4, length);
    }
}

/// Makes a block one free record.
pub(crate) fn clear(block: &mut [u8]) {
    block.fill(0);
    let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
    put_u16(block, 4, length);
}

/// The kind as directory entries tell it.
pub(crate) const fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::File => 1,
        Kind::Directory => 2,
        Kind::CharacterDevice(_) => 3,
        Kind::BlockDevice(_) => 4,
        Kind::Fifo => 5,
        Kind::Socket => 6,
        Kind::Symlink => 7,
    }
}

/// The kind as `getdents64` tells it, of what an entry says.
pub(crate) fn system_kind(code: u8) -> u8 {
    [0, 8, 4, 2, 6, 1, 12, 10]
        .get(usize::from(code))
        .copied()
        .unwrap_or(0)
}

/// Checks a name that is to be looked up.
pub(crate) fn check_name(name: &[u8]) -> Result<(), Error> {
    match name.len() {
        0 => Err(Error::NotFound),
        1..=LONGEST_NAME => Ok(()),
        _ => Err(Error::NameTooLong),
    }
}

/// Checks a name that is to be made.
pub(crate) fn check_new_name(name: &[u8]) -> Result<(), Error> {
    check_name(name)?;
    if name.iter().any(|byte| matches!(byte, 0 | b'/')) {
        return Err(Error::Invalid);
    }
    Ok(())
}

/// Whether a name is `.` or `..`.
pub(crate) fn is_dots(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn names(block: &[u8]) -> Vec<(u32, Vec<u8>)> {
        records(block, true)
            .map(Result::unwrap)
            .filter(|record| record.inode != 0)
            .map(|record| (record.inode, record.name.to_vec()))
            .collect()
    }

    fn room(block: &[u8], name: &[u8]) -> Option<usize> {
        records(block, true)
            .map(Result::unwrap)
            .find(|record| record.length - record.used() >= needed(name.len()))
            .map(|record| record.at)
    }

    #[test]
    fn a_block_is_a_set_of_names() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut block = vec![0xaa; 1024];
        clear(&mut block);
        let mut model: Vec<(u32, Vec<u8>)> = Vec::new();
        for step in 1..4000 {
            let name: Vec<u8> = (0..random.usize(1..40))
                .map(|_| random.u8(b'a'..b'f'))
                .collect();
            let known = model.iter().position(|(_, known)| *known == name);
            match (known, room(&block, &name)) {
                (None, Some(at)) if random.u8(0..3) > 0 => {
                    insert(&mut block, at, InodeNumber(step), 1, &name);
                    model.push((step, name));
                }
                _ if !model.is_empty() => {
                    let (inode, _) = model.swap_remove(random.usize(0..model.len()));
                    let found = records(&block, true).map(Result::unwrap);
                    let at = found
                        .clone()
                        .find(|record| record.inode == inode)
                        .unwrap()
                        .at;
                    remove(&mut block, at);
                }
                _ => {}
            }
            let mut found = names(&block);
            found.sort();
            model.sort();
            assert_eq!(found, model);
            let total: usize = records(&block, true)
                .map(|record| record.unwrap().length)
                .sum();
            assert_eq!(total, block.len());
        }
    }

    #[test]
    fn any_bytes_end_with_an_error_at_most() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let mut block = vec![0; 64];
            random.fill(&mut block);
            if random.bool() {
                block[4] = random.u8(..) & 0x3c;
                block[5] = 0;
                block[6] = random.u8(0..16);
            }
            let mut next = 0;
            for record in records(&block, random.bool()).flatten() {
                assert_eq!(record.at, next);
                assert!(record.length >= 12 && record.used() <= record.length);
                next += record.length;
            }
            assert!(next <= block.len());
        }
    }
}
