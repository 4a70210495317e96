//! `cargo xtask image`: makes what a machine boots from.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use xtask::boot_image::{BootImage, Parts};
use xtask::{ramdisk, rootfs, ui, userland, workspace};

/// Make the boot disk, the TFTP folder and the root file system
///
/// Writes vortex.img (a UEFI disk), pxe/ (a TFTP folder whose file `bootloader` the firmware is to
/// load) and rootfs.img (ext2). Only what has changed is made again.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    contents: Contents,
    /// The folder whose contents are laid over the root file system
    #[arg(long, value_name = "DIR")]
    rootfs: Option<PathBuf>,
    /// Where to put the results [default: out/ in the source tree]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What travels in the boot ramdisk.
#[derive(clap::Args)]
pub(crate) struct Contents {
    /// The scheduler configuration
    #[arg(long, value_name = "F.xml")]
    pub(crate) config: Option<PathBuf>,
    /// A boot option for the kernel; may be given several times
    #[arg(long = "option", value_name = "KEY[=VALUE]")]
    pub(crate) options: Vec<String>,
}

impl Contents {
    /// The boot ramdisk with these contents, the project's own programs, and a folder laid over
    /// them.
    pub(crate) fn ramdisk(&self, folder: Option<&Path>) -> Result<Vec<u8>> {
        let config = self.configuration()?;
        let rootfs = rootfs::archive(&userland::build()?, folder)?;
        ramdisk::assemble(config.as_deref(), &self.options, Some(&rootfs))
    }

    /// The scheduler configuration, if one was given.
    pub(crate) fn configuration(&self) -> Result<Option<Vec<u8>>> {
        ramdisk::read_config(self.config.as_deref())
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let ramdisk = args.contents.ramdisk(args.rootfs.as_deref())?;
    let image = BootImage::in_dir(args.out.clone().unwrap_or_else(default_dir));
    let boot_is_new = image.make_boot(&Parts::build()?, Some(&ramdisk))?;
    report(boot_is_new, &image.disk());
    report(boot_is_new, &image.pxe());
    report(image.make_rootfs(args.rootfs.as_deref())?, &image.rootfs());
    Ok(ExitCode::SUCCESS)
}

fn default_dir() -> PathBuf {
    workspace::root().join("out")
}

fn report(is_new: bool, file: &std::path::Path) {
    let what = if is_new { "made" } else { "unchanged:" };
    ui::done(&format!("{what} {}", file.display()));
}
