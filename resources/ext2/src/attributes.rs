//! What the operations speak of: inodes by number, their attributes, times, who asks.

/// An inode's number, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeNumber(pub u32);

impl InodeNumber {
    /// The root directory.
    pub const ROOT: Self = Self(2);
}

/// A point in time, as of 1970 (UTC).
///
/// A volume with inodes of 128 bytes stores whole seconds of 1901 to 2038; larger inodes store all
/// of 1901 to 2446. What does not fit is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds, negative before 1970.
    pub seconds: i64,
    /// Nanoseconds, 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// On whose behalf an operation runs, and when. Permissions are the caller's to check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The time the operation leaves in the inodes that it changes.
    pub now: Timestamp,
    /// The owner of what is made.
    pub user: u32,
    /// The group of what is made, unless the directory passes its own on (its set-group-ID bit).
    pub group: u32,
    /// The blocks that are reserved for the super-user may be used.
    pub privileged: bool,
}

/// The kind of an inode, with what belongs to it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file of bytes.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
    /// A character device: its number, as Linux encodes it in 32 bits.
    CharacterDevice(u32),
    /// A block device: its number, as Linux encodes it in 32 bits.
    BlockDevice(u32),
}

/// What `stat` tells of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Its number.
    pub inode: InodeNumber,
    /// What it is.
    pub kind: Kind,
    /// The permission bits and set-ID and sticky bits: 0 to 0o7777.
    pub mode: u16,
    /// How many names it has.
    pub links: u32,
    /// The owner.
    pub user: u32,
    /// The group.
    pub group: u32,
    /// Bytes.
    pub size: u64,
    /// What it takes on the volume, block tables included, in units of 512 bytes.
    pub sectors: u64,
    /// The last reading.
    pub accessed: Timestamp,
    /// The last change of the contents.
    pub modified: Timestamp,
    /// The last change of contents or attributes.
    pub changed: Timestamp,
    /// Differs between the files that have had this number.
    pub generation: u32,
}

/// The attributes to change; `None` leaves one as it is. The time of the change is set to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The permission bits and set-ID and sticky bits: 0 to 0o7777.
    pub mode: Option<u16>,
    /// The owner.
    pub user: Option<u32>,
    /// The group.
    pub group: Option<u32>,
    /// The last reading.
    pub accessed: Option<Timestamp>,
    /// The last change of the contents.
    pub modified: Option<Timestamp>,
}

/// An entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The inode it names.
    pub inode: InodeNumber,
    /// What the inode is, as in `getdents64` (`DT_REG` and so on; 0 when the volume does not say).
    pub kind: u8,
    /// The name: 1 to 255 bytes, without NUL and slash.
    pub name: &'a [u8],
    /// Where to go on after this entry.
    pub next: u64,
}

/// How `rename` treats a name that is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rename {
    /// It is replaced.
    #[default]
    Replace,
    /// It is refused (`RENAME_NOREPLACE`).
    NoReplace,
    /// The two change places (`RENAME_EXCHANGE`).
    Exchange,
}

/// What `statfs` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The block size in bytes.
    pub block_size: u32,
    /// Blocks for files and their tables.
    pub blocks: u64,
    /// Those that are free.
    pub free_blocks: u64,
    /// Those of them that anybody may use.
    pub available_blocks: u64,
    /// Inodes.
    pub inodes: u64,
    /// Those that are free.
    pub free_inodes: u64,
    /// The volume's identifier.
    pub uuid: [u8; 16],
    /// The longest name in bytes.
    pub longest_name: u32,
}

/// How to mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Nothing is written, not even what mounting would write.
    pub read_only: bool,
    /// How many blocks of metadata are kept in memory, about.
    pub cached_blocks: usize,
    /// How many blocks of metadata may wait to be written, about, before operations write them.
    pub dirty_blocks: usize,
}

impl Default for Options {
    /// Read and write; 2048 blocks, of which 512 may be changed.
    fn default() -> Self {
        Self {
            read_only: false,
            cached_blocks: 2048,
            dirty_blocks: 512,
        }
    }
}
