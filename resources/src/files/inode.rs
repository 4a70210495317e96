//! Files, directories and links of a disk file system, as far as they are in memory.
//!
//! Key types: [`Inode`] (one of them: attributes, names, pages), [`Attributes`], [`Entries`] (the
//! names of a directory that are known).
//!
//! An inode in memory has its attributes and, if it is a link, its target; names and pages come as
//! they are asked for. Whoever looks something up takes no lock but spin locks of a few steps; what
//! is not there is brought in by a request to the File Cache Resource ([`Wanted`]).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrayvec::ArrayVec;
use event_listener::Event;

use super::cache::Pages;
use crate::machine::Frame;
use crate::net::RUN;
use crate::object::{FrameStore, Object, References};
use vortex_toolkit::memory::Refusal;

/// Numbers of objects on disks begin here: those of the archive are below.
pub(crate) const FIRST_OBJECT: u32 = super::MAX_NODES as u32;

/// What kind of thing an inode is: the type bits of `st_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// A file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a socket or a named pipe: has a name and attributes, and cannot be opened.
    Special,
}

impl FileType {
    /// By the type bits of a mode (inode(7)).
    #[must_use]
    pub const fn of_mode(mode: u16) -> Self {
        use linux_raw_sys::general::{S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};
        match mode as u32 & S_IFMT {
            S_IFREG => Self::Regular,
            S_IFDIR => Self::Directory,
            S_IFLNK => Self::Link,
            _ => Self::Special,
        }
    }
}

/// A time: seconds since 1970, and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since the beginning of 1970.
    pub seconds: i64,
    /// Nanoseconds, less than a second of them.
    pub nanoseconds: u32,
}

/// What `stat` tells of an inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Type and permissions, as in `st_mode`.
    pub mode: u16,
    /// How many names it has.
    pub links: u32,
    /// Its owner.
    pub owner: u32,
    /// Its group.
    pub group: u32,
    /// Its length in bytes.
    pub size: u64,
    /// What it takes on the disk, in units of 512 bytes.
    pub blocks: u64,
    /// Of a device: its numbers, as in `st_rdev`.
    pub device: u32,
    /// When it was last read.
    pub accessed: Time,
    /// When its contents were last changed.
    pub modified: Time,
    /// When anything of it was last changed.
    pub changed: Time,
}

/// The names of a directory that are known: the inode's number, or that there is none.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    names: BTreeMap<Box<[u8]>, Option<u32>>,
}

/// Names that are kept of one directory, at most; then those known are forgotten.
const MAX_ENTRIES: usize = 1 << 16;

impl Entries {
    /// What is known of a name: `None` for nothing, `Some(None)` that it is not there.
    #[must_use]
    pub(crate) fn get(&self, name: &[u8]) -> Option<Option<u32>> {
        self.names.get(name).copied()
    }

    /// From now on a name stands for this inode, or for none.
    pub(crate) fn set(&mut self, name: &[u8], inode: Option<u32>) {
        if self.names.len() >= MAX_ENTRIES {
            self.names.clear();
        }
        self.names.insert(name.into(), inode);
    }
}

/// Tells a mounted file system from all others that are or were mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SystemId(pub u32);

impl SystemId {
    /// The root file system.
    pub const ROOT: Self = Self(0);
}

/// Where a directory is; the root of a file system that is mounted over one is where that is.
#[derive(Clone, Debug)]
pub struct Place {
    /// In which directory.
    pub parent: Arc<Inode>,
    /// By which name.
    pub name: Vec<u8>,
}

/// A file, a directory, a link or a device on a disk.
pub struct Inode {
    system: SystemId,
    number: u32,
    object: u32,
    kind: FileType,
    target: Box<[u8]>,
    references: Arc<dyn References>,
    gone: Arc<Gone>,
    attributes: spin::Mutex<Attributes>,
    pub(crate) entries: spin::Mutex<Entries>,
    place: spin::Mutex<Option<Place>>,
    /// The root of the file system that is mounted over it, if it is a directory.
    cover: spin::Mutex<Option<Arc<Inode>>>,
    pub(super) pages: spin::Mutex<Pages>,
    /// Notified whenever a page has come, or will not come.
    pub(super) arrival: Event,
    /// Held shared while the file's blocks are read, alone while they or its attributes on the disk
    /// change (paper, footnote 17).
    pub(super) blocks: async_lock::RwLock<()>,
    /// Held by who changes contents or length.
    pub(super) contents: async_lock::Mutex<()>,
    /// The first bytes of a program, for its loader.
    head: spin::Mutex<Option<Arc<[u8]>>>,
    /// Has lost its last name.
    unlinked: AtomicBool,
    /// Write-backs that have failed since the beginning.
    failures: AtomicU64,
}

