//! `cargo xtask image`: makes what a machine boots from.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use xtask::boot_image::{BootImage, Parts};
use xtask::userland::{self, GuestFile};
use xtask::{ramdisk, rootfs, ui, workspace};

/// What the kernel starts when the configuration lists several processes.
const SPAWNER: &str = "/bin/spawner";

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
    /// Only these of the project's programs; all of them without it
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    programs: Vec<String>,
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
    /// The boot ramdisk with these contents, the project's own programs (those of these names, or all
    /// if there are none), and a folder laid over them.
    pub(crate) fn ramdisk(&self, programs: &[String], folder: Option<&Path>) -> Result<Vec<u8>> {
        let config = self.configuration()?;
        let programs = chosen(userland::build()?, programs)?;
        let rootfs = rootfs::archive(&programs, folder)?;
        ramdisk::assemble(config.as_deref(), &self.options, Some(&rootfs))
    }

    /// The scheduler configuration, if one was given.
    pub(crate) fn configuration(&self) -> Result<Option<Vec<u8>>> {
        ramdisk::read_config(self.config.as_deref())
    }
}

/// The programs of these names, or all if there are none, and always what starts several.
fn chosen(mut programs: Vec<GuestFile>, names: &[String]) -> Result<Vec<GuestFile>> {
    let name_of = |program: &GuestFile| program.path.trim_start_matches("/bin/").to_owned();
    let all: Vec<_> = programs.iter().map(name_of).collect();
    for name in names {
        ensure!(
            all.contains(name),
            "there is no program {name}; there are: {}",
            all.join(", ")
        );
    }
    if !names.is_empty() {
        programs.retain(|program| program.path == SPAWNER || names.contains(&name_of(program)));
    }
    Ok(programs)
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let ramdisk = args
        .contents
        .ramdisk(&args.programs, args.rootfs.as_deref())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_chosen_by_name_and_a_wrong_one_is_told() {
        let program = |name: &str| GuestFile {
            path: format!("/bin/{name}"),
            file: PathBuf::new(),
        };
        let all = ["httpd", "spawner", "statsd"].map(program).to_vec();
        let names = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            chosen(all.clone(), &names)
        };
        assert_eq!(names(&[]).unwrap(), all);
        assert_eq!(names(&["httpd"]).unwrap(), all[..2]);
        let error = names(&["httpd", "nginx"]).unwrap_err().to_string();
        assert!(
            error.contains("no program nginx") && error.contains("statsd"),
            "{error}"
        );
    }
}
