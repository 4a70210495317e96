//! Pages are written.

use alloc::sync::Arc;

use super::super::disk::{Disk, System, context};
use super::super::inode::{Inode, Time};
use super::pages::{Dirt, Found};
use super::{Room, fetch, flush, space};
use crate::errand::Here;
use crate::errno::Errno;
use crate::machine::{Frame, Machine, PAGE_SIZE};
use crate::system::Kind;
use vortex_ext2::InodeNumber;

/// Data that is to be written to a file.
pub(crate) trait Written: Send + Sync {
    /// How many bytes there are.
    fn len(&self) -> usize;
    /// Copies `length` of them from `offset` on into a frame, from this place of it on.
    fn copy_to(&self, offset: usize, to: (Frame, usize), length: usize);
}

/// A part of one page that is to be written.
struct Piece {
    page: u64,
    /// Where it begins in the page.
    at: usize,
    length: usize,
}

/// Writes to a file, at `offset` or, if there is none, at its end; where that was, and how many bytes
/// were written.
///
/// # Errors
/// EIO, ENOMEM, ENOSPC, EFBIG, if nothing was written.
pub(crate) async fn write<M: Machine>(
    here: &Here<M>,
    inode: &Arc<Inode>,
    offset: Option<u64>,
    data: &impl Written,
) -> Result<(u64, u64), Errno> {
    let contents = inode.contents.lock().await;
    let start = offset.unwrap_or_else(|| inode.size());
    let room = largest(here, inode)?.saturating_sub(start);
    let total = (data.len() as u64).min(room);
    if total == 0 && data.len() > 0 {
        return Err(Errno::EFBIG);
    }
    inode.set_head(None);
    if start > inode.size() {
        clear_tail(here, inode, inode.size());
    }
    let mut done = 0;
    while done < total {
        let at = ((start + done) % PAGE_SIZE) as usize;
        let piece = Piece {
            page: (start + done) / PAGE_SIZE,
            at,
            length: (PAGE_SIZE - at as u64).min(total - done) as usize,
        };
        match put(here, inode, &piece, data, done as usize).await {
            Ok(()) => done += piece.length as u64,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
        here.give_way_if_long(Kind::FileCache).await;
    }
    drop(contents);
    Ok((start, done))
}

/// The longest file that ext2 can have at all: what 32 bits of sectors can count.
pub(crate) const LARGEST: u64 = ((u32::MAX as u64) << 9) - PAGE_SIZE;

/// The longest file there can be here: of twelve blocks, and three levels of tables.
fn largest<M: Machine>(here: &Here<M>, inode: &Inode) -> Result<u64, Errno> {
    let block = u64::from(Disk::of(here, inode)?.usage().block_size);
    let entries = block / 4;
    let blocks = 12 + entries + entries.pow(2) + entries.pow(3);
    Ok((blocks * block).min(LARGEST))
}

/// Writes a part of a page.
async fn put<M: Machine>(
    here: &Here<M>,
    inode: &Arc<Inode>,
    piece: &Piece,
    data: &impl Written,
    from: usize,
) -> Result<(), Errno> {
    let shared = &here.shared;
    let _room = room(here).await;
    let is_dirty = inode.pages.lock().is_dirty(piece.page);
    // Without room for delayed writes, what can be written at all is written at once.
    let (reserved, at_once) = match is_dirty {
        true => (0, false),
        false => match set_aside(here, inode).await {
            Ok(reserved) => (reserved, false),
            Err(_) => (0, true),
        },
    };
    let frame = match put_data(here, inode, piece, |frame| {
        data.copy_to(from, (frame, piece.at), piece.length);
    })
    .await
    {
        Ok(frame) => frame,
        Err(error) => {
            release_blocks(here, inode, reserved);
            return Err(error);
        }
    };
    shared.memory.inform(frame, true, true);
    let end = piece.page * PAGE_SIZE + (piece.at + piece.length) as u64;
    let now = Time::of(here.real_time());
    inode.update(|attributes| {
        attributes.size = attributes.size.max(end);
        (attributes.modified, attributes.changed) = (now, now);
    });
    soil(here, inode, piece.page, reserved);
    shared.memory.release(frame);
    if at_once {
        flush::write_run(here, inode, piece.page, false).await?;
    }
    Ok(())
}

/// A page of a file has been written by this activity.
fn soil<M: Machine>(here: &Here<M>, inode: &Arc<Inode>, page: u64, reserved: u64) {
    let (shared, activity) = (&here.shared, here.activity());
    let dirt = Dirt { activity, reserved };
    if !inode.pages.lock().soil(page, dirt) {
        return release_blocks(here, inode, reserved);
    }
    let now = shared.machine.now();
    shared.cache.owe(activity, inode, page, now);
    flush::arm(here);
}

/// A page that a program has mapped is about to be written by it: it is brought in, and dirty.
///
/// # Errors
/// EIO, ENOMEM, ENOSPC.
pub(crate) async fn soil_page<M: Machine>(
    here: &Here<M>,
    inode: &Arc<Inode>,
    page: u64,
) -> Result<(), Errno> {
    let contents = inode.contents.lock().await;
    if page * PAGE_SIZE >= inode.size() {
        // It was cut off; whoever writes to it is told so by the next fault.
        return Ok(());
    }
    let _frames = fetch::pages_of(here, inode, page..page + 1).await?;
    let _room = room(here).await;
    if !inode.pages.lock().is_dirty(page) {
        let reserved = set_aside(here, inode).await?;
        let now = Time::of(here.real_time());
        inode.update(|attributes| (attributes.modified, attributes.changed) = (now, now));
        soil(here, inode, page, reserved);
    }
    drop(contents);
    Ok(())
}

/// Room for one more dirty page; who has too many of them writes some back first, or waits for those
/// who do.
async fn room<'a, M: Machine>(here: &'a Here<M>) -> Room<'a> {
    let (cache, activity) = (&here.shared.cache, here.activity());
    loop {
        let settling = cache.settling();
        if let Some(room) = cache.room(activity) {
            return room;
        }
        if flush::write_back(here, activity, cache.limit() / 4, u64::MAX).await == 0 {
            settling.await;
        }
    }
}

