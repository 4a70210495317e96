//! Building `xtask/netboot`, the first file that a machine loads from the network, for UEFI.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::toolchain::{self, Sysroot};
use crate::{process, workspace};

const TARGET: &str = "x86_64-unknown-uefi";
/// Its name in the TFTP folder.
pub const FILE: &str = "netboot.efi";

/// Where its package is described.
#[must_use]
pub fn manifest() -> PathBuf {
    workspace::root().join("xtask/netboot/Cargo.toml")
}

/// Builds it with a compiler that has the library sources, and returns the UEFI program. Costs a
/// fraction of a second when nothing changed.
///
/// # Errors
/// When it does not compile; the error has the compiler's words.
pub fn build(sysroot: &Sysroot) -> Result<PathBuf> {
    let mut cargo = sysroot.cargo();
    cargo.arg("build");
    for_uefi(&mut cargo);
    let program = target_dir().join(TARGET).join("release/vortex-netboot.efi");
    process::build(
        "building the first file of the network boot",
        &mut cargo,
        program,
    )
}

/// Lints it, with warnings as errors.
///
/// # Errors
/// When there is a warning, which is then on the terminal, or no linter for its toolchain.
pub fn clippy(sysroot: &Sysroot) -> Result<()> {
    let mut clippy = sysroot.cargo_tool(&toolchain::clippy(sysroot)?);
    clippy.args(["clippy", "--quiet"]);
    for_uefi(&mut clippy);
    clippy.args(["--", "--deny", "warnings"]);
    process::run(&mut clippy)
}

fn for_uefi(cargo: &mut Command) {
    cargo
        .args(["--release", "--locked", "--target", TARGET])
        .arg("--manifest-path")
        .arg(manifest())
        .arg("--target-dir")
        .arg(target_dir());
    Sysroot::build_std(cargo, "core,alloc");
}

/// Apart from the host's, whose lock the surrounding cargo call may hold.
fn target_dir() -> PathBuf {
    workspace::target_dir().join("netboot")
}
