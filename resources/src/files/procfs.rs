//! `/proc`: what there is to read of the system and of each process (proc(5)).
//!
//! Key types: [`Place`] (what a path in it leads to), [`Processes`] (who knows what is there).
//!
//! What is in a file is put together when it is opened, and is of that time: who wants it anew opens
//! it anew.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use linux_raw_sys::general::{S_IFDIR, S_IFLNK, S_IFREG};

use super::tree::Node;
use crate::errno::Errno;

/// A file about the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemFile {
    /// The cores.
    Cpuinfo,
    /// Kinds of file systems.
    Filesystems,
    /// How much there is to do.
    Loadavg,
    /// Memory, and what is free of it.
    Meminfo,
    /// What is mounted where.
    Mounts,
    /// Where the cores' time has gone.
    Stat,
    /// For how long it has been up.
    Uptime,
    /// The kernel.
    Version,
}

/// A file about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessFile {
    /// Its arguments, each with a zero behind it.
    Cmdline,
    /// Its name.
    Comm,
    /// All about it, in one line.
    Stat,
    /// Its memory, in pages.
    Statm,
    /// The most important of it, to be read by people.
    Status,
}

/// What is in `/proc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `/proc` itself.
    Root,
    /// `/proc/self`: a link to who asks.
    Own,
    /// A file about the system.
    System(SystemFile),
    /// The directory of a process.
    Process(u32),
    /// A file about a process.
    File(u32, ProcessFile),
    /// A link to its program.
    Program(u32),
}

/// The entries of the root, besides those of processes.
const ROOT: &[(&[u8], Place)] = &[
    (b"cpuinfo", Place::System(SystemFile::Cpuinfo)),
    (b"filesystems", Place::System(SystemFile::Filesystems)),
    (b"loadavg", Place::System(SystemFile::Loadavg)),
    (b"meminfo", Place::System(SystemFile::Meminfo)),
    (b"mounts", Place::System(SystemFile::Mounts)),
    (b"self", Place::Own),
    (b"stat", Place::System(SystemFile::Stat)),
    (b"uptime", Place::System(SystemFile::Uptime)),
    (b"version", Place::System(SystemFile::Version)),
];

/// The files of a process; its link `exe` comes behind them.
const FILES: &[(&[u8], ProcessFile)] = &[
    (b"cmdline", ProcessFile::Cmdline),
    (b"comm", ProcessFile::Comm),
    (b"stat", ProcessFile::Stat),
    (b"statm", ProcessFile::Statm),
    (b"status", ProcessFile::Status),
];
const EXE: &[u8] = b"exe";

/// Who knows what is in `/proc`.
pub trait Processes {
    /// The numbers of all processes, in order.
    fn ids(&self) -> Vec<u32>;
    /// Whether there is a process of this number.
    fn is_there(&self, id: u32) -> bool;
    /// The path of its program.
    fn program(&self, id: u32) -> Option<Vec<u8>>;
    /// What a file about the system says.
    fn system_file(&self, file: SystemFile) -> Vec<u8>;
    /// What a file about a process says, while there is one.
    fn process_file(&self, id: u32, file: ProcessFile) -> Option<Vec<u8>>;
}

/// `/proc`, as one process sees it.
#[derive(Clone, Copy)]
pub struct Procfs<'a> {
    /// Who knows what is there.
    pub all: &'a dyn Processes,
    /// The number of who looks.
    pub own: u32,
}

