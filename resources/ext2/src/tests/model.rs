//! What Linux does: a file system in memory, as simple as it can be, and random operations.

use std::collections::BTreeMap;
use std::vec::Vec;

use super::tools::time;
use crate::{Context, Error, InodeNumber, Kind, Rename, Timestamp};

/// A file, directory or whatever, by a number of the model's own.
pub(super) type Id = usize;

/// The root directory.
pub(super) const ROOT: Id = 0;

/// What the model knows of an inode.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) number: InodeNumber,
    pub(super) kind: Kind,
    pub(super) mode: u16,
    pub(super) links: u32,
    pub(super) user: u32,
    pub(super) size: u64,
    /// The blocks of a file that were written.
    pub(super) blocks: BTreeMap<u64, Vec<u8>>,
    pub(super) target: Vec<u8>,
    pub(super) entries: BTreeMap<Vec<u8>, Id>,
    pub(super) parent: Id,
    pub(super) modified: Timestamp,
    pub(super) changed: Timestamp,
    pub(super) opens: u32,
}

/// An operation.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Make(Id, Vec<u8>, Kind, u16),
    Symlink(Id, Vec<u8>, Vec<u8>),
    Link(Id, Id, Vec<u8>),
    Unlink(Id, Vec<u8>),
    RemoveDirectory(Id, Vec<u8>),
    Rename(Id, Vec<u8>, Id, Vec<u8>, Rename),
    /// Blocks from one on, with this byte in all of them; and where the file ends then.
    Write(Id, u64, u64, u8, u64),
    Truncate(Id, u64),
    SetMode(Id, u16, u32),
    Open(Id),
    Close(Id),
    Sync,
    Fsync(Id),
}

/// The whole file system.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) nodes: BTreeMap<Id, Node>,
    next: Id,
    pub(super) block_size: u64,
    pub(super) clock: i64,
}

type Outcome = Result<Option<Id>, Error>;

impl Model {
    pub(super) fn new(block_size: u32) -> Self {
        let mut model = Self {
            nodes: BTreeMap::new(),
            next: 0,
            block_size: block_size.into(),
            clock: 0,
        };
        let root = model.add(Kind::Directory, 0o755, ROOT);
        model.nodes.get_mut(&root).unwrap().number = InodeNumber::ROOT;
        // lost+found, which is the image's own.
        model.nodes.get_mut(&root).unwrap().links = 3;
        model
    }

    /// Who asks, and when.
    pub(super) fn context(&self) -> Context {
        Context {
            now: time(self.clock),
            user: 1000,
            group: 100,
            privileged: true,
        }
    }

    fn add(&mut self, kind: Kind, mode: u16, parent: Id) -> Id {
        let id = self.next;
        self.next += 1;
        let now = time(self.clock);
        self.nodes.insert(
            id,
            Node {
                number: InodeNumber(0),
                kind,
                mode,
                links: 1 + u32::from(kind == Kind::Directory),
                user: 1000,
                size: 0,
                blocks: BTreeMap::new(),
                target: Vec::new(),
                entries: BTreeMap::new(),
                parent,
                modified: now,
                changed: now,
                opens: 0,
            },
        );
        id
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[&id]
    }

    fn get(&mut self, id: Id) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    fn is_directory(&self, id: Id) -> bool {
        self.node(id).kind == Kind::Directory
    }

    fn directory(&self, id: Id) -> Result<(), Error> {
        match self.node(id) {
            Node {
                kind: Kind::Directory,
                links: 0,
                ..
            } => Err(Error::NotFound),
            Node {
                kind: Kind::Directory,
                ..
            } => Ok(()),
            _ => Err(Error::NotADirectory),
        }
    }

    fn find(&self, directory: Id, name: &[u8]) -> Option<Id> {
        self.node(directory).entries.get(name).copied()
    }

    fn touch(&mut self, id: Id) {
        let now = time(self.clock);
        let node = self.get(id);
        (node.modified, node.changed) = (now, now);
    }

