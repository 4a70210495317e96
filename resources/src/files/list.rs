//! System calls that list directories.

use alloc::vec::Vec;
use core::mem::offset_of;

use linux_raw_sys::general::linux_dirent64;

use super::archive::{Directory, NodeId};
use super::descriptors::Opened;
use super::{Call, Outcome, status};
use crate::errno::Errno;

/// The most that one call lists, in bytes.
const MAX_BYTES: usize = 32 * 1024;

impl Call<'_> {
    /// `getdents64(descriptor, buffer, size)`.
    ///
    /// # Errors
    /// EBADF, ENOTDIR, EFAULT; EINVAL if not even the next entry fits.
    pub fn list(&self, descriptor: i32, buffer: u64, size: u64) -> Outcome {
        let file = self.descriptors.lock().get(descriptor)?;
        let node = match file.opened {
            Opened::Place => return Err(Errno::EBADF.into()),
            _ => file.place()?,
        };
        let directory = self.archive.directory(node).ok_or(Errno::ENOTDIR)?;
        // The size is an `unsigned int`.
        let room = MAX_BYTES.min(size as u32 as usize);
        let mut position = file.position.lock();
        let mut listed = Vec::new();
        let mut at = *position;
        while let Some((name, listed_node)) = entry(node, directory, at) {
            let start = listed.len();
            let length = (offset_of!(linux_dirent64, d_name) + name.len() + 1).next_multiple_of(8);
            if start + length > room {
                break;
            }
            at += 1;
            let kind = status::mode(self.archive.node(listed_node)) >> 12;
            listed.extend_from_slice(&listed_node.inode().to_le_bytes());
            listed.extend_from_slice(&at.to_le_bytes());
            listed.extend_from_slice(&(length as u16).to_le_bytes());
            listed.push(kind as u8);
            listed.extend_from_slice(name);
            listed.resize(start + length, 0);
        }
        if listed.is_empty() && entry(node, directory, at).is_some() {
            return Err(Errno::EINVAL.into());
        }
        self.memory.write(buffer, &listed)?;
        *position = at;
        Ok(listed.len() as u64)
    }
}

/// The entry at a position: itself, the one it is in, then those that have names.
fn entry(id: NodeId, directory: &Directory, position: u64) -> Option<(&[u8], NodeId)> {
    match position {
        0 => Some((b".", id)),
        1 => Some((b"..", directory.parent())),
        _ => directory
            .entries()
            .get(usize::try_from(position - 2).ok()?)
            .copied(),
    }
}
