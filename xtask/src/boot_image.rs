//! Boot images: the kernel and its ramdisk behind the boot loader, on a disk and in a TFTP folder.
//!
//! [`Parts`] are what all images have in common; [`BootImage`] is one folder with `vortex.img`,
//! `pxe/` and `rootfs.img`. An image is made aside and moved into place under a lock, and not made
//! again when its inputs have not changed, so that any number of calls may share a folder.

mod shelf;

use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

use crate::toolchain::{self, Sysroot, Toolchain};
use crate::{kernel, netboot, packages, process, rootfs, workspace};

/// What every image is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// The program `vortex-image`, with the boot loader in it.
    tool: PathBuf,
    /// What a machine loads first from the network.
    netboot: PathBuf,
}

impl Parts {
    /// Builds the kernel and the image program, with a toolchain that is found or installed.
    ///
    /// # Errors
    /// When there is no toolchain, or something does not compile.
    pub fn build() -> Result<Self> {
        let toolchain = toolchain::get()?;
        Ok(Self {
            kernel: kernel::build(&toolchain)?,
            tool: build_tool(&toolchain.loader)?,
            netboot: netboot::build(&toolchain.loader)?,
        })
    }
}

fn build_tool(sysroot: &Sysroot) -> Result<PathBuf> {
    let mut cargo = sysroot.cargo();
    cargo.arg("build");
    for_the_tool(&mut cargo);
    let tool = tool_target_dir().join("release/vortex-image");
    process::build("building the boot loader", &mut cargo, tool)
}

/// Lints the image program, with warnings as errors.
///
/// # Errors
/// When there is a warning, which is then on the terminal, or no linter for its toolchain.
pub fn clippy(toolchain: &Toolchain) -> Result<()> {
    let mut clippy = toolchain
        .loader
        .cargo_tool(&toolchain::clippy(&toolchain.loader)?);
    clippy.args(["clippy", "--quiet"]);
    for_the_tool(&mut clippy);
    clippy.args(["--", "--deny", "warnings"]);
    process::run(&mut clippy)
}

fn for_the_tool(cargo: &mut Command) {
    cargo
        // The boot loader's build script passes `-Zbuild-std`; it needs only to be allowed to.
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["--release", "--locked", "--manifest-path"])
        .arg(workspace::root().join("xtask/image/Cargo.toml"))
        .arg("--target-dir")
        .arg(tool_target_dir());
}

fn tool_target_dir() -> PathBuf {
    workspace::target_dir().join("image")
}

/// A folder with everything that a guest boots from.
#[derive(Clone, Debug)]
pub struct BootImage {
    dir: PathBuf,
}

impl BootImage {
    /// Images in `dir`, which need not be there yet.
    #[must_use]
    pub fn in_dir(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The UEFI disk.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.dir.join("vortex.img")
    }

    /// The TFTP folder; its file [`netboot::FILE`] is what the firmware loads, or `bootloader` where one
    /// server is for all.
    #[must_use]
    pub fn pxe(&self) -> PathBuf {
        self.dir.join("pxe")
    }

    /// The root file system.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs.img")
    }

    /// Makes the disk and the TFTP folder, without a ramdisk if `ramdisk` is `None`. Returns
    /// whether there was anything to do.
    ///
    /// # Errors
    /// When the folder cannot be written to or the image program fails.
    pub fn make_boot(&self, parts: &Parts, ramdisk: Option<&[u8]>) -> Result<bool> {
        let files = [&parts.kernel, &parts.tool, &parts.netboot].map(fs::read);
        let [kernel, tool, netboot] = files;
        let inputs = (kernel?, tool?, netboot?, ramdisk);
        let make = |aside: &Path| {
            let mut tool = process::command(&parts.tool);
            tool.arg(&parts.kernel)
                .arg(aside.join("vortex.img"))
                .arg(aside.join("pxe"));
            if let Some(ramdisk) = ramdisk {
                let file = aside.join("ramdisk");
                fs::write(&file, ramdisk).context("cannot write the boot ramdisk")?;
                tool.arg(file);
            }
            process::run_quietly("making the boot image", &mut tool)?;
            fs::copy(&parts.netboot, aside.join("pxe").join(netboot::FILE))
                .map(|_| ())
                .context("cannot fill the TFTP folder")
        };
        self.make("boot", &fingerprint(&inputs), &["vortex.img", "pxe"], make)
    }

    /// Makes the root file system from a folder, or an empty one. Returns whether there was
    /// anything to do.
    ///
    /// # Errors
    /// When the folder cannot be read, or `mke2fs` is missing or fails.
    pub fn make_rootfs(&self, folder: Option<&Path>) -> Result<bool> {
        packages::require(&[packages::Package::Ext2Tools])?;
        let mut listing = Vec::new();
        if let Some(folder) = folder {
            list(folder, &mut listing)?;
        }
        let make = |aside: &Path| rootfs::build(folder, &aside.join("rootfs.img"));
        self.make("rootfs", &fingerprint(&listing), &["rootfs.img"], make)
    }

    /// Has `make` fill a folder aside and moves `results` from there into this one, unless that was
    /// done before with the same `fingerprint`.
    fn make(
        &self,
        name: &str,
        fingerprint: &str,
        results: &[&str],
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<bool> {
        fs::create_dir_all(&self.dir)
            .with_context(|| format!("cannot make the folder {}", self.dir.display()))?;
        let _lock = workspace::lock(&self.dir.join(format!(".{name}.lock")))?;
        let stamp = self.dir.join(format!(".{name}.made-from"));
        let complete = results.iter().all(|result| self.dir.join(result).exists());
        if complete && fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == fingerprint) {
            return Ok(false);
        }
        let aside = tempfile::Builder::new()
            .prefix(".making")
            .tempdir_in(&self.dir)?;
        make(aside.path())?;
        // While the results are mixed, they were made from nothing in particular.
        workspace::write_whole(&stamp, b"")?;
        for result in results {
            let (made, place) = (aside.path().join(result), self.dir.join(result));
            if place.is_dir() {
                fs::rename(&place, aside.path().join(format!("old-{result}")))?;
            }
            let cannot = || format!("cannot put {} in its place", place.display());
            fs::rename(made, &place).with_context(cannot)?;
        }
        workspace::write_whole(&stamp, fingerprint.as_bytes())?;
        Ok(true)
    }
}

