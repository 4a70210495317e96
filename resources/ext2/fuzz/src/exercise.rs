//! Makes damaged images, and does with them whatever can be done with a file system.
//!
//! Shared by the fuzzer and the tests of the crate. The module above says which crate `ext2` is.

use std::boxed::Box;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;

use super::ext2::{
    Changes, Context, Data, Error, FileSystem, InodeNumber, IoError, Kind, Options, Purpose,
    Rename, Timestamp, Volume,
};

/// No sound way through a small image makes so many requests.
const MOST_REQUESTS: usize = 200_000;
/// How many inodes are looked at.
const MOST_NODES: usize = 60;

/// The image, with some bytes changed: each six bytes of `changes` say where, in a block that is
/// not empty, and to what.
pub(super) fn damaged(image: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    let used: Vec<usize> = (0..image.len() / 1024)
        .filter(|block| image[block * 1024..][..1024].iter().any(|byte| *byte != 0))
        .collect();
    for change in changes.chunks_exact(6) {
        let block = used[usize::from(change[0]) % used.len()];
        let within = usize::from(u16::from_le_bytes([change[1], change[2]])) % 1024;
        let at = block * 1024 + within;
        // One byte, or three.
        let count = if change[3] & 1 == 0 { 1 } else { 3 };
        for (place, value) in image[at..]
            .iter_mut()
            .zip([change[4], change[5], change[3]])
            .take(count)
        {
            *place = value;
        }
    }
    image
}

/// A volume that completes every request at once, and counts them.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    bytes: Arc<std::sync::Mutex<Vec<u8>>>,
    requests: Arc<AtomicUsize>,
}

impl Memory {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Arc::new(std::sync::Mutex::new(bytes)),
            requests: Arc::default(),
        }
    }

    fn with<R>(&self, offset: u64, length: usize, act: impl FnOnce(&mut [u8]) -> R) -> R {
        let requests = self.requests.fetch_add(1, Ordering::Relaxed);
        assert!(requests < MOST_REQUESTS, "an endless loop");
        let at = usize::try_from(offset).expect("an offset in the volume");
        let mut bytes = self.bytes.lock().expect("nobody has failed");
        act(bytes
            .get_mut(at..at + length)
            .expect("a request inside of the volume"))
    }
}

/// File data of which only the length counts.
#[derive(Debug)]
pub(super) struct Length(usize);

impl Data for Length {
    fn length(&self) -> usize {
        self.0
    }

    fn split(self, at: usize) -> (Self, Self) {
        (Self(at), Self(self.0 - at))
    }

    fn clear(self) {}
}

impl Volume for Memory {
    type Data = Length;

    fn size(&self) -> u64 {
        self.bytes.lock().expect("nobody has failed").len() as u64
    }

    async fn read(&self, offset: u64, bytes: usize, _: Purpose) -> Result<Box<[u8]>, IoError> {
        Ok(self.with(offset, bytes, |bytes| Box::from(&*bytes)))
    }

    async fn write(&self, offset: u64, data: Arc<[u8]>, _: Purpose) -> Result<(), IoError> {
        self.with(offset, data.len(), |bytes| bytes.copy_from_slice(&data));
        Ok(())
    }

    async fn read_data(&self, offset: u64, data: Length, _: Purpose) -> Result<(), IoError> {
        self.with(offset, data.0, |_| ());
        Ok(())
    }

    async fn write_data(&self, offset: u64, data: Length, _: Purpose) -> Result<(), IoError> {
        self.with(offset, data.0, |bytes| bytes.fill(0x5a));
        Ok(())
    }

    async fn flush(&self) -> Result<(), IoError> {
        Ok(())
    }
}

