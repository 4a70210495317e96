//! The Executable Resource: ELF programs into address spaces (paper, section 3.2).

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::errno::Errno;
use crate::machine::Machine;
use crate::object::Object;
use crate::space::Space;

/// Where a loaded program begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The instruction pointer.
    pub instruction: u64,
    /// The stack pointer: arguments, environment and auxiliary vector are above it.
    pub stack: u64,
}

/// What a program is started with.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// The path, for `AT_EXECFN`.
    pub path: Vec<u8>,
    /// argv.
    pub arguments: Vec<Vec<u8>>,
    /// envp.
    pub environment: Vec<Vec<u8>>,
}

/// Maps a program into an empty address space: segments, heap, stack, auxiliary vector.
/// `random` is for `AT_RANDOM` and for placing.
///
/// # Errors
/// As execve(2).
pub fn load<M: Machine>(
    space: &Space<M>,
    file: &Arc<dyn Object>,
    arguments: &Arguments,
    random: [u8; 32],
) -> Result<Entry, Errno> {
    unimplemented!()
}