impl Inode {
    /// As it is on the disk, where it is counted as used until it is `gone`; `object` tells it from all other objects there ever are. `target` is
    /// what a link leads to.
    #[must_use]
    pub fn new(
        (system, number): (SystemId, u32),
        object: u32,
        attributes: Attributes,
        target: Box<[u8]>,
        references: Arc<dyn References>,
        gone: Arc<Gone>,
    ) -> Self {
        Self {
            system,
            number,
            object,
            kind: FileType::of_mode(attributes.mode),
            target,
            references,
            gone,
            attributes: spin::Mutex::new(attributes),
            entries: spin::Mutex::default(),
            place: spin::Mutex::new(None),
            cover: spin::Mutex::new(None),
            pages: spin::Mutex::default(),
            arrival: Event::new(),
            blocks: async_lock::RwLock::new(()),
            contents: async_lock::Mutex::new(()),
            head: spin::Mutex::new(None),
            unlinked: AtomicBool::new(false),
            failures: AtomicU64::new(0),
        }
    }

    /// The file system that it is of.
    #[must_use]
    pub const fn system(&self) -> SystemId {
        self.system
    }

    /// Its number on the disk.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> FileType {
        self.kind
    }

    /// What a link leads to; empty for anything else.
    #[must_use]
    pub const fn target(&self) -> &[u8] {
        &self.target
    }

    /// What `stat` tells.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        *self.attributes.lock()
    }

    /// Its length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.attributes.lock().size
    }

    /// Changes what is known of its attributes.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Attributes) -> T) -> T {
        change(&mut self.attributes.lock())
    }

    /// Where it is, if it is a directory and not the root.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.place.lock().clone()
    }

    /// It is there now.
    pub(crate) fn set_place(&self, place: Option<Place>) {
        *self.place.lock() = place;
    }

    /// What a path that leads to it leads to: the root of what is mounted over it, if anything is.
    #[must_use]
    pub fn covered(self: Arc<Self>) -> Arc<Self> {
        let mut top = self;
        while top.kind == FileType::Directory {
            let cover = top.cover.lock().clone();
            match cover {
                Some(cover) => top = cover,
                None => break,
            }
        }
        top
    }

    /// Whether it is the root of a file system other than the root's.
    pub(crate) fn is_mounted_root(&self) -> bool {
        let place = self.place.lock();
        let parent = place.as_ref().map(|place| place.parent.system());
        parent.is_some_and(|parent| parent != self.system)
    }

    /// From now on this is mounted over it.
    pub(super) fn set_cover(&self, root: Option<Arc<Inode>>) {
        *self.cover.lock() = root;
    }

    /// The first bytes of a program.
    #[must_use]
    pub fn head(&self) -> Option<Arc<[u8]>> {
        self.head.lock().clone()
    }

    pub(crate) fn set_head(&self, head: Option<Arc<[u8]>>) {
        *self.head.lock() = head;
    }

    /// Whether it has lost its last name.
    #[must_use]
    pub fn is_unlinked(&self) -> bool {
        self.unlinked.load(Ordering::Acquire)
    }

    pub(crate) fn set_unlinked(&self) {
        self.unlinked.store(true, Ordering::Release);
    }

    /// Write-backs that have failed: who has seen another count has not been told.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }

    pub(crate) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::AcqRel);
    }

    /// Its number as an [`Object`].
    pub(super) fn number_as_object(&self) -> u64 {
        self.object.into()
    }

    /// Whether there is nothing of it that would be missed: no pages, and no names.
    pub(super) fn is_idle(&self) -> bool {
        self.pages.lock().is_empty() && self.kind != FileType::Directory
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        self.gone.add(Left {
            system: self.system,
            number: self.number,
            object: self.number_as_object(),
            pages: core::mem::take(self.pages.get_mut()),
        });
    }
}

/// What an inode that is in memory no more has left behind.
#[derive(Debug)]
pub(super) struct Left {
    /// The file system that it was of.
    pub(super) system: SystemId,
    /// Its number, which the file system still counts as used.
    pub(super) number: u32,
    /// Its number as an [`Object`].
    pub(super) object: u64,
    /// Its pages, with a reference to each frame: to be given back without being written, since it has
    /// no name.
    pub(super) pages: Pages,
}

