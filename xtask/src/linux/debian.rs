//! Programs of Debian's, fetched as packages and unpacked beside the kernel: nothing is installed here.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::process::{self, find_program};
use crate::userland::GuestFile;
use crate::workspace;

/// Whether packages can be fetched here.
pub(super) fn is_there() -> bool {
    find_program("apt-get").is_some() && find_program("dpkg-deb").is_some()
}

/// Fetches a package and unpacks it into a folder.
pub(super) fn unpack(package: &str, into: &Path) -> Result<()> {
    let aside = tempfile::tempdir()?;
    let mut download = process::command("apt-get");
    download
        .args(["download", "--quiet", package])
        .current_dir(aside.path());
    process::run_quietly(&format!("fetching {package}"), &mut download)
        .context("run this, then try again: apt-get update")?;
    let file = super::newest(aside.path(), "")?;
    let mut unpack = process::command("dpkg-deb");
    unpack.arg("--extract").arg(&file).arg(into);
    process::run_quietly("unpacking it", &mut unpack)
}

/// Packages that are unpacked into one folder.
#[derive(Clone, Debug)]
pub struct Unpacked(PathBuf);

impl Unpacked {
    /// Fetches packages, once; what they depend on has to be named as well.
    ///
    /// # Errors
    /// When apt cannot fetch one.
    pub fn fetch(packages: &[&str]) -> Result<Self> {
        let dir = workspace::target_subdir("linux/packages")?;
        let _lock = workspace::lock(&dir.join("lock"))?;
        for package in packages {
            let root = dir.join(package);
            if root.is_dir() {
                continue;
            }
            ensure!(
                is_there(),
                "there is no apt to fetch {package} with; unpack it into {}",
                root.display()
            );
            let aside = tempfile::tempdir_in(&dir)?;
            unpack(package, aside.path())?;
            std::fs::rename(aside.keep(), &root)
                .with_context(|| format!("cannot write {}", root.display()))?;
        }
        Ok(Self(dir))
    }

    /// A file of one of the packages, to be at the same place in a guest. A link is followed.
    ///
    /// # Errors
    /// When the package has no such file.
    pub fn file(&self, package: &str, path: &str) -> Result<GuestFile> {
        let file = self.0.join(package).join(path.trim_start_matches('/'));
        ensure!(
            file.is_file(),
            "Debian's {package} has no {path} (any more)"
        );
        let path = Path::new("/").join(path);
        Ok(GuestFile {
            path: path.to_string_lossy().into_owned(),
            file,
        })
    }
}
