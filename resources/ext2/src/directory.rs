//! Looking for names, and changing directories by one name.

use core::ops::ControlFlow;

use crate::allocate::Taken;
use crate::attributes::{Context, Entry, InodeNumber, Kind};
use crate::buffers::{Buffer, Wave};
use crate::error::Error;
use crate::file_system::{FileSystem, Stop};
use crate::inodes::Place;
use crate::layout::entry;
use crate::layout::inode::Inode;
use crate::state::State;
use crate::tables::{Missing, Tables};
use crate::volume::{Purpose, Volume};

/// The largest directory in bytes.
const LARGEST: u64 = 1 << 31;

/// An entry that was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) buffer: Buffer,
    pub(crate) at: usize,
    /// The length of its record.
    pub(crate) length: usize,
    pub(crate) inode: InodeNumber,
}

/// A record with room for an entry.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) buffer: Buffer,
    at: usize,
}

/// What there is in a directory of a name.
#[derive(Debug, Default)]
pub(crate) struct Search {
    pub(crate) found: Option<Found>,
    /// The first place for the name.
    pub(crate) room: Option<Room>,
}

/// A place for a new entry: in a block that is there, or in one that is added.
#[derive(Debug)]
pub(crate) enum Slot<'a, V: Volume> {
    Room(Room),
    Block(NewBlock<'a, V>),
}

/// A block that will be added to a directory.
#[derive(Debug)]
pub(crate) struct NewBlock<'a, V: Volume> {
    tables: Tables<'a, V>,
    taken: Taken<'a, V>,
    spare: Taken<'a, V>,
    logical: u64,
}

impl<V: Volume> FileSystem<V> {
    /// How many blocks a directory has.
    pub(crate) fn directory_blocks(&self, inode: &Inode) -> Result<u64, Error> {
        let block_size = u64::from(self.geometry.block_size);
        let blocks = inode.size() / block_size;
        if !inode.size().is_multiple_of(block_size) || blocks > self.geometry.blocks.into() {
            return Err(Error::Corrupt("a directory of an impossible size"));
        }
        Ok(blocks)
    }

    pub(crate) async fn directory_block(
        &self,
        tables: &mut Tables<'_, V>,
        inode: &Inode,
        logical: u64,
    ) -> Result<Buffer, Error> {
        let found = tables.find(inode, logical, &mut Missing::new()).await?;
        let block = found.ok_or(Error::Corrupt("a directory with a hole"))?;
        let purpose = Purpose::Private(inode.number());
        self.buffers.get(&self.volume, block, purpose).await
    }

    /// The inode that an entry names, which is checked.
    fn entry_inode(&self, inode: u32) -> Result<InodeNumber, Error> {
        if inode > self.geometry.inodes {
            return Err(Error::Corrupt("a name for an inode that cannot be"));
        }
        Ok(InodeNumber(inode))
    }

    /// Looks for a name. The caller has the directory's lock.
    pub(crate) async fn find(&self, inode: &Inode, name: &[u8]) -> Result<Option<Found>, Error> {
        Ok(self.search(inode, name, false).await?.found)
    }

    /// Looks for a name, and for a place to put it in.
    pub(crate) async fn search(
        &self,
        inode: &Inode,
        name: &[u8],
        want_room: bool,
    ) -> Result<Search, Error> {
        let mut search = Search::default();
        let mut tables = Tables::new(self, inode.number());
        let needed = entry::needed(name.len());
        for logical in 0..self.directory_blocks(inode)? {
            let buffer = self.directory_block(&mut tables, inode, logical).await?;
            let bytes = buffer.bytes();
            for record in entry::records(&bytes, self.geometry.entry_kinds) {
                let record = record?;
                if record.inode != 0 && record.name == name {
                    search.found = Some(Found {
                        at: record.at,
                        length: record.length,
                        inode: self.entry_inode(record.inode)?,
                        buffer: buffer.clone(),
                    });
                    return Ok(search);
                }
                if want_room && search.room.is_none() && record.length - record.used() >= needed {
                    let (buffer, at) = (buffer.clone(), record.at);
                    search.room = Some(Room { buffer, at });
                }
            }
        }
        Ok(search)
    }

    /// Room for a name in one block, if there is any.
    pub(crate) fn room_in(&self, buffer: &Buffer, name: &[u8]) -> Option<Room> {
        let kinds = self.geometry.entry_kinds;
        let at = entry::room(&buffer.bytes(), kinds, entry::needed(name.len()))?;
        let buffer = buffer.clone();
        Some(Room { buffer, at })
    }

