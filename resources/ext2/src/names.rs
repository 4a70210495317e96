//! Making and removing names.

use alloc::boxed::Box;

use crate::attributes::{Context, InodeNumber, Kind, Timestamp};
use crate::buffers::{Buffer, Wave};
use crate::directory::{Found, Slot};
use crate::error::Error;
use crate::file_system::{FileSystem, Stop};
use crate::inodes::Place;
use crate::layout::entry;
use crate::layout::inode::{FAST_SYMLINK, Inode, MOST_LINKS};
use crate::state::State;
use crate::tables::{Missing, Tables};
use crate::volume::{Purpose, Volume};

/// The bit of a directory's mode by which what is made in it gets its group.
const SET_GROUP: u16 = 0o2000;

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct New<'a> {
    pub(crate) kind: Kind,
    pub(crate) mode: u16,
    /// Of a symbolic link.
    pub(crate) target: &'a [u8],
}

impl<V: Volume> FileSystem<V> {
    pub(crate) async fn try_lookup(
        &self,
        directory: InodeNumber,
        name: &[u8],
        open: bool,
    ) -> Result<InodeNumber, Error> {
        entry::check_name(name)?;
        let _locked = self.lock_shared(directory).await;
        let (_, inode) = self.directory(directory).await?;
        let found = self.find(&inode, name).await?.ok_or(Error::NotFound)?;
        if open {
            self.try_open(found.inode).await?;
        }
        Ok(found.inode)
    }

    pub(crate) async fn try_open(&self, number: InodeNumber) -> Result<(), Error> {
        let (place, _) = self.inode(number).await?;
        let mut state = self.state.lock();
        // It may have gone since it was looked at.
        let gone = place.read().links() == 0 || state.is_unnamed(number);
        if gone && state.opens(number) == 0 {
            return Err(Error::NotFound);
        }
        *state.opens.entry(number.0).or_default() += 1;
        Ok(())
    }

    pub(crate) async fn try_make(
        &self,
        context: Context,
        directory: InodeNumber,
        name: &[u8],
        new: New<'_>,
    ) -> Result<InodeNumber, Stop> {
        entry::check_new_name(name)?;
        let is_directory = new.kind == Kind::Directory;
        let _locked = self.lock_all(&[directory]).await;
        let (parent, parent_inode) = self.live_directory(directory).await?;
        let search = self.search(&parent_inode, name, true).await?;
        if search.found.is_some() {
            return Err(Error::Exists.into());
        }
        if is_directory && parent_inode.links() >= MOST_LINKS {
            return Err(Error::TooManyLinks.into());
        }
        let mut slot = self
            .prepare_slot(context, &parent_inode, search.room)
            .await?;
        let mut taken = self.take_inode(directory, is_directory).await?;
        let number = taken.number();
        let needs_block = is_directory || new.target.len() >= FAST_SYMLINK;
        let goal = self.goal_of(number);
        let mut body = self
            .take_blocks(context, goal, needs_block.into(), false)
            .await?;

        let mut state = self.state.lock();
        let place = taken.settle(&mut state, is_directory, directory);
        state.generation = state.generation.wrapping_add(1);
        let generation = state.generation;
        let block = body.settle(&mut state);
        place.renew(&mut state, generation, |inode| {
            self.fill_inode(inode, context, &parent_inode, new, block);
        });
        if let Some(block) = block {
            let buffer = self
                .buffers
                .fresh(&mut state, block, Purpose::Private(number));
            buffer.change(&mut state, Wave::Table, |bytes| {
                if is_directory {
                    self.begin_directory(bytes, number, directory);
                } else {
                    bytes[..new.target.len()].copy_from_slice(new.target);
                }
            });
        }
        self.put_entry(
            &mut state,
            &parent,
            &mut slot,
            Wave::Names,
            (number, new.kind, name),
        );
        parent.update(&mut state, |inode| {
            inode.drop_index();
            inode.touch(context.now);
            inode.set_links(inode.links() + u32::from(is_directory));
        });
        Ok(number)
    }

    /// What a new inode starts with.
    fn fill_inode(
        &self,
        inode: &mut Inode,
        context: Context,
        parent: &Inode,
        new: New<'_>,
        block: Option<u32>,
    ) {
        let passes_on = parent.permissions() & SET_GROUP != 0;
        let is_directory = new.kind == Kind::Directory;
        let mode = if passes_on && is_directory {
            new.mode | SET_GROUP
        } else {
            new.mode
        };
        inode.set_kind(new.kind, mode);
        inode.set_user(context.user);
        inode.set_group(if passes_on {
            parent.group()
        } else {
            context.group
        });
        inode.set_links(1 + u32::from(is_directory));
        inode.set_made(context.now);
        if let Some(block) = block {
            inode.set_pointer(0, block);
            inode.set_sectors(self.geometry.block_size / 512);
        } else {
            inode.set_target(new.target);
        }
        if is_directory {
            inode.set_size(self.geometry.block_size.into());
        } else {
            inode.set_size(new.target.len() as u64);
        }
    }

