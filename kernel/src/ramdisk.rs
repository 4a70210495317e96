//! The boot ramdisk, as the boot loader left it.

use vortex_kernel_base::ramdisk::Ramdisk;

use crate::boot::Handover;

/// The ramdisk; `None`, with a warning, when there is none or it is damaged.
pub(crate) fn open() -> Option<Ramdisk<'static>> {
    let Some(bytes) = Handover::get().and_then(Handover::ramdisk) else {
        log::warn!("there is no boot ramdisk; built-in defaults are used");
        return None;
    };
    Ramdisk::new(bytes)
        .inspect_err(|error| log::warn!("{error}; built-in defaults are used"))
        .ok()
}