/// Mounts an image and does everything with it. Any error will do, but no panic.
pub(super) async fn exercise(image: Vec<u8>, small_cache: bool) {
    let options = Options {
        cached_blocks: if small_cache { 16 } else { 1024 },
        dirty_blocks: if small_cache { 4 } else { 256 },
        ..Options::default()
    };
    let context = Context {
        now: Timestamp {
            seconds: 1_700_000_000,
            nanoseconds: 0,
        },
        privileged: true,
        ..Context::default()
    };
    let Ok(fs) = FileSystem::mount(Memory::new(image), options, context.now).await else {
        return;
    };
    fs.usage();
    let found = walk(&fs).await;
    for (directory, name, inode) in &found {
        change(&fs, context, *directory, name, *inode).await;
    }
    let _ = fs.sync(context.now).await;
    for (directory, name, inode) in found.iter().rev() {
        let _ = fs.open(*inode).await;
        match fs.unlink(context, *directory, name).await {
            Err(Error::IsADirectory) => {
                let _ = fs.remove_directory(context, *directory, name).await;
            }
            _ => {
                let _ = fs.fsync(*inode, context.now).await;
            }
        }
        let _ = fs.close(*inode).await;
    }
    let _ = fs.unmount(context.now).await;
}

type Name = (InodeNumber, Vec<u8>, InodeNumber);

/// The names there are, and everything read once.
async fn walk(fs: &FileSystem<Memory>) -> Vec<Name> {
    let mut found: Vec<Name> = Vec::new();
    let mut seen = BTreeSet::from([InodeNumber::ROOT]);
    let mut directories = Vec::from([InodeNumber::ROOT]);
    while let Some(directory) = directories.pop() {
        let mut here = Vec::new();
        let _ = fs
            .read_directory(directory, 0, |entry| {
                here.push((directory, entry.name.to_vec(), entry.inode));
                if here.len() < MOST_NODES {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })
            .await;
        for name in here {
            let (_, text, inode) = &name;
            let looked_up = fs.lookup(directory, text).await;
            assert!(looked_up.is_ok() || text.len() > 255 || text.is_empty());
            if text == b"." || text == b".." || !seen.insert(*inode) || seen.len() > MOST_NODES {
                continue;
            }
            if let Ok(attributes) = fs.attributes(*inode).await {
                if attributes.kind == Kind::Directory {
                    directories.push(*inode);
                }
                let _ = fs.read_link(*inode).await;
                for block in [0, 11, 12, 267, 268, 524, attributes.size / 4096] {
                    let _ = fs.read(*inode, block * 4096, Length(4 * 4096)).await;
                }
            }
            found.push(name);
        }
    }
    found
}

/// Changes something in every way.
async fn change(
    fs: &FileSystem<Memory>,
    context: Context,
    directory: InodeNumber,
    name: &[u8],
    inode: InodeNumber,
) {
    let _ = fs.set_attributes(context, inode, Changes::default()).await;
    for block in [0, 12, 268, 66000] {
        let (offset, length) = (block * 4096, 2 * 4096);
        let _ = fs
            .write(context, inode, offset, Length(length), offset + 5000, false)
            .await;
    }
    let _ = fs.truncate(context, inode, 13 * 4096 + 17).await;
    let _ = fs.create(context, inode, b"made", 0o644).await;
    let _ = fs.make_directory(context, inode, b"directory", 0o755).await;
    let _ = fs.symlink(context, directory, b"link", &[b't'; 100]).await;
    let _ = fs.link(context, inode, directory, b"second").await;
    let to = (directory, &b"renamed"[..]);
    let _ = fs
        .rename(context, (directory, name), to, Rename::Replace)
        .await;
    let _ = fs
        .rename(context, to, (directory, name), Rename::Exchange)
        .await;
    let _ = fs
        .rename(context, to, (directory, name), Rename::Replace)
        .await;
    let root = (InodeNumber::ROOT, &b"moved"[..]);
    let _ = fs
        .rename(context, (directory, name), root, Rename::Replace)
        .await;
    let _ = fs
        .rename(context, root, (directory, name), Rename::NoReplace)
        .await;
    let _ = fs.unlink(context, directory, b"second").await;
    let _ = fs.truncate(context, inode, 0).await;
}
