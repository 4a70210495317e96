//! Disk images whose content is known, and what the kernel's check of disks makes of them.
//!
//! Key type: [`Image`].

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What `selftest=disk` copies, inverted: from there, to there, so many bytes.
const FROM: u64 = 1 << 20;
const TO: u64 = 4 << 20;
const BYTES: usize = 2 << 20;
/// Bytes of an image.
const LENGTH: u64 = 8 << 20;

/// A disk image in a folder of its own, which goes with it.
#[derive(Debug)]
pub struct Image {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Image {
    /// An image of 8 MiB: numbers that do not repeat where the check reads, zeros elsewhere.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for a disk image");
        let path = folder.path().join("disk.img");
        let mut file = File::create(&path).expect("a disk image");
        file.set_len(LENGTH).expect("room for a disk image");
        write(&mut file, FROM, &pattern());
        Self {
            _folder: folder,
            path,
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes bytes, before a guest has it.
    ///
    /// # Panics
    /// When that fails.
    pub fn put(&self, at: u64, bytes: &[u8]) {
        let file = File::options().write(true).open(&self.path);
        write(&mut file.expect("the disk image"), at, bytes);
    }

    /// Fails unless the check has copied everything.
    ///
    /// # Panics
    /// If it has not.
    #[track_caller]
    pub fn expect_copied(&self) {
        let mut expected = pattern();
        expected.iter_mut().for_each(|byte| *byte = !*byte);
        let mut found = vec![0; BYTES];
        let mut file = File::open(&self.path).expect("the disk image");
        file.seek(SeekFrom::Start(TO)).expect("its middle");
        file.read_exact(&mut found).expect("its bytes");
        let wrong = found.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!(wrong, None, "the first wrong byte of the copy");
    }
}

impl Default for Image {
    fn default() -> Self {
        Self::new()
    }
}

fn write(file: &mut File, at: u64, bytes: &[u8]) {
    file.seek(SeekFrom::Start(at))
        .expect("a place in the image");
    file.write_all(bytes).expect("room in the image");
}

/// Numbers that do not repeat.
fn pattern() -> Vec<u8> {
    let words = (0..BYTES as u64 / 8).map(|word| (word + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    words.flat_map(u64::to_le_bytes).collect()
}
