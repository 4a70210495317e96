//! Building the programs of `userland/` for the guest: static Linux programs.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::{process, workspace};

/// What the programs are built for.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The programs, by their names in `/bin`.
const PROGRAMS: [&str; 7] = [
    "cpuhog",
    "latency",
    "microbench",
    "sampler",
    "spawner",
    "stress",
    "vstat",
];

/// A file for the guest's root file system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GuestFile {
    /// Its absolute path in the guest.
    pub path: String,
    /// The file here.
    pub file: PathBuf,
}

/// Builds the programs. Costs a fraction of a second when nothing changed.
///
/// # Errors
/// When one does not compile; the error has the compiler's words.
pub fn build() -> Result<Vec<GuestFile>> {
    let target_dir = workspace::target_dir().join("userland");
    let mut cargo = process::command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--package", "vortex-programs"])
        .args(["--profile", "userland", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(workspace::root());
    process::run_quietly("building the programs", &mut cargo)?;
    let built = target_dir.join(TARGET).join("userland");
    PROGRAMS
        .iter()
        .map(|name| {
            let file = built.join(name);
            ensure!(file.is_file(), "cargo made no {}", file.display());
            Ok(GuestFile {
                path: format!("/bin/{name}"),
                file,
            })
        })
        .collect()
}
