//! The statistics snapshot.

use std::io;

use vortex_abi::calls;
use vortex_abi::snapshot::Reader;

use crate::stub;

/// Whose statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The caller's activity.
    Own,
    /// Everybody's; needs [`vortex_abi::rights::STATISTICS`].
    All,
}

/// A statistics snapshot. The buffer is kept from one to the next.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    bytes: Vec<u8>,
}

impl Snapshot {
    /// Takes one.
    ///
    /// # Errors
    /// As [`Self::take_again`].
    pub fn take(scope: Scope) -> io::Result<Self> {
        let mut snapshot = Self::default();
        snapshot.take_again(scope)?;
        Ok(snapshot)
    }

    /// Takes a new one in the place of this.
    ///
    /// # Errors
    /// Not permitted; or there is no such call.
    pub fn take_again(&mut self, scope: Scope) -> io::Result<()> {
        let scope = match scope {
            Scope::Own => calls::SCOPE_OWN,
            Scope::All => calls::SCOPE_ALL,
        };
        self.bytes.resize(self.bytes.capacity().max(4096), 0);
        loop {
            let length = self.bytes.len() as u64;
            let buffer = self.bytes.as_mut_ptr() as u64;
            // SAFETY: the kernel writes at most `length` bytes to the buffer, which is ours.
            let needed = unsafe { stub::call(calls::SNAPSHOT, [buffer, length, scope, 0]) }?;
            if needed <= length {
                return Ok(());
            }
            // Processes may come while the buffer grows.
            let room = usize::try_from(needed + needed / 8).map_err(io::Error::other)?;
            self.bytes.resize(room, 0);
        }
    }

    /// What is in it.
    ///
    /// # Errors
    /// What the kernel wrote is no snapshot: it is not from before the first [`Self::take_again`].
    pub fn reader(&self) -> io::Result<Reader<'_>> {
        Reader::new(&self.bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}
