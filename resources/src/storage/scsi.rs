//! SCSI: what is asked of a disk, and what its answers mean (SPC-4, SBC-3, SAM-5).
//!
//! Pure functions: command descriptor blocks, and data that a disk returned, which may be anything.

use alloc::vec::Vec;

use super::adapter::{Cdb, Failure, Response, SENSE_BYTES};

/// Bytes of standard INQUIRY data that are asked for.
pub(crate) const INQUIRY_BYTES: u16 = 36;
/// Bytes of REPORT LUNS data that are asked for.
pub(crate) const LUNS_BYTES: u32 = 8 + 8 * 63;
/// Bytes of READ CAPACITY (16) data.
pub(crate) const CAPACITY_BYTES: u32 = 32;
/// Bytes of MODE SENSE (6) data that are asked for.
pub(crate) const MODE_BYTES: u8 = 192;

/// INQUIRY (SPC-4, section 6.4).
pub(crate) fn inquiry() -> Cdb {
    let [high, low] = INQUIRY_BYTES.to_be_bytes();
    Cdb::new(&[0x12, 0, 0, high, low, 0])
}

/// TEST UNIT READY (SPC-4, section 6.47).
pub(crate) fn test_unit_ready() -> Cdb {
    Cdb::new(&[0; 6])
}

/// REPORT LUNS (SPC-4, section 6.33).
pub(crate) fn report_luns() -> Cdb {
    let mut bytes = [0; 12];
    bytes[0] = 0xa0;
    bytes[6..10].copy_from_slice(&LUNS_BYTES.to_be_bytes());
    Cdb::new(&bytes)
}

/// READ CAPACITY (10) (SBC-3, section 5.15).
pub(crate) fn read_capacity() -> Cdb {
    Cdb::new(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

/// READ CAPACITY (16) (SBC-3, section 5.16).
pub(crate) fn read_capacity_16() -> Cdb {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&[0x9e, 0x10]);
    bytes[10..14].copy_from_slice(&CAPACITY_BYTES.to_be_bytes());
    Cdb::new(&bytes)
}

/// MODE SENSE (6) for the page about caching (SPC-4, section 6.11; SBC-3, section 6.4.5).
pub(crate) fn mode_sense() -> Cdb {
    Cdb::new(&[0x1a, 0, 0x08, 0, MODE_BYTES, 0])
}

/// What is done with blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocks {
    Read,
    Write,
    Flush,
}

/// READ, WRITE or SYNCHRONIZE CACHE, of 10 bytes where that is enough, of 16 otherwise (SBC-3,
/// sections 5.11, 5.32 and 5.22).
pub(crate) fn blocks(what: Blocks, first: u64, count: u32) -> Cdb {
    let short = u32::try_from(first).ok().zip(u16::try_from(count).ok());
    if let Some((first, count)) = short {
        let code = match what {
            Blocks::Read => 0x28,
            Blocks::Write => 0x2a,
            Blocks::Flush => 0x35,
        };
        let [a, b, c, d] = first.to_be_bytes();
        let [high, low] = count.to_be_bytes();
        return Cdb::new(&[code, 0, a, b, c, d, 0, high, low, 0]);
    }
    let mut bytes = [0; 16];
    bytes[0] = match what {
        Blocks::Read => 0x88,
        Blocks::Write => 0x8a,
        Blocks::Flush => 0x91,
    };
    bytes[2..10].copy_from_slice(&first.to_be_bytes());
    bytes[10..14].copy_from_slice(&count.to_be_bytes());
    Cdb::new(&bytes)
}

/// Whether INQUIRY data are of a disk that is there.
#[must_use]
pub fn is_disk(inquiry: &[u8]) -> bool {
    // Qualifier 0: connected; type 0: direct access block device.
    inquiry.first() == Some(&0)
}

/// The units that REPORT LUNS data list, those with simple numbers.
#[must_use]
pub fn luns(data: &[u8]) -> Vec<u16> {
    let Some((length, lists)) = data.split_at_checked(8) else {
        return Vec::new();
    };
    let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
    let listed = &lists[..lists.len().min(length as usize)];
    let luns = listed.chunks_exact(8).filter_map(|lun| {
        let [high, low, rest @ ..] = lun else {
            return None;
        };
        // Peripheral or flat addressing of the first level, and no second one.
        let simple = high >> 6 < 2 && rest.iter().all(|byte| *byte == 0);
        let number = u16::from_be_bytes([high & 0x3f, *low]);
        simple.then_some(number)
    });
    luns.collect()
}

