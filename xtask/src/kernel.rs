//! Building the kernel, and linting it, for its own target. The flags for the compiler are in
//! `.cargo/config.toml`, for every way to build it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::toolchain::{self, KERNEL_TARGET, Sysroot, Toolchain};
use crate::{process, workspace};

/// Builds the kernel and returns its ELF file. Costs a fraction of a second when nothing changed.
///
/// # Errors
/// When it does not compile; the error has the compiler's words.
pub fn build(toolchain: &Toolchain) -> Result<PathBuf> {
    let mut cargo = toolchain.kernel.cargo();
    cargo.arg("build");
    for_the_kernel(&mut cargo, &toolchain.kernel);
    let kernel = target_dir()
        .join(KERNEL_TARGET)
        .join("release/vortex-kernel");
    process::build("building the kernel", &mut cargo, kernel)
}

/// Lints the kernel and the crates it is made of, with warnings as errors.
///
/// # Errors
/// When there is a warning, which is then on the terminal, or no linter for the kernel's toolchain.
pub fn clippy(toolchain: &Toolchain) -> Result<()> {
    let program = toolchain::clippy(&toolchain.kernel)?;
    let mut clippy = toolchain.kernel.cargo_tool(&program);
    clippy.arg("clippy").arg("--quiet");
    for_the_kernel(&mut clippy, &toolchain.kernel);
    clippy.args(["--", "--deny", "warnings"]);
    process::run(&mut clippy)
}

fn for_the_kernel(cargo: &mut Command, sysroot: &Sysroot) {
    cargo
        .args([
            "--release",
            "--package",
            "vortex-kernel",
            "--target",
            KERNEL_TARGET,
        ])
        .arg("--target-dir")
        .arg(target_dir());
    if sysroot.needs_build_std() {
        Sysroot::build_std(cargo, "core,alloc");
    }
}

/// Apart from the host's, whose lock the surrounding cargo call may hold.
fn target_dir() -> PathBuf {
    workspace::target_dir().join("kernel")
}
