//! What state a thread is in.
//!
//! ```text
//! Ready ──Run request──▶ Running ──▶ Ready     slice over: a new Run request
//!   ▲                      │  ├────▶ Waiting   until woken: then Ready
//!   │                      │  ├────▶ Calling   until its request has ended: then Ready
//!   └──────────────────────┘  ├────▶ Parked    until resumed: then Ready
//!                             └────▶ Dead
//! ```
//!
//! Invariant: exactly one Run request is under way for a thread that is `Ready`, none for any
//! other. So whoever makes it `Ready`, under the lock, sends one.

use vortex_toolkit::ids::CoreId;

use super::futex::Key;
use super::timers::TimerKey;
use crate::errno::Errno;

/// One wait of a thread: who wakes it says which, so that nobody who comes late wakes it from
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitId(pub(super) u64);

/// What a signal does to a thread that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The call is made again if the handler has `SA_RESTART`, else it fails with EINTR.
    Restart,
    /// The call fails with EINTR if a handler runs (sleeps, and waits with a timeout).
    Fail,
    /// The thread waits on; only what kills it takes it out.
    Never,
}

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A Run request is under way.
    Ready,
    /// That request is being handled there.
    Running(CoreId),
    /// It waits for somebody to wake it.
    Waiting,
    /// It waits for a request to end that works for it.
    Calling,
    /// It is suspended, or its process held.
    Parked,
    /// It has ended.
    Dead,
}

/// What becomes of the call that a thread has waited in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resumption {
    /// Nothing: it goes on with its registers as they are.
    Plain,
    /// The call has this result.
    Result(Result<u64, Errno>),
    /// A signal has come; a relative timeout would end then.
    Interrupted(Interruption, Option<u64>),
    /// The call is made again.
    Again,
}

/// A thread's state, and what belongs to a wait.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) state: State,
    /// Counts the waits.
    serial: u64,
    pub(crate) resumption: Resumption,
    interruption: Interruption,
    timer: Option<TimerKey>,
    pub(crate) futex: Option<Key>,
    pub(crate) is_suspended: bool,
    /// Where a sleep that a handler ends writes what is left of it; 0 for nowhere.
    pub(super) remain: u64,
    /// The request under way brings in a page for a call that had become a request itself.
    pub(super) makes_call_again: bool,
}

/// What a thread that goes on has left behind elsewhere.
#[derive(Debug)]
#[must_use]
pub(crate) struct Left {
    pub(super) wait: WaitId,
    pub(super) timer: Option<TimerKey>,
    pub(super) futex: Option<Key>,
}

impl Control {
    /// Of a new thread, for which a Run request is about to be sent.
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Ready,
            serial: 0,
            resumption: Resumption::Plain,
            interruption: Interruption::Never,
            timer: None,
            futex: None,
            is_suspended: false,
            remain: 0,
            makes_call_again: false,
        }
    }

    /// The wait that [`Self::wait`] begins next.
    pub(super) const fn next_wait(&self) -> WaitId {
        WaitId(self.serial + 1)
    }

    /// The running thread waits from now on.
    pub(super) fn wait(
        &mut self,
        interruption: Interruption,
        timer: Option<TimerKey>,
        futex: Option<Key>,
    ) -> WaitId {
        debug_assert!(matches!(self.state, State::Running(_)), "{self:?}");
        self.serial += 1;
        self.state = State::Waiting;
        self.interruption = interruption;
        self.timer = timer;
        self.futex = futex;
        self.remain = 0;
        WaitId(self.serial)
    }

    /// Whether it is in this wait.
    pub(super) fn is_in(&self, wait: WaitId) -> bool {
        self.state == State::Waiting && self.serial == wait.0
    }

    /// Ends the wait, if it is in it.
    pub(super) fn wake(&mut self, wait: WaitId, resumption: Resumption) -> Option<Left> {
        self.is_in(wait).then(|| self.leave(resumption))
    }

    /// Ends the wait because of a signal, or by `force`, if it can be ended so.
    pub(super) fn interrupt(&mut self, force: bool) -> Option<Left> {
        if self.state != State::Waiting || self.interruption == Interruption::Never && !force {
            return None;
        }
        let until = self.timer.map(TimerKey::deadline);
        Some(self.leave(Resumption::Interrupted(self.interruption, until)))
    }

    fn leave(&mut self, resumption: Resumption) -> Left {
        self.state = State::Ready;
        self.resumption = resumption;
        Left {
            wait: WaitId(self.serial),
            timer: self.timer.take(),
            futex: self.futex.take(),
        }
    }
}
