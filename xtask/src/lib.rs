//! What the commands of `cargo xtask` are made of: finding and installing tools, building the
//! kernel, making boot images and starting QEMU.
//!
//! It is a library so that the whole-system tests in `tests/` start guests exactly as
//! `cargo xtask run` does. [`boot_image::BootImage`] describes what to boot, [`qemu::GuestConfig`]
//! the machine to boot it on, [`qemu::Guest`] is the running machine.
//!
//! Two rules hold throughout: no program started here outlives the process that started it (see
//! [`process`]), and invocations that run at the same time share only files that are replaced in
//! one step under a lock (see [`workspace`]).
#![forbid(unsafe_code)]

pub mod accel;
pub mod apachebench;
pub mod boot_image;
pub mod boot_server;
mod console;
pub mod counts;
pub mod disks;
pub mod endurance;
pub mod firmware;
pub mod kernel;
pub mod libraries;
pub mod linux;
pub mod netboot;
pub mod network;
pub mod nic;
pub mod packages;
pub mod process;
pub mod program;
pub mod qemu;
pub mod ramdisk;
pub mod raw_mode;
pub mod rootfs;
pub mod rules;
pub mod samples;
pub mod toolchain;
pub mod ui;
pub mod userland;
pub mod wire;
pub mod workspace;
