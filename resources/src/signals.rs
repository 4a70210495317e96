//! Signals (signal(7)): what a process does with each, who has which pending, and their delivery.
//!
//! Key types: [`Signal`], [`Info`] (what `siginfo_t` says), [`Action`], `OfProcess` and
//! `OfThread` (what each keeps).
//!
//! Locks: a process's signals, then a thread's, then its state. A signal is entered as pending
//! first; then its thread is told (`crate::thread::attend`), which delivers it on its way back to
//! user mode. There is at most one of each signal pending at each place, but any number, within
//! limits, of a real-time signal.

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;
use vortex_toolkit::Context;

use crate::machine::{Access, Machine};
use crate::process::Process;
use crate::system::{Shared, Vortex};
use crate::thread::Thread;

mod action;
pub mod calls;
mod deliver;
mod frame;
mod info;
mod mask;
mod send;
#[cfg(test)]
mod tests;

pub use action::{Action, Default};
pub(crate) use deliver::{Delivery, Interrupted, deliver};
pub use frame::frame_bytes;
pub use info::{Cause, Info};
pub(crate) use mask::{borrow_mask, give_back_mask};
pub(crate) use send::{force, send_info, send_to_thread};

/// A signal's number: 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident = $number:ident)*) => {$(
        #[doc = concat!("`", stringify!($number), "`.")]
        pub const $name: Self = Self(linux::$number as u8);
    )*};
}

impl Signal {
    signals! {
        HUP = SIGHUP INT = SIGINT QUIT = SIGQUIT ILL = SIGILL TRAP = SIGTRAP ABRT = SIGABRT BUS = SIGBUS
        FPE = SIGFPE KILL = SIGKILL SEGV = SIGSEGV PIPE = SIGPIPE ALRM = SIGALRM TERM = SIGTERM
        VTALRM = SIGVTALRM PROF = SIGPROF CHLD = SIGCHLD CONT = SIGCONT STOP = SIGSTOP TSTP = SIGTSTP TTIN = SIGTTIN TTOU = SIGTTOU
        WINCH = SIGWINCH
        SYS = SIGSYS
    }

    /// The signal of this number, if there is one.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "at most 64")]
        match number {
            1..=64 => Some(Self(number as u8)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0 as u32
    }

    /// Its bit in a set of signals.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }

    const fn is_real_time(self) -> bool {
        self.0 >= FIRST_REAL_TIME
    }

    /// The first of a set.
    const fn first_of(set: u64) -> Option<Self> {
        match set {
            0 => None,
            set => Self::new(set.trailing_zeros() as u64 + 1),
        }
    }
}

/// Signals that cannot be blocked, caught or ignored.
pub(crate) const UNSTOPPABLE: u64 = Signal::KILL.bit() | Signal::STOP.bit();

/// The first real-time signal: of these, each that is sent is delivered, in order.
const FIRST_REAL_TIME: u8 = 32;

/// The most signals that wait at one place (`RLIMIT_SIGPENDING`).
const MOST_PENDING: usize = 1024;

/// Those that stop a process unless it does something else with them.
const STOPS: u64 =
    Signal::STOP.bit() | Signal::TSTP.bit() | Signal::TTIN.bit() | Signal::TTOU.bit();

/// Signals that wait to be delivered.
#[derive(Debug)]
pub(crate) struct Pending {
    set: u64,
    infos: Vec<Info>,
}

impl Pending {
    const NONE: Self = Self {
        set: 0,
        infos: Vec::new(),
    };

    /// Enters a signal. One that is there already stays as it is, unless it is a real-time signal or
    /// a timer's: then it comes behind it, if there is room.
    fn add(&mut self, info: Info) {
        let is_new = self.set & info.signal.bit() == 0;
        let is_wanted = match info.cause {
            // Of each timer there is one, also beside the same signal from elsewhere.
            Cause::Timer(..) => !self.infos.iter().any(|other| other.cause == info.cause),
            _ => is_new || info.signal.is_real_time() && self.has_room(),
        };
        if is_wanted {
            self.set |= info.signal.bit();
            self.infos.push(info);
        }
    }

    /// Puts back what has just been taken, before all others.
    fn put_back(&mut self, info: Info) {
        self.set |= info.signal.bit();
        self.infos.insert(0, info);
    }

    const fn has_room(&self) -> bool {
        self.infos.len() < MOST_PENDING
    }

    /// Takes the first of a set; of several that are the same signal, the one that was sent first.
    fn take(&mut self, set: u64) -> Option<Info> {
        let signal = Signal::first_of(self.set & set)?;
        let is_it = |info: &Info| info.signal == signal;
        let position = self.infos.iter().position(is_it)?;
        let info = self.infos.remove(position);
        if !self.infos.iter().any(is_it) {
            self.set &= !signal.bit();
        }
        Some(info)
    }

