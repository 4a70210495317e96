//! The description of a machine, with everything that a test may want to be different.

use std::ffi::OsString;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use xtask::boot_image::{BootImage, Parts};
use xtask::packages::{self, Package};
use xtask::qemu::{self, Boot, GuestConfig};
use xtask::{accel, ramdisk};

use crate::running::RunningMachine;
use crate::slots::Slots;

/// Where a machine boots from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootFrom {
    /// The UEFI disk.
    Disk,
    /// QEMU's own DHCP and TFTP servers.
    Pxe,
    /// Nothing: the firmware stays alone.
    Nothing,
}

/// What is in the boot ramdisk.
#[derive(Clone, Debug)]
enum Ramdisk {
    /// The default configuration and these boot options.
    Options(Vec<String>),
    /// These bytes.
    Bytes(Vec<u8>),
    /// There is none.
    Missing,
}

/// A machine that is not running yet.
#[derive(Clone, Debug)]
#[must_use = "a machine does nothing before it is started"]
pub struct Machine {
    smp: u32,
    memory: String,
    mainboard: qemu::Machine,
    cpu: Option<String>,
    boot: BootFrom,
    ramdisk: Ramdisk,
    debug_exit: bool,
    alone: bool,
    launcher: Vec<OsString>,
    extra: Vec<OsString>,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// A q35 machine with one processor and 512 MiB that boots from disk without boot options.
    pub fn new() -> Self {
        Self {
            smp: 1,
            memory: "512M".into(),
            mainboard: qemu::Machine::Q35,
            cpu: None,
            boot: BootFrom::Disk,
            ramdisk: Ramdisk::Options(Vec::new()),
            debug_exit: true,
            alone: false,
            launcher: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// With so many processors.
    pub fn smp(mut self, processors: u32) -> Self {
        self.smp = processors;
        self
    }

    /// With so much memory, as QEMU reads it: `256M`, `8G`.
    pub fn memory(mut self, size: &str) -> Self {
        self.memory = size.into();
        self
    }

    /// With this mainboard.
    pub fn mainboard(mut self, mainboard: qemu::Machine) -> Self {
        self.mainboard = mainboard;
        self
    }

    /// With this processor model instead of the most capable one.
    pub fn cpu(mut self, model: &str) -> Self {
        self.cpu = Some(model.into());
        self
    }

    /// Booting from there.
    pub fn boot(mut self, from: BootFrom) -> Self {
        self.boot = from;
        self
    }

    /// With one more boot option, `key` or `key=value`. Takes back what was said about the ramdisk.
    pub fn option(mut self, option: &str) -> Self {
        match &mut self.ramdisk {
            Ramdisk::Options(options) => options.push(option.into()),
            Ramdisk::Bytes(_) | Ramdisk::Missing => {
                self.ramdisk = Ramdisk::Options(vec![option.into()]);
            }
        }
        self
    }

    /// With these bytes for a ramdisk.
    pub fn ramdisk(mut self, bytes: Vec<u8>) -> Self {
        self.ramdisk = Ramdisk::Bytes(bytes);
        self
    }

    /// Without a ramdisk.
    pub fn no_ramdisk(mut self) -> Self {
        self.ramdisk = Ramdisk::Missing;
        self
    }

    /// Without the device by which the kernel ends QEMU with a status.
    pub fn no_debug_exit(mut self) -> Self {
        self.debug_exit = false;
        self
    }

    /// With more QEMU arguments.
    pub fn qemu_args(mut self, arguments: &[&str]) -> Self {
        self.extra.extend(arguments.iter().map(OsString::from));
        self
    }

    /// Started by this command, such as one that enters a namespace.
    pub fn launcher(mut self, launcher: Vec<OsString>) -> Self {
        self.launcher = launcher;
        self
    }

    /// While no other guest runs: for tests that look at the time.
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Starts the machine, as soon as there is a slot for it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(self) -> RunningMachine {
        match self.try_start() {
            Ok(machine) => machine,
            Err(error) => panic!("cannot start a guest: {error:#}"),
        }
    }

    fn try_start(self) -> Result<RunningMachine> {
        packages::require(&[Package::Qemu, Package::Firmware])?;
        let boot = match self.boot {
            BootFrom::Disk => Boot::Disk(self.image()?.disk()),
            BootFrom::Pxe => Boot::Pxe(self.image()?.pxe()),
            BootFrom::Nothing => Boot::Nothing,
        };
        let mut config = GuestConfig::new(boot, accel::detect()?);
        config.smp = self.smp;
        config.memory = self.memory;
        config.machine = self.mainboard;
        config.cpu = self.cpu;
        config.debug_exit = self.debug_exit;
        config.launcher = self.launcher;
        config.extra = self.extra;
        let slots = if self.alone {
            Slots::all()?
        } else {
            Slots::one()?
        };
        RunningMachine::start(&config, slots)
    }

    /// An image with this ramdisk; machines with the same one share it, and only read it.
    fn image(&self) -> Result<BootImage> {
        let ramdisk = match &self.ramdisk {
            Ramdisk::Options(options) => Some(ramdisk::build(None, options)?),
            Ramdisk::Bytes(bytes) => Some(bytes.clone()),
            Ramdisk::Missing => None,
        };
        let image = BootImage::with_ramdisk("guest-images", &ramdisk)?;
        image.make_boot(parts()?, ramdisk.as_deref())?;
        Ok(image)
    }
}

/// The kernel and the boot loader, built once in each test process.
///
/// # Errors
/// When they do not build.
pub fn parts() -> Result<&'static Parts> {
    static PARTS: OnceLock<Result<Parts, String>> = OnceLock::new();
    let parts = PARTS.get_or_init(|| Parts::build().map_err(|error| format!("{error:#}")));
    parts
        .as_ref()
        .map_err(|error| anyhow::anyhow!("{error}"))
        .context("cannot build the kernel")
}
