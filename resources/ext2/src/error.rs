//! What goes wrong, and Linux's numbers for it.

use alloc::string::String;
use core::fmt;

use crate::volume::IoError;

/// Why an operation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no such name or inode (ENOENT).
    NotFound,
    /// The name is taken (EEXIST).
    Exists,
    /// The directory has entries (ENOTEMPTY).
    NotEmpty,
    /// No block or inode is free (ENOSPC).
    NoSpace,
    /// The device failed (EIO).
    Io,
    /// Mounted without writing (EROFS).
    ReadOnly,
    /// A name longer than 255 bytes, or a link's target longer than a block (ENAMETOOLONG).
    NameTooLong,
    /// An inode has as many links as the format can count (EMLINK).
    TooManyLinks,
    /// Past the largest file of the format (EFBIG).
    TooLarge,
    /// A directory was expected (ENOTDIR).
    NotADirectory,
    /// Anything but a directory was expected (EISDIR).
    IsADirectory,
    /// The arguments make no sense (EINVAL).
    Invalid,
    /// Not permitted on this inode, whoever asks (EPERM): a link to a directory, a change of an
    /// immutable file.
    NotPermitted,
    /// The root directory cannot be removed or renamed (EBUSY).
    Busy,
    /// What is on the volume is not a sound file system: what is wrong with it (EUCLEAN).
    Corrupt(&'static str),
}

impl Error {
    /// Linux's positive number for it, as on x86-64.
    #[must_use]
    pub const fn errno(self) -> i32 {
        match self {
            Self::NotPermitted => 1,
            Self::NotFound => 2,
            Self::Io => 5,
            Self::Busy => 16,
            Self::Exists => 17,
            Self::NotADirectory => 20,
            Self::IsADirectory => 21,
            Self::Invalid => 22,
            Self::TooLarge => 27,
            Self::NoSpace => 28,
            Self::ReadOnly => 30,
            Self::TooManyLinks => 31,
            Self::NameTooLong => 36,
            Self::NotEmpty => 39,
            Self::Corrupt(_) => 117,
        }
    }
}

impl From<IoError> for Error {
    fn from(_: IoError) -> Self {
        Self::Io
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NotFound => "no such file or directory",
            Self::Exists => "the file exists",
            Self::NotEmpty => "the directory is not empty",
            Self::NoSpace => "no space is left on the volume",
            Self::Io => "the device failed",
            Self::ReadOnly => "the file system is read-only",
            Self::NameTooLong => "the name is too long",
            Self::TooManyLinks => "too many links",
            Self::TooLarge => "the file is too large",
            Self::NotADirectory => "not a directory",
            Self::IsADirectory => "is a directory",
            Self::Invalid => "invalid argument",
            Self::NotPermitted => "the operation is not permitted",
            Self::Busy => "the directory is in use",
            Self::Corrupt(what) => return write!(f, "the file system is damaged: {what}"),
        };
        f.write_str(text)
    }
}

impl core::error::Error for Error {}

/// Why a volume cannot be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountError {
    /// The device failed.
    Io,
    /// There is no ext2 file system on the volume.
    NotExt2,
    /// The file system uses features that are not understood: their names, with commas.
    Incompatible(String),
    /// It cannot be a sound file system: what is wrong with it.
    Corrupt(&'static str),
}

impl MountError {
    /// Linux's positive number for it, as on x86-64.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Io => 5,
            Self::NotExt2 | Self::Incompatible(_) => 22,
            Self::Corrupt(_) => 117,
        }
    }
}

impl From<IoError> for MountError {
    fn from(_: IoError) -> Self {
        Self::Io
    }
}

impl From<Error> for MountError {
    fn from(error: Error) -> Self {
        match error {
            Error::Corrupt(what) => Self::Corrupt(what),
            _ => Self::Io,
        }
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io => f.write_str("the device failed"),
            Self::NotExt2 => f.write_str("there is no ext2 file system on the volume"),
            Self::Incompatible(features) => {
                write!(f, "the file system uses unknown features: {features}")
            }
            Self::Corrupt(what) => write!(f, "the file system is damaged: {what}"),
        }
    }
}

impl core::error::Error for MountError {}
