//! What a process does with a signal.

use linux_raw_sys::general as linux;

use super::Signal;

/// What `rt_sigaction`(2) sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// The handler's address; or `SIG_DFL` (0) or `SIG_IGN` (1).
    pub(super) handler: u64,
    pub(super) flags: u64,
    /// Where the handler returns to.
    pub(super) restorer: u64,
    /// What is blocked besides while it runs.
    pub(super) mask: u64,
}

/// Bytes of the kernel's `struct sigaction`.
pub(super) const ACTION_SIZE: usize = 32;

const SIG_DFL: u64 = 0;
const SIG_IGN: u64 = 1;

impl Action {
    pub(super) const DEFAULT: Self = Self {
        handler: SIG_DFL,
        flags: 0,
        restorer: 0,
        mask: 0,
    };

    pub(super) const fn is_default(&self) -> bool {
        self.handler == SIG_DFL
    }

    pub(crate) const fn is_ignored(&self) -> bool {
        self.handler == SIG_IGN
    }

    pub(crate) const fn has(&self, flag: u32) -> bool {
        self.flags & flag as u64 != 0
    }

    /// Whether a signal with this action does nothing at all.
    pub(crate) const fn drops(&self, signal: Signal) -> bool {
        self.is_ignored()
            || self.is_default()
                && matches!(Default::of(signal), Default::Ignore | Default::Continue)
    }

    pub(super) fn decode(bytes: &[u8; ACTION_SIZE]) -> Self {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let [handler, flags, restorer, mask] = words;
        Self {
            handler,
            flags,
            restorer,
            mask: mask & !super::UNSTOPPABLE,
        }
    }

    pub(super) fn encode(&self) -> [u8; ACTION_SIZE] {
        let words = [self.handler, self.flags, self.restorer, self.mask];
        let mut bytes = [0; ACTION_SIZE];
        for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        bytes
    }
}

/// What a signal does to a process that does nothing about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// Ends it.
    Terminate,
    /// Ends it, and would leave an image of its memory.
    Core,
    /// Nothing.
    Ignore,
    /// Stops it.
    Stop,
    /// Nothing but that it goes on, if it was stopped.
    Continue,
}

impl Default {
    /// As signal(7) has it.
    #[must_use]
    pub const fn of(signal: Signal) -> Self {
        match signal.number() {
            linux::SIGCHLD | linux::SIGURG | linux::SIGWINCH => Self::Ignore,
            linux::SIGCONT => Self::Continue,
            linux::SIGSTOP | linux::SIGTSTP | linux::SIGTTIN | linux::SIGTTOU => Self::Stop,
            linux::SIGQUIT
            | linux::SIGILL
            | linux::SIGTRAP
            | linux::SIGABRT
            | linux::SIGBUS
            | linux::SIGFPE
            | linux::SIGSEGV
            | linux::SIGXCPU
            | linux::SIGXFSZ
            | linux::SIGSYS => Self::Core,
            _ => Self::Terminate,
        }
    }
}
