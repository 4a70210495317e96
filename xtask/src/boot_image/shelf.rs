//! Folders of boot images by what is in their ramdisks, so that guests with other ramdisks can run at
//! the same time. An image is some 80 MB: those that nobody has wanted for an hour go.

use std::fs::{self, File};
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use super::{BootImage, fingerprint};
use crate::workspace;

/// How long an image is kept that nobody wants. A guest reads its image's file, which it has open,
/// and what it takes from the TFTP folder it takes when it starts.
const KEPT: Duration = Duration::from_secs(3600);

/// In each folder: last written when the image was last wanted.
const WANTED: &str = ".wanted";

impl BootImage {
    /// The image with this ramdisk, in a folder of its own below `shelf` in the folder for what is
    /// built. The image need not be there yet.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn with_ramdisk(shelf: &str, ramdisk: &(impl Hash + ?Sized)) -> Result<Self> {
        let shelf = workspace::target_subdir(shelf)?;
        let dir = take(&shelf, &fingerprint(&ramdisk), SystemTime::now())?;
        Ok(Self::in_dir(dir))
    }
}

/// The folder of this name, which is wanted now; others go if it is time.
fn take(shelf: &Path, name: &str, now: SystemTime) -> Result<PathBuf> {
    let dir = shelf.join(name);
    fs::create_dir_all(&dir)
        .with_context(|| format!("cannot make the folder {}", dir.display()))?;
    File::create(dir.join(WANTED))
        .and_then(|file| file.set_modified(now))
        .with_context(|| format!("cannot write to the folder {}", dir.display()))?;
    // What cannot be looked at or removed now is somebody else's, or will be the next time.
    for other in fs::read_dir(shelf).into_iter().flatten().flatten() {
        let wanted = fs::metadata(other.path().join(WANTED)).and_then(|data| data.modified());
        let age = wanted.map(|wanted| now.duration_since(wanted).unwrap_or_default());
        if age.is_ok_and(|age| age > KEPT) {
            let _ = fs::remove_dir_all(other.path());
        }
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_wants_goes_after_an_hour() {
        let shelf = tempfile::tempdir().unwrap();
        fs::create_dir(shelf.path().join("another's")).unwrap();
        let after = |minutes: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(minutes * 60);
        let old = take(shelf.path(), "old", after(0)).unwrap();
        let used = take(shelf.path(), "used", after(0)).unwrap();
        take(shelf.path(), "used", after(50)).unwrap();
        assert!(old.exists());
        let new = take(shelf.path(), "new", after(61)).unwrap();
        assert!(!old.exists());
        assert!(used.exists() && new.exists());
        assert!(shelf.path().join("another's").exists());
    }
}
