//! The root file system: an ext2 image, made by `mke2fs` from a folder or empty; and the tar that
//! is used instead as long as there is no disk ([`archive()`]).

mod archive;

pub use archive::archive;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::process::{self, find_program};
use crate::userland::GuestFile;

const BLOCK: u64 = 4096;
/// What an image has beyond its files, for the guest to write to, unless more is asked for.
const SPARE_BYTES: u64 = 16 << 20;
/// What every root file system has for the kernel and for programs to find.
const FOLDERS: [&str; 4] = ["dev", "etc", "proc", "tmp"];
/// How many files an image can take beyond those it begins with.
const SPARE_FILES: u64 = 1024;

/// What a folder will take.
#[derive(Default)]
struct Contents {
    files: u64,
    bytes: u64,
}

/// Makes `image` (a file that is not there yet), with the contents of `folder` if one is given.
///
/// # Errors
/// When the folder cannot be read or `mke2fs` fails.
pub fn build(folder: Option<&Path>, image: &Path) -> Result<()> {
    with_room(folder, SPARE_BYTES, image)
}

/// Makes `image` with these files, the scheduler configuration where programs find it, and so much
/// room for more.
///
/// # Errors
/// As [`build`].
pub fn with_programs(
    files: &[GuestFile],
    configuration: &str,
    spare_bytes: u64,
    image: &Path,
) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    for name in FOLDERS {
        fs::create_dir(folder.path().join(name))?;
    }
    fs::write(folder.path().join("etc/vortex.xml"), configuration)?;
    for file in files {
        let copy = folder.path().join(file.path.trim_start_matches('/'));
        if let Some(parent) = copy.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(&file.file, &copy)
            .with_context(|| format!("cannot copy {}", file.file.display()))?;
    }
    with_room(Some(folder.path()), spare_bytes, image)
}

/// Makes `image` with the contents of `folder`, if one is given, and so much room for more.
///
/// # Errors
/// As [`build`].
pub fn with_room(folder: Option<&Path>, spare_bytes: u64, image: &Path) -> Result<()> {
    let mut contents = Contents::default();
    if let Some(folder) = folder {
        measure(folder, &mut contents)?;
    }
    // A file's last block is not full, and one block in a thousand points to others.
    let bytes = contents.bytes + contents.bytes / 512 + contents.files * 2 * BLOCK + spare_bytes;
    let mke2fs = find_program("mke2fs").context("there is no mke2fs; try `cargo xtask setup`")?;
    let mut command = process::command(mke2fs);
    command
        .args([
            "-q",
            "-F",
            "-t",
            "ext2",
            "-L",
            "vortex",
            "-m",
            "0",
            "-E",
            "root_owner=0:0",
        ])
        .args([
            "-b",
            &BLOCK.to_string(),
            "-N",
            &(contents.files + SPARE_FILES).to_string(),
        ]);
    if let Some(folder) = folder {
        command.arg("-d").arg(folder);
    }
    command.arg(image).arg(bytes.div_ceil(BLOCK).to_string());
    process::run_quietly("making the root file system", &mut command)
}

/// Adds up what lies in a folder; symbolic links are not followed.
fn measure(folder: &Path, contents: &mut Contents) -> Result<()> {
    let cannot = || format!("cannot read the folder {}", folder.display());
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let metadata = entry.metadata().with_context(cannot)?;
        contents.files += 1;
        if metadata.is_dir() {
            measure(&entry.path(), contents)?;
        } else if metadata.is_file() {
            contents.bytes += metadata.len();
        }
    }
    Ok(())
}
