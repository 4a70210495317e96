//! Bringing the device up (datasheet, section 4.6), at first and after a reset.

use alloc::boxed::Box;

use vortex_bus::pci::Interrupts;
use vortex_bus::{Bus, BusError, Registers};
use vortex_resources::net::interface::{ETHERNET, Host, Loss, Mac, Notice, Properties};

use super::descriptor;
use super::receive::{self, ReceiveRing};
use super::registers::{self as reg, cause, ctrl, ctrl_ext, status};
use super::transmit::{self, TransmitRing};
use super::{E1000e, Running, State};

/// How long accesses to memory may still take before a reset, in nanoseconds.
const QUIET_NS: u64 = 100_000_000;
/// How long a reset may take, and how often it is looked at.
const RESET_NS: u64 = 2_000_000_000;
const LOOK_NS: u64 = 1_000_000;
/// The most bytes of a packet.
const MTU: u16 = 1500;
/// The longest packet of IPv4.
const LONGEST_PACKET: u32 = 65_535;

/// How far a reset has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Accesses to memory come to their end.
    Quieting,
    /// It was told to reset itself.
    Resetting,
}

impl<B: Bus> E1000e<B>
where
    B::Registers: core::fmt::Debug,
{
    /// Begins to reset the device.
    pub(super) fn begin_reset(&mut self, now_ns: u64) {
        self.registers.write32(reg::IMC, u32::MAX);
        self.registers.write32(reg::RCTL, 0);
        self.registers.write32(reg::TCTL, 0);
        let control = self.registers.read32(reg::CTRL);
        self.registers
            .write32(reg::CTRL, control | ctrl::GIO_MASTER_DISABLE);
        // The rings' memory stays until the device has said that it is done with it.
        let old = core::mem::replace(
            &mut self.state,
            State::Starting {
                step: Step::Quieting,
                until: now_ns.saturating_add(QUIET_NS),
                next_look: now_ns,
            },
        );
        if let State::Running(running) = old {
            self.counters.resets += 1;
            self.void.push(running);
        }
    }

    /// Looks how far a reset has come, and goes on.
    pub(super) fn look_at_reset(&mut self, now_ns: u64, host: &mut dyn Host) {
        let State::Starting {
            step,
            until,
            next_look,
        } = &mut self.state
        else {
            return;
        };
        *next_look = now_ns + LOOK_NS;
        let is_late = now_ns >= *until;
        match step {
            Step::Quieting => {
                let under_way = self.registers.read32(reg::STATUS) & status::GIO_MASTER_ENABLE;
                if under_way == 0 || is_late {
                    let control = self.registers.read32(reg::CTRL);
                    self.registers.write32(reg::CTRL, control | ctrl::RST);
                    *step = Step::Resetting;
                    *until = now_ns.saturating_add(RESET_NS);
                }
            }
            Step::Resetting => {
                let control = self.registers.read32(reg::CTRL);
                let is_read = self.registers.read32(reg::EECD) & reg::EECD_AUTO_RD != 0;
                if control & ctrl::RST == 0 && is_read {
                    self.start(now_ns, host);
                } else if is_late {
                    log::error!("e1000e: the device cannot be reset");
                    self.give_up(host);
                }
            }
        }
    }

    /// Sets up a device that has just been reset.
    fn start(&mut self, now_ns: u64, host: &mut dyn Host) {
        self.empty(host);
        match self.bring_up(now_ns) {
            Ok(mut running) => {
                if let Some(tail) = running.receive.fill(host) {
                    self.registers.write32(reg::RDT, tail as u32);
                }
                let has_link = running.has_link;
                self.state = State::Running(Box::new(running));
                host.notice(Notice::Ready);
                host.notice(Notice::Link(has_link));
            }
            Err(error) => {
                log::error!("e1000e: {error}");
                self.give_up(host);
            }
        }
    }

    /// Cuts the device off, for good.
    pub(super) fn give_up(&mut self, host: &mut dyn Host) {
        self.bus.set_master(false);
        if let State::Running(running) = core::mem::replace(&mut self.state, State::Gone) {
            self.void.push(running);
        }
        self.empty(host);
        host.notice(Notice::Gone);
    }

    /// Gives back what the device has had, as it is done with it.
    fn empty(&mut self, host: &mut dyn Host) {
        for running in self.void.drain(..) {
            for frame in running.transmit.into_frames() {
                self.counters.lose(Loss::Reset, 1);
                host.sent(frame);
            }
        }
    }

    fn bring_up(&mut self, now_ns: u64) -> Result<Running<B>, SetupError> {
        self.registers.write32(reg::IMC, u32::MAX);
        self.registers.write32(reg::ICR, u32::MAX);
        let mac = self.address().ok_or(SetupError::NoAddress)?;
        for word in 0..reg::MTA_WORDS {
            self.registers.write32(reg::MTA + 4 * word, 0);
        }
        let receive = ReceiveRing::new(&mut self.bus)?;
        let transmit = TransmitRing::new(&mut self.bus)?;
        self.bus.set_master(true);
        self.set_up_interrupts();
        self.set_up_receive(receive.address());
        self.set_up_transmit(transmit.address());
        let off = ctrl::GIO_MASTER_DISABLE | ctrl::FORCE | ctrl::VME;
        let control = self.registers.read32(reg::CTRL) & !off;
        self.registers.write32(reg::CTRL, control | ctrl::SLU);
        Ok(Running {
            receive,
            transmit,
            properties: Properties {
                mac,
                mtu: MTU,
                queues: 1,
                checksum: true,
                segmentation: LONGEST_PACKET + ETHERNET as u32,
            },
            has_link: self.registers.read32(reg::STATUS) & status::LU != 0,
            next_look: now_ns,
            hungry_until: None,
        })
    }

    /// The address that the device has from its non-volatile memory.
    fn address(&self) -> Option<Mac> {
        let low = self.registers.read32(reg::RAL);
        let high = self.registers.read32(reg::RAH);
        let ([a, b, c, d], [e, f, ..]) = (low.to_le_bytes(), high.to_le_bytes());
        let mac = Mac([a, b, c, d, e, f]);
        let is_valid = high & reg::RAH_AV != 0 && mac.is_unicast() && mac != Mac::default();
        is_valid.then_some(mac)
    }

    fn set_up_interrupts(&mut self) {
        let registers = &mut self.registers;
        let off = ctrl_ext::IAME | ctrl_ext::EIAME;
        let control = registers.read32(reg::CTRL_EXT) & !off | ctrl_ext::DRV_LOAD;
        match self.interrupts {
            Interrupts::Msix => {
                let by_message = ctrl_ext::EIAME | ctrl_ext::PBA;
                registers.write32(reg::CTRL_EXT, control | by_message);
                registers.write32(reg::IVAR, reg::IVAR_ALL_FIRST);
                registers.write32(reg::EITR, reg::MODERATION);
                registers.write32(reg::EIAC, cause::RXQ0 | cause::TXQ0 | cause::OTHER);
            }
            Interrupts::Msi | Interrupts::Pin | Interrupts::Polled => {
                registers.write32(reg::CTRL_EXT, control);
                registers.write32(reg::ITR, reg::MODERATION);
            }
        }
    }

    fn set_up_receive(&mut self, ring: u64) {
        let registers = &mut self.registers;
        registers.write32(reg::RDBAL, ring as u32);
        registers.write32(reg::RDBAL + 4, (ring >> 32) as u32);
        let length = receive::SIZE * descriptor::BYTES;
        registers.write32(reg::RDLEN, length as u32);
        registers.write32(reg::RDH, 0);
        registers.write32(reg::RDT, 0);
        registers.write32(reg::RXCSUM, reg::RXCSUM_ON);
        registers.write32(reg::RFCTL, 0);
        registers.write32(reg::MRQC, 0);
        registers.write32(reg::RCTL, reg::RCTL_ON);
    }

    fn set_up_transmit(&mut self, ring: u64) {
        let registers = &mut self.registers;
        registers.write32(reg::TDBAL, ring as u32);
        registers.write32(reg::TDBAL + 4, (ring >> 32) as u32);
        let length = transmit::SIZE * descriptor::BYTES;
        registers.write32(reg::TDLEN, length as u32);
        registers.write32(reg::TDH, 0);
        registers.write32(reg::TDT, 0);
        registers.write32(reg::TXDCTL, reg::TXDCTL_EACH);
        registers.write32(reg::TIPG, reg::TIPG_COPPER);
        registers.write32(reg::TCTL, reg::TCTL_ON);
    }
}

/// Why a device cannot be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SetupError {
    Bus(BusError),
    NoAddress,
}

impl From<BusError> for SetupError {
    fn from(error: BusError) -> Self {
        Self::Bus(error)
    }
}

impl core::fmt::Display for SetupError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Bus(error) => error.fmt(f),
            Self::NoAddress => f.write_str("the device has no address"),
        }
    }
}
