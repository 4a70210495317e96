//! The boot options, from the boot ramdisk.

use vortex_kernel_base::options::{self, BootOptions};
use vortex_kernel_base::ramdisk::Ramdisk;

/// The file in the ramdisk that has them.
const FILE: &str = "options";

/// What `ramdisk` asks for; the defaults, saying so, for what is missing.
pub(crate) fn read(ramdisk: Option<&Ramdisk<'_>>) -> BootOptions {
    let Some(ramdisk) = ramdisk else {
        return BootOptions::default();
    };
    match ramdisk.file(FILE) {
        Some(file) => options::parse(file, |warning| log::warn!("{warning}")),
        None => {
            log::info!("the boot ramdisk has no file {FILE:?}; built-in defaults are used");
            BootOptions::default()
        }
    }
}
