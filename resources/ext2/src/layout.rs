//! What lies where on the volume (Linux, `Documentation/filesystems/ext2.rst` and `fs/ext2/ext2.h`).
//!
//! Each module reads and writes one structure, checks what it reads, and knows nothing of the rest.

pub(crate) mod bitmap;
pub(crate) mod bytes;
pub(crate) mod entry;
pub(crate) mod features;
pub(crate) mod group;
pub(crate) mod inode;
pub(crate) mod superblock;
