//! System calls that list directories.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::offset_of;
use core::ops::ControlFlow;

use linux_raw_sys::general::linux_dirent64;
use vortex_ext2::{Entry, InodeNumber};

use super::archive::{Directory, NodeId};
use super::cursor::Buffer;
use super::descriptors::{OpenFile, Opened};
use super::disk::{Disk, System};
use super::inode::{FileType, Inode};
use super::operation::Operation;
use super::procfs::Place;
use super::tree::Node;
use super::{Call, Failure, Outcome, status};
use crate::errand::Here;
use crate::errno::Errno;
use crate::machine::Machine;
use crate::thread::Thread;

/// The most that one call lists, in bytes.
const MAX_BYTES: usize = 32 * 1024;

impl Call<'_> {
    /// `getdents64(descriptor, buffer, size)`.
    ///
    /// # Errors
    /// EBADF, ENOTDIR, EFAULT; EINVAL if not even the next entry fits.
    pub fn list(&self, descriptor: i32, buffer: u64, size: u64) -> Outcome {
        let file = self.descriptors.lock().get(descriptor)?;
        let node = match (&file.opened, &file.node) {
            (Opened::Place, _) => return Err(Errno::EBADF.into()),
            (_, Some(Node::Disk(inode))) if inode.kind() == FileType::Directory => {
                let inode = inode.clone();
                let length = MAX_BYTES.min(size as u32 as usize) as u64;
                let buffer = Buffer {
                    address: buffer,
                    length,
                };
                return Err(Operation::List(file.clone(), inode, buffer).into());
            }
            (_, Some(Node::Process(place))) if place.is_directory() => {
                return self.list_processes(&file, *place, buffer, size);
            }
            (_, Some(Node::Archive(id))) => *id,
            _ => return Err(Errno::ENOTDIR.into()),
        };
        let directory = self.archive.directory(node).ok_or(Errno::ENOTDIR)?;
        // The size is an `unsigned int`.
        let room = MAX_BYTES.min(size as u32 as usize);
        let mut position = file.position.lock();
        let mut listed = Vec::new();
        let mut at = *position;
        while let Some((name, child)) = entry(node, directory, at) {
            let kind = (status::mode(self.archive.node(child)) >> 12) as u8;
            if !put(&mut listed, room, (child.inode(), kind), name, at + 1) {
                break;
            }
            at += 1;
        }
        if listed.is_empty() && entry(node, directory, at).is_some() {
            return Err(Errno::EINVAL.into());
        }
        self.memory.write(buffer, &listed)?;
        *position = at;
        Ok(listed.len() as u64)
    }
}

impl Call<'_> {
    /// Lists a directory of `/proc`.
    fn list_processes(&self, file: &OpenFile, at: Place, buffer: u64, size: u64) -> Outcome {
        let procfs = self.names().procfs.ok_or(Errno::ENOTDIR)?;
        let parent = at.parent().unwrap_or_else(|| Node::Process(at));
        let Node::Process(parent) = parent else {
            return Err(Errno::ENOTDIR.into());
        };
        let entry = |position: u64| match position {
            0 => Some((b".".to_vec(), at, 1)),
            1 => Some((b"..".to_vec(), parent, 2)),
            position => procfs.entry(at, position),
        };
        let room = MAX_BYTES.min(size as u32 as usize);
        let mut position = file.position.lock();
        let (mut listed, mut next) = (Vec::new(), *position);
        while let Some((name, place, behind)) = entry(next) {
            let inode = (place.inode(), (place.mode() >> 12) as u8);
            if !put(&mut listed, room, inode, &name, behind) {
                if listed.is_empty() {
                    return Err(Errno::EINVAL.into());
                }
                break;
            }
            next = behind;
        }
        self.memory.write(buffer, &listed)?;
        *position = next;
        Ok(listed.len() as u64)
    }
}

/// Adds an entry, if there is room for it: number and kind, name, and where to go on after it.
fn put(listed: &mut Vec<u8>, room: usize, inode: (u64, u8), name: &[u8], next: u64) -> bool {
    let start = listed.len();
    let length = (offset_of!(linux_dirent64, d_name) + name.len() + 1).next_multiple_of(8);
    if start + length > room {
        return false;
    }
    listed.extend_from_slice(&inode.0.to_le_bytes());
    listed.extend_from_slice(&next.to_le_bytes());
    listed.extend_from_slice(&(length as u16).to_le_bytes());
    listed.push(inode.1);
    listed.extend_from_slice(name);
    listed.resize(start + length, 0);
    true
}

/// Lists a directory of the disk into a program's memory.
///
/// # Errors
/// As of getdents64(2).
pub(super) async fn list_on_disk<M: Machine>(
    here: &Here<M>,
    thread: &Thread<M>,
    file: &OpenFile,
    inode: &Inode,
    buffer: Buffer,
) -> Result<u64, Failure> {
    let _moving = file.moving.lock().await;
    if inode.is_unlinked() {
        return Err(Errno::ENOENT.into());
    }
    let (room, from) = (buffer.length as usize, *file.position.lock());
    let number = InodeNumber(inode.number());
    let list = move |system: Arc<System<M>>| async move {
        let (mut listed, mut is_full) = (Vec::new(), false);
        let sink = |entry: Entry<'_>| {
            let inode = (u64::from(entry.inode.0), entry.kind);
            is_full = !put(&mut listed, room, inode, entry.name, entry.next);
            match is_full {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let next = system.read_directory(number, from, sink).await?;
        Ok((listed, next, is_full))
    };
    let (listed, next, is_full) = Disk::ask(here, inode.system(), here.activity(), list).await?;
    if listed.is_empty() && is_full {
        return Err(Errno::EINVAL.into());
    }
    thread.process().space().write(buffer.address, &listed)?;
    *file.position.lock() = next;
    Ok(listed.len() as u64)
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