    pub(crate) async fn try_read_link(&self, number: InodeNumber) -> Result<Box<[u8]>, Error> {
        let _locked = self.lock_shared(number).await;
        let (_, inode) = self.inode(number).await?;
        if inode.kind()? != Kind::Symlink {
            return Err(Error::Invalid);
        }
        let length = usize::try_from(inode.size()).unwrap_or(usize::MAX);
        if inode.is_fast_symlink() {
            return Ok(inode.target()[..length].into());
        }
        let found = Tables::new(self, number)
            .find(&inode, 0, &mut Missing::new())
            .await?;
        let block = found.ok_or(Error::Corrupt("a symbolic link without a target"))?;
        let purpose = Purpose::Private(number);
        let buffer = self.buffers.get(&self.volume, block, purpose).await?;
        let bytes = buffer.bytes();
        let target = bytes.get(..length).filter(|_| length < bytes.len());
        target
            .map(Box::from)
            .ok_or(Error::Corrupt("a symbolic link that is too long"))
    }

    pub(crate) async fn try_link(
        &self,
        context: Context,
        number: InodeNumber,
        directory: InodeNumber,
        name: &[u8],
    ) -> Result<(), Stop> {
        entry::check_new_name(name)?;
        let _locked = self.lock_all(&[directory]).await;
        let (parent, parent_inode) = self.live_directory(directory).await?;
        let search = self.search(&parent_inode, name, true).await?;
        if search.found.is_some() {
            return Err(Error::Exists.into());
        }
        let (place, inode) = self.inode(number).await?;
        if inode.is_directory() || inode.is_kept() {
            return Err(Error::NotPermitted.into());
        }
        let mut slot = self
            .prepare_slot(context, &parent_inode, search.room)
            .await?;

        let mut state = self.state.lock();
        let links = place.read().links();
        if state.is_unnamed(number) || links == 0 {
            return Err(Error::NotFound.into());
        }
        if links >= MOST_LINKS {
            return Err(Error::TooManyLinks.into());
        }
        state.check_receiver(number, directory, slot.buffer())?;
        let wave = state.receiver_wave(number);
        self.put_entry(
            &mut state,
            &parent,
            &mut slot,
            wave,
            (number, inode.kind()?, name),
        );
        place.update(&mut state, |inode| {
            inode.set_links(links + 1);
            inode.set_changed(context.now);
        });
        if wave == Wave::Receiver {
            state.epoch.named.insert(number.0);
        }
        parent.update(&mut state, |inode| {
            inode.drop_index();
            inode.touch(context.now);
        });
        Ok(())
    }

    /// The inode that a name stands for: it must be there.
    pub(crate) async fn named_inode(&self, number: InodeNumber) -> Result<(Place, Inode), Error> {
        match self.inode(number).await {
            Err(Error::NotFound) => Err(Error::Corrupt("a name for a free inode")),
            found => found,
        }
    }

    pub(crate) async fn try_unlink(
        &self,
        context: Context,
        directory: InodeNumber,
        name: &[u8],
    ) -> Result<(), Stop> {
        entry::check_name(name)?;
        if entry::is_dots(name) {
            return Err(Error::IsADirectory.into());
        }
        let _locked = self.lock_all(&[directory]).await;
        let (parent, parent_inode) = self.live_directory(directory).await?;
        let found = self
            .find(&parent_inode, name)
            .await?
            .ok_or(Error::NotFound)?;
        let (place, inode) = self.named_inode(found.inode).await?;
        if inode.is_directory() {
            return Err(Error::IsADirectory.into());
        }
        if inode.is_kept() {
            return Err(Error::NotPermitted.into());
        }

        let mut state = self.state.lock();
        let moved = state.epoch.named.contains(&place.number.0);
        let wave = if moved { Wave::Giver } else { Wave::Names };
        if !found.buffer.admits(wave) {
            return Err(Stop::Order);
        }
        if moved {
            state.epoch.gave.insert(directory.0);
        }
        found.remove(&mut state, wave);
        parent.update(&mut state, |inode| {
            inode.drop_index();
            inode.touch(context.now);
        });
        state.drop_name(&place, context.now);
        Ok(())
    }