/// A short name for what something is made from.
fn fingerprint(inputs: &impl Hash) -> String {
    let mut digest = Digest::default();
    inputs.hash(&mut digest);
    format!("{:016x}", digest.finish())
}

/// SHA-256, of which the first 64 bits are used. A ramdisk has some 60 MB: in a build for debugging the
/// standard library's hasher takes seconds for them, since it is compiled with this crate.
#[derive(Default)]
struct Digest(Sha256);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        let first = digest.first_chunk().copied().unwrap_or_default();
        u64::from_be_bytes(first)
    }
}

/// Lists everything in a folder, in the same order each time, with what changes when it does.
fn list(folder: &Path, listing: &mut Vec<(PathBuf, u64, u32, i64, i64)>) -> Result<()> {
    let cannot = || format!("cannot read the folder {}", folder.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        entries.push(entry.with_context(cannot)?);
    }
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let data = entry.metadata().with_context(cannot)?;
        // A change of mode or owner shows in the change time alone.
        listing.push((
            entry.path(),
            data.size(),
            data.mode(),
            data.ctime(),
            data.ctime_nsec(),
        ));
        if data.is_dir() {
            list(&entry.path(), listing)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts how often it is made; the result is a file and a folder.
    fn make(image: &BootImage, fingerprint: &str, contents: &str) -> bool {
        let fill = |aside: &Path| {
            fs::write(aside.join("vortex.img"), contents)?;
            fs::create_dir(aside.join("pxe"))?;
            fs::write(aside.join("pxe/bootloader"), contents)?;
            Ok(())
        };
        image
            .make("boot", fingerprint, &["vortex.img", "pxe"], fill)
            .unwrap()
    }

    #[test]
    fn made_once_and_again_when_inputs_change_or_results_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let image = BootImage::in_dir(dir.path().join("out"));
        assert!(make(&image, "a", "one"));
        assert!(!make(&image, "a", "two"));
        assert_eq!(fs::read_to_string(image.disk()).unwrap(), "one");
        assert!(make(&image, "b", "three"));
        assert_eq!(
            fs::read_to_string(image.pxe().join("bootloader")).unwrap(),
            "three"
        );
        fs::remove_file(image.disk()).unwrap();
        assert!(make(&image, "b", "four"));
        let hidden = fs::read_dir(dir.path().join("out")).unwrap().flatten();
        assert!(
            !hidden
                .map(|e| e.file_name())
                .any(|n| n.to_string_lossy().contains("making"))
        );
    }

    #[test]
    fn a_failed_attempt_leaves_the_old_image() {
        let dir = tempfile::tempdir().unwrap();
        let image = BootImage::in_dir(dir.path().into());
        make(&image, "a", "old");
        let fail = |_: &Path| -> Result<()> { anyhow::bail!("no") };
        assert!(image.make("boot", "b", &["vortex.img"], fail).is_err());
        assert_eq!(fs::read_to_string(image.disk()).unwrap(), "old");
        assert!(!make(&image, "a", "new"));
    }

    #[test]
    fn a_changed_file_changes_the_listing() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/file"), "1").unwrap();
        let listed = || {
            let mut listing = Vec::new();
            list(dir.path(), &mut listing).unwrap();
            listing
        };
        let before = listed();
        assert_eq!(before, listed());
        fs::write(dir.path().join("sub/file"), "22").unwrap();
        assert_ne!(before, listed());
    }
}
