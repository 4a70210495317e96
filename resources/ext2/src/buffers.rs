//! The metadata in memory: blocks of the volume, read on demand, changed in place, written by
//! commits (see [`commit`](crate::commit)).
//!
//! A [`Buffer`] is a block in memory for as long as somebody has it: what is in use, changed, or
//! being written is never evicted. Its bytes are shared with the images that are being written: who
//! changes them meanwhile gets a copy. Invariant: a block has at most one buffer.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use spin::Mutex;

use crate::error::Error;
use crate::lock::Lock;
use crate::state::State;
use crate::volume::{Purpose, Volume};

/// When a changed block is written, in a commit. What the waves are for: [`crate::commit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wave {
    /// Nothing on the volume points to it yet.
    Fresh,
    /// Whatever has no place elsewhere.
    Table,
    /// A directory's block in which names were made or removed.
    Names,
    /// A directory's block that names have moved into.
    Receiver,
    /// A directory's block that names have moved out of.
    Giver,
}

/// A block in memory.
pub(crate) type Buffer = Arc<Slot>;

/// What is behind a [`Buffer`].
#[derive(Debug)]
pub(crate) struct Slot {
    block: u32,
    /// Who reads it, and the lock of those who wait for that.
    loading: Mutex<Vec<(u64, Lock)>>,
    contents: Mutex<Contents>,
}

#[derive(Debug)]
struct Contents {
    /// None until it has been read.
    bytes: Option<Arc<[u8]>>,
    purpose: Purpose,
    changed: Option<Wave>,
    /// Used since it was last considered for eviction.
    recent: bool,
}

impl Slot {
    fn new(block: u32, purpose: Purpose) -> Self {
        Self {
            block,
            loading: Mutex::default(),
            contents: Mutex::new(Contents {
                bytes: None,
                purpose,
                changed: None,
                recent: true,
            }),
        }
    }

    /// The lock of those who read it for one asker.
    fn loading(&self, asker: u64) -> Lock {
        let mut loading = self.loading.lock();
        if let Some((_, lock)) = loading.iter().find(|(one, _)| *one == asker) {
            return lock.clone();
        }
        let lock = Lock::default();
        loading.push((asker, lock.clone()));
        lock
    }

    pub(crate) const fn block(&self) -> u32 {
        self.block
    }

    /// The bytes as they are now.
    pub(crate) fn bytes(&self) -> Arc<[u8]> {
        self.contents.lock().bytes.clone().unwrap_or_default()
    }

    pub(crate) fn purpose(&self) -> Purpose {
        self.contents.lock().purpose
    }

    /// When it will be written, if it has changed.
    pub(crate) fn wave(&self) -> Option<Wave> {
        self.contents.lock().changed
    }

    /// Whether a change may be written in `wave`, besides the changes that are there.
    pub(crate) fn admits(&self, wave: Wave) -> bool {
        match (self.wave(), wave) {
            (None | Some(Wave::Fresh | Wave::Table | Wave::Names), _)
            | (_, Wave::Table | Wave::Names) => true,
            (Some(now), then) => now == then,
        }
    }

    /// Changes the bytes, to be written in `wave` or one that was said before and is as good.
    pub(crate) fn change<R>(
        self: &Arc<Self>,
        state: &mut State,
        wave: Wave,
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let mut contents = self.contents.lock();
        let before = contents.changed;
        contents.changed = match before {
            Some(Wave::Fresh) => before,
            _ => before.max(Some(wave)),
        };
        let bytes = contents.bytes.get_or_insert_default();
        let result = change(Arc::make_mut(bytes));
        drop(contents);
        if before.is_none() {
            state.epoch.changed.insert(self.block, self.clone());
        }
        result
    }

    /// The image to write, and when. It counts as unchanged from then on.
    pub(crate) fn take_image(&self) -> Option<(Wave, Arc<[u8]>)> {
        let mut contents = self.contents.lock();
        let wave = contents.changed.take()?;
        Some((wave, contents.bytes.clone()?))
    }

