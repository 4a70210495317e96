//! Where things lie: the source tree, the folder for build outputs, and locks on what is in it.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The root folder of the source tree.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The folder for build outputs: `$CARGO_TARGET_DIR`, or `target/` in the source tree.
#[must_use]
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => {
            std::path::absolute(&dir).unwrap_or_else(|_| PathBuf::from(dir))
        }
        _ => root().join("target"),
    }
}

/// The environment variable by which `cargo xtask test` tells its tests that it has built the kernel and
/// the programs: dozens of them would each ask cargo again, which takes a second.
pub const IS_BUILT: &str = "VORTEX_IS_BUILT";

/// Whether what guests are made of is built already.
#[must_use]
pub fn is_built() -> bool {
    env::var_os(IS_BUILT).is_some()
}

/// A folder below [`target_dir`], made if it is not there.
///
/// # Errors
/// When the folder cannot be made.
pub fn target_subdir(name: &str) -> Result<PathBuf> {
    let dir = target_dir().join(name);
    fs::create_dir_all(&dir)
        .with_context(|| format!("cannot make the folder {}", dir.display()))?;
    Ok(dir)
}

/// What this tool remembers between calls (the toolchain it chose, whether KVM works).
///
/// # Errors
/// When the folder for it cannot be made.
pub fn memory_file(name: &str) -> Result<PathBuf> {
    Ok(target_subdir("xtask")?.join(name))
}

/// Locks `path` against every other process until the returned file is dropped; waits for it.
///
/// # Errors
/// When the lock file cannot be made or locked.
pub fn lock(path: &Path) -> Result<File> {
    let open = || File::create(path).and_then(|file| file.lock().map(|()| file));
    open().with_context(|| format!("cannot lock {}", path.display()))
}

/// Writes a file in one step: a reader sees the old contents or the new, never a part.
///
/// # Errors
/// When the folder cannot be written to.
pub fn write_whole(path: &Path, contents: &[u8]) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let temporary = tempfile::NamedTempFile::new_in(dir)?;
        fs::write(temporary.path(), contents)?;
        temporary.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_the_workspace() {
        let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }

    #[test]
    fn write_whole_replaces_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        write_whole(&file, b"a longer first version").unwrap();
        write_whole(&file, b"second").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"second");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_second_lock_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = lock(&path).unwrap();
        assert!(File::open(&path).unwrap().try_lock().is_err());
        drop(first);
        File::open(&path).unwrap().try_lock().unwrap();
    }
}
