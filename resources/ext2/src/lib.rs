//! The ext2 file system on asynchronous block requests: the logic of the paper's EXT2R (section 4.5).
//!
//! - [`Volume`]: what it stands on; [`Data`], the memory of file data; [`Purpose`], who pays.
//! - [`FileSystem`]: a mounted volume. Every operation is an `async fn` on `&self`; operations run
//!   interleaved, on any core.
//! - [`Attributes`], [`Context`], [`Error`]: what operations take and give.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod allocate;
mod attributes;
mod batch;
mod buffers;
mod commit;
mod data;
mod directory;
mod error;
mod file_system;
mod inodes;
mod join;
mod layout;
mod lock;
mod mount;
mod names;
mod ranges;
mod refuge;
mod rename;
mod shrink;
mod state;
mod tables;
#[cfg(test)]
mod tests;
mod volume;

pub use attributes::{
    Attributes, Changes, Context, Entry, InodeNumber, Kind, Options, Rename, Timestamp, Usage,
};
pub use error::{Error, MountError};
pub use file_system::FileSystem;
pub use volume::{Data, IoError, Purpose, Volume};
