//! How a virtio device is set up and told of work (Virtual I/O Device 1.2, sections 3.1 and 4.1).
//!
//! Key types: [`Transport`] (what drivers use, with a fake in `crate::fake`), [`PciTransport`].
//!
//! Only devices of version 1 are driven: they have their registers in memory, described by
//! capabilities. All interrupts of a device come by the one MSI-X message there is, or by its pin.

use core::fmt;

use vortex_hal::io::Registers;

use crate::virtqueue::Addresses;
use crate::{Bus, BusError};

/// Bits of the device's status.
pub mod status {
    /// The driver has seen the device.
    pub const ACKNOWLEDGE: u8 = 1;
    /// There is a driver for it.
    pub const DRIVER: u8 = 2;
    /// The driver is ready.
    pub const DRIVER_OK: u8 = 4;
    /// The features are agreed on.
    pub const FEATURES_OK: u8 = 8;
    /// The device is at its wits' end and wants a reset.
    pub const NEEDS_RESET: u8 = 64;
    /// The driver has given up.
    pub const FAILED: u8 = 128;
}

/// The feature without which a device is not driven: it follows version 1 of the specification.
pub const VERSION_1: u64 = 1 << 32;

/// The feature by which both sides say when they want to be told of what is in a queue.
pub const EVENT_INDEX: u64 = 1 << 29;

/// Why a device cannot be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disagreement {
    /// It is older than version 1.
    TooOld,
    /// It does not accept the features that it has offered.
    Features,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooOld => "the device is older than version 1",
            Self::Features => "the device does not accept the features",
        })
    }
}

/// Agrees with a device, which has just been reset, on features: version 1, and those of `wanted` that
/// it offers (section 3.1.1, steps 2 to 6). What was agreed on; the driver goes on with the queues,
/// and then sets [`AGREED`] and [`status::DRIVER_OK`].
///
/// # Errors
/// [`Disagreement`].
pub fn negotiate(transport: &mut impl Transport, wanted: u64) -> Result<u64, Disagreement> {
    transport.set_status(status::ACKNOWLEDGE);
    transport.set_status(status::ACKNOWLEDGE | status::DRIVER);
    let offered = transport.features();
    if offered & VERSION_1 == 0 {
        transport.set_status(status::FAILED);
        return Err(Disagreement::TooOld);
    }
    let accepted = offered & (VERSION_1 | wanted);
    transport.accept(accepted);
    transport.set_status(AGREED);
    if transport.status() & status::FEATURES_OK == 0 {
        return Err(Disagreement::Features);
    }
    Ok(accepted)
}

/// The status of a device after [`negotiate`].
pub const AGREED: u8 = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK;

/// How a device is reached.
pub trait Transport: Send + 'static {
    /// The device's status; 0 after a reset was begun says that it is over.
    fn status(&mut self) -> u8;
    /// Sets the status; 0 begins a reset.
    fn set_status(&mut self, status: u8);
    /// The features that the device offers.
    fn features(&mut self) -> u64;
    /// The features that the driver accepts.
    fn accept(&mut self, features: u64);
    /// How many descriptors a queue may have; 0 if there is no such queue.
    fn queue_limit(&mut self, queue: u16) -> u16;
    /// Sets up a queue of so many descriptors; its interrupts come by `message` of the MSI-X table,
    /// if there is one.
    fn set_queue(&mut self, queue: u16, size: u16, addresses: Addresses, message: Option<u16>);
    /// Has the device interrupt by `message` of the MSI-X table when its configuration changes.
    fn interrupt_on_change(&mut self, message: Option<u16>);
    /// Has a device that interrupts by its pin let it go: what is looked at from here on was there.
    fn acknowledge(&mut self);
    /// Tells the device that there is something in a queue that was set up.
    fn notify(&mut self, queue: u16);
    /// Reads 32 bits of the device's own configuration; `offset` is a multiple of 4. A field is read as
    /// wide as it is (section 4.1.3.1): what goes beyond the end of what a device has may read as ones.
    fn configuration(&mut self, offset: usize) -> u32;
    /// Reads 16 bits of it; `offset` is a multiple of 2.
    fn configuration16(&mut self, offset: usize) -> u16;
    /// Writes 32 bits of the device's own configuration.
    fn set_configuration(&mut self, offset: usize, value: u32);
}

