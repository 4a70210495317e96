//! What a guest under emulation executes, counted by a plugin of QEMU's (`xtask/plugin/counts.c`):
//! figures that do not depend on how busy the host is.
//!
//! Key types: [`Counter`], [`Counts`], [`Work`] (with what has passed the guest's link).

use std::ffi::OsString;
use std::fs;
use std::ops::Sub;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::network::{Link, Traffic};
use crate::qemu::escape_commas;
use crate::{userland, workspace};

/// Numbers of 64 bits that the plugin keeps for each processor: instructions and locked ones, first of
/// programs and then of the kernel, and room.
const FOR_EACH: usize = 8;

/// How much was executed by all processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions of the kernel: at addresses of the upper half.
    pub kernel: u64,
    /// Those of them that lock memory: with a `lock` prefix, exchanges with memory, `mfence`.
    pub kernel_locked: u64,
    /// Instructions of programs.
    pub programs: u64,
    /// Those of them that lock memory.
    pub programs_locked: u64,
}

impl Counts {
    fn parse(bytes: &[u8]) -> Self {
        let (numbers, _) = bytes.as_chunks::<8>();
        let mut counts = Self::default();
        for of_one in numbers.chunks_exact(FOR_EACH) {
            let number = |index: usize| u64::from_ne_bytes(of_one[index]);
            counts.programs += number(0);
            counts.kernel += number(1);
            counts.programs_locked += number(2);
            counts.kernel_locked += number(3);
        }
        counts
    }
}

impl Sub for Counts {
    type Output = Self;

    /// What was executed since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        Self {
            kernel: self.kernel - earlier.kernel,
            kernel_locked: self.kernel_locked - earlier.kernel_locked,
            programs: self.programs - earlier.programs,
            programs_locked: self.programs_locked - earlier.programs_locked,
        }
    }
}

/// What a guest has done: what was executed, and what has passed its link.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// What was executed.
    pub counts: Counts,
    /// What has passed the link.
    pub traffic: Traffic,
}

impl Work {
    /// What has been done by now.
    ///
    /// # Errors
    /// When QEMU does not count, or the host does not tell.
    pub fn read(counter: &Counter, link: &Link) -> Result<Self> {
        Ok(Self {
            counts: counter.read()?,
            traffic: link.traffic()?,
        })
    }
}

impl Sub for Work {
    type Output = Self;

    /// What has been done since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        Self {
            counts: self.counts - earlier.counts,
            traffic: self.traffic - earlier.traffic,
        }
    }
}

/// Counts what one guest executes, once QEMU was started with its [arguments](Self::arguments).
pub struct Counter {
    plugin: PathBuf,
    folder: tempfile::TempDir,
}

impl Counter {
    /// A counter that has counted nothing yet; compiles the plugin if that has changed.
    ///
    /// # Errors
    /// When the plugin cannot be compiled, or no file can be made.
    pub fn new() -> Result<Self> {
        let source = workspace::root().join("xtask/plugin/counts.c");
        let plugin = workspace::target_subdir("plugin")?.join("counts.so");
        let options = ["-shared", "-fPIC", "-O2", "-fvisibility=hidden"];
        userland::compile_c(&[source], &options, &plugin)?;
        Ok(Self {
            plugin,
            folder: tempfile::tempdir_in(workspace::target_subdir("bench")?)?,
        })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("counts")
    }

    /// What QEMU is to be started with.
    #[must_use]
    pub fn arguments(&self) -> [OsString; 2] {
        let [plugin, file] = [&self.plugin, &self.file()].map(|path| escape_commas(path));
        let option = format!("file={plugin},counts={file}");
        ["-plugin", &option].map(OsString::from)
    }

    /// What has been executed by now.
    ///
    /// # Errors
    /// When QEMU has not been started with the plugin, or has none.
    pub fn read(&self) -> Result<Counts> {
        let bytes = fs::read(self.file()).context("QEMU counts nothing: has it no plugins?")?;
        let counts = Counts::parse(&bytes);
        ensure!(counts != Counts::default(), "QEMU has counted nothing");
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_processors_are_added_up() {
        let of = |numbers: [u64; FOR_EACH]| numbers.map(u64::to_ne_bytes).concat();
        let bytes = [
            of([1, 10, 2, 20, 9, 9, 9, 9]),
            of([3, 30, 4, 40, 9, 9, 9, 9]),
        ];
        let counts = Counts::parse(&bytes.concat());
        let expected = Counts {
            kernel: 40,
            kernel_locked: 60,
            programs: 4,
            programs_locked: 6,
        };
        assert_eq!(counts, expected);
        assert_eq!(counts - counts, Counts::default());
        assert_eq!(Counts::parse(&[]), Counts::default());
    }
}
