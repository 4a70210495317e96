//! The timers of a table's entries: a heap, which holds at most one timer that counts per entry.
//!
//! A deadline that moves to later costs nothing: the timer in the heap ends too early, and is set
//! again then. That is what almost all do, with each acknowledgment.

use super::{Entry, Table};
use crate::keys::FourTuple;
use crate::segment::Segment;
use crate::time::Instant;

/// A timer. Ordered by time; the number makes it unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timer {
    at: Instant,
    number: u64,
    tuple: FourTuple,
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What a timer that has ended is for.
#[derive(Debug, PartialEq, Eq)]
pub enum Expired {
    /// This connection's [`crate::Connection::expired`] is to be called, and its new deadline to be
    /// set.
    Connection(FourTuple),
    /// This is to be sent to the peer of this tuple.
    Send(FourTuple, Segment),
}

impl<C, L> Table<C, L> {
    /// Sets a connection's deadline, if it has one.
    pub fn set_deadline(&mut self, tuple: &FourTuple, deadline: Option<Instant>) {
        if let Some(deadline) = deadline {
            self.set_timer(tuple, deadline);
        }
    }

    /// When the first timer ends; there may be nothing to do then.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.peek().map(|timer| timer.0.at)
    }

    /// The next that is due by now. To be called until there is none.
    pub fn expired(&mut self, now: Instant) -> Option<Expired> {
        while let Some(&core::cmp::Reverse(timer)) = self.timers.peek()
            && timer.at <= now
        {
            self.timers.pop();
            let Some(slot) = self.find_mut(&timer.tuple) else {
                continue;
            };
            if slot.timer.is_none_or(|(number, _)| number != timer.number) {
                continue;
            }
            slot.timer = None;
            if let Some(expired) = self.entry_expired(&timer.tuple, now) {
                return Some(expired);
            }
        }
        None
    }

    fn entry_expired(&mut self, tuple: &FourTuple, now: Instant) -> Option<Expired> {
        match &mut self.find_mut(tuple)?.entry {
            Entry::Connection(_) => Some(Expired::Connection(*tuple)),
            Entry::TimeWait(record) => {
                let ends = record.ends();
                if ends <= now {
                    self.take(tuple);
                } else {
                    self.set_timer(tuple, ends);
                }
                None
            }
            Entry::HalfOpen(half) => {
                let is_alive = half.expired(now);
                let half = half.clone();
                let config = self.listener(tuple.local).map(|listener| listener.config);
                let Some(config) = config.filter(|_| is_alive) else {
                    self.end_half_open(tuple);
                    self.counters.half_open_expired += 1;
                    return None;
                };
                self.set_timer(tuple, half.deadline());
                Some(Expired::Send(*tuple, half.answer(&config, now)))
            }
        }
    }

    /// Makes sure that a timer of this entry ends by `at`.
    pub(super) fn set_timer(&mut self, tuple: &FourTuple, at: Instant) {
        let number = self.next_timer;
        let Some(slot) = self.find_mut(tuple) else {
            return;
        };
        if slot.timer.is_some_and(|(_, earlier)| earlier <= at) {
            return;
        }
        slot.timer = Some((number, at));
        self.next_timer += 1;
        self.timers.push(core::cmp::Reverse(Timer {
            at,
            number,
            tuple: *tuple,
        }));
    }
}
