//! The boot ramdisk: a POSIX ustar archive, read in place.
//!
//! [`Ramdisk::new`] checks the whole archive once: every header's checksum, kind, size and name, no
//! name twice, the end mark. After that no access can fail, and a file's content is a slice of
//! the archive. Where the archive is damaged the [`RamdiskError`] names the byte.
//!
//! `tar-no-std` reads the headers; what it leaves open (ustar only, plain files and directories
//! only, clean unique names, a bounded number of files) is checked here.
//! Format: IEEE Std 1003.1, section "ustar Interchange Format".

use core::fmt;

use arrayvec::ArrayString;
use tar_no_std::{CorruptDataError, PosixHeader, TarArchiveRef, TypeFlag};

/// Bytes of a header, and the unit of everything in an archive.
const BLOCK: usize = 512;

/// How many files a ramdisk may have; bounds the time that the check for double names takes.
pub const MAX_FILES: usize = 1024;

/// The longest name ustar can express: a prefix of 155 bytes, a slash, a name of 100 bytes.
pub const MAX_NAME: usize = 256;

/// A file's name: components separated by `/`, none of them empty, `.` or `..`.
pub type FileName = ArrayString<MAX_NAME>;

/// A file in the ramdisk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File<'a> {
    /// Its name, without a leading `./`.
    pub name: FileName,
    /// Its content.
    pub data: &'a [u8],
}

/// A ramdisk that was checked from its first to its last byte.
#[derive(Clone, Debug)]
pub struct Ramdisk<'a> {
    archive: TarArchiveRef<'a>,
    bytes: &'a [u8],
}

/// What is wrong with a ramdisk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RamdiskError {
    /// There are no bytes at all.
    Empty,
    /// The length is not a multiple of 512 bytes, or less than the shortest archive: it was cut.
    Length(usize),
    /// The header at this offset does not match its own checksum.
    Checksum {
        /// The header's offset in bytes.
        offset: usize,
    },
    /// The header at this offset is not one of POSIX ustar.
    NotUstar {
        /// The header's offset in bytes.
        offset: usize,
    },
    /// The entry at this offset is neither a plain file nor a directory.
    Kind {
        /// The header's offset in bytes.
        offset: usize,
    },
    /// The size at this offset is not an octal number.
    Size {
        /// The header's offset in bytes.
        offset: usize,
    },
    /// The file's content would reach past the archive's end.
    BeyondEnd {
        /// The header's offset in bytes.
        offset: usize,
        /// The archive's length in bytes.
        len: usize,
    },
    /// The archive ends without its end mark of two empty blocks: it was cut.
    NoEnd {
        /// The archive's length in bytes.
        len: usize,
    },
    /// A name that is not UTF-8, is absolute, or has an empty, `.` or `..` component or a control
    /// character.
    Name {
        /// The header's offset in bytes.
        offset: usize,
    },
    /// Two files have one name.
    Duplicate {
        /// The second one's header's offset in bytes.
        offset: usize,
        /// The first one's header's offset in bytes.
        first: usize,
    },
    /// There are more than [`MAX_FILES`] files.
    TooManyFiles,
}

impl fmt::Display for RamdiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ramdisk: ")?;
        match self {
            Self::Empty => f.write_str("it is empty; expected a ustar archive"),
            Self::Length(len) => write!(
                f,
                "it has {len} bytes; expected a ustar archive of three or more blocks of 512 bytes \
                 (is it cut off?)"
            ),
            Self::Checksum { offset } => {
                write!(
                    f,
                    "the header at byte {offset} is damaged: its checksum does not match"
                )
            }
            Self::NotUstar { offset } => write!(
                f,
                "the header at byte {offset} is not in the ustar format (tar --format=ustar)"
            ),
            Self::Kind { offset } => write!(
                f,
                "the entry at byte {offset} is neither a plain file nor a directory; \
                 expected only these"
            ),
            Self::Size { offset } => write!(
                f,
                "the header at byte {offset} has a damaged size; expected an octal number"
            ),
            Self::BeyondEnd { offset, len } => write!(
                f,
                "the file at byte {offset} reaches past the end, byte {len} (is it cut off?)"
            ),
            Self::NoEnd { len } => write!(
                f,
                "two empty blocks expected before its end at byte {len} (is it cut off?)"
            ),
            Self::Name { offset } => write!(
                f,
                "the header at byte {offset} has a bad name; expected UTF-8, relative, without \
                 \"..\""
            ),
            Self::Duplicate { offset, first } => {
                write!(
                    f,
                    "the headers at bytes {first} and {offset} have the same name"
                )
            }
            Self::TooManyFiles => write!(f, "it has more than {MAX_FILES} files"),
        }
    }
}

impl core::error::Error for RamdiskError {}

