//! The names of the whole system: what is where, and from a path to it (POSIX.1-2017, 4.13
//! "Pathname Resolution"; path_resolution(7)).
//!
//! Key types: [`Tree`] (a disk's inodes in memory, and what is mounted over them), [`Names`] (the
//! archive, with the disk over it if there is one), [`Node`] (what a path leads to), [`Found`].
//!
//! Without a disk, the archive is everything. With one, the disk's root is the root, and a few
//! places of the archive (`/dev`, `/proc`) are mounted over it, and file systems of other disks over
//! its directories ([`super::mounts`]): what is mounted over an inode is noted in it, and the root of
//! that is where the directory is, so that paths lead in and out. For processes, `/proc` is what there
//! is to read of processes (`procfs`). No recursion: what is left of the path, and of the links in it,
//! is on a list of at most [`MAX_LINKS`] + 1.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashMap;

use super::archive::{Archive, Kind, MAX_NAME, NodeId};
use super::inode::{FIRST_OBJECT, FileType, Gone, Inode, SystemId, Wanted};
use super::procfs::{Place, Procfs};
use super::walk::{MAX_LINKS, MAX_PATH};
use crate::errno::Errno;

/// What a path leads to.
#[derive(Clone, Debug)]
pub enum Node {
    /// Something of the archive.
    Archive(NodeId),
    /// Something of the disk.
    Disk(Arc<Inode>),
    /// Something in `/proc`.
    Process(Place),
}

impl Node {
    /// Whether both are the same.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Archive(one), Self::Archive(other)) => one == other,
            (Self::Disk(one), Self::Disk(other)) => Arc::ptr_eq(one, other),
            (Self::Process(one), Self::Process(other)) => one == other,
            _ => false,
        }
    }

    /// The inode, if it is on the disk.
    ///
    /// # Errors
    /// EROFS: the archive cannot be changed.
    pub fn on_disk(&self) -> Result<&Arc<Inode>, Errno> {
        match self {
            Self::Disk(inode) => Ok(inode),
            Self::Archive(_) | Self::Process(_) => Err(Errno::EROFS),
        }
    }
}

/// Inodes in memory, at most, besides those that are in use.
const MAX_INODES: usize = 1 << 15;

