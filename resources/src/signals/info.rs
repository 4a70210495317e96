//! What a signal says about its cause, and how `siginfo_t` says it.

use linux_raw_sys::general as linux;

use super::Signal;
use crate::process::ExitStatus;

/// Bytes of `siginfo_t`.
pub(crate) const INFO_SIZE: usize = 128;

/// What has caused a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The kernel.
    Kernel,
    /// A process, by its number.
    Process(u32),
    /// A process, by its number, with a value.
    Queued(u32, u64),
    /// An instruction that touched this address, or is there.
    Fault(u64),
    /// A timer of `timer_create`(2), by its number: how often it was due in vain, and its value.
    Timer(u32, u32, u64),
    /// A child, by its number: what has become of it, as `si_status` has it.
    Child(u32, u32),
}

/// A signal with its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// The signal.
    pub signal: Signal,
    /// `si_code`.
    pub code: i32,
    /// The cause.
    pub cause: Cause,
}

const fn code(value: u32) -> i32 {
    value.cast_signed()
}

impl Info {
    /// From the kernel.
    #[must_use]
    pub const fn kernel(signal: Signal) -> Self {
        Self {
            signal,
            code: code(linux::SI_KERNEL),
            cause: Cause::Kernel,
        }
    }

    /// From kill(2).
    #[must_use]
    pub const fn user(signal: Signal, sender: u32) -> Self {
        Self {
            signal,
            code: code(linux::SI_USER),
            cause: Cause::Process(sender),
        }
    }

    /// From a timer.
    #[must_use]
    pub const fn timer(signal: Signal, cause: Cause) -> Self {
        Self {
            signal,
            code: linux::SI_TIMER,
            cause,
        }
    }

    /// From tgkill(2) or tkill(2).
    #[must_use]
    pub const fn thread(signal: Signal, sender: u32) -> Self {
        Self {
            signal,
            code: linux::SI_TKILL,
            cause: Cause::Process(sender),
        }
    }

    const fn fault(signal: Signal, number: u32, address: u64) -> Self {
        Self {
            signal,
            code: code(number),
            cause: Cause::Fault(address),
        }
    }

    /// A fault at an address; `mapped` if there is a region.
    #[must_use]
    pub const fn segment(address: u64, mapped: bool) -> Self {
        let number = match mapped {
            true => linux::SEGV_ACCERR,
            false => linux::SEGV_MAPERR,
        };
        Self::fault(Signal::SEGV, number, address)
    }

    /// A fault beyond the end of a file.
    #[must_use]
    pub const fn bus(address: u64) -> Self {
        Self::fault(Signal::BUS, linux::BUS_ADRERR, address)
    }

    /// An exception of the processor by its vector and error code, at an instruction: as Linux
    /// has it.
    #[must_use]
    pub const fn exception(vector: u8, _code: u64, at: u64) -> Self {
        match vector {
            0 => Self::fault(Signal::FPE, linux::FPE_INTDIV, at),
            1 => Self::fault(Signal::TRAP, linux::TRAP_TRACE, at),
            3 => Self::kernel(Signal::TRAP),
            6 => Self::fault(Signal::ILL, linux::ILL_ILLOPN, at),
            16 | 19 => Self::fault(Signal::FPE, linux::FPE_FLTINV, at),
            17 => Self::fault(Signal::BUS, linux::BUS_ADRALN, 0),
            11 | 12 => Self::kernel(Signal::BUS),
            _ => Self::kernel(Signal::SEGV),
        }
    }

    /// That a child has ended, been stopped or been continued.
    #[must_use]
    pub const fn child(child: u32, status: ExitStatus) -> Self {
        let (number, status) = status.for_info();
        Self {
            signal: Signal::CHLD,
            code: code(number),
            cause: Cause::Child(child, status),
        }
    }

    /// As `siginfo_t`.
    #[must_use]
    pub fn encode(&self) -> [u8; INFO_SIZE] {
        let mut bytes = [0; INFO_SIZE];
        let mut put = |offset: usize, value: &[u8]| {
            bytes[offset..offset + value.len()].copy_from_slice(value);
        };
        put(0, &self.signal.number().to_le_bytes());
        put(8, &self.code.to_le_bytes());
        match self.cause {
            Cause::Kernel => {}
            Cause::Process(sender) => put(16, &sender.to_le_bytes()),
            Cause::Queued(sender, value) => {
                put(16, &sender.to_le_bytes());
                put(24, &value.to_le_bytes());
            }
            Cause::Timer(number, overrun, value) => {
                put(16, &number.to_le_bytes());
                put(20, &overrun.to_le_bytes());
                put(24, &value.to_le_bytes());
            }
            Cause::Fault(address) => put(16, &address.to_le_bytes()),
            Cause::Child(child, status) => {
                put(16, &child.to_le_bytes());
                put(24, &status.to_le_bytes());
            }
        }
        bytes
    }
}