    fn change(&mut self, id: Id) {
        let now = time(self.clock);
        self.get(id).changed = now;
    }

    fn is_below(&self, mut id: Id, above: Id) -> bool {
        loop {
            if id == above {
                return true;
            }
            if id == ROOT {
                return false;
            }
            id = self.node(id).parent;
        }
    }

    fn make(&mut self, directory: Id, name: &[u8], kind: Kind, mode: u16) -> Outcome {
        self.directory(directory)?;
        if self.find(directory, name).is_some() {
            return Err(Error::Exists);
        }
        let passes_on = kind == Kind::Directory && self.node(directory).mode & 0o2000 != 0;
        let id = self.add(kind, mode | if passes_on { 0o2000 } else { 0 }, directory);
        self.get(directory).entries.insert(name.to_vec(), id);
        if kind == Kind::Directory {
            self.get(directory).links += 1;
        }
        self.touch(directory);
        Ok(Some(id))
    }

    fn drop_name(&mut self, id: Id) {
        self.change(id);
        let node = self.get(id);
        node.links = if node.kind == Kind::Directory {
            0
        } else {
            node.links - 1
        };
        self.collect(id);
    }

    /// What has neither names nor users goes.
    fn collect(&mut self, id: Id) {
        if self.node(id).links == 0 && self.node(id).opens == 0 {
            self.nodes.remove(&id);
        }
    }

    fn unlink(&mut self, directory: Id, name: &[u8]) -> Outcome {
        self.directory(directory)?;
        let id = self.find(directory, name).ok_or(Error::NotFound)?;
        if self.is_directory(id) {
            return Err(Error::IsADirectory);
        }
        self.get(directory).entries.remove(name);
        self.touch(directory);
        self.drop_name(id);
        Ok(None)
    }

    fn remove_directory(&mut self, directory: Id, name: &[u8]) -> Outcome {
        self.directory(directory)?;
        let id = self.find(directory, name).ok_or(Error::NotFound)?;
        if !self.is_directory(id) {
            return Err(Error::NotADirectory);
        }
        if !self.node(id).entries.is_empty() {
            return Err(Error::NotEmpty);
        }
        self.get(directory).entries.remove(name);
        self.get(directory).links -= 1;
        self.touch(directory);
        self.drop_name(id);
        Ok(None)
    }

    fn rename(&mut self, from: Id, old: &[u8], to: Id, new: &[u8], how: Rename) -> Outcome {
        self.directory(from)?;
        self.directory(to)?;
        let source = self.find(from, old).ok_or(Error::NotFound)?;
        let target = self.find(to, new);
        match (target, how) {
            (Some(_), Rename::NoReplace) => return Err(Error::Exists),
            (None, Rename::Exchange) => return Err(Error::NotFound),
            _ => {}
        }
        if self.is_directory(source) && self.is_below(to, source) {
            return Err(Error::Invalid);
        }
        let directory = target.filter(|target| self.is_directory(*target));
        if directory.is_some_and(|target| self.is_below(from, target)) {
            let exchange = how == Rename::Exchange;
            return Err(if exchange {
                Error::Invalid
            } else {
                Error::NotEmpty
            });
        }
        if target == Some(source) {
            return Ok(None);
        }
        if let Some(target) = target.filter(|_| how != Rename::Exchange) {
            match (self.is_directory(source), self.is_directory(target)) {
                (true, false) => return Err(Error::NotADirectory),
                (false, true) => return Err(Error::IsADirectory),
                (true, true) if !self.node(target).entries.is_empty() => {
                    return Err(Error::NotEmpty);
                }
                _ => {}
            }
        }
        self.get(from).entries.remove(old);
        self.settle(to, new, source, from);
        match target {
            Some(target) if how == Rename::Exchange => self.settle(from, old, target, to),
            Some(target) => {
                if self.is_directory(target) {
                    self.get(to).links -= 1;
                }
                self.drop_name(target);
            }
            None => {}
        }
        self.touch(from);
        self.touch(to);
        Ok(None)
    }

