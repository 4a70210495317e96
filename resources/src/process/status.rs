//! How processes end, and what they have used.

use core::ops::AddAssign;

use linux_raw_sys::general as linux;

use crate::signals::{Default as DefaultAction, Signal};

/// What a process, or its threads, have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consumption {
    /// CPU time in user mode and in calls that are not requests, in cycles.
    pub cycles: u64,
    /// Page faults resolved at once.
    pub minor_faults: u64,
    /// Page faults for which a page had to be fetched.
    pub major_faults: u64,
    /// Times that a thread has waited.
    pub voluntary_switches: u64,
    /// Times that a thread has been made to give way.
    pub involuntary_switches: u64,
}

impl AddAssign for Consumption {
    fn add_assign(&mut self, other: Self) {
        self.cycles += other.cycles;
        self.minor_faults += other.minor_faults;
        self.major_faults += other.major_faults;
        self.voluntary_switches += other.voluntary_switches;
        self.involuntary_switches += other.involuntary_switches;
    }
}

/// What has become of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It has ended by itself, with this status.
    Exited(u8),
    /// A signal has ended it; true if that would have left an image of its memory.
    Signalled(Signal, bool),
    /// A signal has stopped it.
    Stopped(Signal),
    /// It goes on.
    Continued,
}

impl ExitStatus {
    /// Ended by a signal, without an image.
    #[must_use]
    pub const fn killed(signal: Signal) -> Self {
        Self::Signalled(signal, false)
    }

    /// Ended by the default action of a signal.
    #[must_use]
    pub const fn by(signal: Signal) -> Self {
        let core = matches!(DefaultAction::of(signal), DefaultAction::Core);
        Self::Signalled(signal, core)
    }

    /// As wait4(2) says it.
    #[must_use]
    pub const fn wait_status(self) -> u32 {
        const CORE: u32 = 0x80;
        match self {
            Self::Exited(status) => (status as u32) << 8,
            Self::Signalled(signal, true) => signal.number() | CORE,
            Self::Signalled(signal, false) => signal.number(),
            Self::Stopped(signal) => signal.number() << 8 | 0x7f,
            Self::Continued => 0xffff,
        }
    }

    /// As `si_code` and `si_status` of SIGCHLD and waitid(2) say it.
    #[must_use]
    pub const fn for_info(self) -> (u32, u32) {
        match self {
            Self::Exited(status) => (linux::CLD_EXITED, status as u32),
            Self::Signalled(signal, true) => (linux::CLD_DUMPED, signal.number()),
            Self::Signalled(signal, false) => (linux::CLD_KILLED, signal.number()),
            Self::Stopped(signal) => (linux::CLD_STOPPED, signal.number()),
            Self::Continued => (linux::CLD_CONTINUED, Signal::CONT.number()),
        }
    }

    /// As a shell says it: the status, or 128 and the signal's number.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "signals are below 128")]
    pub const fn for_shell(self) -> u8 {
        match self {
            Self::Exited(status) => status,
            Self::Signalled(signal, _) | Self::Stopped(signal) => 128 + signal.number() as u8,
            Self::Continued => 0,
        }
    }
}
