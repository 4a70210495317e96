//! The Storage Resource: volumes, by number and by name; from a volume to its disk (paper, section
//! 4.5).
//!
//! Key types: [`Backing`] (what is behind a volume).

use alloc::sync::Arc;
use alloc::vec::Vec;

use vortex_toolkit::Context;

use super::adapter::Limits;
use super::disks::Disk;
use super::io::{Ask, Block};
use super::{Direction, DiskMessage, IoError, RamVolume, Segment, Transfer};
use crate::machine::Machine;
use crate::system::{Kind, Message, Shared, Vortex};

/// What is behind a volume.
#[derive(Clone, Debug)]
pub(crate) enum Backing {
    /// An image in the boot ramdisk.
    Image(&'static [u8]),
    /// Memory that can be written.
    Ram(Arc<RamVolume>),
    /// A disk, from this block of it.
    Disk { disk: Arc<Disk>, first: u64 },
}

/// Carries out a transfer.
pub(crate) fn transfer<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    transfer: Transfer,
) {
    let head = *context.head();
    context.add_bytes(transfer.length());
    let found = shared.storage.find(transfer.volume);
    let checked = found
        .ok_or(IoError::NoVolume)
        .and_then(|(volume, backing)| transfer.check(&volume).map(|()| backing));
    let done = match checked {
        Ok(Backing::Image(bytes)) => {
            copy(&shared.machine, bytes, &transfer);
            Ok(())
        }
        Ok(Backing::Ram(ram)) => {
            ram.transfer(&shared.machine, &transfer);
            Ok(())
        }
        Ok(Backing::Disk { disk, .. }) if disk.is_gone() => Err(IoError::Gone),
        Ok(Backing::Disk { disk, .. })
            if transfer.direction == Direction::Flush && !disk.cached =>
        {
            Ok(())
        }
        Ok(Backing::Disk { disk, first }) => {
            let joint = transfer.joint.clone();
            let first = first + transfer.offset / u64::from(disk.block);
            let pieces = cut(&disk, first, transfer);
            let ask = Arc::new(Ask::new(head, pieces.len(), joint));
            let blocks = pieces.into_iter().map(|piece| piece.asked_by(&ask));
            let message = Message::Disk(DiskMessage::Blocks(blocks.collect()));
            let destination = shared.destination(Kind::Scsi, head.activity);
            let request = context.request(destination, message);
            return context.send(request);
        }
        Err(error) => Err(error),
    };
    context.reply(&head, Message::VolumeDone(done));
}

/// Copies from an image; the transfer has been checked, and is no write.
fn copy<M: Machine>(machine: &M, image: &[u8], transfer: &Transfer) {
    let mut at = transfer.offset as usize;
    for segment in &transfer.segments {
        let end = at + segment.length as usize;
        machine.write_frame(segment.frame, segment.offset as usize, &image[at..end]);
        at = end;
    }
}

/// A piece of a transfer, whose asker is not noted yet.
struct Piece {
    disk: Arc<Disk>,
    direction: Direction,
    first: u64,
    bytes: u32,
    segments: Vec<Segment>,
}

impl Piece {
    fn asked_by(self, ask: &Arc<Ask>) -> Block {
        Block {
            ask: ask.clone(),
            direction: self.direction,
            first: self.first,
            count: self.bytes / self.disk.block,
            bytes: self.bytes,
            segments: self.segments,
            disk: self.disk,
        }
    }
}

/// Cuts a transfer, which begins at block `first`, into pieces that the controller can do.
fn cut(disk: &Arc<Disk>, first: u64, transfer: Transfer) -> Vec<Piece> {
    let Limits { parts, bytes, .. } = disk.limits;
    let piece = |first, bytes, segments| Piece {
        disk: disk.clone(),
        direction: transfer.direction,
        first,
        bytes,
        segments,
    };
    let length = transfer.length();
    if transfer.segments.len() <= parts && length <= u64::from(bytes) {
        return alloc::vec![piece(first, length as u32, transfer.segments)];
    }
    let most = bytes / disk.block * disk.block;
    let mut pieces = Vec::new();
    let mut at = first;
    let (mut collected, mut size) = (Vec::new(), 0);
    for segment in &transfer.segments {
        let mut rest = *segment;
        while rest.length > 0 {
            let length = rest.length.min(most - size);
            collected.push(Segment { length, ..rest });
            size += length;
            rest.offset += length;
            rest.length -= length;
            // Only at the end of a block: segments may be shorter.
            if (size == most || collected.len() >= parts) && size % disk.block == 0 {
                pieces.push(piece(at, size, core::mem::take(&mut collected)));
                at += u64::from(core::mem::take(&mut size) / disk.block);
            }
        }
    }
    if size > 0 {
        pieces.push(piece(at, size, collected));
    }
    pieces
}

/// Tells which volumes there are, once that is known.
pub(crate) fn tell<M: Machine>(shared: &Arc<Shared<M>>, context: &mut Context<'_, Vortex<M>>) {
    let head = *context.head();
    if shared.storage.wait(head) {
        context.reply(&head, Message::Volumes(shared.storage.volumes()));
    }
}

/// Tells all who wait, if that is known now.
pub(crate) fn tell_all<M: Machine>(shared: &Arc<Shared<M>>, context: &mut Context<'_, Vortex<M>>) {
    for head in shared.storage.take_waiting() {
        context.reply(&head, Message::Volumes(shared.storage.volumes()));
    }
}