    /// What a name stands for, if it is there, and whether that is a directory.
    pub(crate) async fn peek(
        &self,
        directory: InodeNumber,
        name: &[u8],
    ) -> Result<Option<(InodeNumber, bool)>, Error> {
        let found = match self.try_lookup(directory, name, false).await {
            Ok(found) => found,
            Err(Error::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_directory = self.place_of(found).await?.read().is_directory();
        Ok(Some((found, is_directory)))
    }

    pub(crate) async fn try_remove_directory(
        &self,
        context: Context,
        directory: InodeNumber,
        name: &[u8],
    ) -> Result<(), Stop> {
        match name {
            b"." => return Err(Error::Invalid.into()),
            b".." => return Err(Error::NotEmpty.into()),
            _ => {}
        }
        let there = self.peek(directory, name).await?;
        let child = there.and_then(|(inode, is_directory)| is_directory.then_some(inode));
        let _locked = self
            .lock_all(&[directory, child.unwrap_or(directory)])
            .await;
        let (parent, parent_inode) = self.live_directory(directory).await?;
        let found = self
            .find(&parent_inode, name)
            .await?
            .ok_or(Error::NotFound)?;
        let (place, inode) = self.named_inode(found.inode).await?;
        if !inode.is_directory() {
            return Err(Error::NotADirectory.into());
        }
        if child != Some(found.inode) {
            return Err(Stop::Changed);
        }
        if found.inode == directory || found.inode == InodeNumber::ROOT {
            return Err(Error::Corrupt("a directory in itself").into());
        }
        if inode.is_kept() {
            return Err(Error::NotPermitted.into());
        }
        if !self.is_empty(&inode).await? {
            return Err(Error::NotEmpty.into());
        }

        let mut state = self.state.lock();
        let gave = state.epoch.gave.contains(&place.number.0);
        let wave = if gave { Wave::Giver } else { Wave::Names };
        if !found.buffer.admits(wave) {
            return Err(Stop::Order);
        }
        found.remove(&mut state, wave);
        parent.update(&mut state, |inode| {
            inode.drop_index();
            inode.touch(context.now);
            inode.set_links(inode.links().saturating_sub(1).max(2));
        });
        state.drop_name(&place, context.now);
        Ok(())
    }
}

impl Found {
    /// Takes the entry out.
    pub(crate) fn remove(&self, state: &mut State, wave: Wave) {
        self.buffer
            .change(state, wave, |bytes| entry::remove(bytes, self.at));
    }
}

impl<V: Volume> Slot<'_, V> {
    /// The block it is in, if that is there already.
    pub(crate) const fn buffer(&self) -> Option<&Buffer> {
        match self {
            Slot::Room(room) => Some(&room.buffer),
            Slot::Block(_) => None,
        }
    }
}

impl State {
    /// Whether an inode may get a name in a block of a directory, in this epoch.
    pub(crate) fn check_receiver(
        &self,
        inode: InodeNumber,
        directory: InodeNumber,
        buffer: Option<&Buffer>,
    ) -> Result<(), Stop> {
        let above = self.epoch.made.get(&directory.0);
        if let Some(depth) = self.epoch.made.get(&inode.0) {
            let deeper = above.is_none_or(|above| above < depth);
            return if deeper { Ok(()) } else { Err(Stop::Order) };
        }
        // A directory that is new may not be found again after a cut.
        let found = above.is_none();
        if found && buffer.is_none_or(|buffer| buffer.admits(Wave::Receiver)) {
            Ok(())
        } else {
            Err(Stop::Order)
        }
    }

    /// When a block with a new name of an inode is written.
    pub(crate) fn receiver_wave(&self, inode: InodeNumber) -> Wave {
        let made = self.epoch.made.contains_key(&inode.0);
        if made { Wave::Names } else { Wave::Receiver }
    }

    /// An inode has lost a name.
    pub(crate) fn drop_name(&mut self, place: &Place, now: Timestamp) {
        let number = place.number;
        let inode = place.read();
        if self.is_unnamed(number) {
            return;
        }
        let last = inode.is_directory() || inode.links() <= 1;
        let new = self.epoch.made.contains_key(&number.0) && self.opens(number) == 0;
        place.update(self, |inode| {
            inode.set_changed(now);
            if !last {
                inode.set_links(inode.links() - 1);
            } else if new {
                inode.set_deleted(Some(now));
            }
        });
        if last && new {
            // Nothing on the volume knows of it.
            self.unnamed.insert(number.0, true);
            self.reapable.push(number.0);
        } else if last {
            self.unnamed.insert(number.0, false);
            self.epoch.unnamed.push(place.clone());
        }
    }
}
