//! A walk over the kernel's page tables that counts what is mapped how.
//!
//! Key types: [`Census`]. A whole-system test has the kernel take one and checks that no page is
//! both writable and executable.

use vortex_kernel_base::address::Frame;
use x86_64::structures::paging::{PageTable, PageTableFlags};

use super::{MapError, TABLES, direct};

/// How many bytes are mapped with which access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Bytes that can be written and not executed.
    pub writable: u64,
    /// Bytes that can be executed and not written.
    pub executable: u64,
    /// Bytes that can only be read.
    pub read_only: u64,
    /// Bytes that can be both written and executed: 0, or W^X is broken.
    pub writable_and_executable: u64,
    /// Bytes mapped in the lower half, where only user programs will be: 0.
    pub lower_half: u64,
    /// Bytes that user mode can reach: 0 in the kernel's own tables.
    pub user: u64,
}

/// Walks the kernel's tables.
///
/// # Errors
/// Before they are built.
pub fn census() -> Result<Census, MapError> {
    let guard = TABLES.lock();
    let root = guard.as_ref().ok_or(MapError::NotReady)?.root;
    let mut census = Census::default();
    census.walk(root, 4, Rights::ALL, false);
    Ok(census)
}

/// What all tables on the way to an entry allow.
#[derive(Clone, Copy)]
struct Rights {
    write: bool,
    execute: bool,
    user: bool,
}

impl Rights {
    const ALL: Self = Self {
        write: true,
        execute: true,
        user: true,
    };

    fn and(self, flags: PageTableFlags) -> Self {
        Self {
            write: self.write && flags.contains(PageTableFlags::WRITABLE),
            execute: self.execute && !flags.contains(PageTableFlags::NO_EXECUTE),
            user: self.user && flags.contains(PageTableFlags::USER_ACCESSIBLE),
        }
    }
}

impl Census {
    fn walk(&mut self, table: Frame, level: u32, rights: Rights, lower_half: bool) {
        // SAFETY: the caller has a table of the kernel's tree, which is in the direct map and
        // locked for the walk.
        let entries = unsafe { &*direct(table).cast::<PageTable>() };
        for (index, entry) in entries.iter().enumerate() {
            let flags = entry.flags();
            if !flags.contains(PageTableFlags::PRESENT) {
                continue;
            }
            let rights = rights.and(flags);
            let lower_half = lower_half || (level == 4 && index < 256);
            if level == 1 || flags.contains(PageTableFlags::HUGE_PAGE) {
                self.count(4096 << (9 * (level - 1)), rights, lower_half);
            } else {
                let next = Frame::containing(entry.addr().as_u64());
                self.walk(next, level - 1, rights, lower_half);
            }
        }
    }

    fn count(&mut self, bytes: u64, rights: Rights, lower_half: bool) {
        let counter = match (rights.write, rights.execute) {
            (true, true) => &mut self.writable_and_executable,
            (true, false) => &mut self.writable,
            (false, true) => &mut self.executable,
            (false, false) => &mut self.read_only,
        };
        *counter += bytes;
        self.lower_half += if lower_half { bytes } else { 0 };
        self.user += if rights.user { bytes } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_counted_by_what_every_level_allows() {
        let writable = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
        let mut census = Census::default();
        census.count(4096, Rights::ALL.and(writable), false);
        assert_eq!(census.writable_and_executable, 4096);
        let data = Rights::ALL.and(writable | PageTableFlags::NO_EXECUTE);
        census.count(2 << 20, data.and(writable), true);
        assert_eq!(census.writable, 2 << 20);
        assert_eq!(census.lower_half, 2 << 20);
        census.count(4096, data.and(PageTableFlags::PRESENT), false);
        assert_eq!(census.read_only, 4096);
        assert_eq!(census.user, 0);
    }
}