/// A disk's inodes that are in memory.
#[derive(Debug)]
pub struct Tree {
    root: Arc<Inode>,
    inodes: spin::Mutex<Table>,
    /// What is mounted over names of directories.
    mounts: Vec<((u32, &'static [u8]), NodeId)>,
    next_object: AtomicU32,
    gone: Arc<Gone>,
}

#[derive(Debug, Default)]
struct Table {
    by_number: HashMap<(SystemId, u32), Arc<Inode>, rustc_hash::FxBuildHasher>,
    /// Those without a name, too, for as long as they are open or mapped.
    by_object: HashMap<u64, Weak<Inode>, rustc_hash::FxBuildHasher>,
}

impl Tree {
    /// With this root, and what is mounted over names of directories.
    #[must_use]
    pub fn new(
        root: Arc<Inode>,
        mounts: Vec<((u32, &'static [u8]), NodeId)>,
        gone: Arc<Gone>,
    ) -> Self {
        let mut table = Table::default();
        table
            .by_number
            .insert((root.system(), root.number()), root.clone());
        table
            .by_object
            .insert(root.number_as_object(), Arc::downgrade(&root));
        Self {
            root,
            inodes: spin::Mutex::new(table),
            mounts,
            next_object: AtomicU32::new(FIRST_OBJECT + 1),
            gone,
        }
    }

    /// The root directory.
    #[must_use]
    pub const fn root(&self) -> &Arc<Inode> {
        &self.root
    }

    /// The inode of a number of a file system, if it is in memory.
    #[must_use]
    pub fn inode(&self, number: (SystemId, u32)) -> Option<Arc<Inode>> {
        self.inodes.lock().by_number.get(&number).cloned()
    }

    /// The inode with this number as an object.
    #[must_use]
    pub fn object(&self, number: u64) -> Option<Arc<Inode>> {
        self.inodes.lock().by_object.get(&number)?.upgrade()
    }

    /// A number for a new inode in memory; none is used twice until 2^32 have been.
    #[must_use]
    pub fn new_object(&self) -> u32 {
        let next = |number: u32| Some(number.checked_add(1).unwrap_or(FIRST_OBJECT + 1));
        let number = self
            .next_object
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        number.unwrap_or(FIRST_OBJECT)
    }

    /// The inode of a number, which is made if it is not in memory; true if it was.
    pub fn enter(
        &self,
        number: (SystemId, u32),
        make: impl FnOnce() -> Arc<Inode>,
    ) -> (Arc<Inode>, bool) {
        let mut table = self.inodes.lock();
        if let Some(known) = table.by_number.get(&number) {
            return (known.clone(), false);
        }
        let inode = make();
        table.by_number.insert(number, inode.clone());
        table
            .by_object
            .insert(inode.number_as_object(), Arc::downgrade(&inode));
        (inode, true)
    }

    /// An inode has no name any more. Who has it open or mapped still finds it, as an object.
    pub fn forget(&self, inode: &Inode) {
        let mut table = self.inodes.lock();
        let same = |known: &Arc<Inode>| known.number_as_object() == inode.number_as_object();
        let number = (inode.system(), inode.number());
        if table.by_number.get(&number).is_some_and(same) {
            table.by_number.remove(&number);
        }
    }

    /// An inode is in memory no more.
    pub(super) fn forget_object(&self, number: u64) {
        self.inodes.lock().by_object.remove(&number);
    }

    /// All that are in memory and have names.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Inode>> {
        self.inodes.lock().by_number.values().cloned().collect()
    }

    /// Whether anybody uses inodes of a file system besides those that only hold each other:
    /// `held` of its root's references are no use.
    #[must_use]
    pub fn is_busy(&self, system: SystemId, held: usize) -> bool {
        let table = self.inodes.lock();
        let all = || table.by_number.values();
        let of_system = || all().filter(|inode| inode.system() == system);
        let mut known: HashMap<u64, usize, rustc_hash::FxBuildHasher> = HashMap::default();
        for inode in of_system() {
            *known.entry(inode.number_as_object()).or_default() += 1;
            // The root's place is outside.
            let parent = inode.place().map(|place| place.parent);
            if let Some(parent) = parent.filter(|parent| parent.system() == system) {
                *known.entry(parent.number_as_object()).or_default() += 1;
            }
        }
        let is_used = |inode: &Arc<Inode>| {
            let expected = known.get(&inode.number_as_object()).copied();
            let more = if inode.is_mounted_root() { held } else { 0 };
            Arc::strong_count(inode) > expected.unwrap_or(0) + more
        };
        let nameless = table.by_object.iter().any(|(object, inode)| {
            let inode = inode.upgrade().filter(|inode| inode.system() == system);
            inode.is_some() && !known.contains_key(object)
        });
        nameless || of_system().any(is_used)
    }

    /// Adds the root of a file system that is being mounted.
    pub(super) fn add_root(&self, root: &Arc<Inode>) {
        let mut table = self.inodes.lock();
        table
            .by_number
            .insert((root.system(), root.number()), root.clone());
        table
            .by_object
            .insert(root.number_as_object(), Arc::downgrade(root));
    }

    /// Forgets all inodes of a file system that nobody uses.
    pub(super) fn forget_system(&self, system: SystemId) {
        let mut dropped = Vec::new();
        let mut table = self.inodes.lock();
        table.by_number.retain(|(of, _), inode| {
            if *of == system {
                dropped.push(inode.clone());
            }
            *of != system
        });
        drop(table);
    }

    /// What inodes have left behind.
    #[must_use]
    pub const fn gone(&self) -> &Arc<Gone> {
        &self.gone
    }

    /// Forgets inodes that nobody uses, once there are too many: those without pages and with
    /// nothing to write.
    pub fn trim(&self) {
        let mut table = self.inodes.lock();
        if table.by_number.len() <= MAX_INODES {
            return;
        }
        let mut dropped = Vec::new();
        table.by_number.retain(|_, inode| {
            let keep = Arc::strong_count(inode) > 1 || !inode.is_idle();
            if !keep {
                dropped.push(inode.clone());
            }
            keep
        });
        drop(table);
    }

    fn mounted(&self, directory: &Inode, name: &[u8]) -> Option<NodeId> {
        let is = |((number, mounted), _): &&((u32, &'static [u8]), NodeId)| {
            let is_root_system = directory.system() == SystemId::ROOT;
            is_root_system && *number == directory.number() && *mounted == name
        };
        self.mounts.iter().find(is).map(|(_, node)| *node)
    }

    /// Whether something is mounted over a name.
    #[must_use]
    pub fn is_mount(&self, directory: &Inode, name: &[u8]) -> bool {
        self.mounted(directory, name).is_some()
    }
}

/// Why a path could not be followed.
#[derive(Debug)]
pub enum Lost {
    /// It leads nowhere.
    Error(Errno),
    /// A part of it is not in memory.
    Absent(Wanted),
}

impl From<Errno> for Lost {
    fn from(error: Errno) -> Self {
        Self::Error(error)
    }
}

/// Whether a symbolic link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Yes.
    Always,
    /// Only if a slash comes after it.
    NotLast,
    /// No: the path says where something is to be made or taken away.
    Never,
}

/// Where a path leads.
#[derive(Clone, Debug)]
pub struct Found {
    /// The directory that its last component is in.
    pub directory: Node,
    /// The last component; empty for `/`.
    pub name: Vec<u8>,
    /// The path ends with a slash.
    pub slash: bool,
    /// What is there.
    pub node: Option<Node>,
}

impl Found {
    /// The node.
    ///
    /// # Errors
    /// ENOENT if it is not there.
    pub fn node(self) -> Result<Node, Errno> {
        self.node.ok_or(Errno::ENOENT)
    }
}

/// All names: the archive's, with the disk's over them if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The archive.
    pub archive: &'a Archive,
    /// The disk.
    pub disk: Option<&'a Tree>,
    /// What is in `/proc`; without, it is the archive's.
    pub procfs: Option<Procfs<'a>>,
}

impl Names<'_> {
    /// The root directory.
    #[must_use]
    pub fn root(&self) -> Node {
        match self.disk {
            Some(tree) => Node::Disk(tree.root.clone()),
            None => Node::Archive(NodeId::ROOT),
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self, node: &Node) -> bool {
        match node {
            Node::Archive(id) => self.archive.directory(*id).is_some(),
            Node::Disk(inode) => inode.kind() == FileType::Directory,
            Node::Process(place) => place.is_directory(),
        }
    }

    /// Follows `path` from the directory `start`. `follow` is about a symbolic link at its end;
    /// `program` is where `/proc/self/exe` leads. No process's descriptors are
    /// locked meanwhile: what is in `/proc` asks for those of others.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG; or what is not in memory.
    pub fn walk(
        &self,
        start: &Node,
        path: &[u8],
        follow: Follow,
        program: &[u8],
    ) -> Result<Found, Lost> {
        if path.is_empty() {
            return Err(Errno::ENOENT.into());
        }
        if path.len() >= MAX_PATH {
            return Err(Errno::ENAMETOOLONG.into());
        }
        let mut walk = Walk {
            names: *self,
            at: if path.starts_with(b"/") {
                self.root()
            } else {
                start.clone()
            },
            left: alloc::vec![path.to_vec()],
            links: 0,
            follow,
            program,
        };
        let mut found = Found {
            directory: walk.at.clone(),
            name: Vec::new(),
            slash: true,
            node: Some(walk.at.clone()),
        };
        while let Some(rest) = walk.left.pop() {
            if let Some(step) = walk.step(&rest)? {
                let is_missing = step.node.is_none();
                found = step;
                if is_missing {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// What a directory has under a name.
    fn child(&self, at: &Node, name: &[u8]) -> Result<Option<Node>, Lost> {
        if !self.is_directory(at) {
            return Err(Errno::ENOTDIR.into());
        }
        match (name, at) {
            (b".", _) => Ok(Some(at.clone())),
            (b"..", _) => Ok(Some(self.parent(at))),
            _ if name.len() > MAX_NAME => Err(Errno::ENAMETOOLONG.into()),
            (_, Node::Process(place)) => {
                let child = self.procfs.and_then(|procfs| procfs.child(*place, name));
                Ok(child.map(Node::Process))
            }
            (b"proc", at) if self.procfs.is_some() && at.is(&self.root()) => {
                Ok(Some(Node::Process(Place::Root)))
            }
            (_, Node::Archive(id)) => {
                let directory = self.archive.directory(*id).ok_or(Errno::ENOTDIR)?;
                Ok(directory.entry(name).map(Node::Archive))
            }
            (_, Node::Disk(inode)) => self.child_on_disk(inode, name),
        }
    }

    fn child_on_disk(&self, directory: &Arc<Inode>, name: &[u8]) -> Result<Option<Node>, Lost> {
        let Some(tree) = self.disk else {
            return Err(Errno::ENOENT.into());
        };
        if let Some(mounted) = tree.mounted(directory, name) {
            return Ok(Some(Node::Archive(mounted)));
        }
        let wanted = || Lost::Absent(Wanted::Child(directory.clone(), name.to_vec()));
        if directory.is_unlinked() {
            return Ok(None);
        }
        let known = directory.entries.lock().get(name).ok_or_else(wanted)?;
        match known {
            None => Ok(None),
            Some(number) => {
                let inode = tree.inode((directory.system(), number));
                Ok(Some(Node::Disk(inode.ok_or_else(wanted)?.covered())))
            }
        }
    }

    /// The directory that a directory is in; the root is in itself.
    #[must_use]
    pub fn parent(&self, of: &Node) -> Node {
        match of {
            Node::Disk(inode) => {
                let place = inode.place();
                Node::Disk(place.map_or_else(|| inode.clone(), |place| place.parent))
            }
            Node::Process(place) => place.parent().unwrap_or_else(|| self.root()),
            Node::Archive(id) => {
                let parent = self.archive.directory(*id).map(super::Directory::parent);
                match parent {
                    // What is mounted of the archive is all in the root.
                    Some(NodeId::ROOT) | None => self.root(),
                    Some(parent) => Node::Archive(parent),
                }
            }
        }
    }

    /// The absolute path of a directory.
    ///
    /// # Errors
    /// ENOENT if it has been removed.
    pub fn path(&self, directory: &Node) -> Result<Vec<u8>, Errno> {
        let mut inode = match directory {
            Node::Archive(id) => return Ok(self.archive.path(*id)),
            Node::Process(place) => return Ok(place.path()),
            Node::Disk(inode) => inode.clone(),
        };
        let mut names = Vec::new();
        while let Some(place) = inode.place() {
            if inode.is_unlinked() {
                return Err(Errno::ENOENT);
            }
            names.push(place.name);
            inode = place.parent;
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        Ok(if path.is_empty() { b"/".to_vec() } else { path })
    }
}

/// A path being followed.
struct Walk<'a> {
    names: Names<'a>,
    at: Node,
    left: Vec<Vec<u8>>,
    links: usize,
    follow: Follow,
    program: &'a [u8],
}

impl Walk<'_> {
    /// One component; where it leads, unless it is a link that is followed.
    fn step(&mut self, rest: &[u8]) -> Result<Option<Found>, Lost> {
        let Some((name, rest)) = next(rest) else {
            return Ok(None);
        };
        // A path that goes on, be it with a slash alone, goes on in a directory.
        let slash = !rest.is_empty() || !self.left.is_empty();
        let is_slashes = |part: &[u8]| part.iter().all(|&byte| byte == b'/');
        let is_last = is_slashes(rest) && self.left.iter().all(|left| is_slashes(left));
        if !rest.is_empty() {
            self.left.push(rest.to_vec());
        }
        let Some(child) = self.names.child(&self.at, name)? else {
            if !is_last {
                return Err(Errno::ENOENT.into());
            }
            return Ok(Some(self.found(name, slash, None)));
        };
        let follows = match self.follow {
            Follow::Always => true,
            Follow::NotLast => !is_last || slash,
            Follow::Never => !is_last,
        };
        if follows && let Some(target) = self.target(&child) {
            self.follow_link(target)?;
            return Ok(None);
        }
        let goes_on = !is_last || slash && self.follow != Follow::Never;
        if goes_on && !self.names.is_directory(&child) {
            return Err(Errno::ENOTDIR.into());
        }
        let found = self.found(name, slash, Some(child.clone()));
        self.at = child;
        Ok(Some(found))
    }

    fn found(&self, name: &[u8], slash: bool, node: Option<Node>) -> Found {
        Found {
            directory: self.at.clone(),
            name: name.to_vec(),
            slash,
            node,
        }
    }

    fn follow_link(&mut self, target: Vec<u8>) -> Result<(), Errno> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::ELOOP);
        }
        match target.first() {
            None => return Err(Errno::ENOENT),
            Some(b'/') => self.at = self.names.root(),
            Some(_) => {}
        }
        self.left.push(target);
        Ok(())
    }

    /// Where a link leads; `None` for anything else.
    fn target(&self, node: &Node) -> Option<Vec<u8>> {
        match node {
            Node::Process(place) => self.names.procfs?.target(*place, self.program),
            Node::Disk(inode) if inode.kind() == FileType::Link => Some(inode.target().to_vec()),
            Node::Disk(_) => None,
            Node::Archive(id) => match &self.names.archive.node(*id).kind {
                Kind::Link(target) => Some(target.to_vec()),
                Kind::Program => Some(self.program.to_vec()),
                _ => None,
            },
        }
    }
}

/// The first component of a path, and what comes after it with its slashes.
fn next(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = path.iter().position(|&byte| byte != b'/')?;
    let name = &path[start..];
    let end = name.iter().position(|&byte| byte == b'/');
    Some(name.split_at(end.unwrap_or(name.len())))
}