    fn settle(&mut self, directory: Id, name: &[u8], id: Id, before: Id) {
        self.get(directory).entries.insert(name.to_vec(), id);
        self.change(id);
        if self.is_directory(id) {
            self.get(before).links -= 1;
            self.get(directory).links += 1;
            self.get(id).parent = directory;
        }
    }

    fn file(&self, id: Id) -> Result<(), Error> {
        match self.node(id).kind {
            Kind::File => Ok(()),
            Kind::Directory => Err(Error::IsADirectory),
            _ => Err(Error::Invalid),
        }
    }

    fn truncate(&mut self, id: Id, size: u64) -> Outcome {
        self.file(id)?;
        let block_size = self.block_size;
        let node = self.get(id);
        if size < node.size {
            node.blocks.split_off(&size.div_ceil(block_size));
            if let Some(last) = node.blocks.get_mut(&(size / block_size)) {
                last[(size % block_size) as usize..].fill(0);
            }
        }
        node.size = size;
        self.touch(id);
        Ok(None)
    }

    /// Carries an operation out; what was made is the outcome.
    #[expect(clippy::too_many_lines, reason = "one arm for each operation")]
    pub(super) fn apply(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::Make(directory, name, kind, mode) => {
                self.make(*directory, name, *kind, *mode)
            }
            Operation::Symlink(directory, name, target) => {
                let made = self.make(*directory, name, Kind::Symlink, 0o777)?;
                let node = self.get(made.unwrap());
                node.size = target.len() as u64;
                node.target.clone_from(target);
                Ok(made)
            }
            Operation::Link(id, directory, name) => {
                self.directory(*directory)?;
                if self.find(*directory, name).is_some() {
                    return Err(Error::Exists);
                }
                if self.is_directory(*id) {
                    return Err(Error::NotPermitted);
                }
                if self.node(*id).links == 0 {
                    return Err(Error::NotFound);
                }
                self.get(*directory).entries.insert(name.clone(), *id);
                self.get(*id).links += 1;
                self.change(*id);
                self.touch(*directory);
                Ok(None)
            }
            Operation::Unlink(directory, name) => self.unlink(*directory, name),
            Operation::RemoveDirectory(directory, name) => self.remove_directory(*directory, name),
            Operation::Rename(from, old, to, new, how) => self.rename(*from, old, *to, new, *how),
            Operation::Write(id, first, count, byte, end) => {
                self.file(*id)?;
                let block_size = self.block_size;
                let node = self.get(*id);
                for block in *first..first + count {
                    node.blocks
                        .insert(block, written(block_size, *byte, block, *end));
                }
                node.size = node.size.max(*end);
                self.touch(*id);
                Ok(None)
            }
            Operation::Truncate(id, size) => self.truncate(*id, *size),
            Operation::SetMode(id, mode, user) => {
                let node = self.get(*id);
                (node.mode, node.user) = (*mode, *user);
                self.change(*id);
                Ok(None)
            }
            Operation::Open(id) => {
                self.get(*id).opens += 1;
                Ok(None)
            }
            Operation::Close(id) => {
                self.get(*id).opens -= 1;
                self.collect(*id);
                Ok(None)
            }
            Operation::Sync | Operation::Fsync(_) => Ok(None),
        }
    }

    /// A random operation on what there is, among few names so that they meet.
    #[expect(clippy::too_many_lines, reason = "one arm for each operation")]
    pub(super) fn random(&self, random: &mut fastrand::Rng, names: usize) -> Operation {
        let ids: Vec<Id> = self.nodes.keys().copied().collect();
        let of_kind = |random: &mut fastrand::Rng, wanted: fn(&Node) -> bool| {
            let fitting: Vec<Id> = ids
                .iter()
                .copied()
                .filter(|id| wanted(self.node(*id)))
                .collect();
            // Now and then something that does not fit.
            match random.u8(0..20) {
                0 => ids[random.usize(0..ids.len())],
                _ if fitting.is_empty() => ROOT,
                _ => fitting[random.usize(0..fitting.len())],
            }
        };
        let is_directory: fn(&Node) -> bool = |node| node.kind == Kind::Directory;
        let is_file: fn(&Node) -> bool = |node| node.kind == Kind::File;
        let any: fn(&Node) -> bool = |_| true;
        let is_open: fn(&Node) -> bool = |node| node.opens > 0;
        let directory = of_kind(random, is_directory);
        let name = name(random, names);
        match random.u8(0..100) {
            0..14 => Operation::Make(directory, name, Kind::File, 0o644),
            14..20 => Operation::Make(directory, name, Kind::Directory, 0o755),
            20..23 => {
                let kinds = [Kind::Fifo, Kind::Socket, Kind::BlockDevice(0x801)];
                Operation::Make(directory, name, kinds[random.usize(0..3)], 0o600)
            }
            23..27 => {
                let length = [1, 20, 59, 60, 200, 1000][random.usize(0..6)];
                Operation::Symlink(directory, name, std::vec![b't'; length])
            }
            27..33 => Operation::Link(of_kind(random, is_file), directory, name),
            33..43 => Operation::Unlink(directory, name),
            43..47 => Operation::RemoveDirectory(directory, name),
            47..62 => {
                let how = [
                    Rename::Replace,
                    Rename::Replace,
                    Rename::Replace,
                    Rename::NoReplace,
                    Rename::Exchange,
                ][random.usize(0..5)];
                let to = if random.bool() {
                    directory
                } else {
                    of_kind(random, is_directory)
                };
                Operation::Rename(directory, name, to, self::name(random, names), how)
            }
            62..78 => {
                let first = self.place(random);
                let count = random.u64(1..9);
                let end = (first + count) * self.block_size - random.u64(0..self.block_size);
                Operation::Write(of_kind(random, is_file), first, count, random.u8(1..), end)
            }
            78..85 => {
                let size = self.place(random) * self.block_size + random.u64(0..3000);
                Operation::Truncate(of_kind(random, is_file), size)
            }
            85..88 => {
                Operation::SetMode(of_kind(random, any), random.u16(0..0o10000), random.u32(..))
            }
            88..92 => match of_kind(random, any) {
                id if self.node(id).links == 0 => Operation::Sync,
                id => Operation::Open(id),
            },
            92..97 => match of_kind(random, is_open) {
                id if self.node(id).opens == 0 => Operation::Sync,
                id => Operation::Close(id),
            },
            97..99 => Operation::Fsync(of_kind(random, any)),
            _ => Operation::Sync,
        }
    }

    /// The number of a block in a file: near all the places where the tables change.
    fn place(&self, random: &mut fastrand::Rng) -> u64 {
        let n = self.block_size / 4;
        let edges = [
            0,
            0,
            0,
            12,
            12,
            12 + n,
            12 + n + n,
            12 + n + n * n,
            12 + n + n * n + n,
        ];
        let edge = edges[random.usize(0..edges.len())];
        (edge + random.u64(0..12)).saturating_sub(random.u64(0..10))
    }
}

/// A name of a few.
pub(super) fn name(random: &mut fastrand::Rng, names: usize) -> Vec<u8> {
    let number = random.usize(0..names);
    // Some are long, so that directories have several blocks.
    let padding = if number.is_multiple_of(3) {
        200
    } else {
        number % 7
    };
    let mut name = std::format!("name{number}-").into_bytes();
    name.resize(name.len() + padding, b'x');
    name
}

/// The contents of a block: behind the end of the file, zeros.
pub(super) fn written(block_size: u64, byte: u8, block: u64, end: u64) -> Vec<u8> {
    let start = block * block_size;
    (start..start + block_size)
        .map(|at| {
            if at < end {
                byte.wrapping_add((at / 512) as u8).max(1)
            } else {
                0
            }
        })
        .collect()
}
