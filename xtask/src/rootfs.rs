//! The root file system: an ext2 image, made by `mke2fs` from a folder or empty; and the tar that
//! is used instead as long as there is no disk ([`archive()`]).

mod archive;

pub use archive::archive;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::process::{self, find_program};

const BLOCK: u64 = 4096;
/// What an image has beyond its files, for the guest to write to.
const SPARE_BYTES: u64 = 16 << 20;
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
    let mut contents = Contents::default();
    if let Some(folder) = folder {
        measure(folder, &mut contents)?;
    }
    // A file's last block is not full, and one block in a thousand points to others.
    let bytes = contents.bytes + contents.bytes / 512 + contents.files * 2 * BLOCK + SPARE_BYTES;
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
