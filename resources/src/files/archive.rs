//! The root file system: a tree of nodes, made once at boot from a tar archive and never changed.
//!
//! Key types: [`Archive`], [`Node`], [`NodeId`], [`Problem`] (what could not be used of the tar).
//! Contents and names stay where the tar has them. Devices and `/proc/self/exe` are added to what
//! the tar has.
//!
//! Invariants: [`NodeId::ROOT`] is a directory; every directory's parent is one, and up from any
//! directory the root is reached; what a directory names is a node.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::page_cache::ArchiveFile;
use super::tar::{Entry, Tar, TarError, What};
use crate::object::{Object, References};

/// How many nodes there may be: bounds the memory that a tar can cost.
pub const MAX_NODES: usize = 1 << 18;
/// The longest name of a directory entry, in bytes.
pub const MAX_NAME: usize = 255;
/// How many problems are kept to be told.
const MAX_PROBLEMS: usize = 16;

/// A node of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// The root directory.
    pub const ROOT: Self = Self(0);

    /// The node's number in `stat`: not 0, which stands for nothing there.
    #[must_use]
    pub fn inode(self) -> u64 {
        u64::from(self.0) + 1
    }
}

/// A file, a directory, a link or a device.
#[derive(Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permissions, with the set-user-ID, set-group-ID and sticky bits.
    pub mode: u16,
    /// Its owner.
    pub owner: u32,
    /// Its group.
    pub group: u32,
    /// When it was changed, in seconds since 1970.
    pub changed: i64,
    /// How many names it has.
    pub links: u32,
}

/// What a node is.
#[derive(Debug)]
pub enum Kind {
    /// A file.
    File(Arc<ArchiveFile>),
    /// A directory.
    Directory(Directory),
    /// A symbolic link with this target.
    Link(&'static [u8]),
    /// A symbolic link to the program of the process that asks.
    Program,
    /// A device.
    Device(Device),
}

/// A directory.
#[derive(Debug)]
pub struct Directory {
    parent: NodeId,
    name: &'static [u8],
    /// In the order in which they are listed.
    entries: Vec<(&'static [u8], NodeId)>,
    index: BTreeMap<&'static [u8], usize>,
}

impl Directory {
    /// The directory that this one is in; the root is in itself.
    #[must_use]
    pub fn parent(&self) -> NodeId {
        self.parent
    }

    /// Its name there.
    #[must_use]
    pub fn name(&self) -> &'static [u8] {
        self.name
    }

    /// The entries, without `.` and `..`.
    #[must_use]
    pub fn entries(&self) -> &[(&'static [u8], NodeId)] {
        &self.entries
    }

    /// The entry with this name.
    #[must_use]
    pub fn entry(&self, name: &[u8]) -> Option<NodeId> {
        self.index.get(name).map(|&index| self.entries[index].1)
    }
}

/// The devices there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// `/dev/console` and `/dev/tty`.
    Console,
    /// `/dev/null`: takes everything, has nothing.
    Null,
    /// `/dev/zero`.
    Zero,
    /// `/dev/full`: takes nothing, has zeros.
    Full,
    /// `/dev/random` and `/dev/urandom`.
    Random,
}

/// What is in `/dev`: name, device, and Linux's numbers (`Documentation/admin-guide/devices.txt`).
const DEVICES: &[(&[u8], Device, (u32, u32))] = &[
    (b"console", Device::Console, (5, 1)),
    (b"full", Device::Full, (1, 7)),
    (b"null", Device::Null, (1, 3)),
    (b"random", Device::Random, (1, 8)),
    (b"tty", Device::Console, (5, 0)),
    (b"urandom", Device::Random, (1, 9)),
    (b"zero", Device::Zero, (1, 5)),
];

impl Device {
    /// The major and minor number.
    #[must_use]
    pub fn numbers(self) -> (u32, u32) {
        let device = DEVICES.iter().find(|(_, device, _)| *device == self);
        device.map_or((0, 0), |&(_, _, numbers)| numbers)
    }
}

/// What could not be used of a tar; the rest of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is damaged; what came before is used.
    Damaged(TarError),
    /// The entry at this offset has a name with a component that is `..` or too long, or none.
    Name(usize),
    /// The entry at this offset would be in something that is no directory, or replace a directory.
    Place(usize),
    /// The entry at this offset is another name for something that is not there.
    HardLink(usize),
    /// The entry at this offset is neither a file, a directory nor a link.
    Kind(usize, u8),
    /// There are more than [`MAX_NODES`] entries, from this offset on.
    TooMany(usize),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("root file system: ")?;
        match self {
            Self::Damaged(error) => write!(f, "{error}; what comes before it is used"),
            Self::Name(at) => write!(
                f,
                "the entry at byte {at} is left out: its name is empty, has \"..\" or a part of \
                 more than {MAX_NAME} bytes"
            ),
            Self::Place(at) => write!(
                f,
                "the entry at byte {at} is left out: what it would be in is no directory, or it \
                 would replace one"
            ),
            Self::HardLink(at) => write!(
                f,
                "the hard link at byte {at} is left out: what it names is no file that came before"
            ),
            Self::Kind(at, flag) => write!(
                f,
                "the entry at byte {at} is left out: neither a file, a directory nor a link (type \
                 {:?})",
                char::from(*flag)
            ),
            Self::TooMany(at) => write!(
                f,
                "it has more than {MAX_NODES} entries; all from byte {at} on are left out"
            ),
        }
    }
}

