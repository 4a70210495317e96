//! How many guests run at once, over all test processes.
//!
//! A slot is a file in the target folder, and having it is having its lock, which the operating
//! system takes back when a process ends in whatever way. There is one for each of the host's
//! processors. A guest takes one; one whose time is measured takes them all.

use std::fs::File;
use std::num::NonZero;
use std::time::Duration;

use anyhow::{Context, Result};
use xtask::workspace;

/// How often a full house is looked at again.
const POLL: Duration = Duration::from_millis(20);

/// The right to run a guest, until this is dropped.
#[derive(Debug)]
#[must_use = "the slot is free again when this is dropped"]
pub struct Slots(Vec<File>);

impl Slots {
    /// Waits for one slot.
    ///
    /// # Errors
    /// When the target folder cannot be written to.
    pub fn one() -> Result<Self> {
        let mut files = slot_files()?;
        loop {
            if let Some(free) = files.iter().position(|file| file.try_lock().is_ok()) {
                return Ok(Self(vec![files.swap_remove(free)]));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Waits until nothing else runs.
    ///
    /// # Errors
    /// When the target folder cannot be written to.
    pub fn all() -> Result<Self> {
        let files = slot_files()?;
        // Always in the same order, so that two that want them all do not wait for each other.
        for file in &files {
            file.lock().context("cannot lock a slot")?;
        }
        Ok(Self(files))
    }

    /// How many slots these are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

fn slot_files() -> Result<Vec<File>> {
    let dir = workspace::target_subdir("guest-slots")?;
    let count = std::thread::available_parallelism().map_or(1, NonZero::get);
    let files = (0..count).map(|slot| File::create(dir.join(slot.to_string())));
    files
        .collect::<std::io::Result<_>>()
        .context("cannot make the guest slots")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_all_slots_is_alone() {
        let all = Slots::all().unwrap();
        assert!(all.count() >= 1);
        assert!(
            slot_files()
                .unwrap()
                .iter()
                .all(|file| file.try_lock().is_err())
        );
        drop(all);
        assert_eq!(Slots::one().unwrap().count(), 1);
    }
}
