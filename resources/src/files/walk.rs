//! From a path to a node (POSIX.1-2017, 4.13 "Pathname Resolution"; path_resolution(7)).
//!
//! Key types: [`Found`]. No recursion: what is left of the path, and of the links in it, is on a
//! list of at most [`MAX_LINKS`] + 1.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::archive::{Archive, Kind, MAX_NAME, NodeId};
use crate::errno::Errno;
use crate::object::Object;

/// Any of the three execute permissions: of the owner, the group, all others.
pub(super) const EXECUTE: u16 = 0o111;

/// How many symbolic links a path may lead through, as on Linux.
pub const MAX_LINKS: usize = 40;
/// Bytes of a path with its end mark may not be more (`PATH_MAX`).
pub const MAX_PATH: usize = 4096;

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Here.
    Node(NodeId),
    /// To a name that is not there, in a directory that is.
    Missing(NodeId),
}

impl Found {
    /// The node.
    ///
    /// # Errors
    /// ENOENT if it is not there.
    pub fn node(self) -> Result<NodeId, Errno> {
        match self {
            Self::Node(id) => Ok(id),
            Self::Missing(_) => Err(Errno::ENOENT),
        }
    }
}

impl Archive {
    /// Follows `path` from the directory `start`. `follow` says whether a symbolic link at its end
    /// is followed; `program` is where `/proc/self/exe` leads.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG.
    pub fn walk(
        &self,
        start: NodeId,
        path: &[u8],
        follow: bool,
        program: &[u8],
    ) -> Result<Found, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() >= MAX_PATH {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut at = if path.starts_with(b"/") {
            NodeId::ROOT
        } else {
            start
        };
        let mut left: Vec<&[u8]> = alloc::vec![path];
        let mut links = 0;
        while let Some(rest) = left.pop() {
            let Some((name, rest)) = next(rest) else {
                continue;
            };
            // A path that goes on, be it with a slash alone, goes on in a directory.
            let is_last = rest.is_empty() && left.is_empty();
            if !rest.is_empty() {
                left.push(rest);
            }
            let Some(child) = self.child(at, name)? else {
                return if is_last {
                    Ok(Found::Missing(at))
                } else {
                    Err(Errno::ENOENT)
                };
            };
            let target = match &self.node(child).kind {
                Kind::Link(target) if follow || !is_last => Some(*target),
                Kind::Program if follow || !is_last => Some(program),
                _ => None,
            };
            if let Some(target) = target {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::ELOOP);
                }
                match target.first() {
                    None => return Err(Errno::ENOENT),
                    Some(b'/') => at = NodeId::ROOT,
                    Some(_) => {}
                }
                left.push(target);
                continue;
            }
            if !is_last && self.directory(child).is_none() {
                return Err(Errno::ENOTDIR);
            }
            at = child;
        }
        Ok(Found::Node(at))
    }

    /// The file of a program.
    ///
    /// # Errors
    /// As execve(2) for its path: ENOENT and so on; EACCES if it is no file, or not executable.
    pub fn program(&self, path: &[u8]) -> Result<Arc<dyn Object>, Errno> {
        self.program_at(self.walk(NodeId::ROOT, path, true, b"")?.node()?)
    }

    /// The file of a program at a node.
    ///
    /// # Errors
    /// EACCES if it is no file, or not executable.
    pub fn program_at(&self, node: NodeId) -> Result<Arc<dyn Object>, Errno> {
        let node = self.node(node);
        match &node.kind {
            Kind::File(file) if node.mode & EXECUTE != 0 => Ok(Arc::clone(file) as Arc<dyn Object>),
            _ => Err(Errno::EACCES),
        }
    }

    /// What a directory has under a name.
    fn child(&self, at: NodeId, name: &[u8]) -> Result<Option<NodeId>, Errno> {
        let directory = self.directory(at).ok_or(Errno::ENOTDIR)?;
        match name {
            b"." => Ok(Some(at)),
            b".." => Ok(Some(directory.parent())),
            _ if name.len() > MAX_NAME => Err(Errno::ENAMETOOLONG),
            _ => Ok(directory.entry(name)),
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