/// Offsets in the common configuration (section 4.1.4.3).
mod common {
    pub(super) const DEVICE_FEATURE_SELECT: usize = 0x00;
    pub(super) const DEVICE_FEATURE: usize = 0x04;
    pub(super) const DRIVER_FEATURE_SELECT: usize = 0x08;
    pub(super) const DRIVER_FEATURE: usize = 0x0c;
    pub(super) const MSIX_CONFIG: usize = 0x10;
    pub(super) const STATUS: usize = 0x14;
    pub(super) const QUEUE_SELECT: usize = 0x16;
    pub(super) const QUEUE_SIZE: usize = 0x18;
    pub(super) const QUEUE_MSIX: usize = 0x1a;
    pub(super) const QUEUE_ENABLE: usize = 0x1c;
    pub(super) const QUEUE_NOTIFY: usize = 0x1e;
    pub(super) const QUEUE_DESCRIPTORS: usize = 0x20;
    pub(super) const QUEUE_AVAILABLE: usize = 0x28;
    pub(super) const QUEUE_USED: usize = 0x30;
    pub(super) const BYTES: usize = 0x38;
}

/// No message of the MSI-X table.
const NO_MESSAGE: u16 = 0xffff;
/// Queues whose places to notify are remembered; a driver uses no more.
const QUEUES: usize = 64;

/// The types of structures that capabilities describe.
const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const ISR: u8 = 3;
const DEVICE: u8 = 4;

/// Bytes of the interrupt status, the first of which counts (section 4.1.4.5).
const ISR_BYTES: usize = 4;

/// Where a structure of a device is, as one of its vendor-specific capabilities says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    /// What it is.
    kind: u8,
    bar: u8,
    offset: u32,
    length: u32,
    /// For the structure to notify: bytes from one queue's place to the next.
    multiplier: u32,
}

impl Structure {
    /// Reads a vendor-specific capability, from its first word to its fifth.
    #[must_use]
    pub const fn parse(words: [u32; 5]) -> Self {
        Self {
            kind: (words[0] >> 24) as u8,
            bar: words[1] as u8,
            offset: words[2],
            length: words[3],
            multiplier: words[4],
        }
    }
}

/// A virtio device on the PCI bus.
#[derive(Debug)]
pub struct PciTransport<R> {
    common: R,
    notify: R,
    notify_bytes: usize,
    multiplier: usize,
    device: Option<R>,
    device_bytes: usize,
    /// What lets go of the pin when it is read, if the device interrupts by that.
    isr: Option<R>,
    /// For each queue, where it is notified; `None` before it is set up.
    places: [Option<usize>; QUEUES],
}

impl<R: Registers + Send + 'static> PciTransport<R> {
    /// Of the device on `bus` that has these structures, and interrupts by its pin or not.
    ///
    /// # Errors
    /// [`BusError::NoRegisters`] if one that is needed is not there.
    pub fn new<B: Bus<Registers = R>>(
        bus: &mut B,
        structures: &[Structure],
        by_pin: bool,
    ) -> Result<Self, BusError> {
        let find = |kind| structures.iter().find(|one| one.kind == kind).copied();
        let needed = |kind| find(kind).ok_or(BusError::NoRegisters { bar: 0 });
        let (common, notify) = (needed(COMMON)?, needed(NOTIFY)?);
        if (common.length as usize) < common::BYTES {
            return Err(BusError::NoRegisters { bar: common.bar });
        }
        // More than these bytes are not used of a page for each queue.
        let notify_bytes = notify.length.min(1 << 20) as usize;
        let device = find(DEVICE);
        let isr = by_pin.then(|| needed(ISR)).transpose()?;
        let device_bytes = device.map_or(0, |device| device.length.min(4096) as usize & !3);
        let mut map = |structure: Structure, length: usize| {
            bus.registers(structure.bar, structure.offset.into(), length)
        };
        Ok(Self {
            common: map(common, common::BYTES)?,
            notify: map(notify, notify_bytes)?,
            notify_bytes,
            multiplier: notify.multiplier as usize,
            device: device.map(|device| map(device, device_bytes)).transpose()?,
            device_bytes,
            isr: isr.map(|isr| map(isr, ISR_BYTES)).transpose()?,
            places: [None; QUEUES],
        })
    }

    fn write64(&mut self, offset: usize, value: u64) {
        self.common.write32(offset, value as u32);
        self.common.write32(offset + 4, (value >> 32) as u32);
    }
}

