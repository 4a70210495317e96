//! Reading a tar archive in place: POSIX ustar, with the long names of pax and of GNU tar.
//!
//! Key types: [`Tar`] (an iterator), [`Entry`], [`TarError`]. A damaged archive is read as far as
//! it goes: the error names the byte, what came before it is good.
//!
//! Not `tar-no-std`, which `kernel/base` uses for the boot ramdisk: it refuses a damaged archive as
//! a whole, knows no long names, and takes times for decimal.
//!
//! Format: IEEE Std 1003.1-2017, pax, "ustar Interchange Format" and "pax Extended Header".

use core::fmt;

/// Bytes of a header, and the unit of everything in an archive.
const BLOCK: usize = 512;

/// An entry of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Where its header is, in bytes.
    pub offset: usize,
    /// Its path as written: a directory part, which may be empty, and the rest.
    pub path: (&'a [u8], &'a [u8]),
    /// What it is.
    pub what: What<'a>,
    /// Permissions, with the set-user-ID, set-group-ID and sticky bits.
    pub mode: u16,
    /// Its owner.
    pub owner: u32,
    /// Its group.
    pub group: u32,
    /// When its content was changed, in seconds since 1970.
    pub changed: i64,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// A file with this content.
    File(&'a [u8]),
    /// A directory.
    Directory,
    /// A symbolic link with this target.
    Link(&'a [u8]),
    /// Another name for the entry with this path.
    HardLink(&'a [u8]),
    /// Something else, by its type flag.
    Other(u8),
}

/// Where an archive is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TarError {
    /// The header at this offset does not match its checksum.
    Checksum(usize),
    /// A number in the header at this offset cannot be read.
    Number(usize),
    /// The content of the entry at this offset reaches beyond the archive's end.
    BeyondEnd(usize),
    /// The extended header at this offset is not made of records.
    Record(usize),
    /// The archive has no end mark; it is this long.
    NoEnd(usize),
}

impl fmt::Display for TarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum(at) => {
                write!(f, "the header at byte {at} does not match its checksum")
            }
            Self::Number(at) => write!(f, "a number in the header at byte {at} is not octal"),
            Self::BeyondEnd(at) => {
                write!(
                    f,
                    "the file at byte {at} reaches beyond the end (is it cut off?)"
                )
            }
            Self::Record(at) => write!(f, "the extended header at byte {at} is damaged"),
            Self::NoEnd(length) => {
                write!(
                    f,
                    "no end mark before its end at byte {length} (is it cut off?)"
                )
            }
        }
    }
}

impl core::error::Error for TarError {}

/// The entries of an archive, up to its end or to where it is damaged.
#[derive(Clone, Debug)]
pub struct Tar<'a> {
    bytes: &'a [u8],
    /// Of the next header; beyond the end when there is no more.
    offset: usize,
}

/// What an extended header says of the entry after it.
#[derive(Clone, Copy, Default)]
struct Extension<'a> {
    path: Option<&'a [u8]>,
    link: Option<&'a [u8]>,
    size: Option<u64>,
    changed: Option<i64>,
}

impl<'a> Tar<'a> {
    /// Of these bytes, which may be anything.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// The next entry; `None` at the end mark.
    fn read(&mut self) -> Result<Option<Entry<'a>>, TarError> {
        let mut extension = Extension::default();
        loop {
            let offset = self.offset;
            let end = TarError::NoEnd(self.bytes.len());
            let header: &[u8; BLOCK] = self
                .bytes
                .get(offset..)
                .and_then(<[u8]>::first_chunk)
                .ok_or(end)?;
            if header.iter().all(|&byte| byte == 0) {
                return Ok(None);
            }
            check(header)
                .then_some(())
                .ok_or(TarError::Checksum(offset))?;
            let flag = header[156];
            let size = extension
                .size
                .filter(|_| !matches!(flag, b'x' | b'g' | b'L' | b'K'));
            let size = match size {
                Some(size) => size,
                // Links and directories may have a size and still no content.
                None if matches!(flag, b'1'..=b'6') => 0,
                None => number(&header[124..136]).ok_or(TarError::Number(offset))?,
            };
            let content = self.take(offset, size).ok_or(TarError::BeyondEnd(offset))?;
            match flag {
                b'x' => extension.read(content).ok_or(TarError::Record(offset))?,
                b'g' => {}
                b'L' => extension.path = Some(string(content)),
                b'K' => extension.link = Some(string(content)),
                _ => {
                    let entry = entry(offset, header_in(self.bytes, offset), content, extension);
                    return entry.ok_or(TarError::Number(offset)).map(Some);
                }
            }
        }
    }

    /// The content of `size` bytes behind the header at `offset`; goes on behind it.
    fn take(&mut self, offset: usize, size: u64) -> Option<&'a [u8]> {
        let start = offset + BLOCK;
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        let content = self.bytes.get(start..end)?;
        self.offset = end.checked_next_multiple_of(BLOCK)?;
        Some(content)
    }
}