impl<'a> Ramdisk<'a> {
    /// Checks an archive and opens it. `bytes` comes from outside and may be anything.
    ///
    /// # Errors
    /// When anything in it is not as it should be.
    pub fn new(bytes: &'a [u8]) -> Result<Self, RamdiskError> {
        let archive = TarArchiveRef::new(bytes).map_err(|error| located(error, bytes.len()))?;
        let ramdisk = Self { archive, bytes };
        for (index, (block, header)) in ramdisk.archive.headers().enumerate() {
            let offset = block * BLOCK;
            if index >= MAX_FILES {
                return Err(RamdiskError::TooManyFiles);
            }
            if header.magic.as_str() != Ok("ustar") || header.version.as_str() != Ok("00") {
                return Err(RamdiskError::NotUstar { offset });
            }
            match kind(header) {
                Some(Kind::Directory) => {}
                Some(Kind::File) => ramdisk.check_file(offset, header)?,
                None => return Err(RamdiskError::Kind { offset }),
            }
        }
        Ok(ramdisk)
    }

    /// The files, in the archive's order.
    pub fn files(&self) -> impl Iterator<Item = File<'a>> + use<'a> {
        self.located_files().map(|(_, file)| file)
    }

    /// The content of the file with this name.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&'a [u8]> {
        self.files()
            .find(|file| &file.name == name)
            .map(|file| file.data)
    }

    /// Checks one file's size and name, and that no file before it has the name.
    fn check_file(&self, offset: usize, header: &PosixHeader) -> Result<(), RamdiskError> {
        if content(self.bytes, offset, header).is_none() {
            return Err(RamdiskError::Size { offset });
        }
        let name = name(header).ok_or(RamdiskError::Name { offset })?;
        let mut before = self
            .located_files()
            .take_while(|&(other, _)| other < offset);
        match before.find(|(_, file)| file.name == name) {
            Some((first, _)) => Err(RamdiskError::Duplicate { offset, first }),
            None => Ok(()),
        }
    }

    /// The files with their headers' offsets.
    fn located_files(&self) -> impl Iterator<Item = (usize, File<'a>)> + use<'a> {
        let bytes = self.bytes;
        self.archive
            .headers()
            .filter(|(_, header)| kind(header) == Some(Kind::File))
            .filter_map(move |(block, header)| {
                let offset = block * BLOCK;
                let data = content(bytes, offset, header)?;
                Some((
                    offset,
                    File {
                        name: name(header)?,
                        data,
                    },
                ))
            })
    }
}

/// The kinds of entries that a ramdisk may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
}

fn kind(header: &PosixHeader) -> Option<Kind> {
    match header.typeflag.try_to_type_flag() {
        Ok(TypeFlag::REGTYPE | TypeFlag::AREGTYPE) => Some(Kind::File),
        Ok(TypeFlag::DIRTYPE) => Some(Kind::Directory),
        _ => None,
    }
}

/// The content of the file whose header is at `offset`.
fn content<'a>(bytes: &'a [u8], offset: usize, header: &PosixHeader) -> Option<&'a [u8]> {
    let size: usize = header.size.as_number().ok()?;
    let start = offset.checked_add(BLOCK)?;
    bytes.get(start..start.checked_add(size)?)
}

/// The name in a header, or `None` when it is not a clean relative one.
fn name(header: &PosixHeader) -> Option<FileName> {
    let mut full = FileName::new();
    if !header.prefix.is_empty() {
        full.try_push_str(header.prefix.as_str().ok()?).ok()?;
        full.try_push('/').ok()?;
    }
    full.try_push_str(header.name.as_str().ok()?).ok()?;
    let relative = full.strip_prefix("./").unwrap_or(&full);
    let clean = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
    relative
        .split('/')
        .all(clean)
        .then(|| FileName::from(relative).ok())
        .flatten()
}

/// What `tar-no-std` found, with its place in bytes.
fn located(error: CorruptDataError, len: usize) -> RamdiskError {
    match error {
        CorruptDataError::EmptyArchive => RamdiskError::Empty,
        CorruptDataError::InvalidBlockSize | CorruptDataError::TooShort { .. } => {
            RamdiskError::Length(len)
        }
        CorruptDataError::InvalidChecksum { block_index } => RamdiskError::Checksum {
            offset: block_index * BLOCK,
        },
        CorruptDataError::InvalidTypeFlag { block_index } => RamdiskError::Kind {
            offset: block_index * BLOCK,
        },
        CorruptDataError::InvalidPayloadSize { block_index } => RamdiskError::Size {
            offset: block_index * BLOCK,
        },
        CorruptDataError::PayloadExtendsBeyondArchive { block_index } => RamdiskError::BeyondEnd {
            offset: block_index * BLOCK,
            len,
        },
        CorruptDataError::MissingTerminator => RamdiskError::NoEnd { len },
    }
}

#[cfg(test)]
mod tests;