impl<R: Registers + Send + 'static> Transport for PciTransport<R> {
    fn status(&mut self) -> u8 {
        self.common.read8(common::STATUS)
    }

    fn set_status(&mut self, status: u8) {
        self.common.write8(common::STATUS, status);
        if status == 0 {
            self.places = [None; QUEUES];
        }
    }

    fn features(&mut self) -> u64 {
        let mut half = |number| {
            self.common.write32(common::DEVICE_FEATURE_SELECT, number);
            u64::from(self.common.read32(common::DEVICE_FEATURE))
        };
        half(0) | half(1) << 32
    }

    fn accept(&mut self, features: u64) {
        for (number, half) in [(0, features as u32), (1, (features >> 32) as u32)] {
            self.common.write32(common::DRIVER_FEATURE_SELECT, number);
            self.common.write32(common::DRIVER_FEATURE, half);
        }
        self.common.write16(common::MSIX_CONFIG, NO_MESSAGE);
    }

    fn queue_limit(&mut self, queue: u16) -> u16 {
        self.common.write16(common::QUEUE_SELECT, queue);
        self.common.read16(common::QUEUE_SIZE)
    }

    fn set_queue(&mut self, queue: u16, size: u16, addresses: Addresses, message: Option<u16>) {
        self.common.write16(common::QUEUE_SELECT, queue);
        self.common.write16(common::QUEUE_SIZE, size);
        let message = message.unwrap_or(NO_MESSAGE);
        self.common.write16(common::QUEUE_MSIX, message);
        self.write64(common::QUEUE_DESCRIPTORS, addresses.descriptors);
        self.write64(common::QUEUE_AVAILABLE, addresses.available);
        self.write64(common::QUEUE_USED, addresses.used);
        let place = usize::from(self.common.read16(common::QUEUE_NOTIFY)) * self.multiplier;
        if let Some(known) = self.places.get_mut(usize::from(queue)) {
            *known = (place + 2 <= self.notify_bytes && place.is_multiple_of(2)).then_some(place);
        }
        self.common.write16(common::QUEUE_ENABLE, 1);
    }

    fn interrupt_on_change(&mut self, message: Option<u16>) {
        let message = message.unwrap_or(NO_MESSAGE);
        self.common.write16(common::MSIX_CONFIG, message);
    }

    fn acknowledge(&mut self) {
        if let Some(isr) = &self.isr {
            isr.read8(0);
        }
    }

    fn notify(&mut self, queue: u16) {
        if let Some(Some(place)) = self.places.get(usize::from(queue)) {
            self.notify.write16(*place, queue);
        }
    }

    fn configuration(&mut self, offset: usize) -> u32 {
        match &self.device {
            Some(device) if offset + 4 <= self.device_bytes => device.read32(offset),
            _ => 0,
        }
    }

    fn configuration16(&mut self, offset: usize) -> u16 {
        match &self.device {
            Some(device) if offset + 2 <= self.device_bytes => device.read16(offset),
            _ => 0,
        }
    }

    fn set_configuration(&mut self, offset: usize, value: u32) {
        match &mut self.device {
            Some(device) if offset + 4 <= self.device_bytes => device.write32(offset, value),
            _ => {}
        }
    }
}