impl core::error::Error for Problem {}

/// The root file system.
#[derive(Debug)]
pub struct Archive {
    nodes: Vec<Node>,
}

impl Archive {
    /// Makes the tree from a tar, which may be anything, and `extra` files by their absolute
    /// paths. Where two have one name, the last one counts. The problems say what is left out.
    #[must_use]
    pub fn new(
        tar: &'static [u8],
        extra: &[(&'static str, &'static [u8])],
        references: &Arc<dyn References>,
    ) -> (Self, Vec<Problem>) {
        let mut builder = Builder::new(references);
        for entry in Tar::new(tar) {
            let done = entry
                .map_err(Problem::Damaged)
                .and_then(|entry| builder.add(&entry));
            if let Err(problem) = done {
                if builder.problems.len() < MAX_PROBLEMS {
                    builder.problems.push(problem);
                }
                if matches!(problem, Problem::TooMany(_)) {
                    break;
                }
            }
        }
        builder.add_own(extra);
        (
            Self {
                nodes: builder.nodes,
            },
            builder.problems,
        )
    }

    /// A node. Every [`NodeId`] that this archive gave is one.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The node's entries, if it is a directory.
    #[must_use]
    pub fn directory(&self, id: NodeId) -> Option<&Directory> {
        match &self.node(id).kind {
            Kind::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never: there is a root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The file with this [`Object::number`].
    #[must_use]
    pub fn object(&self, number: u64) -> Option<Arc<dyn Object>> {
        match &self.nodes.get(usize::try_from(number).ok()?)?.kind {
            Kind::File(file) => Some(Arc::clone(file) as Arc<dyn Object>),
            _ => None,
        }
    }

    /// The absolute path of a directory.
    #[must_use]
    pub fn path(&self, directory: NodeId) -> Vec<u8> {
        let mut names = Vec::new();
        let mut at = directory;
        while let Some(directory) = self.directory(at).filter(|_| at != NodeId::ROOT) {
            names.push(directory.name);
            at = directory.parent;
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() { b"/".to_vec() } else { path }
    }
}

/// An archive in the making.
struct Builder<'a> {
    nodes: Vec<Node>,
    references: &'a Arc<dyn References>,
    problems: Vec<Problem>,
}

impl<'a> Builder<'a> {
    fn new(references: &'a Arc<dyn References>) -> Self {
        let root = Self::node(directory(NodeId::ROOT, b"/"), 0o755);
        Self {
            nodes: alloc::vec![root],
            references,
            problems: Vec::new(),
        }
    }

    fn node(kind: Kind, mode: u16) -> Node {
        let links = if matches!(kind, Kind::Directory(_)) {
            2
        } else {
            1
        };
        Node {
            kind,
            mode,
            owner: 0,
            group: 0,
            changed: 0,
            links,
        }
    }

    /// Adds what a tar has.
    fn add(&mut self, entry: &Entry<'static>) -> Result<(), Problem> {
        let at = entry.offset;
        let (parent, name) = match self.place(&components(entry.path).ok_or(Problem::Name(at))?) {
            Ok(place) => place,
            // The root itself: `./`.
            Err(Misplaced::Nowhere) if entry.what == What::Directory => {
                self.set(NodeId::ROOT, entry);
                return Ok(());
            }
            Err(Misplaced::Nowhere) => return Err(Problem::Name(at)),
            Err(Misplaced::NoDirectory) => return Err(Problem::Place(at)),
            Err(Misplaced::TooMany) => return Err(Problem::TooMany(at)),
        };
        let old = self.child(parent, name);
        let old_directory = old.filter(|&old| self.is_directory(old));
        let kind = match entry.what {
            What::Directory => match old_directory {
                Some(old) => {
                    self.set(old, entry);
                    return Ok(());
                }
                None => directory(parent, name),
            },
            _ if old_directory.is_some() => return Err(Problem::Place(at)),
            What::File(content) => self.file(content),
            What::Link(target) => Kind::Link(target),
            What::HardLink(target) => {
                let target = components((b"", target)).and_then(|path| self.find(&path));
                let target = target.filter(|&target| !self.is_directory(target));
                let target = target.ok_or(Problem::HardLink(at))?;
                self.name(parent, name, target);
                self.nodes[target.0 as usize].links += 1;
                return Ok(());
            }
            What::Other(flag) => return Err(Problem::Kind(at, flag)),
        };
        let id = self
            .push(parent, name, kind, 0)
            .ok_or(Problem::TooMany(at))?;
        self.set(id, entry);
        Ok(())
    }

    /// Adds what is not from a tar.
    fn add_own(&mut self, extra: &[(&'static str, &'static [u8])]) {
        for (path, content) in extra {
            let kind = self.file(content);
            self.add_at(path.as_bytes(), kind, 0o644);
        }
        for &(name, device, _) in DEVICES {
            if let Some(Ok((dev, _))) = components((b"dev", name)).map(|path| self.place(&path)) {
                self.push(dev, name, Kind::Device(device), 0o666);
            }
        }
        self.add_at(b"/proc/self/exe", Kind::Program, 0o777);
    }

    fn add_at(&mut self, path: &'static [u8], kind: Kind, mode: u16) {
        let Some(Ok((parent, name))) = components((b"", path)).map(|path| self.place(&path)) else {
            return;
        };
        if self
            .child(parent, name)
            .is_none_or(|old| !self.is_directory(old))
        {
            self.push(parent, name, kind, mode);
        }
    }

    fn file(&self, content: &'static [u8]) -> Kind {
        let number = self.nodes.len() as u32;
        Kind::File(Arc::new(ArchiveFile::new(
            number,
            content,
            Arc::clone(self.references),
        )))
    }

    /// A node's attributes.
    fn set(&mut self, id: NodeId, entry: &Entry<'_>) {
        let node = &mut self.nodes[id.0 as usize];
        node.mode = if matches!(node.kind, Kind::Link(_)) {
            0o777
        } else {
            entry.mode
        };
        (node.owner, node.group, node.changed) = (entry.owner, entry.group, entry.changed);
    }

    /// The directory that a path's last component is in, made if need be, and that component.
    fn place(&mut self, path: &[&'static [u8]]) -> Result<(NodeId, &'static [u8]), Misplaced> {
        let (&name, parents) = path.split_last().ok_or(Misplaced::Nowhere)?;
        let mut at = NodeId::ROOT;
        for &parent in parents {
            at = match self.child(at, parent) {
                Some(child) if self.is_directory(child) => child,
                Some(_) => return Err(Misplaced::NoDirectory),
                None => {
                    let made = self.push(at, parent, directory(at, parent), 0o755);
                    made.ok_or(Misplaced::TooMany)?
                }
            };
        }
        Ok((at, name))
    }

    /// What a path leads to, without following links.
    fn find(&self, path: &[&[u8]]) -> Option<NodeId> {
        path.iter()
            .try_fold(NodeId::ROOT, |at, name| self.child(at, name))
    }

    fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        match &self.nodes[parent.0 as usize].kind {
            Kind::Directory(directory) => directory.entry(name),
            _ => None,
        }
    }

    fn is_directory(&self, id: NodeId) -> bool {
        matches!(self.nodes[id.0 as usize].kind, Kind::Directory(_))
    }

    /// A new node in a directory; `None` if there are too many.
    fn push(
        &mut self,
        parent: NodeId,
        name: &'static [u8],
        kind: Kind,
        mode: u16,
    ) -> Option<NodeId> {
        if self.nodes.len() >= MAX_NODES {
            return None;
        }
        let id = NodeId(self.nodes.len() as u32);
        if matches!(kind, Kind::Directory(_)) {
            self.nodes[parent.0 as usize].links += 1;
        }
        self.nodes.push(Self::node(kind, mode));
        self.name(parent, name, id);
        Some(id)
    }

    /// Gives a node a name, instead of the one that had it.
    fn name(&mut self, parent: NodeId, name: &'static [u8], id: NodeId) {
        let Kind::Directory(directory) = &mut self.nodes[parent.0 as usize].kind else {
            return;
        };
        match directory.index.get(name) {
            Some(&index) => {
                let old = core::mem::replace(&mut directory.entries[index].1, id);
                let links = &mut self.nodes[old.0 as usize].links;
                *links = links.saturating_sub(1);
            }
            None => {
                directory.index.insert(name, directory.entries.len());
                directory.entries.push((name, id));
            }
        }
    }
}

/// Why there is no place for an entry.
enum Misplaced {
    /// Its path has no component.
    Nowhere,
    /// A component before the last is no directory.
    NoDirectory,
    /// There are too many nodes.
    TooMany,
}

fn directory(parent: NodeId, name: &'static [u8]) -> Kind {
    let (entries, index) = (Vec::new(), BTreeMap::new());
    Kind::Directory(Directory {
        parent,
        name,
        entries,
        index,
    })
}

/// The components of a path in two parts; `None` if one of them cannot be a name.
fn components(path: (&'static [u8], &'static [u8])) -> Option<Vec<&'static [u8]>> {
    let both = [path.0, path.1].into_iter();
    let all = both.flat_map(|part| part.split(|&byte| byte == b'/'));
    let named = all.filter(|name| !matches!(*name, b"" | b"."));
    let good = |name: &&[u8]| *name != b".." && name.len() <= MAX_NAME && !name.contains(&0);
    named.map(|name| Some(name).filter(good)).collect()
}