impl fmt::Debug for Procfs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Procfs")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl Procfs<'_> {
    /// What a directory has under a name.
    #[must_use]
    pub fn child(&self, at: Place, name: &[u8]) -> Option<Place> {
        match at {
            Place::Root => {
                let fixed = ROOT.iter().find(|(known, _)| *known == name);
                fixed.map(|(_, place)| *place).or_else(|| {
                    let id = number(name).filter(|id| self.all.is_there(*id));
                    id.map(Place::Process)
                })
            }
            Place::Process(id) if name == EXE => Some(Place::Program(id)),
            Place::Process(id) => {
                let file = FILES.iter().find(|(known, _)| *known == name);
                file.map(|(_, file)| Place::File(id, *file))
            }
            _ => None,
        }
    }

    /// The entry of a directory at a position, which is 2 or more, and the position behind it.
    #[must_use]
    pub fn entry(&self, at: Place, position: u64) -> Option<(Vec<u8>, Place, u64)> {
        let index = usize::try_from(position.checked_sub(2)?).ok()?;
        if at == Place::Root {
            if let Some((name, place)) = ROOT.get(index) {
                return Some((name.to_vec(), *place, position + 1));
            }
            // Behind them, each process is at the position of its number: it does not matter which
            // end meanwhile.
            let first = (index - ROOT.len()) as u64;
            let all = self.all.ids();
            let id = all.into_iter().find(|id| u64::from(*id) >= first)?;
            let next = 2 + ROOT.len() as u64 + u64::from(id) + 1;
            return Some((decimal(id), Place::Process(id), next));
        }
        let Place::Process(id) = at else { return None };
        let (name, place) = match FILES.get(index) {
            Some((name, file)) => (*name, Place::File(id, *file)),
            None if index == FILES.len() => (EXE, Place::Program(id)),
            None => return None,
        };
        Some((name.to_vec(), place, position + 1))
    }

    /// Where a link leads; `None` for what is none. `running` is the program of who looks.
    #[must_use]
    pub fn target(&self, place: Place, running: &[u8]) -> Option<Vec<u8>> {
        match place {
            Place::Own => Some(decimal(self.own)),
            Place::Program(id) if id == self.own => Some(running.to_vec()),
            Place::Program(id) => self.all.program(id),
            _ => None,
        }
    }

    /// What is in a file now.
    ///
    /// # Errors
    /// ESRCH if its process is no more; ELOOP for a link, EISDIR for a directory.
    pub fn content(&self, place: Place) -> Result<Arc<[u8]>, Errno> {
        match place {
            Place::System(file) => Ok(self.all.system_file(file).into()),
            Place::File(id, file) => {
                let content = self.all.process_file(id, file);
                Ok(content.ok_or(Errno::ESRCH)?.into())
            }
            Place::Own | Place::Program(_) => Err(Errno::ELOOP),
            Place::Root | Place::Process(_) => Err(Errno::EISDIR),
        }
    }
}

impl Place {
    /// Whether it is a directory.
    #[must_use]
    pub const fn is_directory(self) -> bool {
        matches!(self, Self::Root | Self::Process(_))
    }

    /// The directory that a directory is in: `None` for the root of all.
    #[must_use]
    pub fn parent(self) -> Option<Node> {
        match self {
            Self::Root => None,
            _ => Some(Node::Process(Self::Root)),
        }
    }

    /// The absolute path of a directory.
    #[must_use]
    pub fn path(self) -> Vec<u8> {
        let mut path = b"/proc".to_vec();
        if let Self::Process(id) = self {
            path.push(b'/');
            path.extend(decimal(id));
        }
        path
    }

    /// Type and permissions, as in `st_mode`.
    #[must_use]
    pub const fn mode(self) -> u32 {
        match self {
            Self::Root | Self::Process(_) => S_IFDIR | 0o555,
            Self::System(_) | Self::File(..) => S_IFREG | 0o444,
            Self::Own | Self::Program(_) => S_IFLNK | 0o777,
        }
    }

    /// A number of its own.
    #[must_use]
    pub fn inode(self) -> u64 {
        const OF_PROCESS: u64 = 16;
        let within = |id: u32, at: usize| (u64::from(id) + 1) * OF_PROCESS + at as u64;
        match self {
            Self::Root => 1,
            Self::Process(id) => within(id, 0),
            Self::Program(id) => within(id, 1),
            Self::File(id, file) => {
                let at = FILES.iter().position(|(_, known)| *known == file);
                within(id, 2 + at.unwrap_or(0))
            }
            Self::Own | Self::System(_) => {
                let at = ROOT.iter().position(|(_, known)| *known == self);
                2 + at.unwrap_or(0) as u64
            }
        }
    }
}

fn decimal(number: u32) -> Vec<u8> {
    alloc::format!("{number}").into_bytes()
}

/// A number as it is written here: without anything else, and no zero before it.
fn number(name: &[u8]) -> Option<u32> {
    let number = core::str::from_utf8(name).ok()?.parse().ok()?;
    (decimal(number) == name).then_some(number)
}

#[cfg(test)]
mod tests;