    /// Gets ready to put a name into a directory: where there was room, or in a new block.
    pub(crate) async fn prepare_slot(
        &self,
        context: Context,
        inode: &Inode,
        room: Option<Room>,
    ) -> Result<Slot<'_, V>, Stop> {
        if let Some(room) = room {
            return Ok(Slot::Room(room));
        }
        let logical = self.directory_blocks(inode)?;
        if inode.size() + u64::from(self.geometry.block_size) > LARGEST {
            return Err(Error::NoSpace.into());
        }
        let mut tables = Tables::new(self, inode.number());
        let mut missing = Missing::new();
        if tables.find(inode, logical, &mut missing).await?.is_some() {
            return Err(Error::Corrupt("a directory with blocks past its end").into());
        }
        let mut goal = self.goal_of(inode.number());
        if let Some(last) = logical.checked_sub(1) {
            let before = tables.find(inode, last, &mut Missing::new()).await?;
            goal = before.map_or(goal, |block| block + 1);
        }
        let spare = self
            .take_blocks(context, goal, missing.len(), false)
            .await?;
        let taken = self.take_blocks(context, goal, 1, false).await?;
        Ok(Slot::Block(NewBlock {
            tables,
            taken,
            spare,
            logical,
        }))
    }

    /// Puts an entry into its place.
    pub(crate) fn put_entry(
        &self,
        state: &mut State,
        directory: &Place,
        slot: &mut Slot<'_, V>,
        wave: Wave,
        (inode, kind, name): (InodeNumber, Kind, &[u8]),
    ) {
        let code = self.entry_code(kind);
        match slot {
            Slot::Room(Room { buffer, at }) => {
                buffer.change(state, wave, |bytes| {
                    entry::insert(bytes, *at, inode, code, name);
                });
            }
            Slot::Block(new) => {
                let Some(block) = new.taken.settle(state) else {
                    return;
                };
                let purpose = Purpose::Private(directory.number);
                let buffer = self.buffers.fresh(state, block, purpose);
                buffer.change(state, Wave::Table, |bytes| {
                    entry::clear(bytes);
                    entry::insert(bytes, 0, inode, code, name);
                });
                let mut contents = directory.read();
                new.tables
                    .link(state, &mut contents, &mut new.spare, new.logical, block);
                contents.set_size((new.logical + 1) * u64::from(self.geometry.block_size));
                directory.update(state, |inode| *inode = contents);
            }
        }
    }

    /// The first block of a new directory.
    pub(crate) fn begin_directory(&self, bytes: &mut [u8], own: InodeNumber, parent: InodeNumber) {
        let code = self.entry_code(Kind::Directory);
        entry::clear(bytes);
        entry::insert(bytes, 0, own, code, b".");
        entry::insert(bytes, 0, parent, code, b"..");
    }

    /// The kind as this volume's entries tell it.
    pub(crate) fn entry_code(&self, kind: Kind) -> u8 {
        if self.geometry.entry_kinds {
            entry::kind_code(kind)
        } else {
            0
        }
    }

    /// Whether a directory has no names but `.` and `..`.
    pub(crate) async fn is_empty(&self, inode: &Inode) -> Result<bool, Error> {
        let mut tables = Tables::new(self, inode.number());
        for logical in 0..self.directory_blocks(inode)? {
            let buffer = self.directory_block(&mut tables, inode, logical).await?;
            let bytes = buffer.bytes();
            for record in entry::records(&bytes, self.geometry.entry_kinds) {
                let record = record?;
                if record.inode != 0 && !entry::is_dots(record.name) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    pub(crate) async fn try_read_directory(
        &self,
        number: InodeNumber,
        position: u64,
        mut sink: impl FnMut(Entry<'_>) -> ControlFlow<()> + Send,
    ) -> Result<u64, Error> {
        let _locked = self.lock_shared(number).await;
        let (_, inode) = self.directory(number).await?;
        let block_size = u64::from(self.geometry.block_size);
        let mut tables = Tables::new(self, number);
        let mut reached = position;
        for logical in position / block_size..self.directory_blocks(&inode)? {
            let start = logical * block_size;
            let buffer = self.directory_block(&mut tables, &inode, logical).await?;
            let bytes = buffer.bytes();
            for record in entry::records(&bytes, self.geometry.entry_kinds) {
                let record = record?;
                // Records may have come together since the position was given.
                if record.inode == 0 || start + (record.at as u64) < position {
                    continue;
                }
                let next = start + (record.at + record.length) as u64;
                let given = sink(Entry {
                    inode: self.entry_inode(record.inode)?,
                    kind: entry::system_kind(record.kind),
                    name: record.name,
                    next,
                });
                if given.is_break() {
                    return Ok(start + record.at as u64);
                }
                reached = next;
            }
            reached = reached.max(start + block_size);
        }
        Ok(reached)
    }
}