/// What inodes have left behind, to be cleared up by the File Cache Resource.
#[derive(Debug, Default)]
pub struct Gone {
    left: spin::Mutex<Vec<Left>>,
    any: AtomicBool,
}

impl Gone {
    fn add(&self, left: Left) {
        let mut all = self.left.lock();
        all.push(left);
        self.any.store(true, Ordering::Release);
    }

    /// Whether there is something to clear up.
    #[must_use]
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Takes what one of them has left behind.
    pub(super) fn take(&self) -> Option<Unfinished<'_>> {
        let mut all = self.left.lock();
        let left = all.pop();
        self.any.store(!all.is_empty(), Ordering::Release);
        let left = Some(left?);
        Some(Unfinished { gone: self, left })
    }
}

/// What an inode has left behind, while it is cleared up. It waits for somebody else if who does that is
/// ended meanwhile.
pub(super) struct Unfinished<'a> {
    gone: &'a Gone,
    left: Option<Left>,
}

impl Unfinished<'_> {
    /// What there is still to do.
    pub(super) const fn left(&mut self) -> Option<&mut Left> {
        self.left.as_mut()
    }

    /// The rest is done by somebody who is not ended.
    pub(super) fn finish(mut self) -> Option<Left> {
        self.left.take()
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(left) = self.left.take() {
            self.gone.add(left);
        }
    }
}

impl fmt::Debug for Inode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inode")
            .field("number", &self.number)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Inode {
    /// As [`Object::cached`], for these pages up to the first that is not in memory, and no more than
    /// a chunk takes.
    pub(super) fn cached_run(&self, wanted: Range<u64>) -> ArrayVec<Frame, RUN> {
        let pages = self.pages.lock();
        let run = pages.run(wanted).take(RUN);
        run.inspect(|frame| self.references.share(*frame)).collect()
    }
}

impl Object for Inode {
    fn length(&self) -> u64 {
        self.size()
    }

    fn number(&self) -> u64 {
        self.object.into()
    }

    fn cached(&self, page: u64) -> Option<Frame> {
        let mut pages = self.pages.lock();
        let frame = pages.get(page)?;
        self.references.share(frame);
        Some(frame)
    }

    fn writable(&self, page: u64) -> Option<Frame> {
        let mut pages = self.pages.lock();
        if !pages.is_dirty(page) {
            return None;
        }
        let frame = pages.get(page)?;
        self.references.share(frame);
        Some(frame)
    }

    /// Its pages come from the disk: see `super::cache`.
    fn load(&self, _page: u64, _frames: &dyn FrameStore) -> Result<Frame, Refusal> {
        Err(Refusal::OutOfMemory)
    }

    /// From its head.
    fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        let head = self.head();
        let head = head.as_deref().unwrap_or_default();
        let from = usize::try_from(offset).ok();
        let found = from.and_then(|from| head.get(from..)).unwrap_or_default();
        let length = found.len().min(into.len());
        into[..length].copy_from_slice(&found[..length]);
        length
    }

    fn evict(&self, page: u64) -> bool {
        let mut pages = self.pages.lock();
        // Only from here does anybody get a first reference, and not while the lock is held.
        let unused = |frame| self.references.count(frame) == 1;
        let Some(frame) = pages.take_clean(page, unused) else {
            return false;
        };
        self.references.release(frame);
        true
    }
}

/// Something of a disk file system that is not in memory.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// What a directory has by a name.
    Child(Arc<Inode>, Vec<u8>),
    /// The head of a program.
    Head(Arc<Inode>),
    /// Pages of a file.
    Pages(Arc<Inode>, Range<u64>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finished_waits_for_somebody_else() {
        let gone = Gone::default();
        assert!(gone.take().is_none());
        for number in [7, 8] {
            gone.add(Left {
                system: SystemId::ROOT,
                number,
                object: number.into(),
                pages: Pages::default(),
            });
        }
        let number = |unfinished: Unfinished<'_>| unfinished.finish().map(|left| left.number);
        let interrupted = gone.take().expect("two are left");
        assert!(gone.any());
        assert_eq!(gone.take().and_then(number), Some(7));
        assert!(!gone.any());
        drop(interrupted);
        assert!(gone.any());
        assert_eq!(gone.take().and_then(number), Some(8));
        assert!(!gone.any() && gone.take().is_none());
    }
}
