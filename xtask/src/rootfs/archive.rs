//! The root file system as a tar, for the boot ramdisk: the project's own programs, with a folder
//! laid over them.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tar::{Builder, EntryType, Header};

use crate::ui;
use crate::userland::GuestFile;

/// Puts `files`, then everything in `folder`, into a tar: where both have a path, the folder's
/// counts. All belongs to user and group 0. The same input gives the same bytes.
///
/// # Errors
/// When something cannot be read.
pub fn archive(files: &[GuestFile], folder: Option<&Path>) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for file in files {
        let cannot = || format!("cannot read {}", file.file.display());
        let metadata = fs::metadata(&file.file).with_context(cannot)?;
        let content = fs::read(&file.file).with_context(cannot)?;
        let path = file.path.trim_start_matches('/');
        add(
            &mut tar,
            Path::new(path),
            &metadata,
            EntryType::Regular,
            &content,
        )?;
    }
    if let Some(folder) = folder {
        ensure!(
            folder.is_dir(),
            "there is no folder {}; --rootfs wants one with what is to be in the root file system",
            folder.display()
        );
        let mut seen = HashMap::new();
        add_folder(&mut tar, folder, Path::new(""), &mut seen)?;
    }
    tar.into_inner().context("cannot end the root file system")
}

/// Adds what lies in a folder. `seen` is where files with several names are found again.
fn add_folder(
    tar: &mut Builder<Vec<u8>>,
    folder: &Path,
    place: &Path,
    seen: &mut HashMap<(u64, u64), PathBuf>,
) -> Result<()> {
    let cannot = || format!("cannot read {}", folder.display());
    let entries: std::io::Result<Vec<_>> = fs::read_dir(folder).with_context(cannot)?.collect();
    let mut entries = entries.with_context(cannot)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (from, to) = (entry.path(), place.join(entry.file_name()));
        let cannot = || format!("cannot read {}", from.display());
        let metadata = entry.metadata().with_context(cannot)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            add(tar, &to, &metadata, EntryType::Directory, &[])?;
            add_folder(tar, &from, &to, seen)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&from).with_context(cannot)?;
            link(tar, &to, &metadata, EntryType::Symlink, &target)?;
        } else if kind.is_file() {
            let inode = (metadata.dev(), metadata.ino());
            match seen.get(&inode).filter(|_| metadata.nlink() > 1) {
                Some(first) => link(tar, &to, &metadata, EntryType::Link, first)?,
                None => {
                    let content = fs::read(&from).with_context(cannot)?;
                    add(tar, &to, &metadata, EntryType::Regular, &content)?;
                    seen.insert(inode, to);
                }
            }
        } else {
            ui::warn(&format!(
                "{} is left out: it is no file, folder or link",
                from.display()
            ));
        }
    }
    Ok(())
}

fn header(metadata: &Metadata, kind: EntryType, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(metadata.permissions().mode() & 0o7777);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size as u64);
    header
}

fn add(
    tar: &mut Builder<Vec<u8>>,
    path: &Path,
    metadata: &Metadata,
    kind: EntryType,
    content: &[u8],
) -> Result<()> {
    let mut header = header(metadata, kind, content.len());
    tar.append_data(&mut header, path, content)
        .with_context(|| format!("cannot put {} into the root file system", path.display()))
}

fn link(
    tar: &mut Builder<Vec<u8>>,
    path: &Path,
    metadata: &Metadata,
    kind: EntryType,
    target: &Path,
) -> Result<()> {
    let mut header = header(metadata, kind, 0);
    // As it is: a target is a text, and may begin or end with a slash or have two in a row.
    let short = target.as_os_str().as_bytes().len() <= 100;
    let cannot = || format!("cannot put {} into the root file system", path.display());
    if short && kind == EntryType::Symlink {
        header
            .set_link_name_literal(target.as_os_str().as_bytes())
            .with_context(cannot)?;
        return tar
            .append_data(&mut header, path, std::io::empty())
            .with_context(cannot);
    }
    tar.append_link(&mut header, path, target)
        .with_context(cannot)
}