    /// It could not be written in `wave`.
    pub(crate) fn put_back(self: &Arc<Self>, state: &mut State, wave: Wave) {
        let mut contents = self.contents.lock();
        contents.changed = Some(match contents.changed {
            Some(now) if wave != Wave::Fresh => now.max(wave),
            _ => wave,
        });
        drop(contents);
        state.epoch.changed.insert(self.block, self.clone());
    }
}

/// The buffers there are.
#[derive(Debug)]
pub(crate) struct Buffers {
    block_size: usize,
    capacity: usize,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    slots: BTreeMap<u32, Buffer>,
    /// Where to look next for a buffer to evict.
    hand: u32,
}

impl Buffers {
    /// An empty cache of about `capacity` blocks.
    pub(crate) fn new(block_size: u32, capacity: usize) -> Self {
        Self {
            block_size: block_size as usize,
            capacity: capacity.max(16),
            cache: Mutex::default(),
        }
    }

    /// The buffer of a block of the volume, read if it is not there. The caller has checked that
    /// the block is in the volume.
    pub(crate) async fn get<V: Volume>(
        &self,
        volume: &V,
        block: u32,
        purpose: Purpose,
    ) -> Result<Buffer, Error> {
        let buffer = self.cache.lock().slot(block, purpose, self.capacity);
        if buffer.contents.lock().bytes.is_some() {
            return Ok(buffer);
        }
        let asker = match purpose {
            Purpose::Private(_) => volume.asker(),
            Purpose::Shared => 0,
        };
        let _loading = buffer.loading(asker).exclusive().await;
        if buffer.contents.lock().bytes.is_some() {
            return Ok(buffer);
        }
        let offset = u64::from(block) * self.block_size as u64;
        let read = volume.read(offset, self.block_size, purpose).await;
        buffer.loading.lock().retain(|(one, _)| *one != asker);
        let bytes = read?;
        if bytes.len() != self.block_size {
            return Err(Error::Io);
        }
        // A block that was taken and made fresh meanwhile is not what was read.
        buffer
            .contents
            .lock()
            .bytes
            .get_or_insert_with(|| bytes.into());
        Ok(buffer)
    }

    /// The buffer of a block that was just allocated: zeros, to be written before all else.
    pub(crate) fn fresh(&self, state: &mut State, block: u32, purpose: Purpose) -> Buffer {
        let buffer = self.cache.lock().slot(block, purpose, self.capacity);
        let zeros: Arc<[u8]> = vec![0; self.block_size].into();
        let mut contents = buffer.contents.lock();
        contents.bytes = Some(zeros);
        contents.purpose = purpose;
        contents.changed = None;
        drop(contents);
        buffer.change(state, Wave::Fresh, |_| ());
        buffer
    }

    /// A block is no metadata any more: what has changed in it will not be written.
    pub(crate) fn forget(&self, state: &mut State, block: u32) {
        state.epoch.changed.remove(&block);
        if let Some(buffer) = self.cache.lock().slots.remove(&block) {
            buffer.contents.lock().changed = None;
        }
    }
}

impl Cache {
    fn slot(&mut self, block: u32, purpose: Purpose, capacity: usize) -> Buffer {
        if let Some(buffer) = self.slots.get(&block) {
            buffer.contents.lock().recent = true;
            return buffer.clone();
        }
        if self.slots.len() >= capacity {
            self.evict();
        }
        let buffer = Arc::new(Slot::new(block, purpose));
        self.slots.insert(block, buffer.clone());
        buffer
    }

    /// Evicts one that nobody has and that has not been used since the hand last passed, if any.
    fn evict(&mut self) {
        for _ in 0..2 * self.slots.len() {
            let next = self.slots.range(self.hand..).next();
            let Some((block, buffer)) = next else {
                self.hand = 0;
                continue;
            };
            let block = *block;
            self.hand = block.saturating_add(1);
            if Arc::strong_count(buffer) == 1
                && !core::mem::take(&mut buffer.contents.lock().recent)
            {
                self.slots.remove(&block);
                return;
            }
        }
    }
}
