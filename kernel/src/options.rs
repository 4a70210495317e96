//! The boot options, from the boot ramdisk.

use vortex_kernel_base::options::{self, BootOptions};
use vortex_kernel_base::ramdisk::Ramdisk;

/// The file in the ramdisk that has them.
const FILE: &str = "options";

/// What `ramdisk` asks for; the defaults, with a warning, for what is missing or damaged.
pub(crate) fn read(ramdisk: Option<&[u8]>) -> BootOptions {
    let Some(bytes) = ramdisk else {
        log::warn!("there is no boot ramdisk; built-in defaults are used");
        return BootOptions::default();
    };
    let ramdisk = match Ramdisk::new(bytes) {
        Ok(ramdisk) => ramdisk,
        Err(error) => {
            log::warn!("{error}; built-in defaults are used");
            return BootOptions::default();
        }
    };
    match ramdisk.file(FILE) {
        Some(file) => options::parse(file, |warning| log::warn!("{warning}")),
        None => {
            log::info!("the boot ramdisk has no file {FILE:?}; built-in defaults are used");
            BootOptions::default()
        }
    }
}
