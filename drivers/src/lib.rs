//! Drivers of SCSI controllers.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod megasas;
pub mod virtio_scsi;

pub use megasas::MegaRaid;
pub use virtio_scsi::VirtioScsi;
