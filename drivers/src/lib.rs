//! Drivers of SCSI controllers and network interfaces.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod e1000e;
#[cfg(test)]
mod host;
mod linger;
pub mod megasas;
pub mod virtio_net;
pub mod virtio_scsi;

pub use e1000e::E1000e;
pub use megasas::MegaRaid;
pub use virtio_net::VirtioNet;
pub use virtio_scsi::VirtioScsi;
