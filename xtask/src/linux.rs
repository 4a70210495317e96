//! Linux in the same QEMU, to compare with: Debian's own kernel and an initial RAM file system that
//! has our programs.

mod debian;
pub mod guest;

pub use debian::Unpacked;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::userland::GuestFile;
use crate::workspace;

/// Debian's kernel for virtual machines.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// What QEMU boots.
#[derive(Clone, Debug)]
pub struct Linux {
    /// The kernel.
    pub kernel: PathBuf,
    /// Its version, such as `6.1.0-56-cloud-amd64`.
    pub version: String,
}

impl Linux {
    /// Fetches Debian's kernel, once.
    ///
    /// # Errors
    /// When apt cannot fetch it; the error says what to do.
    pub fn fetch() -> Result<Self> {
        let dir = workspace::target_subdir("linux")?;
        let _lock = workspace::lock(&dir.join("lock"))?;
        if let Some(linux) = Self::found_in(&dir) {
            return Ok(linux);
        }
        ensure!(
            debian::is_there(),
            "there is no apt to fetch {META_PACKAGE} with; put a Linux kernel named vmlinuz-VERSION \
             into {}",
            dir.join("boot").display()
        );
        let package = kernel_package()?;
        debian::unpack(&package, &dir)?;
        Self::found_in(&dir).with_context(|| format!("{package} has no kernel in boot/"))
    }

    /// These modules, and what they depend on, in the order in which they can be loaded.
    ///
    /// # Errors
    /// When one is not there or cannot be read.
    pub fn modules(&self, names: &[&str]) -> Result<Vec<GuestFile>> {
        let dir = workspace::target_subdir("linux")?;
        let root = dir.join("lib/modules").join(&self.version);
        let mut found = BTreeMap::new();
        find_modules(&root, &mut found)?;
        let mut order: Vec<String> = Vec::new();
        for name in names {
            add_module(name, &found, &mut order)?;
        }
        let file = |(number, name): (usize, &String)| GuestFile {
            path: format!("/modules/{number:02}-{name}.ko"),
            file: found[name].clone(),
        };
        Ok(order.iter().enumerate().map(file).collect())
    }

    fn found_in(dir: &Path) -> Option<Self> {
        let kernel = newest(&dir.join("boot"), "vmlinuz-").ok()?;
        let name = kernel.file_name()?.to_string_lossy().into_owned();
        let version = name.strip_prefix("vmlinuz-")?.to_owned();
        Some(Self { kernel, version })
    }
}

/// All modules below a folder, by their names.
fn find_modules(dir: &Path, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let cannot = || format!("cannot read {}", dir.display());
    for entry in std::fs::read_dir(dir).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if path.is_dir() {
            find_modules(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            found.insert(name.replace('-', "_"), path.clone());
        }
    }
    Ok(())
}

/// Adds a module behind those that it depends on.
fn add_module(
    name: &str,
    found: &BTreeMap<String, PathBuf>,
    order: &mut Vec<String>,
) -> Result<()> {
    const DEPENDS: &[u8] = b"\0depends=";
    if order.iter().any(|other| other == name) {
        return Ok(());
    }
    let path = found
        .get(name)
        .with_context(|| format!("Linux has no module {name}"))?;
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let at = bytes
        .windows(DEPENDS.len())
        .position(|part| part == DEPENDS);
    let text = bytes.get(at.map_or(bytes.len(), |at| at + DEPENDS.len())..);
    let text = text.unwrap_or_default().split(|byte| *byte == 0).next();
    let depends = String::from_utf8_lossy(text.unwrap_or_default()).into_owned();
    for other in depends.split(',').filter(|other| !other.is_empty()) {
        add_module(other, found, order)?;
    }
    order.push(name.into());
    Ok(())
}

/// The package that the meta package stands for today.
fn kernel_package() -> Result<String> {
    let depends = debian::depends(META_PACKAGE)?;
    let package = depends
        .into_iter()
        .find(|name| name.starts_with("linux-image-"));
    package.with_context(|| {
        format!("apt does not know {META_PACKAGE}; run this, then try again: apt-get update")
    })
}

/// The last file in `dir`, by name, that begins with `prefix`.
fn newest(dir: &Path, prefix: &str) -> Result<PathBuf> {
    let entries =
        std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let matching = files.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(prefix)
    });
    matching
        .max()
        .with_context(|| format!("there is no {prefix}* in {}", dir.display()))
}

/// An initial RAM file system with these programs and a console: a cpio archive in the "newc"
/// format (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
///
/// # Errors
/// When a file cannot be read.
pub fn initramfs(files: &[GuestFile]) -> Result<Vec<u8>> {
    /// A directory, a character device, an executable file: `st_mode`.
    const DIRECTORY: u32 = 0o040_755;
    const DEVICE: u32 = 0o020_600;
    const PROGRAM: u32 = 0o100_755;
    let mut archive = Vec::new();
    let mut directories: BTreeSet<&Path> = ["bin", "dev", "disk", "modules", "proc", "sys", "tmp"]
        .map(Path::new)
        .into();
    for file in files {
        let path = Path::new(file.path.trim_start_matches('/'));
        let parents = path.ancestors().skip(1);
        directories.extend(parents.filter(|parent| *parent != Path::new("")));
    }
    for directory in directories {
        append(
            &mut archive,
            &directory.to_string_lossy(),
            DIRECTORY,
            (0, 0),
            &[],
        );
    }
    append(&mut archive, "dev/console", DEVICE, (5, 1), &[]);
    for file in files {
        let contents = std::fs::read(&file.file)
            .with_context(|| format!("cannot read {}", file.file.display()))?;
        let path = file.path.trim_start_matches('/');
        append(&mut archive, path, PROGRAM, (0, 0), &contents);
    }
    append(&mut archive, "TRAILER!!!", 0, (0, 0), &[]);
    Ok(archive)
}

/// Appends a file: a header of hexadecimal numbers, the name, the contents, each padded to 4 bytes.
fn append(archive: &mut Vec<u8>, name: &str, mode: u32, device: (u32, u32), contents: &[u8]) {
    let inode = archive.len();
    let header = format!(
        "070701{inode:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}",
        0,
        0,
        1,
        0,
        contents.len(),
        0,
        0,
        device.0,
        device.1,
        name.len() + 1,
        0
    );
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend_from_slice(contents);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_padded_and_end_with_a_trailer() {
        let archive = initramfs(&[]).expect("nothing to read");
        assert!(archive.len().is_multiple_of(4));
        assert!(archive.starts_with(b"070701"));
        let text = String::from_utf8_lossy(&archive);
        assert!(text.contains("dev/console\0") && text.contains("TRAILER!!!\0"));
        assert_eq!(text.matches("070701").count(), 9);
    }
}