/// A disk's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Its number of blocks.
    pub blocks: u64,
    /// Bytes of a block.
    pub block: u32,
}

/// What READ CAPACITY (10) data say; `Ok(None)` if (16) has to be asked.
///
/// # Errors
/// When that can be no disk's size.
pub fn capacity(data: &[u8]) -> Result<Option<Capacity>, NoCapacity> {
    let data: &[u8; 8] = data.first_chunk().ok_or(NoCapacity)?;
    let [a, b, c, d, block @ ..] = *data;
    match u32::from_be_bytes([a, b, c, d]) {
        u32::MAX => Ok(None),
        last => checked(u64::from(last), u32::from_be_bytes(block)).map(Some),
    }
}

/// What READ CAPACITY (16) data say.
///
/// # Errors
/// When that can be no disk's size.
pub fn capacity_16(data: &[u8]) -> Result<Capacity, NoCapacity> {
    let data: &[u8; 12] = data.first_chunk().ok_or(NoCapacity)?;
    let (last, block) = data.split_at(8);
    let number = |bytes: &[u8]| {
        let up = |number, byte: &u8| number << 8 | u64::from(*byte);
        bytes.iter().fold(0, up)
    };
    checked(number(last), number(block) as u32)
}

/// The disk says nothing of its size that could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCapacity;

/// A capacity, if blocks have a size that is dealt with, and all bytes can be counted.
fn checked(last: u64, block: u32) -> Result<Capacity, NoCapacity> {
    let blocks = last.checked_add(1).ok_or(NoCapacity)?;
    let sound = block.is_power_of_two() && (512..=4096).contains(&block);
    let counted = blocks.checked_mul(block.into()).is_some();
    (sound && counted)
        .then_some(Capacity { blocks, block })
        .ok_or(NoCapacity)
}

/// What MODE SENSE data say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// Writing is forbidden.
    pub protected: bool,
    /// Whether what is written is in a cache at first, if it says so.
    pub cached: Option<bool>,
}

/// What MODE SENSE (6) data say; what is not there is not so.
#[must_use]
pub fn modes(data: &[u8]) -> Modes {
    let Some((header, rest)) = data.split_at_checked(4) else {
        return Modes::default();
    };
    let protected = header[2] & 0x80 != 0;
    let page = rest.get(usize::from(header[3])..).unwrap_or_default();
    let cached = match page {
        [code, _, flags, ..] if code & 0x3f == 8 => Some(flags & 4 != 0),
        _ => None,
    };
    Modes { protected, cached }
}

/// What to make of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It has done it.
    Good,
    /// It may do it another time.
    Retry,
    /// It cannot read or write this place.
    Medium,
    /// It cannot be written.
    Protected,
    /// It is not there any more.
    Gone,
    /// It does not do it.
    Failed,
}

/// The verdict on an answer.
#[must_use]
pub fn judge(answer: &Result<Response, Failure>) -> Verdict {
    match answer {
        Err(Failure::NoUnit | Failure::Gone) => Verdict::Gone,
        Err(Failure::Reset | Failure::TimedOut | Failure::Controller) => Verdict::Retry,
        Ok(response) => match response.status {
            0x00 if response.residue == 0 => Verdict::Good,
            // Fewer bytes than it should have been; BUSY, TASK SET FULL, TASK ABORTED.
            0x00 | 0x08 | 0x28 | 0x40 => Verdict::Retry,
            0x02 => judge_sense(&response.sense),
            _ => Verdict::Failed,
        },
    }
}

/// The verdict on sense data (SPC-4, section 4.5).
fn judge_sense(sense: &[u8; SENSE_BYTES]) -> Verdict {
    let (key, code) = match sense[0] & 0x7f {
        0x70 | 0x71 => (sense[2] & 0xf, sense[12]),
        0x72 | 0x73 => (sense[1] & 0xf, sense[2]),
        // None: nobody knows why.
        _ => return Verdict::Retry,
    };
    match (key, code) {
        // Recovered.
        (0x1, _) => Verdict::Good,
        // Not ready: no medium, or for now.
        (0x2, 0x3a) | (0x5, 0x25) => Verdict::Gone,
        (0x0 | 0x2, _) => Verdict::Retry,
        (0x3, _) => Verdict::Medium,
        // Unit attention, aborted command.
        (0x6 | 0xb, _) => Verdict::Retry,
        (0x7, _) => Verdict::Protected,
        _ => Verdict::Failed,
    }
}

#[cfg(test)]
mod tests;
