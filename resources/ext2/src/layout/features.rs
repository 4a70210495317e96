//! The features a volume may use, and which of them are understood.

use alloc::string::String;

/// `ext_attr`, `dir_index`, `resize_inode` and the other compatible features need no care, with one
/// exception: where the backups of the superblock are.
pub(crate) const COMPAT_SPARSE_SUPER2: u32 = 0x200;
/// Directory entries tell the kind of what they name.
pub(crate) const INCOMPAT_FILETYPE: u32 = 0x2;
/// Group descriptors are spread over the volume.
pub(crate) const INCOMPAT_META_BG: u32 = 0x10;
/// Few groups have a backup of the superblock.
pub(crate) const RO_COMPAT_SPARSE_SUPER: u32 = 0x1;
/// There are files of 2 GB and more.
pub(crate) const RO_COMPAT_LARGE_FILE: u32 = 0x2;

const INCOMPAT_KNOWN: u32 = INCOMPAT_FILETYPE | INCOMPAT_META_BG;
const RO_COMPAT_KNOWN: u32 = RO_COMPAT_SPARSE_SUPER | RO_COMPAT_LARGE_FILE;

/// The names that `mke2fs -O` has for incompatible features, by bit.
const INCOMPAT_NAMES: [&str; 18] = [
    "compression",
    "filetype",
    "needs_recovery",
    "journal_dev",
    "meta_bg",
    "",
    "extent",
    "64bit",
    "mmp",
    "flex_bg",
    "ea_inode",
    "",
    "dirdata",
    "metadata_csum_seed",
    "large_dir",
    "inline_data",
    "encrypt",
    "casefold",
];

/// The names that `mke2fs -O` has for features that forbid writing, by bit.
const RO_COMPAT_NAMES: [&str; 17] = [
    "sparse_super",
    "large_file",
    "btree_dir",
    "huge_file",
    "uninit_bg",
    "dir_nlink",
    "extra_isize",
    "snapshot",
    "quota",
    "bigalloc",
    "metadata_csum",
    "replica",
    "read-only",
    "project",
    "shared_blocks",
    "verity",
    "orphan_present",
];

/// The names of the unknown ones among incompatible features; empty if there are none.
pub(crate) fn unknown_incompatible(features: u32) -> String {
    names(features & !INCOMPAT_KNOWN, &INCOMPAT_NAMES)
}

/// The names of the unknown ones among features that forbid writing; empty if there are none.
pub(crate) fn unknown_read_only(features: u32) -> String {
    names(features & !RO_COMPAT_KNOWN, &RO_COMPAT_NAMES)
}

fn names(features: u32, known: &[&str]) -> String {
    let mut text = String::new();
    for bit in (0..u32::BITS).filter(|bit| features & (1 << bit) != 0) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        match known.get(bit as usize) {
            Some(name) if !name.is_empty() => text.push_str(name),
            _ => text.push_str(&alloc::format!("bit {bit}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_features_have_names() {
        assert_eq!(unknown_incompatible(INCOMPAT_FILETYPE), "");
        assert_eq!(unknown_incompatible(0x42), "extent");
        assert_eq!(unknown_incompatible(0x8000_0280), "64bit, flex_bg, bit 31");
        assert_eq!(unknown_read_only(0x3), "");
        assert_eq!(
            unknown_read_only(0x20411),
            "uninit_bg, metadata_csum, bit 17"
        );
    }
}
