//! Names for a moment, in `lost+found`.
//!
//! When a name comes to stand for another inode, there is a moment at which the inode that it stood
//! for has no name on the volume and is still one of a file. `e2fsck -p` gives up on such an inode. So
//! a commit first gives it a name as `e2fsck` itself would, in a block of `lost+found` (on the volume
//! only), and takes that back when the inode is deleted or has its other name. Directories get no
//! second names, which `e2fsck -p` does not repair either.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::attributes::{InodeNumber, Kind};
use crate::batch::{Image, Step};
use crate::buffers::{Buffer, Wave};
use crate::file_system::{FileSystem, Stop};
use crate::layout::entry;
use crate::state::{Epoch, State};
use crate::volume::Volume;

/// The directory that `mke2fs` makes for inodes without names.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// What the longest of the names needs: `#` and ten digits.
const LARGEST_ENTRY: usize = entry::needed(11);

/// `lost+found`, and a block of it with room.
#[derive(Debug)]
pub(crate) struct Refuge {
    directory: InodeNumber,
    block: Buffer,
}

impl<V: Volume> FileSystem<V> {
    /// Where inodes may get a name for a moment, if that is wanted and there is such a place. The
    /// caller has no locks.
    pub(crate) async fn refuge_if(&self, wanted: bool) -> Option<Refuge> {
        if !wanted {
            return None;
        }
        let found = self.try_lookup(InodeNumber::ROOT, LOST_AND_FOUND, false);
        let directory = found.await.ok()?;
        let _locked = self.lock_shared(directory).await;
        let (_, inode) = self.directory(directory).await.ok()?;
        let mut tables = crate::tables::Tables::new(self, directory);
        for logical in (0..self.directory_blocks(&inode).ok()?).rev() {
            let block = self.directory_block(&mut tables, &inode, logical);
            let block = block.await.ok()?;
            if self.room_for_names(&block) > 1 {
                return Some(Refuge { directory, block });
            }
        }
        None
    }

    fn room_for_names(&self, block: &Buffer) -> usize {
        entry::capacity(&block.bytes(), self.geometry.entry_kinds, LARGEST_ENTRY)
    }

    /// Inodes are about to lose a name to others. Without a refuge, and when that is changing itself,
    /// they will be without a name for a moment.
    ///
    /// # Errors
    /// [`Stop::Order`] when there is no more room for them in this epoch.
    pub(crate) fn displace(
        &self,
        state: &mut State,
        refuge: Option<Refuge>,
        inodes: &[(InodeNumber, Kind)],
    ) -> Result<(), Stop> {
        // It may have been removed since it was found; its blocks stay its own until a commit.
        let stays = |refuge: &Refuge| {
            !state.is_unnamed(refuge.directory)
                && !state.epoch.made.contains_key(&refuge.directory.0)
                && !state.epoch.released.blocks.contains(refuge.block.block())
        };
        if state.epoch.refuge.is_none() {
            state.epoch.refuge = refuge.filter(stays).map(|refuge| refuge.block);
        }
        if let Some(block) = &state.epoch.refuge
            && !state.epoch.displaced.is_empty()
            && self.room_for_names(block) < state.epoch.displaced.len() + inodes.len()
        {
            return Err(Stop::Order);
        }
        let inodes = inodes.iter().map(|(inode, kind)| (inode.0, *kind));
        state.epoch.displaced.extend(inodes);
        Ok(())
    }

    /// Adds an image of the refuge with names for the inodes that were displaced, and one without.
    pub(crate) fn shelter(&self, epoch: &Epoch, images: &mut Vec<Image>) {
        let Some(block) = &epoch.refuge else { return };
        let own = images
            .iter_mut()
            .find(|image| image.buffer.block() == block.block());
        // Its own changes would come too early.
        let early = [Step::Fresh, Step::Giver];
        if own.as_ref().is_some_and(|own| early.contains(&own.step)) {
            return;
        }
        let after = block.bytes();
        let mut before = after.clone();
        let bytes = Arc::make_mut(&mut before);
        for (inode, kind) in &epoch.displaced {
            let kinds = self.geometry.entry_kinds;
            if *kind != Kind::Directory
                && let Some(at) = entry::room(bytes, kinds, LARGEST_ENTRY)
            {
                let name = alloc::format!("#{inode}");
                let code = self.entry_code(*kind);
                entry::insert(bytes, at, InodeNumber(*inode), code, name.as_bytes());
            }
        }
        if before == after {
            return;
        }
        match own {
            Some(own) => own.step = Step::Giver,
            None => images.push(Image::new(Step::Giver, Wave::Names, block, after)),
        }
        images.push(Image::new(Step::Names, Wave::Names, block, before));
    }
}
