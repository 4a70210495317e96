//! `vortex-image`: one kernel and one boot ramdisk in, a UEFI disk and a TFTP folder out.
//!
//! `cargo xtask image` builds and calls this program; its arguments are an agreement between the
//! two, so they are positional and all required but the ramdisk: `KERNEL DISK PXE_FOLDER [RAMDISK]`.
#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Context, Result, bail};
use bootloader::{BootConfig, UefiBoot};
use bootloader_boot_config::LevelFilter;

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let paths: Vec<&Path> = arguments.iter().map(Path::new).collect();
    let (kernel, disk, pxe, ramdisk) = match paths.as_slice() {
        [kernel, disk, pxe] => (kernel, disk, pxe, None),
        [kernel, disk, pxe, ramdisk] => (kernel, disk, pxe, Some(ramdisk)),
        _ => bail!("expected KERNEL DISK PXE_FOLDER [RAMDISK], got {arguments:?}"),
    };

    let mut config = BootConfig::default();
    // The kernel has a console of its own; the loader's lines there would only be painted over.
    config.frame_buffer_logging = false;
    // Each byte takes its time on a serial port.
    config.log_level = LevelFilter::Warn;
    let mut boot = UefiBoot::new(kernel);
    boot.set_boot_config(&config);
    if let Some(ramdisk) = ramdisk {
        boot.set_ramdisk(ramdisk);
    }
    boot.create_disk_image(disk)
        .with_context(|| format!("cannot make {}", disk.display()))?;
    boot.create_pxe_tftp_folder(pxe)
        .with_context(|| format!("cannot fill {}", pxe.display()))
}
