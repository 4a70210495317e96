//! Where inodes are on the volume, and the locks of those in use.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use spin::Mutex;

use crate::attributes::InodeNumber;
use crate::buffers::{Buffer, Wave};
use crate::error::Error;
use crate::file_system::FileSystem;
use crate::layout::inode::Inode;
use crate::lock::{Guard, Lock};
use crate::state::State;
use crate::volume::{Purpose, Volume};

/// An inode's place on the volume: the block of the table, in memory, and the bytes within.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) number: InodeNumber,
    pub(crate) buffer: Buffer,
    at: usize,
    size: usize,
}

impl Place {
    /// The inode as it is now.
    pub(crate) fn read(&self) -> Inode {
        let bytes = self.buffer.bytes();
        Inode::read(self.number, &bytes[self.at..self.at + self.size])
    }

    /// Changes the inode.
    pub(crate) fn update(&self, state: &mut State, change: impl FnOnce(&mut Inode)) {
        state.epoch.inodes.insert(self.number.0);
        self.buffer.change(state, Wave::Table, |bytes| {
            let bytes = &mut bytes[self.at..self.at + self.size];
            let mut inode = Inode::read(self.number, bytes);
            change(&mut inode);
            inode.write(bytes);
        });
    }

    /// Makes a new, empty inode of it.
    pub(crate) fn renew(
        &self,
        state: &mut State,
        generation: u32,
        change: impl FnOnce(&mut Inode),
    ) {
        state.epoch.inodes.insert(self.number.0);
        self.buffer.change(state, Wave::Table, |bytes| {
            let bytes = &mut bytes[self.at..self.at + self.size];
            bytes.fill(0);
            let mut inode = Inode::new(self.number, bytes, generation);
            change(&mut inode);
            inode.write(bytes);
        });
    }

    /// Makes all of it zero, as an inode that was never used.
    pub(crate) fn wipe(&self, state: &mut State) {
        self.buffer.change(state, Wave::Table, |bytes| {
            bytes[self.at..self.at + self.size].fill(0);
        });
    }
}

/// The locks of an inode.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Shared by those who look at the inode's contents or write over them, exclusive for those who
    /// add or remove names in a directory or cut a file.
    pub(crate) contents: Lock,
    /// Held in addition by writers while they change the block tables.
    pub(crate) tables: Lock,
}

/// The locks of the inodes in use.
#[derive(Debug, Default)]
pub(crate) struct Nodes(Mutex<BTreeMap<u32, Arc<Node>>>);

impl Nodes {
    /// How many may be there before those that nobody holds are dropped.
    const MANY: usize = 1024;

    /// The locks of an inode.
    pub(crate) fn get(&self, inode: InodeNumber) -> Arc<Node> {
        let mut nodes = self.0.lock();
        if nodes.len() >= Self::MANY && !nodes.contains_key(&inode.0) {
            nodes.retain(|_, node| Arc::strong_count(node) > 1);
        }
        nodes.entry(inode.0).or_default().clone()
    }
}

/// The exclusive locks of some inodes.
#[derive(Debug)]
pub(crate) struct Locked {
    _guards: Vec<(Guard, Arc<Node>)>,
}

impl<V: Volume> FileSystem<V> {
    /// Locks the contents of some inodes, each once, in the order of their numbers.
    pub(crate) async fn lock_all(&self, inodes: &[InodeNumber]) -> Locked {
        let mut order = Vec::from(inodes);
        order.sort_unstable();
        order.dedup();
        let mut guards = Vec::new();
        for inode in order {
            let node = self.nodes.get(inode);
            guards.push((node.contents.exclusive().await, node));
        }
        Locked { _guards: guards }
    }

    /// Locks the contents of an inode, shared.
    pub(crate) async fn lock_shared(&self, inode: InodeNumber) -> Locked {
        let node = self.nodes.get(inode);
        Locked {
            _guards: alloc::vec![(node.contents.shared().await, node)],
        }
    }

    /// The block of the table that has an inode, and the first byte within. The number has been
    /// checked.
    pub(crate) fn inode_block(&self, inode: InodeNumber) -> (u32, usize) {
        let geometry = &self.geometry;
        let (group, index) = geometry.inode_group(inode.0);
        let offset = index * geometry.inode_size;
        let block = self.inode_tables[group as usize] + offset / geometry.block_size;
        (block, (offset % geometry.block_size) as usize)
    }

    /// The place of any inode.
    pub(crate) async fn place_of(&self, inode: InodeNumber) -> Result<Place, Error> {
        let geometry = &self.geometry;
        if !(1..=geometry.inodes).contains(&inode.0) {
            return Err(Error::NotFound);
        }
        let (block, at) = self.inode_block(inode);
        Ok(Place {
            number: inode,
            buffer: self
                .buffers
                .get(&self.volume, block, Purpose::Shared)
                .await?,
            at,
            size: geometry.inode_size as usize,
        })
    }

    /// The place of an inode that users may see and that is in use, and what is there.
    pub(crate) async fn inode(&self, inode: InodeNumber) -> Result<(Place, Inode), Error> {
        if inode != InodeNumber::ROOT && inode.0 < self.geometry.first_inode {
            return Err(Error::Corrupt("a name for a reserved inode"));
        }
        let place = self.place_of(inode).await?;
        let contents = place.read();
        if self.state.lock().is_unnamed(inode) {
            contents.check_kind()?;
        } else {
            contents.check()?;
        }
        if contents.size() > self.geometry.largest_file() {
            return Err(Error::Corrupt("an inode of an impossible size"));
        }
        Ok((place, contents))
    }

    /// As [`inode`](Self::inode), for a directory.
    pub(crate) async fn directory(&self, inode: InodeNumber) -> Result<(Place, Inode), Error> {
        let (place, contents) = self.inode(inode).await?;
        if !contents.is_directory() {
            return Err(Error::NotADirectory);
        }
        Ok((place, contents))
    }

    /// As [`directory`](Self::directory), for one that still has its name, to make a name in it.
    pub(crate) async fn live_directory(&self, inode: InodeNumber) -> Result<(Place, Inode), Error> {
        let found = self.directory(inode).await?;
        if self.state.lock().is_unnamed(inode) {
            return Err(Error::NotFound);
        }
        if found.1.is_immutable() {
            return Err(Error::NotPermitted);
        }
        Ok(found)
    }
}
