//! Programs of Debian's, fetched as packages and unpacked beside the kernel: nothing is installed here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::libraries::Libraries;
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

/// The packages that one depends on, as far as they are no choice among several.
pub(super) fn depends(package: &str) -> Result<Vec<String>> {
    let mut depends = process::command("apt-cache");
    let output = depends.args(["depends", package]).output();
    let output = output.context("cannot run apt-cache")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text.lines();
    let names = names.filter_map(|line| line.trim().strip_prefix("Depends: "));
    // What is in angle brackets is no package, but stands for some; behind a colon is a machine.
    let names = names.filter(|name| !name.contains(['<', ':']));
    Ok(names.map(str::to_owned).collect())
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

    /// A program of a package's and all libraries that it wants, of Debian's too, each to be at its
    /// place in a guest. Of what the package depends on, only what has libraries that are wanted is
    /// gone into.
    ///
    /// # Errors
    /// When apt cannot fetch a package, or a library is in none.
    pub fn program(package: &str, path: &str) -> Result<Vec<GuestFile>> {
        let mut packages = vec![package.to_owned()];
        let mut asked = BTreeSet::new();
        loop {
            let names: Vec<&str> = packages.iter().map(String::as_str).collect();
            let unpacked = Self::fetch(&names)?;
            let program = unpacked.file(package, path)?;
            let trees: Vec<PathBuf> = names.iter().map(|name| unpacked.0.join(name)).collect();
            let trees: Vec<&Path> = trees.iter().map(PathBuf::as_path).collect();
            let mut libraries = Libraries::default();
            libraries.add(&program.file, &trees)?;
            if libraries.absent.is_empty() {
                let mut files = libraries.files();
                files.push(program);
                return Ok(files);
            }
            let mut more = Vec::new();
            for (name, file) in &libraries.absent {
                let owner = file.strip_prefix(&unpacked.0).ok();
                let owner = owner.and_then(|path| path.iter().next());
                let owner = owner.context(name.clone())?.to_string_lossy().into_owned();
                if asked.insert(owner.clone()) {
                    more.extend(depends(&owner)?);
                }
            }
            more.retain(|name| !packages.contains(name));
            more.sort();
            more.dedup();
            ensure!(
                !more.is_empty(),
                "no package that {package} depends on has {:?}",
                libraries.absent.keys()
            );
            packages.extend(more);
        }
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