impl<'a> Iterator for Tar<'a> {
    type Item = Result<Entry<'a>, TarError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset == usize::MAX {
            return None;
        }
        let entry = self.read();
        if !matches!(entry, Ok(Some(_))) {
            self.offset = usize::MAX;
        }
        entry.transpose()
    }
}

/// The bytes of a header that is known to be there.
fn header_in(bytes: &[u8], offset: usize) -> &[u8] {
    &bytes[offset..offset + BLOCK]
}

fn entry<'a>(
    offset: usize,
    header: &'a [u8],
    content: &'a [u8],
    extension: Extension<'a>,
) -> Option<Entry<'a>> {
    // GNU tar has other things where ustar has the prefix.
    let prefix = if &header[257..263] == b"ustar\0" {
        string(&header[345..500])
    } else {
        b""
    };
    let path = extension
        .path
        .map_or((prefix, string(&header[..100])), |path| (&b""[..], path));
    let link = extension.link.unwrap_or(string(&header[157..257]));
    let what = match header[156] {
        // Before POSIX, a directory was a file whose name ends with a slash.
        0 | b'0' | b'7' if path.1.ends_with(b"/") => What::Directory,
        0 | b'0' | b'7' => What::File(content),
        b'1' => What::HardLink(link),
        b'2' => What::Link(link),
        b'5' => What::Directory,
        other => What::Other(other),
    };
    let field = |range: core::ops::Range<usize>| number(&header[range]);
    let changed = extension
        .changed
        .or_else(|| i64::try_from(field(136..148)?).ok());
    Some(Entry {
        offset,
        path,
        what,
        mode: (field(100..108)? & 0o7777) as u16,
        owner: u32::try_from(field(108..116)?).ok()?,
        group: u32::try_from(field(116..124)?).ok()?,
        changed: changed?,
    })
}

/// Whether a header matches its checksum: the sum of its bytes, the checksum's own being blanks.
fn check(header: &[u8; BLOCK]) -> bool {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    let blanks = 8 * u64::from(b' ');
    let expected = sum(header) - sum(&header[148..156]) + blanks;
    number(&header[148..156]) == Some(expected)
}

/// Up to the first zero byte.
fn string(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or(field)
}

/// A number in octal, or in binary if the first bit is set (GNU tar).
fn number(field: &[u8]) -> Option<u64> {
    if let Some((0x80, rest)) = field.split_first().map(|(&first, rest)| (first, rest)) {
        let fold = |value: u64, &byte: &u8| value.checked_mul(256)?.checked_add(byte.into());
        return rest.iter().try_fold(0, fold);
    }
    let text = str::from_utf8(string(field)).ok()?.trim_matches(' ');
    if text.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(text, 8)
        .ok()
        .filter(|_| !text.starts_with('+'))
}

impl<'a> Extension<'a> {
    /// Reads the records of a pax header: `LENGTH KEY=VALUE\n` each.
    fn read(&mut self, mut records: &'a [u8]) -> Option<()> {
        while !records.is_empty() {
            let blank = records.iter().take(20).position(|&byte| byte == b' ')?;
            let length: usize = str::from_utf8(&records[..blank]).ok()?.parse().ok()?;
            let record = records.get(blank + 1..length)?.strip_suffix(b"\n")?;
            records = &records[length..];
            let equals = record.iter().position(|&byte| byte == b'=')?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            let text = || str::from_utf8(value).ok();
            match key {
                b"path" => self.path = Some(value),
                b"linkpath" => self.link = Some(value),
                b"size" => self.size = Some(text()?.parse().ok()?),
                b"mtime" => self.changed = Some(text()?.split('.').next()?.parse().ok()?),
                _ => {}
            }
        }
        Some(())
    }
}