fn release_blocks<M: Machine>(here: &Here<M>, inode: &Inode, blocks: u64) {
    if let Ok(system) = Disk::of(here, inode) {
        system.release(blocks);
    }
}

/// Sets blocks aside for one more dirty page; if there are none, writing back may give some back.
async fn set_aside<M: Machine>(here: &Here<M>, inode: &Inode) -> Result<u64, Errno> {
    match flush::reserve(here, inode, 1) {
        Err(Errno::ENOSPC) => {
            flush::write_back(here, here.activity(), usize::MAX, u64::MAX).await;
            flush::reserve(here, inode, 1)
        }
        reserved => reserved,
    }
}

/// Has `copy` put a piece into its page, which is brought in or made; the page's frame, with a
/// reference for the caller. A frame is nobody's to see before there is something of the file in it.
async fn put_data<M: Machine>(
    here: &Here<M>,
    inode: &Arc<Inode>,
    piece: &Piece,
    copy: impl Fn(Frame),
) -> Result<Frame, Errno> {
    let memory = &here.shared.memory;
    let start = piece.page * PAGE_SIZE;
    let is_new = start >= inode.size() || piece.length as u64 == PAGE_SIZE;
    if !is_new {
        let mut frames = fetch::pages_of(here, inode, piece.page..piece.page + 1).await?;
        let frame = frames.pop().ok_or(Errno::EIO)?;
        copy(frame);
        return Ok(frame);
    }
    loop {
        let pages = inode.pages.lock();
        match pages.find(piece.page) {
            Found::Here(frame) => {
                memory.share(frame);
                drop(pages);
                copy(frame);
                return Ok(frame);
            }
            Found::Coming => {
                drop(pages);
                fetch::pages_of(here, inode, piece.page..piece.page + 1).await?;
            }
            Found::Absent => {
                drop(pages);
                let frame = space::allocate(here, inode, piece.page).await?;
                if (piece.length as u64) < PAGE_SIZE {
                    here.shared.machine.zero_frame(frame);
                }
                copy(frame);
                let mut pages = inode.pages.lock();
                if pages.find(piece.page) == Found::Absent {
                    memory.share(frame);
                    pages.insert(piece.page, frame);
                    here.port.add_memory(PAGE_SIZE);
                    return Ok(frame);
                }
                drop(pages);
                memory.release(frame);
            }
        }
    }
}

/// Sets the length of a file.
///
/// # Errors
/// EFBIG, EIO, and so on.
pub(crate) async fn cut<M: Machine>(
    here: &Here<M>,
    inode: &Arc<Inode>,
    size: u64,
) -> Result<(), Errno> {
    let contents = inode.contents.lock().await;
    if size > largest(here, inode)? {
        return Err(Errno::EFBIG);
    }
    let old = inode.size();
    let now = Time::of(here.real_time());
    let blocks = inode.blocks.write().await;
    inode.set_head(None);
    clear_tail(here, inode, size.min(old));
    if size < old {
        inode.update(|attributes| attributes.size = size);
        space::shrink(here, inode, size.div_ceil(PAGE_SIZE)).await;
    }
    let number = InodeNumber(inode.number());
    let truncate = move |system: Arc<System<M>>| async move {
        system.truncate(context(now), number, size).await?;
        system.attributes(number).await
    };
    let attributes = Disk::ask(here, inode.system(), here.activity(), truncate).await?;
    inode.update(|known| {
        known.size = size;
        known.blocks = attributes.sectors;
        (known.modified, known.changed) = (now, now);
    });
    drop((blocks, contents));
    Ok(())
}

/// What is behind the end in the last page is zeros from now on: it has been cut off, or a program
/// that has mapped the page has written it there. On the disk it is (see `flush`).
fn clear_tail<M: Machine>(here: &Here<M>, inode: &Arc<Inode>, size: u64) {
    const ZEROS: [u8; PAGE_SIZE as usize] = [0; PAGE_SIZE as usize];
    let at = (size % PAGE_SIZE) as usize;
    let frame = inode.pages.lock().get(size / PAGE_SIZE);
    if at > 0
        && let Some(frame) = frame
    {
        here.shared.machine.write_frame(frame, at, &ZEROS[at..]);
    }
}
