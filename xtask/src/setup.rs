//! `cargo xtask setup`: finds or installs what the other commands need.

use std::process::ExitCode;

use anyhow::Result;
use xtask::packages::{self, Package};
use xtask::{toolchain, ui};

/// Find or install what the other commands need
///
/// On Debian and Ubuntu what is missing is installed by apt, as root or with sudo; elsewhere it is
/// listed. The kernel's compiler comes from rustup where that has it or can fetch it, else from
/// Debian. Every other command does this for itself; nothing happens when nothing is missing.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    packages::require(&Package::ALL)?;
    let toolchain = toolchain::get()?;
    ui::done(&toolchain.describe());
    ui::done("everything is there");
    Ok(ExitCode::SUCCESS)
}
