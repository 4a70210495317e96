//! Cutting files, and freeing inodes that have no name and no user.
//!
//! A file is cut from its end on, a few tables at a time; its size goes down with its blocks. So
//! every step leaves a sound file, however long the whole takes.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;

use crate::attributes::{Context, InodeNumber, Timestamp};
use crate::buffers::{Buffer, Wave};
use crate::error::Error;
use crate::file_system::{FileSystem, Stop};
use crate::inodes::Place;
use crate::layout::bytes::{put_u32, u32_at};
use crate::layout::inode::{DIRECT, Inode, POINTERS};
use crate::layout::{bitmap, bytes};
use crate::tables::{Missing, Tables};
use crate::volume::{Purpose, Volume};

/// How many tables one step looks into.
const TABLES_PER_STEP: usize = 4;
/// What a block of extended attributes begins with.
const ATTRIBUTES_MAGIC: u32 = 0xea02_0000;

/// What a step will do.
#[derive(Debug)]
struct Cut {
    blocks: Vec<u32>,
    /// The tables that stay, and the index from which on their pointers go.
    edits: Vec<(Buffer, u32)>,
    /// The inode's pointers that go.
    tops: Vec<usize>,
    /// The first block of the file that goes, at least.
    first: u64,
    /// How many more tables may be looked into.
    budget: usize,
}

impl<V: Volume> FileSystem<V> {
    pub(crate) async fn try_truncate(
        &self,
        context: Context,
        number: InodeNumber,
        size: u64,
    ) -> Result<(), Stop> {
        let _locked = self.lock_all(&[number]).await;
        let (place, inode) = self.file(number).await?;
        if inode.is_kept() {
            return Err(Error::NotPermitted.into());
        }
        if size > self.geometry.largest_file() {
            return Err(Error::TooLarge.into());
        }
        let block_size = u64::from(self.geometry.block_size);
        if size < inode.size() {
            self.clear_tail(&inode, size).await?;
            self.cut(&place, size.div_ceil(block_size)).await?;
        }
        let mut state = self.state.lock();
        place.update(&mut state, |inode| {
            inode.set_size(size);
            inode.touch(context.now);
        });
        self.note_size(&mut state, size);
        Ok(())
    }

    /// Clears what follows byte `size` of a file in its block, on the volume.
    async fn clear_tail(&self, inode: &Inode, size: u64) -> Result<(), Error> {
        let block_size = u64::from(self.geometry.block_size);
        let within = usize::try_from(size % block_size).unwrap_or(0);
        if within == 0 {
            return Ok(());
        }
        let mut tables = Tables::new(self, inode.number());
        let found = tables
            .find(inode, size / block_size, &mut Missing::new())
            .await?;
        let Some(block) = found else { return Ok(()) };
        let (offset, purpose) = (
            u64::from(block) * block_size,
            Purpose::Private(inode.number()),
        );
        let length = self.geometry.block_size as usize;
        let mut data = self.volume.read(offset, length, purpose).await?;
        if let Some(tail) = data.get_mut(within..) {
            tail.fill(0);
        }
        self.volume.write(offset, data.into(), purpose).await?;
        self.state.lock().epoch.data = true;
        Ok(())
    }

    /// Frees all blocks of a file from its block `keep` on. The caller has its exclusive lock.
    pub(crate) async fn cut(&self, place: &Place, keep: u64) -> Result<(), Error> {
        loop {
            let cut = self.plan_cut(&place.read(), keep).await?;
            if cut.blocks.is_empty() {
                return Ok(());
            }
            let condemned = self.condemn(cut.blocks.clone()).await?;
            let mut state = self.state.lock();
            for (table, from) in &cut.edits {
                table.change(&mut state, Wave::Table, |bytes| {
                    bytes[*from as usize * 4..].fill(0);
                });
            }
            self.free_blocks(&mut state, &condemned);
            place.update(&mut state, |inode| {
                for top in &cut.tops {
                    inode.set_pointer(*top, 0);
                }
                let sectors = cut.blocks.len() as u64 * u64::from(self.geometry.block_size / 512);
                let freed = u32::try_from(sectors).unwrap_or(u32::MAX);
                inode.set_sectors(inode.sectors().saturating_sub(freed));
                let size = cut.first * u64::from(self.geometry.block_size);
                inode.set_size(inode.size().min(size));
            });
        }
    }

    async fn plan_cut(&self, inode: &Inode, keep: u64) -> Result<Cut, Error> {
        let mut cut = Cut {
            blocks: Vec::new(),
            edits: Vec::new(),
            tops: Vec::new(),
            first: u64::MAX,
            budget: TABLES_PER_STEP,
        };
        let n = u64::from(self.geometry.pointers());
        let bases = [12, 12 + n, 12 + n + n * n];
        for top in (0..POINTERS).rev().filter(|top| inode.pointer(*top) != 0) {
            let block = inode.pointer(top);
            let gone = if top < DIRECT {
                top as u64 >= keep && cut.take(block, top as u64)
            } else {
                let level = top - DIRECT;
                let base = bases[level];
                if base + n.pow(level as u32 + 1) <= keep {
                    break;
                }
                self.cut_table(inode.number(), block, level, base, keep, &mut cut)
                    .await?
            };
            if !gone {
                break;
            }
            cut.tops.push(top);
        }
        Ok(cut)
    }

