//! What disks say of themselves: partition tables, answers to SCSI commands.

use vortex_resources::storage::partitions::{Gpt, Mbr, Range, mbr};
use vortex_resources::storage::scsi;

/// Bytes of a block, and of an entry of a GPT that was made right.
const BLOCK: usize = 512;
const ENTRY: usize = 128;

pub(crate) fn tables(bytes: &[u8]) {
    // The input's last bytes are the disk's size.
    let blocks = bytes.last_chunk().copied().map_or(0, u64::from_le_bytes);
    if let Mbr::Partitions(found) = mbr(bytes, blocks) {
        inside(&found, blocks);
    }
    gpt(bytes, bytes, blocks);
    if let Some((header, entries)) = sealed(bytes) {
        gpt(&header, &entries, blocks);
    }
}

fn gpt(header: &[u8], entries: &[u8], blocks: u64) {
    if let Some(gpt) = Gpt::read(header, 1, blocks) {
        assert!(gpt.entries_at < blocks);
        inside(&gpt.partitions(entries).unwrap_or_default(), blocks);
    }
}

fn inside(found: &[Range], blocks: u64) {
    for range in found {
        assert!(range.blocks > 0 && range.first <= blocks - range.blocks);
    }
}

/// A header and entries with their checksums made right, so that damage reaches what is checked
/// after them.
fn sealed(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (header, entries) = bytes.split_at_checked(BLOCK)?;
    let (mut header, entries) = (header.to_vec(), entries.to_vec());
    let count = u32::try_from(entries.len() / ENTRY).ok()?;
    let whole = &entries[..count as usize * ENTRY];
    header[..8].copy_from_slice(b"EFI PART");
    header[12..16].copy_from_slice(&92_u32.to_le_bytes());
    header[24..32].copy_from_slice(&1_u64.to_le_bytes());
    header[80..84].copy_from_slice(&count.to_le_bytes());
    header[84..88].copy_from_slice(&(ENTRY as u32).to_le_bytes());
    header[88..92].copy_from_slice(&crc32fast::hash(whole).to_le_bytes());
    header[16..20].fill(0);
    let sum = crc32fast::hash(&header[..92]);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    Some((header, entries))
}

pub(crate) fn answers(bytes: &[u8]) {
    let _ = scsi::is_disk(bytes);
    let _ = scsi::modes(bytes);
    assert!(scsi::luns(bytes).iter().all(|lun| lun >> 14 == 0));
    let capacities = [
        scsi::capacity(bytes).ok().flatten(),
        scsi::capacity_16(bytes).ok(),
    ];
    for capacity in capacities.into_iter().flatten() {
        assert!(capacity.blocks.checked_mul(capacity.block.into()).is_some());
        assert!(capacity.block.is_power_of_two());
    }
}
