//! Bounds of paths, and programs by their paths.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Failure;
use super::archive::{Archive, Kind, NodeId};
use super::inode::{FileType, Wanted};
use super::operation::Operation;
use super::tree::{Follow, Names, Node};
use crate::errno::Errno;
use crate::object::Object;

/// Any of the three execute permissions: of the owner, the group, all others.
pub(super) const EXECUTE: u16 = 0o111;

/// How many symbolic links a path may lead through, as on Linux.
pub const MAX_LINKS: usize = 40;
/// Bytes of a path with its end mark may not be more (`PATH_MAX`).
pub const MAX_PATH: usize = 4096;

impl Archive {
    /// The node of the archive that a path leads to.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG.
    pub fn find(&self, path: &[u8]) -> Result<NodeId, Errno> {
        let names = Names {
            archive: self,
            disk: None,
            procfs: None,
        };
        let found = names.walk(&NodeId::ROOT.into(), path, Follow::Always, b"");
        match found {
            Ok(found) => match found.node()? {
                Node::Archive(id) => Ok(id),
                Node::Disk(_) | Node::Process(_) => Err(Errno::ENOENT),
            },
            Err(super::tree::Lost::Error(error)) => Err(error),
            Err(super::tree::Lost::Absent(_)) => Err(Errno::ENOENT),
        }
    }

    /// The file of a program.
    ///
    /// # Errors
    /// As execve(2) for its path: ENOENT and so on; EACCES if it is no file, or not executable.
    pub fn program(&self, path: &[u8]) -> Result<Arc<dyn Object>, Errno> {
        self.program_at(self.find(path)?)
    }

    fn program_at(&self, node: NodeId) -> Result<Arc<dyn Object>, Errno> {
        let node = self.node(node);
        match &node.kind {
            Kind::File(file) if node.mode & EXECUTE != 0 => Ok(Arc::clone(file) as Arc<dyn Object>),
            _ => Err(Errno::EACCES),
        }
    }
}

impl Names<'_> {
    /// The file of a program at a path, and its absolute path without links.
    ///
    /// # Errors
    /// As execve(2) for its path: ENOENT and so on; EACCES if it is no file, or not executable. Or
    /// what is to be brought in first.
    pub fn program(
        &self,
        start: &Node,
        path: &[u8],
        running: &[u8],
    ) -> Result<(Arc<dyn Object>, Vec<u8>), Failure> {
        let found = self.walk(start, path, Follow::Always, running)?;
        let mut place = self.path(&found.directory)?;
        if !place.ends_with(b"/") {
            place.push(b'/');
        }
        place.extend_from_slice(&found.name);
        match found.node()? {
            Node::Process(_) => Err(Errno::EACCES.into()),
            Node::Archive(id) => Ok((self.archive.program_at(id)?, place)),
            Node::Disk(inode) => {
                let is_program = inode.attributes().mode & EXECUTE != 0;
                if inode.kind() != FileType::Regular || !is_program {
                    return Err(Errno::EACCES.into());
                }
                if inode.head().is_none() {
                    return Err(Operation::BringIn(Wanted::Head(inode)).into());
                }
                Ok((inode, place))
            }
        }
    }
}

/// The root directory of an archive, for those who have no disk.
impl From<NodeId> for Node {
    fn from(id: NodeId) -> Self {
        Self::Archive(id)
    }
}
