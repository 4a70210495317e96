//! Pages come in.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::super::disk::{Disk, Memory};
use super::super::inode::Inode;
use super::pages::{Found, Pages};
use super::{Frames, space};
use crate::errand::Here;
use crate::errno::Errno;
use crate::machine::{Frame, Machine, PAGE_SIZE};
use crate::storage::{Joint, Reading};
use crate::system::Shared;
use vortex_ext2::InodeNumber;
use vortex_toolkit::ids::ActivityId;

/// Pages that one request to the disk brings in, at most.
const RUN: u64 = 128;

const PAGE: usize = PAGE_SIZE as usize;

/// The frames of pages, if all of them are here.
pub(crate) fn read<M: Machine>(
    shared: &Shared<M>,
    inode: &Inode,
    range: Range<u64>,
) -> Option<Frames<M>> {
    let mut frames = Frames::new(shared.memory.clone());
    let mut pages = inode.pages.lock();
    for page in range {
        let frame = pages.get(page)?;
        shared.memory.share(frame);
        shared.memory.inform(frame, true, false);
        frames.push(frame);
    }
    Some(frames)
}

/// The frames of pages, which are brought in as need be. A fetch that is under way is joined; if it
/// is another activity's and the disk has not come to it yet, by asking as well: nobody waits longer
/// than by the own share.
///
/// # Errors
/// EIO; ENOMEM.
pub(crate) async fn pages_of<M: Machine>(
    here: &Here<M>,
    inode: &Arc<Inode>,
    range: Range<u64>,
) -> Result<Frames<M>, Errno> {
    let memory = &here.shared.memory;
    let mut frames = Frames::new(memory.clone());
    let mut next = range.start;
    while next < range.end {
        let mut pages = inode.pages.lock();
        match pages.find(next) {
            Found::Here(frame) => {
                memory.share(frame);
                memory.inform(frame, true, false);
                frames.push(frame);
                next += 1;
            }
            Found::Coming | Found::Absent => {
                let run = next..range.end.min(next + RUN);
                let claim = Claim::of(inode, &mut pages, run, here.activity());
                if claim.pages.is_empty() {
                    let arrival = inode.arrival.listen();
                    drop(pages);
                    arrival.await;
                } else {
                    drop(pages);
                    fetch(here, claim).await?;
                }
            }
        }
    }
    Ok(frames)
}

/// Pages that the holder fetches for an activity. Dropped, those that have not come will not.
struct Claim {
    inode: Arc<Inode>,
    activity: ActivityId,
    /// They follow each other.
    pages: Vec<(u64, Arc<Reading>)>,
}

impl Claim {
    /// As many pages of a range as can be claimed from its first on.
    fn of(inode: &Arc<Inode>, pages: &mut Pages, range: Range<u64>, activity: ActivityId) -> Self {
        let claimed = range.map_while(|page| Some((page, pages.claim(page, activity)?)));
        Self {
            inode: inode.clone(),
            activity,
            pages: claimed.collect(),
        }
    }

    /// What is read into these frames.
    fn joint(&self, frames: &[Frame]) -> Joint {
        let readings = self.pages.iter().map(|(_, reading)| reading.clone());
        let pages = frames.iter().copied().zip(readings);
        Joint::new(self.activity, pages.collect())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut pages = self.inode.pages.lock();
        for (page, reading) in &self.pages {
            pages.give_up(*page, self.activity, reading);
        }
        drop(pages);
        self.inode.arrival.notify(usize::MAX);
    }
}

/// Brings in consecutive pages.
async fn fetch<M: Machine>(here: &Here<M>, claim: Claim) -> Result<(), Errno> {
    let inode = &claim.inode;
    let mut frames = Frames::pinned(here.shared.memory.clone());
    for &(page, _) in &claim.pages {
        frames.push(space::allocate(here, inode, page).await?);
    }
    let blocks = inode.blocks.read().await;
    let coming = here.shared.cache.arrivals.begin(here.activity());
    let offset = claim.pages.first().map_or(0, |(page, _)| page * PAGE_SIZE);
    let data = Memory::new(
        &here.shared.machine,
        frames.all(),
        frames.all().len() * PAGE,
    )
    .with_others(claim.joint(frames.all()));
    let number = InodeNumber(inode.number());
    let read = Disk::ask(
        here,
        inode.system(),
        here.activity(),
        move |system| async move { system.read(number, offset, data).await },
    );
    let valid = read.await?;
    clear_from(here, frames.all(), valid);
    // What another one has read first, and what was cut off meanwhile.
    let mut lost = Frames::new(here.shared.memory.clone());
    let mut kept = 0;
    let mut pages = inode.pages.lock();
    for (page, reading) in claim.pages.iter().rev() {
        let Some(frame) = frames.pop() else { break };
        if !reading.is_of_another(claim.activity) && pages.arrive(*page, frame) {
            kept += 1;
        } else {
            lost.push(frame);
        }
    }
    here.port.add_memory(kept * PAGE_SIZE);
    drop((pages, blocks, coming));
    Ok(())
}

/// Fills with zeros what comes after so many bytes.
fn clear_from<M: Machine>(here: &Here<M>, frames: &[Frame], valid: usize) {
    const ZEROS: [u8; PAGE] = [0; PAGE];
    let machine = &here.shared.machine;
    for (&frame, start) in frames.iter().zip((0..).step_by(PAGE)) {
        if start >= valid {
            machine.zero_frame(frame);
        } else if start + PAGE > valid {
            machine.write_frame(frame, valid - start, &ZEROS[..PAGE - (valid - start)]);
        }
    }
}

/// Bytes of a program that are looked at to start it, at most.
const HEAD: u64 = 64 << 10;

/// The first bytes of a program, up to the end of its program headers.
///
/// # Errors
/// EIO; ENOMEM.
pub(crate) async fn head<M: Machine>(here: &Here<M>, inode: &Arc<Inode>) -> Result<(), Errno> {
    let length = inode.size().min(HEAD) as usize;
    let frames = pages_of(here, inode, 0..(length as u64).div_ceil(PAGE_SIZE)).await?;
    let mut bytes = alloc::vec![0; length];
    for (part, &frame) in bytes.chunks_mut(PAGE).zip(frames.all()) {
        here.shared.machine.read_frame(frame, 0, part);
    }
    inode.set_head(Some(bytes.into()));
    Ok(())
}
