//! The copy of a guest's log on disk, which stays when its test fails.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use xtask::workspace;

/// A log that is written line by line, so that it is there even when the test is killed, and is
/// removed at the end of a test that passed.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    /// A new file named after the test, which is the name of its thread.
    pub(crate) fn create() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("guest").replace("::", "-");
        let name = format!("{test}-{}-{number}.log", std::process::id());
        let path = workspace::target_subdir("guest-logs")?.join(name);
        let file =
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path, file })
    }

    pub(crate) fn add(&mut self, line: &str) -> Result<()> {
        writeln!(self.file, "{line}")
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the guest's log is in {}", self.path.display());
        } else {
            // At worst a log stays that nobody needs.
            let _ = fs::remove_file(&self.path);
        }
    }
}