    /// Plans to free what a table points to, from its end on. True if the table goes as well.
    fn cut_table<'a>(
        &'a self,
        inode: InodeNumber,
        block: u32,
        level: usize,
        base: u64,
        keep: u64,
        cut: &'a mut Cut,
    ) -> Pin<Box<dyn Future<Output = Result<bool, Error>> + Send + 'a>> {
        Box::pin(async move {
            if cut.budget == 0 {
                return Ok(false);
            }
            cut.budget -= 1;
            self.check_block(block)?;
            let purpose = Purpose::Private(inode);
            let table = self.buffers.get(&self.volume, block, purpose).await?;
            let pointers = table.bytes();
            let n = self.geometry.pointers();
            let span = u64::from(n).pow(level as u32);
            let mut from = n;
            for index in (0..n).rev() {
                let first = base + u64::from(index) * span;
                let pointer = u32_at(&pointers, index as usize * 4);
                if first + span <= keep {
                    break;
                }
                if pointer != 0 {
                    let gone = if level == 0 {
                        cut.take(pointer, first)
                    } else {
                        self.cut_table(inode, pointer, level - 1, first, keep, cut)
                            .await?
                    };
                    if !gone {
                        break;
                    }
                }
                from = index;
            }
            if from == 0 {
                return Ok(cut.take(block, base));
            }
            if from < n {
                cut.edits.push((table, from));
            }
            Ok(false)
        })
    }

    /// Frees the inodes that have neither names nor users.
    pub(crate) async fn reap(&self, now: Timestamp) -> Result<(), Error> {
        let _reaping = self.reaper.exclusive().await;
        loop {
            let next = self.state.lock().reapable.first().copied();
            let Some(number) = next else { return Ok(()) };
            let reaped = self.reap_one(InodeNumber(number)).await;
            let mut state = self.state.lock();
            if let Err(Error::Corrupt(_)) = reaped {
                // It stays as it is, for e2fsck.
                state.unnamed.remove(&number);
                state.set_damaged();
            } else {
                reaped?;
            }
            state.reapable.retain(|other| *other != number);
            drop(state);
            self.relieve_once(now).await?;
        }
    }

    async fn reap_one(&self, number: InodeNumber) -> Result<(), Error> {
        let _locked = self.lock_all(&[number]).await;
        let place = self.place_of(number).await?;
        if place.read().has_blocks() {
            self.cut(&place, 0).await?;
        }
        self.drop_attributes(&place).await?;
        let (group, index) = self.geometry.inode_group(number.0);
        let block = self.inode_bitmaps[group as usize];
        let bitmap = self
            .buffers
            .get(&self.volume, block, Purpose::Shared)
            .await?;
        let mut state = self.state.lock();
        let directory = place.read().is_directory();
        place.wipe(&mut state);
        bitmap.change(&mut state, Wave::Table, |bits| bitmap::clear(bits, index));
        state.change_group(group, |group| {
            group.free_inodes = group.free_inodes.saturating_add(1);
            group.directories = group.directories.saturating_sub(directory.into());
        });
        if state.epoch.made.remove(&number.0).is_none() {
            state.epoch.released.inodes.insert(number.0);
        }
        state.unnamed.remove(&number.0);
        Ok(())
    }

    /// An inode's block of extended attributes loses a user.
    async fn drop_attributes(&self, place: &Place) -> Result<(), Error> {
        let block = place.read().attribute_block();
        if block == 0 {
            return Ok(());
        }
        self.check_block(block)?;
        let buffer = self
            .buffers
            .get(&self.volume, block, Purpose::Shared)
            .await?;
        if bytes::u32_at(&buffer.bytes(), 0) != ATTRIBUTES_MAGIC {
            return Err(Error::Corrupt("extended attributes that are none"));
        }
        let condemned = self.condemn(alloc::vec![block]).await?;
        let mut state = self.state.lock();
        let users = bytes::u32_at(&buffer.bytes(), 4);
        if users > 1 {
            buffer.change(&mut state, Wave::Table, |bytes| {
                put_u32(bytes, 4, users - 1);
            });
        } else {
            self.free_blocks(&mut state, &condemned);
        }
        place.update(&mut state, |inode| {
            inode.set_attribute_block(0);
            let sectors = self.geometry.block_size / 512;
            inode.set_sectors(inode.sectors().saturating_sub(sectors));
        });
        Ok(())
    }
}

impl Cut {
    /// Plans to free a block.
    fn take(&mut self, block: u32, first: u64) -> bool {
        self.blocks.push(block);
        self.first = self.first.min(first);
        true
    }
}
