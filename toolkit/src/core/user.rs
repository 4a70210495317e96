//! Threads that run in user mode, for long, inside the handling of a request.
//!
//! While one does, the core is to other cores as if it slept: who sends something to it wakes it,
//! which here means an interrupt that ends the thread's stay in user mode.

use crate::span::Span;
use crate::system::{Platform, System};
use crate::tree::ROOT;

use super::CoreState;
use super::state::Inbox;

/// What was ready beside an execution when it first let a thread run.
#[derive(Clone, Copy)]
pub(crate) struct Beside {
    /// When the execution began.
    mark: u64,
    ready: u32,
}

impl Beside {
    pub(crate) const NOTHING: Self = Self { mark: 0, ready: 0 };
}

impl<Y: System> CoreState<Y> {
    pub(crate) fn enter_user(&mut self, inbox: &mut Inbox<Y>) -> bool {
        self.note_timers();
        if self.is_due() || !inbox.try_sleep() {
            return false;
        }
        let mark = self.books.mark;
        if self.beside.mark != mark {
            let ready = self.ready_beside();
            self.beside = Beside { mark, ready };
        }
        self.span.open(Span::User {
            since: mark,
            resource: self.current.head.destination,
            activity: self.current.activity,
            interrupted: self.books.interrupted(&self.platform),
        });
        true
    }

    pub(crate) fn should_yield(&self, inbox: &Inbox<Y>) -> bool {
        let beside = &self.beside;
        !inbox.is_empty()
            || self.is_due()
            || beside.mark == self.books.mark && self.ready_beside() > beside.ready
    }

    /// The time of what the current request sends: when it began, which is exact enough for one that
    /// is short; the time itself for one that has let a thread run, perhaps for a whole slice.
    #[inline(always)]
    pub(crate) fn time_of_sending(&self) -> u64 {
        let mark = self.books.mark;
        if self.beside.mark == mark {
            return self.time();
        }
        mark
    }

    /// Apart, for on the way of most requests it is only in the way.
    #[cold]
    #[inline(never)]
    fn time(&self) -> u64 {
        self.platform.now()
    }

    /// Whether this core has something to do besides requests.
    fn is_due(&self) -> bool {
        let due = self.next_due();
        due.is_some_and(|due| self.platform.now() >= due)
    }

    /// How many clients are ready on the way from the current request's scheduler to the root.
    fn ready_beside(&self) -> u32 {
        let Some(mut index) = self.entrances.node(self.current.head.destination) else {
            return 0;
        };
        let mut ready = 0;
        loop {
            let node = &self.tree.nodes[index.index()];
            ready += node.ready;
            if index == ROOT {
                return ready;
            }
            index = node.parent.node;
        }
    }
}