    fn discard(&mut self, set: u64) {
        self.set &= !set;
        self.infos.retain(|info| info.signal.bit() & set == 0);
    }
}

/// What a process keeps about signals.
#[derive(Debug)]
pub(crate) struct OfProcess {
    actions: [Action; 64],
    pending: Pending,
}

impl OfProcess {
    pub(crate) const fn new() -> Self {
        Self {
            actions: [Action::DEFAULT; 64],
            pending: Pending::NONE,
        }
    }

    pub(crate) const fn action(&self, signal: Signal) -> &Action {
        &self.actions[signal.0 as usize - 1]
    }

    /// Whether children that end are not waited for.
    pub(crate) const fn ignores_children(&self) -> bool {
        let action = self.action(Signal::CHLD);
        action.is_ignored() || action.has(linux::SA_NOCLDWAIT)
    }

    /// Of a child that has just been forked: the same actions, nothing pending.
    pub(crate) const fn fork(&self) -> Self {
        Self {
            actions: self.actions,
            pending: Pending::NONE,
        }
    }

    /// Of the program that takes this one's place: what had handlers has none, what is pending
    /// stays.
    pub(crate) fn exec(&mut self) -> Self {
        let actions = self.actions.map(|action| match action.is_ignored() {
            true => action,
            false => Action::DEFAULT,
        });
        Self {
            actions,
            pending: core::mem::replace(&mut self.pending, Pending::NONE),
        }
    }
}

/// The alternate stack of sigaltstack(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AlternateStack {
    start: u64,
    flags: u32,
    size: u64,
}

impl AlternateStack {
    const NONE: Self = Self {
        start: 0,
        flags: linux::SS_DISABLE,
        size: 0,
    };

    const fn is_usable(&self) -> bool {
        self.flags & linux::SS_DISABLE == 0
    }

    /// Whether a stack pointer is on it: above the start, up to the end.
    const fn has(&self, pointer: u64) -> bool {
        self.is_usable() && pointer > self.start && pointer - self.start <= self.size
    }
}

/// What a thread keeps about signals.
#[derive(Debug)]
pub(crate) struct OfThread {
    /// Those it blocks.
    mask: u64,
    pending: Pending,
    stack: AlternateStack,
    /// What it blocked before a call that has put another mask in force, until that is over or a
    /// handler has run.
    saved_mask: Option<u64>,
    /// What it waits for in `rt_sigtimedwait`(2).
    awaited: u64,
    /// The last exception for which it got a signal.
    trap: Trap,
}

/// An exception as a handler is told of it (`struct sigcontext`: trapno, err, cr2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trap {
    /// The vector.
    pub(crate) number: u8,
    /// The processor's error code.
    pub(crate) code: u64,
    /// The address of the last page fault.
    pub(crate) address: u64,
}

impl Trap {
    /// A page fault's vector.
    const PAGE_FAULT: u8 = 14;

    pub(crate) const NONE: Self = Self {
        number: 0,
        code: 0,
        address: 0,
    };

    /// A page fault in user mode (Intel SDM volume 3, 4.7: the error code).
    pub(crate) const fn page_fault(address: u64, access: Access, is_present: bool) -> Self {
        const USER: u64 = 1 << 2;
        let code =
            USER | is_present as u64 | (access.write as u64) << 1 | (access.execute as u64) << 4;
        Self {
            number: Self::PAGE_FAULT,
            code,
            address,
        }
    }

    /// Another exception: the address stays.
    pub(crate) const fn exception(number: u8, code: u64) -> Self {
        Self {
            number,
            code,
            address: 0,
        }
    }

    const fn after(self, last: Self) -> Self {
        let address = match self.number {
            Self::PAGE_FAULT => self.address,
            _ => last.address,
        };
        Self { address, ..self }
    }
}

impl OfThread {
    pub(crate) const fn new(mask: u64) -> Self {
        Self {
            mask,
            pending: Pending::NONE,
            stack: AlternateStack::NONE,
            saved_mask: None,
            awaited: 0,
            trap: Trap::NONE,
        }
    }

    /// Of the only thread of a forked process.
    pub(crate) fn fork(&self) -> Self {
        let mut child = Self::new(self.mask);
        child.stack = self.stack;
        child
    }

    pub(crate) const fn mask(&self) -> u64 {
        self.mask
    }

    const fn set_mask(&mut self, mask: u64) {
        self.mask = mask & !UNSTOPPABLE;
    }

    /// Those that come through to it now, handled or awaited.
    const fn open(&self) -> u64 {
        !self.mask | self.awaited
    }
}

/// Sends a signal to the thread whose call is the cause of it, from the kernel.
pub(crate) fn send_own<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    thread: &Arc<Thread<M>>,
    signal: Signal,
) {
    send_to_thread(shared, context, thread, Info::kernel(signal));
}

/// Sends a signal to a process, from the kernel (`SI_KERNEL`), such as `SIGPIPE` or `SIGINT`.
/// False if nobody will see it, for it is ignored.
pub fn send<M: Machine>(
    shared: &Arc<Shared<M>>,
    context: &mut Context<'_, Vortex<M>>,
    process: &Arc<Process<M>>,
    signal: Signal,
) -> bool {
    send_info(shared, context, process, Info::kernel(signal))
}
